"""Filters as people write them: each value read as its key's type, and what cannot be used is named."""

import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.retrieval.filters import parse_filters

TYPES = {"team": "str", "year": "int", "price": "float", "public": "bool"}


def test_values_are_read_as_the_type_of_their_key() -> None:
    where = parse_filters(["team=data", "team=a=b", "year=2023", "price=1", "public=TRUE", "public=false"], TYPES)
    assert where == {"team": ["data", "a=b"], "year": [2023], "price": [1.0], "public": [True, False]}
    assert [type(values[0]) for values in where.values()] == [str, int, float, bool]


def test_no_filters_and_empty_texts() -> None:
    assert parse_filters([], TYPES) == {}
    assert parse_filters(["team="], TYPES) == {"team": [""]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("team", "filter 'team' is not of the form key=value"),
        ("=data", "filter '=data' is not of the form key=value"),
        ("", "filter '' is not of the form key=value"),
        ("tem=data", "no passage can be filtered on 'tem'\n  → keys: team, year, price, public"),
        ("year=soon", "filter year=soon: year holds values of type int"),
        ("year=1.5", "filter year=1.5: year holds values of type int"),
        ("price=cheap", "filter price=cheap: price holds values of type float"),
        ("public=yes", "filter public=yes: public holds values of type bool"),
        ("year=", "filter year=: year holds values of type int"),
    ],
)
def test_a_filter_that_cannot_be_used_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_filters(["team=data", text], TYPES)
    assert str(caught.value) == said


def test_a_collection_without_keys_says_so() -> None:
    with pytest.raises(InputError, match="keys: none"):
        parse_filters(["team=data"], {})
