"""Filters in a store's own words: one translation for every adapter, over the few words in which they differ."""

import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Protocol

from domain_embed.contracts.errors import StoreError
from domain_embed.contracts.filters import AllOf, AnyOf, Bound, Condition, Missing, Not, Range, Scalar, Where
from domain_embed.contracts.records import CollectionInfo
from domain_embed.stores.points import metadata_path

_INT64 = 2**63
_NUMERIC, _DATED = ("int", "float", None), ("date", "str", None)
"""The types of keys, None for an unknown one, whose values can lie between numbers, or between dates."""


class Dialect(Protocol):
    """How a store says the elements of a filter."""

    def equal(self, path: str, value: Scalar) -> Any:
        """One of the values at the path equals it."""
        ...

    def one_of(self, path: str, values: list[str]) -> Any:
        """One of the values at the path is one of these texts."""
        ...

    def within(self, path: str, bounds: dict[str, float]) -> Any:
        """One of the values at the path is a number within gt, gte, lt and lte."""
        ...

    def between(self, path: str, bounds: dict[str, datetime]) -> Any:
        """One of the values at the path is a date within gt, gte, lt and lte."""
        ...

    def missing(self, path: str) -> Any:
        """There is no value at the path."""
        ...

    def group(self, *, must: Sequence[Any] = (), should: Sequence[Any] = (), must_not: Sequence[Any] = ()) -> Any:
        """All of must, one of should where there are any, none of must_not."""
        ...


def store_filter(where: Where | None, info: CollectionInfo, dialect: Dialect) -> Any:
    """The filter as the store takes it; True when everything passes, False when nothing can.

    Raises StoreError for what is no condition, and for a key that no store can name.
    """
    parts = [
        _condition(condition, metadata_path(key), info.metadata_types.get(key), dialect)
        for key, condition in (where or {}).items()
    ]
    return _all_of(parts, dialect)


def _condition(condition: Condition, path: str, kind: str | None, dialect: Dialect) -> Any:
    def inner(one: Condition) -> Any:
        return _condition(one, path, kind, dialect)

    match condition:
        case Missing():
            return dialect.missing(path)
        case Not(refused):
            found = inner(refused)
            return (not found) if isinstance(found, bool) else dialect.group(must_not=[found])
        case AllOf(conditions):
            return _all_of([inner(one) for one in conditions], dialect)
        case AnyOf(conditions):
            return _any_of([inner(one) for one in conditions], dialect)
        case Range():
            return _range(condition, path, kind, dialect)
        case str() | bool() | int() | float():
            return _equal(condition, path, kind, dialect)
        case Sequence():
            if len(condition) > 1 and all(isinstance(value, str) for value in condition):
                return dialect.one_of(path, [str(value) for value in condition])
            return _any_of([inner(value) for value in condition], dialect)
    raise StoreError(f"{path}: {condition!r} is no condition of a filter", "see domain_embed.contracts.filters")


def _all_of(parts: Sequence[Any], dialect: Dialect) -> Any:
    if any(part is False for part in parts):
        return False
    told = [part for part in parts if part is not True]
    return dialect.group(must=told) if told else True


def _any_of(parts: Sequence[Any], dialect: Dialect) -> Any:
    if any(part is True for part in parts):
        return True
    told = [part for part in parts if part is not False]
    return dialect.group(should=told) if told else False


def _equal(value: Scalar, path: str, kind: str | None, dialect: Dialect) -> Any:
    """Qdrant tells 2 from 2.0, and has no integers beyond 64 bits: a float, and what counts as one, is a range."""
    if isinstance(value, bool | str):
        return dialect.equal(path, value)
    if isinstance(value, float) or kind == "float" or not -_INT64 <= value < _INT64:
        number = _float(value)
        numeric = kind in _NUMERIC and not math.isnan(number)
        return dialect.within(path, {"gte": number, "lte": number}) if numeric else False
    return dialect.equal(path, value)


def _range(condition: Range, path: str, kind: str | None, dialect: Dialect) -> Any:
    """An index compares dates with numbers as microseconds with numbers: what never agrees is not even asked."""
    bounds = condition.bounds()
    if any(isinstance(bound, date) for bound in bounds.values()):
        moments = {name: _moment(bound) for name, bound in bounds.items()}
        return dialect.between(path, moments) if kind in _DATED else False
    if kind not in _NUMERIC:
        return False
    numbers = {name: _float(bound) for name, bound in bounds.items()}
    if kind == "int":
        numbers = {name: _whole(name, bound) for name, bound in numbers.items()}
    return dialect.within(path, numbers)


def _whole(name: str, bound: float) -> float:
    """An integer index cuts the fraction of a bound off; the same whole numbers lie within this one."""
    if math.isinf(bound):
        return bound
    return float(math.ceil(bound) if name in ("gte", "lt") else math.floor(bound))


def _float(value: Bound | Scalar) -> float:
    assert isinstance(value, int | float)
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _moment(bound: Bound) -> datetime:
    if isinstance(bound, datetime):
        return bound if bound.tzinfo else bound.replace(tzinfo=UTC)
    assert isinstance(bound, date)
    return datetime.combine(bound, time(), UTC)
