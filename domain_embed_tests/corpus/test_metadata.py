"""Metadata: JSON of plain types, converted as asked, and refused by key."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.corpus.metadata import encode_metadata, path_metadata
from domain_embed.settings import MetadataType


def test_keys_are_sorted_and_nested_values_kept() -> None:
    assert encode_metadata({"b": {"y": [1, {"z": None}], "x": True}, "a": "é"}, {}) == (
        '{"a": "é", "b": {"x": true, "y": [1, {"z": null}]}}'
    )


def test_dates_and_decimals_become_plain() -> None:
    values = {"d": date(2024, 5, 1), "t": datetime(2024, 5, 1, 23, 59, tzinfo=UTC), "n": Decimal("2.50"), 3: (1, 2)}
    assert json.loads(encode_metadata(values, {})) == {"3": [1, 2], "d": "2024-05-01", "n": 2.5, "t": "2024-05-01"}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", "2024", 2024), ("int", 2024.0, 2024), ("int", ["1", 2], [1, 2]), ("int", None, None),
        ("float", "1.5", 1.5), ("float", 2, 2.0), ("str", 2024, "2024"), ("str", True, "true"), ("str", 1.5, "1.5"),
        ("bool", "Yes", True), ("bool", 0, False), ("bool", "false", False), ("bool", True, True),
        ("date", "2024-05-01", "2024-05-01"), ("date", "2024-05-01T10:00:00Z", "2024-05-01"),
        ("date", date(2024, 5, 1), "2024-05-01"),
    ],
)  # fmt: skip
def test_values_are_converted_as_asked(kind: MetadataType, value: Any, expected: Any) -> None:
    assert json.loads(encode_metadata({"a": value, "b": "1"}, {"a": kind})) == {"a": expected, "b": "1"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "x"), ("int", 1.5), ("int", True), ("int", {"a": 1}), ("float", "nan"), ("float", False), ("float", ""),
        ("bool", "maybe"), ("bool", 2), ("date", "1 May 2024"), ("date", "2024-02-30"), ("str", {"a": 1}),
        ("int", [1, "x"]),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_converted_is_named(kind: MetadataType, value: Any) -> None:
    with pytest.raises(ValueError, match=f"metadata 'year' cannot be read as {kind}: "):
        encode_metadata({"year": value}, {"year": kind})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({'a"b': 1}, "the metadata key 'a\"b' holds a quotation mark, and no filter could name it"),
        ({"a": {'"': 1}}, "the metadata key '\"' holds a quotation mark"),
        ({(1, 2): 1}, r"the metadata key \(1, 2\) is no text"),
        ({True: 1}, "the metadata key True is no text"),
        ({"a": b"x"}, "holds a value of type bytes, which cannot be kept"),
        ({"a": [float("inf")]}, "NaN or infinity"),
        ({"a": Decimal("NaN")}, "NaN or infinity"),
        ({"a": "\ud800"}, "unpaired surrogate"),
        ({"a": list(range(10_000))}, "more than 10,000 values"),
    ],
)
def test_what_cannot_be_kept_is_refused(values: dict[Any, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        encode_metadata(values, {})


def test_a_few_lines_of_yaml_cannot_stand_for_billions_of_values() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ValueError, match="more than 10,000 values"):
        encode_metadata(yaml.safe_load("\n".join(lines)), {})
    with pytest.raises(ValueError, match=r"more than 10,000 values|nested too deeply"):
        encode_metadata(yaml.safe_load("a: &a [*a]"), {})


def test_a_path_gives_the_named_groups_that_are_found() -> None:
    patterns = (r"^(?P<department>[^/]+)/", r"(?P<year>\d{4})(?:-(?P<month>\d\d))?", r"never(?P<x>.)")
    assert path_metadata("hr/2024/leave.md", patterns) == {"department": "hr", "year": "2024"}
    assert path_metadata("leave.md", patterns) == {}


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.dictionaries(st.text().filter(lambda key: '"' not in key), PLAIN | st.lists(PLAIN, max_size=3), max_size=4))
def test_plain_values_come_back_unchanged(values: dict[str, Any]) -> None:
    assert json.loads(encode_metadata(values, {})) == values
