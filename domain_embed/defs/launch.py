"""Run config: in Dagster's launchpad an asset's settings section is filled in, and may be changed for one run."""

import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

import dagster as dg
from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from domain_embed.contracts.errors import SettingsError
from domain_embed.settings import DomainSettings

LAUNCHABLE = {"hard_negatives": "mining", "checkpoint": "training", "eval_report": "retrieval"}
"""The section of domain.yaml that may be changed for one run of an asset."""

SCALARS = (int, float, str, bool)


def launch_schema(asset: str, settings: DomainSettings) -> dict[str, Any] | None:
    """The asset's config schema with the values of domain.yaml as defaults; None where it takes none.

    What Dagster has no type for is left out and stays as in domain.yaml.
    """
    if asset not in LAUNCHABLE:
        return None
    section = getattr(settings, LAUNCHABLE[asset])
    fields: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        kind = _config_type(field.annotation)
        if kind is not None:
            value = section.model_dump(mode="json")[name]
            fields[name] = (kind, _field(field, value))
    return create_model(f"{type(section).__name__}OfOneRun", __base__=dg.Config, **fields).to_fields_dict()


def launched_settings(asset: str, settings: DomainSettings, config: Mapping[str, Any] | None) -> DomainSettings:
    """The settings an asset runs with: those of domain.yaml, changed by what was launched.

    Raises SettingsError when a value is not allowed.
    """
    if asset not in LAUNCHABLE or not config:
        return settings
    name = LAUNCHABLE[asset]
    section = getattr(settings, name)
    try:
        launched = type(section).model_validate({**section.model_dump(), **config})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise SettingsError(f"the run config of {asset} cannot be used: {problems}") from None
    return settings.model_copy(update={name: launched})


def _field(field: FieldInfo, value: Any) -> Any:
    return Field(default=value, description=field.description)


def _config_type(annotation: Any) -> Any:
    """The type Dagster's config has for an annotation; None when there is none."""
    if annotation in SCALARS or get_origin(annotation) is Literal:
        return annotation
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    if get_origin(annotation) in (Union, types.UnionType):
        inner = _config_type(arguments[0]) if len(arguments) == 1 else None
        return inner | None if inner is not None else None
    if get_origin(annotation) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis and arguments[0] in SCALARS:
        return list[arguments[0]]  # type: ignore[valid-type]
    return None
