"""Run config: in Dagster's launchpad an asset's settings section is filled in, and may be changed for one run.

Numbers, switches and choices alone: a free text may name a file, a model or an address, and Dagster's own fields for
settings also take the name of an environment variable, whose value would then stand in an error or in a result.
"""

import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

import dagster as dg
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from domain_embed.contracts.errors import SettingsError
from domain_embed.settings import DomainSettings

LAUNCHABLE = {"hard_negatives": "mining", "checkpoint": "training", "eval_report": "retrieval"}
"""The section of domain.yaml that may be changed for one run of an asset."""

NUMBERS = (int, float, bool)


def launch_schema(asset: str, settings: DomainSettings) -> dict[str, dg.Field] | None:
    """The asset's config schema with the values of domain.yaml as defaults; None where it takes none.

    What is not a number, a switch or a choice is left out and stays as in domain.yaml.
    """
    if asset not in LAUNCHABLE:
        return None
    section = getattr(settings, LAUNCHABLE[asset])
    values = section.model_dump(mode="json")
    schema = {}
    for name, field in type(section).model_fields.items():
        kind = _config_type(name, field)
        if kind is not None:
            schema[name] = dg.Field(kind, values[name], description=field.description)
    return schema


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


def _config_type(name: str, field: FieldInfo) -> Any:
    """Dagster's type for a field; None when a launched run has no say in it."""
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        others = [argument for argument in get_args(annotation) if argument is not types.NoneType]
        if any(get_origin(other) is Literal for other in others):
            return dg.Any  # a number or a word, such as `auto`: the settings say which
        annotation = others[0] if len(others) == 1 else None
    if annotation in NUMBERS:
        return dg.Noneable(annotation)
    if get_origin(annotation) is Literal:
        choices = get_args(annotation)
        return dg.Noneable(dg.Enum(f"{name}: {', '.join(choices)}", [dg.EnumValue(choice) for choice in choices]))
    return None
