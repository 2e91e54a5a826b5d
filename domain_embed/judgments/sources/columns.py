"""The columns of a label file: which are read, which are not, and that none of these is a grade passed over."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import InputError
from domain_embed.judgments.sources.report import SourceReport
from domain_embed.judgments.sources.rows import Row, grade_of, read

METADATA = "metadata"
"""Says of itself that it is not a part of the judgment."""
GRADE_WORDS = frozenset((
    "correct", "gold", "grade", "graded", "helpful", "isrelevant", "judgement", "judgment", "label", "labels", "match",
    "positive", "qrel", "rating", "rel", "relevance", "relevancy", "relevant", "score", "useful",
))  # fmt: skip
"""A column with one of them in its name may be a grade; its values decide."""
LARGEST_RATING = 10
_NAME_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass
class _Unread:
    """What is known of a column that is not read: the grades that its values say, None once one says none."""

    grades: set[int] | None

    def add(self, value: Any) -> None:
        grade = None if self.grades is None else grade_of(value)
        if grade is None or self.grades is None or abs(grade) > LARGEST_RATING:
            self.grades = None
        else:
            self.grades.add(grade)


@dataclass
class Columns:
    """Watches the rows of one file for columns that are not in `known`; empty ones do not count.

    `grade` is the column whose grades are read, if there is one; `is_graded` says whether some row had it.
    """

    known: Collection[str]
    grade: str | None = None
    is_graded: bool = False
    _unread: dict[str, _Unread] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Takes one row."""
        for name in row.fields:
            if name == self.grade:
                self.is_graded = self.is_graded or row.given(name) is not None
            elif name not in self.known and name != METADATA and (value := row.given(name)) is not None:
                if name not in self._unread:
                    self._unread[name] = _Unread(set() if _is_named_as_grade(name) else None)
                self._unread[name].add(value)

    @property
    def unread(self) -> list[str]:
        """The columns that are not read, in the order they were met."""
        return list(self._unread)

    @property
    def grades(self) -> Mapping[str, list[int]]:
        """The grades in each unread column that looks like one: by its name, by all its values, and as it matters.

        A column that says 1 in every row does not: that is how rows without a grade are read.
        """
        found = {name: sorted(column.grades) for name, column in self._unread.items() if column.grades}
        return {name: grades for name, grades in found.items() if grades != [1]}


def read_known(
    path: Path, known: Collection[str], unused: Collection[str], report: SourceReport, *, grade: str | None = None
) -> Iterator[Row]:
    """The rows of a .jsonl, .csv, .tsv or .parquet file without the columns that are declared unused.

    Args:
        path: The file.
        known: The columns that are read.
        unused: Those declared unused, as if they were not there.
        report: Told at the end which others there are.
        grade: The column that is read as the grade, where it is there.

    Raises:
        InputError: At the end, for a column that looks like a grade, where none was read.
    """
    columns = Columns(known, grade)
    for row in read(path):
        kept = _without(row, unused) if unused else row
        columns.add(kept)
        yield kept
    if columns.grades and not columns.is_graded:
        raise grade_passed_over(path, columns.grades)
    report.unread += [f"{name} ({path.name})" for name in columns.unread]


def grade_passed_over(path: Path, grades: Mapping[str, list[int]]) -> InputError:
    """The error that a grade would not be read."""
    named = " and ".join(f"{name!r} ({', '.join(map(str, values))})" for name, values in grades.items())
    first = next(iter(grades))
    return InputError.at(
        path,
        f"a column that is not read looks like a grade: {named}",
        hint=f"in domain.yaml set `grade_field: {first}` for this source (0 and less: judged not relevant), where it "
        "has that setting, or name the column in its `unused_fields`",
    )


def _without(row: Row, unused: Collection[str]) -> Row:
    return Row(row.path, row.line, {name: value for name, value in row.fields.items() if name not in unused})


def _is_named_as_grade(name: str) -> bool:
    return any(word.casefold() in GRADE_WORDS for word in _NAME_WORDS.findall(name))
