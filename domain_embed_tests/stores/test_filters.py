"""Filters of all kinds, asked of every store: what each finds is what a few lines of Python find."""

import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain_embed.contracts.errors import StoreError
from domain_embed.contracts.filters import AllOf, AnyOf, Condition, Missing, Not, Range, Where, both, is_iso_date
from domain_embed.contracts.ports import Collection
from domain_embed_tests.stores.backends import BACKENDS, a_store
from domain_embed_tests.stores.samples import BUCKET, info, point, sparse

TEAMS, YEARS, PRICES, DAYS = ["data", "web", "ops"], [1999, 2020, 2021], [0.5, 2.0, 2.5], ["2024-02-29", "2025-01-01"]
TYPES = {"team": "str", "year": "int", "price": "float", "public": "bool", "day": "date", "owner.team": "str"}


def rows() -> list[dict[str, Any]]:
    """Every value of every key alone, in pairs, in lists, null and absent: 60 passages."""
    made: list[dict[str, Any]] = []
    for n in range(60):
        row: dict[str, Any] = {
            "team": TEAMS[n % 3] if n % 4 else [TEAMS[n % 3], TEAMS[(n + 1) % 3]],
            "year": YEARS[n // 3 % 3] if n % 5 else [YEARS[0], YEARS[2]],
            "price": PRICES[n // 2 % 3],
            "public": n % 2 == 0,
            "day": DAYS[n % 2] if n % 7 else None,
            "owner": {"team": TEAMS[n % 2]} if n % 3 else {},
        }
        for key in [key for place, key in enumerate(row) if n % 11 == place]:
            del row[key]
        if n % 13 == 0:
            row["team"] = []
        made.append(row)
    return made


ROWS = {f"p{n:02}": row for n, row in enumerate(rows())}


@pytest.fixture(scope="module", params=BACKENDS)
def collection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    points = [point(name, (0.6, 0.8, 0), {BUCKET: 1.0}, **row) for name, row in ROWS.items()]
    with a_store(request.param, Path(tmp_path_factory.mktemp("filters"))) as store:
        store.build(replace(info(count=len(points)), metadata_types=TYPES), [points])
        yield store.open("aws-1")


# --- the language, in a few lines -----------------------------------------------------------------------


def values_of(metadata: Mapping[str, Any], key: str) -> list[Any]:
    found: Any = metadata
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return [one for one in (found if isinstance(found, list) else [found]) if one is not None]


def holds(condition: Condition, values: list[Any]) -> bool:
    match condition:
        case Missing():
            return not values
        case Not(inner):
            return not holds(inner, values)
        case AllOf(conditions):
            return all(holds(one, values) for one in conditions)
        case AnyOf(conditions):
            return any(holds(one, values) for one in conditions)
        case Range():
            return any(lies_within(value, condition.bounds()) for value in values)
        case str() | bool() | int() | float():
            return any(
                value == condition and isinstance(value, bool) == isinstance(condition, bool) for value in values
            )
    return any(holds(one, values) for one in condition)


def lies_within(value: Any, bounds: Mapping[str, Any]) -> bool:
    if any(isinstance(bound, date) for bound in bounds.values()):
        if not (isinstance(value, str) and is_iso_date(value)):
            return False
        value = moment(date.fromisoformat(value))
        bounds = {name: moment(bound) for name, bound in bounds.items()}
    elif isinstance(value, bool | str):
        return False
    signs = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
    return all(signs[name](value, bound) for name, bound in bounds.items())


def moment(day: date) -> datetime:
    if isinstance(day, datetime):
        return day if day.tzinfo else day.replace(tzinfo=UTC)
    return datetime.combine(day, time(), UTC)


def expected(where: Where) -> list[str]:
    return [
        name
        for name, row in ROWS.items()
        if all(holds(condition, values_of(row, key)) for key, condition in where.items())
    ]


def found(collection: Collection, where: Where, *, exact: bool = True) -> list[str]:
    [hits] = collection.search_dense(np.array([[1, 0, 0]], np.float32), 100, where=where, exact=exact)
    return [hit.passage_id for hit in hits]


# --- by hand --------------------------------------------------------------------------------------------


BY_HAND: list[Where] = [
    {"year": Range(gt=1999)},
    {"year": Range(gte=2020, lt=2021)},
    {"year": Range(gte=2019.5)},
    {"year": Range(gt=2020.5)},
    {"year": Range(lt=2020.5)},
    {"year": Range(lte=2020.5)},
    {"year": Range(lt=10**400)},
    {"year": Range(gt=-math.inf)},
    {"price": Range(gt=0.5, lte=2.0)},
    {"price": Range(gte=2)},
    {"day": Range(gte=date(2025, 1, 1))},
    {"day": Range(gt=date(2024, 2, 29))},
    {"day": Range(lt=datetime(2024, 2, 29, 0, 0, 1, tzinfo=UTC))},
    {"day": Range(gte=datetime(2024, 2, 29))},
    {"day": "2024-02-29"},
    {"day": ["2024-02-29", "2025-01-01"]},
    {"day": Missing()},
    {"team": Missing()},
    {"owner.team": Missing()},
    {"owner.team": "data"},
    {"owner.team": Not("data")},
    {"team": Not(["data", "web"])},
    {"team": Not([])},
    {"team": Not(Missing())},
    {"team": AllOf(("data", "web"))},
    {"team": AllOf(())},
    {"team": AnyOf(("data", Missing()))},
    {"team": AnyOf(([], Missing()))},
    {"team": AnyOf(())},
    {"public": AnyOf((True, Missing()))},
    {"public": Not(True)},
    {"team": "data", "year": Range(gte=2020), "public": False},
    {"public": Range(gte=0)},
    {"team": Range(gte=0)},
    {"no_such_key": Missing()},
    {"no_such_key": Range(gte=0)},
]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("where", BY_HAND, ids=str)
def test_filters_by_hand(collection: Collection, where: Where, exact: bool) -> None:
    assert found(collection, where, exact=exact) == expected(where)


def test_the_hand_written_filters_tell_passages_apart() -> None:
    sizes = [len(expected(where)) for where in BY_HAND]
    assert sum(0 < size < len(ROWS) for size in sizes) >= 25
    assert expected({"team": AllOf(("data", "web"))}) == ["p12", "p24", "p36", "p48"]
    assert expected({"day": Missing()})[:3] == ["p00", "p04", "p07"]


# --- in any combination ---------------------------------------------------------------------------------

NUMBERS = st.one_of(st.sampled_from([*YEARS, *PRICES, -1, 2020.5, math.inf]), st.integers(1990, 2030), st.floats(-1, 3))
MOMENTS = st.sampled_from(
    [date(2024, 2, 29), date(2025, 1, 1), date(2024, 6, 1), datetime(2024, 2, 29, 12, tzinfo=UTC)]
)
SCALARS = st.one_of(st.sampled_from([*TEAMS, "nobody", *DAYS, True, False]), NUMBERS)


def ranges(bounds: st.SearchStrategy[Any]) -> st.SearchStrategy[Range]:
    named = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), bounds, min_size=1, max_size=2)
    return named.map(lambda told: Range(**told))


