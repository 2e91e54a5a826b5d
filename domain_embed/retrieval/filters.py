"""Filters as people write them."""

from collections.abc import Mapping, Sequence

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.records import Scalar

TRUTH = {"true": True, "false": False}


def parse_filters(filters: Sequence[str], types: Mapping[str, str]) -> dict[str, list[Scalar]]:
    """`key=value` texts to a filter, each value read as its key's type; a repeated key means any of its values.

    Raises InputError for a key the collection cannot filter on, or a value of another type.
    """
    where: dict[str, list[Scalar]] = {}
    for text in filters:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise InputError(f"filter {text!r} is not of the form key=value")
        if key not in types:
            raise InputError(f"no passage can be filtered on {key!r}", f"keys: {', '.join(types) or 'none'}")
        where.setdefault(key, []).append(_typed(value, key, types[key]))
    return where


def _typed(value: str, key: str, type_name: str) -> Scalar:
    try:
        match type_name:
            case "int":
                return int(value)
            case "float":
                return float(value)
            case "bool":
                return TRUTH[value.lower()]
    except (ValueError, KeyError):
        raise InputError(f"filter {key}={value}: {key} holds values of type {type_name}") from None
    return value
