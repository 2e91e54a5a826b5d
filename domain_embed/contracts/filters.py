"""Metadata filters: what may be asked of a key. Every store answers them alike."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias, Union

Scalar: TypeAlias = str | int | float | bool
Bound: TypeAlias = int | float | date | datetime

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
UNNAMEABLE = ('"', "\\")
"""No store can name a metadata key with one of these in a filter."""
BOUNDS = ("gt", "gte", "lt", "lte")


@dataclass(frozen=True, slots=True)
class Range:
    """A value between bounds: numbers, or dates for keys that hold dates; a date stands for its first moment, UTC.

    Numbers are compared as 64-bit floats. Raises ValueError without any bound, for bounds of both kinds, and for NaN.
    """

    gt: Bound | None = None
    gte: Bound | None = None
    lt: Bound | None = None
    lte: Bound | None = None

    def __post_init__(self) -> None:
        bounds = self.bounds()
        dates = [isinstance(bound, date) for bound in bounds.values()]
        if not bounds or any(dates) != all(dates):
            raise ValueError("a range needs a bound, and all its bounds must be numbers, or all dates")
        if any(isinstance(bound, float) and math.isnan(bound) for bound in bounds.values()):
            raise ValueError("a range cannot end at NaN")

    def bounds(self) -> dict[str, Bound]:
        """The bounds there are, by name."""
        return {name: bound for name in BOUNDS if (bound := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Missing:
    """The key is absent, null or an empty list."""


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold; that is also so where the key is absent."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition holds; of a list of values, each condition by any of them."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds."""

    conditions: tuple["Condition", ...]


Condition: TypeAlias = Union[Scalar, Sequence[Scalar], Range, Missing, Not, AllOf, AnyOf]  # noqa: UP007
"""On the values of one key. A scalar: one of them equals it. A sequence: one of them equals one of its scalars."""

Where: TypeAlias = Mapping[str, Condition]
"""A metadata filter: every key's condition must hold. A dot in a key reaches into a nested object."""


def filter_text(content: object) -> str:
    """A filter as JSON in one spelling: equal filters are equal texts. Raises ValueError as `read_filter`."""
    read_filter(content)
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def read_filter(content: object) -> Where:
    """A filter as JSON says it, such as {"team": "storage", "year": {"gte": 2020}, "draft": null}.

    A list means any of its values, null that the key is absent, {"not": ...} the opposite; an object with gt, gte, lt
    and lte is a range, of dates where its bounds are texts in ISO 8601. Raises ValueError that says what is wrong.
    """
    if not isinstance(content, Mapping) or not content:
        raise ValueError('it must be an object of keys and values, such as {"team": "storage"}')
    return {str(key): _read_condition(str(key), value) for key, value in content.items()}


def _read_condition(key: str, value: object) -> Condition:
    match value:
        case None:
            return Missing()
        case str() | bool() | int() | float():
            return value
        case [*values] if values:
            scalars = [one for one in values if isinstance(one, str | bool | int | float)]
            if len(scalars) == len(values):
                return scalars
        case {"not": refused, **rest} if not rest:
            return Not(_read_condition(key, refused))
        case {**bounds} if bounds and bounds.keys() <= set(BOUNDS):
            return Range(**{str(name): _read_bound(key, bound) for name, bound in bounds.items()})
    raise ValueError(f"{key}: {value!r} is no value, list of values, range ({', '.join(BOUNDS)}), null or not")


def _read_bound(key: str, value: object) -> Bound:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value) if is_iso_date(value) else datetime.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError(f"{key}: {value!r} is no bound: a number, or a date in ISO 8601")


def both(first: Where | None, second: Where | None) -> Where | None:
    """The filter that holds where both hold."""
    if not first or not second:
        return first or second
    shared = {key: AllOf((first[key], second[key])) for key in first.keys() & second.keys()}
    return {**first, **second, **shared}


def is_iso_date(text: str) -> bool:
    """Whether the text is a day as YYYY-MM-DD."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