LEAVES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), ranges(NUMBERS), ranges(MOMENTS), st.just(Missing()))
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, max_size=3).map(lambda told: AllOf(tuple(told))),
        st.lists(inner, max_size=3).map(lambda told: AnyOf(tuple(told))),
    ),
    max_leaves=4,
)
FILTERS = st.dictionaries(st.sampled_from([*TYPES, "no_such_key"]), CONDITIONS, max_size=3)


@settings(max_examples=300)
@given(where=FILTERS, exact=st.booleans())
def test_any_filter_finds_what_it_should(collection: Collection, where: Where, exact: bool) -> None:
    right = expected(where)
    assert found(collection, where, exact=exact) == right
    [hits] = collection.search_sparse([sparse({BUCKET: 1.0})], 100, where=where)
    assert [hit.passage_id for hit in hits] == right


@given(first=FILTERS, second=FILTERS)
def test_two_filters_join_to_one_that_holds_where_both_do(first: Where, second: Where) -> None:
    assert set(expected(both(first, second) or {})) == set(expected(first)) & set(expected(second))


# --- what is no filter ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds", [{}, {"gt": 1, "lt": date(2024, 1, 1)}, {"gte": math.nan}], ids=["none", "mixed", "nan"]
)
def test_a_range_that_means_nothing_is_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="range"):
        Range(**bounds)


def test_what_is_no_condition_is_refused(collection: Collection) -> None:
    with pytest.raises(StoreError, match=r"metadata\.team: None is no condition"):
        found(collection, {"team": None})  # type: ignore[dict-item]
