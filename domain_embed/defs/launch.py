"""Run config: in Dagster's launchpad an asset's settings section is filled in, and may be changed for one run.

Numbers, switches and choices alone: a free text may name a file, a model or an address, and Dagster's own fields for
settings also take the name of an environment variable, whose value would then stand in an error or in a result.
"""

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

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
            default = None if _is_open(field, values[name]) else values[name]
            schema[name] = dg.Field(kind, default, description=field.description)
    return schema


def launched_settings(asset: str, settings: DomainSettings, config: Mapping[str, Any] | None) -> DomainSettings:
    """The settings an asset runs with: those of domain.yaml, changed by what was launched.

    Null leaves a setting that is a number or a word, such as `auto`, as it is in domain.yaml. Raises SettingsError when
    a value is not allowed.
    """
    if asset not in LAUNCHABLE or not config:
        return settings
    name = LAUNCHABLE[asset]
    section = getattr(settings, name)
    fields, values = type(section).model_fields, section.model_dump()
    told = {key: value for key, value in config.items() if value is not None or not _is_open(fields[key], values[key])}
    try:
        launched = type(section).model_validate({**values, **told})
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise SettingsError(f"the run config of {asset} cannot be used: {problems}") from None
    return settings.model_copy(update={name: launched})


def _is_open(field: FieldInfo, value: Any) -> bool:
    """Whether a setting has a word, such as `auto`, where a run may be told a number."""
    return isinstance(value, str) and bool(set(NUMBERS) & set(_alternatives(field.annotation)))


def _config_type(name: str, field: FieldInfo) -> Any:
    """Dagster's type for a field; None when a launched run has no say in it."""
    alternatives = _alternatives(field.annotation)
    plain = [kind for kind in alternatives if get_origin(kind) is not Literal]
    if not plain:
        choices = [choice for kind in alternatives for choice in get_args(kind)]
        return dg.Noneable(dg.Enum(f"{name}: {', '.join(choices)}", [dg.EnumValue(choice) for choice in choices]))
    return dg.Noneable(plain[0]) if len(plain) == 1 and plain[0] in NUMBERS else None


def _alternatives(annotation: Any) -> list[Any]:
    """What a field may be other than None, without what pydantic checks of it."""
    is_union = get_origin(annotation) in (Union, types.UnionType)
    kinds = get_args(annotation) if is_union else (annotation,)
    plain = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds]
    return [kind for kind in plain if kind is not types.NoneType]
