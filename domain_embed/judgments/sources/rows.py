"""One row of a label file, and the label it becomes: fields are read with errors that name file, line and field."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from domain_embed.contracts.errors import InputError, excerpt
from domain_embed.contracts.filters import filter_text
from domain_embed.contracts.progress import Progress, progress_bar
from domain_embed.contracts.tables import SPLIT_NAMES, normalized_query
from domain_embed.corpus.lines import decode, parse_json, read_lines, read_rows, text_field
from domain_embed.files import size_of

SPLIT_ALIASES = {"dev": "validation", "development": "validation", "valid": "validation", "val": "validation"}
# True and 1.0 equal 1, so that they find its entry too.
FLAGS: dict[object, bool] = {
    1: True, "1": True, "true": True, "yes": True,
    0: False, "0": False, "false": False, "no": False,
}  # fmt: skip
GRADE_WORDS = {
    "relevant": 1, "positive": 1, "pos": 1, "not relevant": 0, "not_relevant": 0, "irrelevant": 0, "negative": 0,
    "neg": 0,
}  # fmt: skip
LARGEST_GRADE = 1000
DATE_LENGTH = len("2026-01-31")

Label: TypeAlias = dict[str, Any]
"""A row with every column of LABELS."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a label file. Absent, null and blank fields are alike: not given."""

    path: Path
    line: int
    fields: dict[str, Any]

    def error(self, problem: str, hint: str = "") -> InputError:
        """An error that names this row."""
        return InputError.at(self.path, problem, line=self.line, hint=hint)

    def given(self, name: str) -> Any:
        """The field as it was read, or None when it is not given."""
        value = self.fields.get(name)
        return None if isinstance(value, str) and (not value or value.isspace()) else value

    def optional_text(self, *names: str) -> str | None:
        """The first given field of `names` as text, whole numbers as their digits, or None."""
        for name in names:
            value = self.given(name)
            if value is not None:
                # Most texts are ASCII, which can be taken as they are: some files have millions of rows.
                plain = isinstance(value, str) and value.isascii()
                return value if plain else text_field(self.fields, (name,), self.path, self.line)
        return None

    def text(self, *names: str) -> str:
        """The same, but not given is an error."""
        text = self.optional_text(*names)
        if text is None:
            raise self.missing(*names)
        return text

    def missing(self, *names: str) -> InputError:
        """The error that none of `names` is given."""
        present = next((name for name in names if name in self.fields), None)
        if present is not None:
            return self.error(f"field {present!r} is empty")
        return self.error(f"no field {' or '.join(map(repr, names))} (fields: {excerpt(', '.join(self.fields))})")

    def grade(self, name: str = "grade", *, default: int | None = 1) -> int:
        """A whole number, or 1 and 0 for words that say so; without a default it must be given."""
        value = self.given(name)
        if value is None:
            if default is None:
                raise self.missing(name)
            return default
        grade = grade_of(value)
        if grade is None:
            raise self.error(f"the {name} must be a whole number, not {excerpt(repr(value))}")
        return grade

    def mapped_grade(self, field: str | None) -> int:
        """The grade in the column that the settings name, which must be given; 1 where they name none."""
        return 1 if field is None else self.grade(field, default=None)

    def position(self) -> int:
        """A whole number from 1, which must be given."""
        value = self.given("position")
        if value is None:
            raise self.missing("position")
        number = _number(value)
        if not number.is_integer() or number < 1:
            raise self.error(f"the position must be a whole number from 1, not {excerpt(repr(value))}")
        return int(number)

    def confidence(self, *, default: float = 1.0) -> float:
        """A number between 0 and 1."""
        value = self.given("confidence")
        number = default if value is None else _number(value)
        if not 0 <= number <= 1:
            raise self.error(f"the confidence must be between 0 and 1, not {excerpt(repr(value))}")
        return number

    def seconds(self, name: str) -> float | None:
        """A duration, or None."""
        value = self.given(name)
        if value is None:
            return None
        number = _number(value)
        if not 0 <= number < math.inf:
            raise self.error(f"{name} must be a number of seconds, not {excerpt(repr(value))}")
        return number

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """True, yes or 1, and their opposites; without a default it must be given."""
        value = self.given(name)
        if value is None:
            if default is None:
                raise self.missing(name)
            return default
        key = value.strip().casefold() if isinstance(value, str) else value
        if not isinstance(key, str | int | float) or key not in FLAGS:
            raise self.error(f"{name} must be true or false (or 1, 0, yes, no), not {excerpt(repr(value))}")
        return FLAGS[key]

    def moment(self, name: str = "created_at") -> str | None:
        """A date or a time in ISO 8601, in UTC where it says its zone: as texts, earlier ones are smaller."""
        value = self.given(name)
        try:
            return None if value is None else _iso(value)
        except (TypeError, ValueError, OverflowError):
            hint = "write 2026-01-31 or 2026-01-31T12:00:00Z"
            raise self.error(f"{name} must be a date or time in ISO 8601, not {excerpt(repr(value))}", hint) from None

    def filters(self) -> str | None:
        """What narrows the search for this query, as `filter_text` writes it; from an object, or JSON in a cell."""
        value = self.given("filters")
        if value is None or value == {}:
            return None
        try:
            return filter_text(parse_json(value) if isinstance(value, str) else value)
        except (ValueError, TypeError, RecursionError) as error:
            raise self.error(f"the filters cannot be used: {excerpt(str(error))}") from None

    def split(self) -> str | None:
        """The split a row is given to, or None; dev is validation."""
        text = self.optional_text("split")
        if text is None:
            return None
        split = split_of(text)
        if split is None:
            hint = "dev is validation; to go by none of them, name `split` in the source's unused_fields in domain.yaml"
            raise self.error(f"the split must be one of {', '.join(SPLIT_NAMES)}, not {excerpt(repr(text))}", hint)
        return split


