"""Filters as people write them: each value read as its key's type, and what cannot be used is named."""

from datetime import date

import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.filters import AllOf, Condition, Missing, Not, Range
from domain_embed.retrieval.filters import FORMS, parse_filters, parse_untyped_filters

TYPES = {"team": "str", "year": "int", "price": "float", "public": "bool", "day": "date", "owner.team": "str"}


def test_values_are_read_as_the_type_of_their_key() -> None:
    where = parse_filters(["team=data", "team=a=b", "year=2023", "price=1", "public=TRUE", "public=false"], TYPES)
    assert where == {"team": ["data", "a=b"], "year": [2023], "price": [1.0], "public": [True, False]}
    assert [type(values[0]) for values in where.values()] == [str, int, float, bool]  # type: ignore[index, union-attr]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["team!=data", "team!=web"], {"team": Not(["data", "web"])}),
        (["-team"], {"team": Missing()}),
        (["-owner.team", "owner.team=x"], {"owner.team": AllOf((["x"], Missing()))}),
        (["year>=2020", "year<2023"], {"year": Range(gte=2020, lt=2023)}),
        (["year>2019.5"], {"year": Range(gt=2019.5)}),
        (["price<=2"], {"price": Range(lte=2.0)}),
        (["year>2019", "year!=2021"], {"year": AllOf((Not([2021]), Range(gt=2019)))}),
        (["day>2024-02-29", "day=2025-01-01"], {"day": AllOf((["2025-01-01"], Range(gt=date(2024, 2, 29))))}),
        (["team=a>b"], {"team": ["a>b"]}),
    ],
    ids=str,
)
def test_every_form(texts: list[str], expected: dict[str, Condition]) -> None:
    assert parse_filters(texts, TYPES) == expected


def test_a_bound_twice_is_refused() -> None:
    with pytest.raises(InputError, match="filter on year: the same bound is given twice"):
        parse_filters(["year>2020", "year>2021"], TYPES)


def test_no_filters_and_empty_texts() -> None:
    assert parse_filters([], TYPES) == {}
    assert parse_filters(["team="], TYPES) == {"team": [""]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("team", f"filter 'team' is not of the form key=value\n  → forms: {FORMS}"),
        ("=data", f"filter '=data' is not of the form key=value\n  → forms: {FORMS}"),
        ("", f"filter '' is not of the form key=value\n  → forms: {FORMS}"),
        ("-", f"filter '-' is not of the form key=value\n  → forms: {FORMS}"),
        ("tem=data", "no passage can be filtered on 'tem'\n  → keys: team, year, price, public, day, owner.team"),
        ("-tem", "no passage can be filtered on 'tem'\n  → keys: team, year, price, public, day, owner.team"),
        ("year=soon", "filter year=soon: year holds values of type int"),
        ("year=1.5", "filter year=1.5: year holds values of type int"),
        ("price=cheap", "filter price=cheap: price holds values of type float"),
        ("public=yes", "filter public=yes: public holds values of type bool"),
        ("year=", "filter year=: year holds values of type int"),
        ("year>=1.5.1", "filter year>=1.5.1: year holds values of type int"),
        ("price<nan", "filter price<nan: price holds values of type float"),
        ("team>data", "filter team>data: team holds values of type str, which have no order"),
        ("public<=true", "filter public<=true: public holds values of type bool, which have no order"),
        ("day>2024", "filter day>2024: day holds dates, as YYYY-MM-DD"),
        ("day=2024-02-30", "filter day=2024-02-30: day holds dates, as YYYY-MM-DD"),
        ("day=20240229", "filter day=20240229: day holds dates, as YYYY-MM-DD"),
    ],
)
def test_a_filter_that_cannot_be_used_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_filters(["team=data", text], TYPES)
    assert str(caught.value) == said


def test_a_collection_without_keys_says_so() -> None:
    with pytest.raises(InputError, match="keys: none"):
        parse_filters(["team=data"], {})


# --- where types are not to be known -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["team=data", "team=web"], {"team": ["data", "web"]}),
        (["year!=2021"], {"year": Not(["2021", 2021, 2021.0])}),
        (["public=TRUE"], {"public": ["TRUE", True]}),
        (["-team"], {"team": Missing()}),
        (["year>=2020", "year<2023.5"], {"year": Range(gte=2020, lt=2023.5)}),
        (["day>2024-02-29"], {"day": Range(gt=date(2024, 2, 29))}),
    ],
    ids=str,
)
def test_without_types_a_value_is_what_it_reads_like(texts: list[str], expected: dict[str, Condition]) -> None:
    assert parse_untyped_filters(texts) == expected


@pytest.mark.parametrize("texts", [["year>soon"], ["year>nan"], ["day>2024-01-01", "day<7"], ["a>1", "a>2"], ["=1"]])
def test_without_types_only_the_text_can_be_wrong(texts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_untyped_filters(texts)
    assert "keys:" not in str(caught.value)
