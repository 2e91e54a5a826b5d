"""Filters as people write them: key=value, key!=value, key>=value, -key."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.filters import AllOf, Condition, Missing, Not, Range, Scalar, is_iso_date

TRUTH = {"true": True, "false": False}
FORMS = "key=value, key!=value, key<value, key<=value, key>value, key>=value, or -key for passages without the key"

_PARTS = re.compile(r"(?P<key>[^=<>]+?)(?P<sign>!=|<=|>=|=|<|>)(?P<value>.*)", re.DOTALL)
_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


def parse_untyped_filters(filters: Sequence[str]) -> dict[str, Condition]:
    """As `parse_filters` where the keys' types are not to be known: a value is what it can be read as, each of it.

    Raises InputError for a text of another form; never for what any passage holds.
    """
    told: dict[str, dict[str, list[Scalar]]] = defaultdict(lambda: defaultdict(list))
    types: dict[str, str] = {}
    for text in filters:
        key, sign, value = _parts(text)
        if sign in _BOUNDS:
            kind = "date" if is_iso_date(value) else "float"
            if types.setdefault(key, kind) != kind:
                raise InputError(f"filter on {key}: one bound is a date, the other is none")
            told[key][sign].append(_typed(value, text, key, types[key], bound=True))
        else:
            told[key][sign] += _readings(value) if sign else [""]
    return {key: _condition(key, signs, types.get(key, "")) for key, signs in told.items()}


def _readings(value: str) -> list[Scalar]:
    """A text, and the number or truth value that it is written like."""
    found: list[Scalar] = [value]
    if value.lower() in TRUTH:
        found.append(TRUTH[value.lower()])
    with suppress(ValueError):
        found.append(int(value))
    with suppress(ValueError):
        found.append(_number(value))
    return found


def parse_filters(filters: Sequence[str], types: Mapping[str, str]) -> dict[str, Condition]:
    """Texts to a filter, each value read as its key's type. Several `key=value` of one key mean any of the values.

    Raises InputError for a text of another form, a key the collection cannot filter on, or a value of another type.
    """
    told: dict[str, dict[str, list[Scalar]]] = defaultdict(lambda: defaultdict(list))
    for text in filters:
        key, sign, value = _parts(text)
        if key not in types:
            raise InputError(f"no passage can be filtered on {key!r}", f"keys: {', '.join(types) or 'none'}")
        told[key][sign].append(_typed(value, text, key, types[key], bound=sign in _BOUNDS) if sign else "")
    return {key: _condition(key, signs, types[key]) for key, signs in told.items()}


def _parts(text: str) -> tuple[str, str, str]:
    """Key, sign and value; sign and value are empty where the key is to be absent."""
    if found := _PARTS.fullmatch(text):
        return found["key"], found["sign"], found["value"]
    if text.startswith("-") and len(text) > 1 and not set("=<>") & set(text):
        return text[1:], "", ""
    raise InputError(f"filter {text!r} is not of the form key=value", f"forms: {FORMS}")


def _condition(key: str, signs: Mapping[str, Sequence[Scalar]], type_name: str) -> Condition:
    parts: list[Condition] = []
    if "=" in signs:
        parts.append(list(signs["="]))
    if "!=" in signs:
        parts.append(Not(list(signs["!="])))
    if "" in signs:
        parts.append(Missing())
    if bounds := {name: signs[sign] for sign, name in _BOUNDS.items() if sign in signs}:
        if any(len(values) > 1 for values in bounds.values()):
            raise InputError(f"filter on {key}: the same bound is given twice")
        parts.append(Range(**{name: _bound(values[0], type_name) for name, values in bounds.items()}))
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _bound(value: Scalar, type_name: str) -> int | float | date:
    if type_name == "date":
        return date.fromisoformat(str(value))
    assert isinstance(value, int | float)
    return value


def _typed(value: str, text: str, key: str, type_name: str, *, bound: bool) -> Scalar:
    """The value as its key's type; dates stay texts, as they are stored."""
    if bound and type_name in ("str", "bool"):
        raise InputError(f"filter {text}: {key} holds values of type {type_name}, which have no order")
    try:
        match type_name:
            case "int":
                return _number(value) if bound and "." in value else int(value)
            case "float":
                return _number(value)
            case "bool":
                return TRUTH[value.lower()]
    except (ValueError, KeyError):
        raise InputError(f"filter {text}: {key} holds values of type {type_name}") from None
    if type_name == "date" and not is_iso_date(value):
        raise InputError(f"filter {text}: {key} holds dates, as YYYY-MM-DD")
    return value


def _number(value: str) -> float:
    number = float(value)
    if math.isnan(number):
        raise ValueError("not a number")
    return number