def read(path: Path) -> Iterator[Row]:
    """The rows of a .jsonl, .csv, .tsv or .parquet file."""
    with _bytes_read(path) as progress:
        for line, fields in read_rows(path, progress=progress):
            yield Row(path, line, fields)


def read_columns(path: Path, names: Sequence[str], separator: str | None = "\t") -> Iterator[Row]:
    """The rows of a text file without header; a separator of None is any white space."""
    with _bytes_read(path) as progress:
        for line, raw in read_lines(path, progress=progress):
            cells = decode(raw, path, line).rstrip("\r\n").split(separator)
            if len(cells) != len(names):
                problem = f"expected {len(names)} columns ({', '.join(names)}), found {len(cells)}"
                raise InputError.at(path, problem, line=line)
            yield Row(path, line, dict(zip(names, cells, strict=True)))


class Query(NamedTuple):
    """What is asked, and what narrows the search for it."""

    text: str
    filters: str | None = None


def queries_by_id(rows: Iterable[Row], *id_names: str) -> dict[str, Query]:
    """The `text` and `filters` of every query; an id that occurs twice is an error."""
    queries: dict[str, Query] = {}
    for row in rows:
        query_id = row.text(*id_names).strip()
        if query_id in queries:
            raise row.error(f"query id {query_id!r} occurs twice")
        queries[query_id] = Query(row.text("text").strip(), row.filters())
    return queries


def known_query(queries: dict[str, Query], row: Row, name: str, queries_path: Path) -> tuple[str, Query]:
    """The query id that a row names, and its query."""
    query_id = row.text(name).strip()
    if query_id not in queries:
        raise row.error(f"query {query_id!r} is not in {queries_path.name}")
    return query_id, queries[query_id]


def query_id_of(query: str, filters: str | None = None) -> str:
    """An id for a query that has none: the same text, case and white space folded, and filters have the same id."""
    told = normalized_query(query) + (f"\x00{filters}" if filters else "")
    return "q-" + hashlib.sha256(told.encode()).hexdigest()[:12]


def label(
    query: str,
    *,
    source: str,
    query_id: str | None = None,
    target: str | None = None,
    answer: str | None = None,
    grade: int = 1,
    confidence: float = 1.0,
    created_at: str | None = None,
    split: str | None = None,
    filters: str | None = None,
) -> Label:
    """A row of LABELS; a query without id gets one of its text and filters."""
    return {
        "query_id": query_id or query_id_of(query, filters),
        "query": query,
        "target": target,
        "answer": answer,
        "grade": grade,
        "source": source,
        "confidence": confidence,
        "created_at": created_at,
        "split": split,
        "train_only": False,
        "filters": filters,
    }


def grade_of(value: Any) -> int | None:
    """The grade that a value says, or None: a whole number, a boolean, or a word for relevant or not."""
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in GRADE_WORDS:
            return GRADE_WORDS[word]
        value = FLAGS.get(word, value)
    number = float(value) if isinstance(value, bool) else _number(value)
    return int(number) if number.is_integer() and abs(number) <= LARGEST_GRADE else None


def split_of(text: str) -> str | None:
    """The split that a word names, in any case, or None."""
    word = text.strip().casefold()
    split = SPLIT_ALIASES.get(word, word)
    return split if split in SPLIT_NAMES else None


def _bytes_read(path: Path) -> AbstractContextManager[Progress]:
    return progress_bar(f"reading {path.name}", size_of(path), "bytes")


def _number(value: Any) -> float:
    """NaN for what is not a number; True is not one."""
    if isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _iso(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        text = value.strip()
        if len(text) <= DATE_LENGTH:
            return date.fromisoformat(text).isoformat()
        if text.isdigit():  # seconds since 1970, which could be read as a year and more
            raise ValueError(text)
        value = datetime.fromisoformat(text)
    if not isinstance(value, datetime):
        raise TypeError(type(value))
    return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat()
