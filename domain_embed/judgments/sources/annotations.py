"""Graded judgments of several people about the same query and passage, put together to one."""

from array import array
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from domain_embed.contracts.errors import excerpt
from domain_embed.contracts.tables import normalized_query
from domain_embed.judgments.sources.columns import read_known
from domain_embed.judgments.sources.report import SourceReport
from domain_embed.judgments.sources.rows import Label, Row, label, query_id_of
from domain_embed.settings import AnnotationsSource

COLUMNS = frozenset(("query", "query_id", "passage_id", "annotator", "created_at", "split"))

Judged: TypeAlias = tuple[str, str, str, str | None]
"""Query id, query, passage id and split."""


def read_annotations(source: AnnotationsSource, folder: Path, report: SourceReport) -> Iterator[Label]:
    """One label for each query and passage, in the order they first occur.

    The grade is the median over annotators, the lower of two; the confidence is the share of annotators who agree with
    it on relevant (1 and more) or not; `created_at` is that of the newest annotation. Of several annotations by one
    person the newest counts, the last of equally old ones; one without `created_at` is older than any with.
    """
    path, graded = folder / source.path, source.grade_field or "grade"
    annotations = Annotations(graded)
    for row in read_known(path, COLUMNS, source.unused_fields, report, grade=graded):
        annotations.add(row)
    for (query_id, query, passage_id, split), grade, confidence, created_at in annotations.agreed():
        yield label(
            query,
            query_id=query_id,
            target=passage_id,
            grade=grade,
            source=path.name,
            confidence=confidence,
            created_at=created_at,
            split=split,
        )


class Annotations:
    """The annotations of a file as columns of numbers; the column called `grade` has their grades."""

    def __init__(self, grade: str) -> None:
        self._grade = grade
        self._judged: list[Judged] = []
        self._pair_of: dict[tuple[str, str, str], int] = {}
        self._annotator_of: defaultdict[str, int] = defaultdict(lambda: len(self._annotator_of))
        self._pairs, self._annotators, self._grades = array("q"), array("q"), array("i")
        self._times: list[str | None] = []

    def add(self, row: Row) -> None:
        """Takes one annotation."""
        self._pairs.append(self._pair(row))
        self._annotators.append(self._annotator_of[row.text("annotator").strip()])
        self._grades.append(row.grade(self._grade, default=None))
        self._times.append(row.moment())

    def _pair(self, row: Row) -> int:
        query, passage_id, split = row.text("query").strip(), row.text("passage_id"), row.split()
        query_id = row.optional_text("query_id") or query_id_of(query)
        # The text is part of the key, so that an id with two texts is seen when labels are collected.
        pair = self._pair_of.setdefault((query_id, normalized_query(query), passage_id), len(self._judged))
        if pair == len(self._judged):
            self._judged.append((query_id, query, passage_id, split))
        elif split != (before := self._judged[pair][3]):
            raise row.error(
                f"the split of this query and passage is {excerpt(repr(split))} here and {excerpt(repr(before))} "
                "in an earlier row"
            )
        return pair

    def agreed(self) -> Iterator[tuple[Judged, int, float, str | None]]:
        """What was judged, with its grade, confidence and newest `created_at`."""
        frame = pd.DataFrame(
            {
                "pair": np.asarray(self._pairs),
                "annotator": np.asarray(self._annotators),
                "grade": np.asarray(self._grades),
                "time": pd.Series(self._times, dtype=object),
            }
        )
        by_time = frame.sort_values(["pair", "annotator", "time"], kind="stable", na_position="first")
        counted = by_time.drop_duplicates(["pair", "annotator"], keep="last").sort_values(["pair", "grade"])
        newest = counted.sort_values(["pair", "time"], na_position="first").drop_duplicates("pair", keep="last")
        grades, confidences = _agreement(counted)
        times = (time if isinstance(time, str) else None for time in newest["time"])
        yield from zip(self._judged, grades, confidences, times, strict=True)


def _agreement(counted: pd.DataFrame) -> tuple[list[int], list[float]]:
    """Lower median and share of agreement for each pair, from rows sorted by pair and grade."""
    pairs = counted.groupby("pair")["grade"]
    middle = (pairs.transform("size") - 1) // 2
    medians = counted.loc[pairs.cumcount() == middle].set_index("pair")["grade"]
    agrees = (counted["grade"] >= 1) == (counted["pair"].map(medians) >= 1)
    return medians.tolist(), agrees.astype(np.float64).groupby(counted["pair"]).mean().tolist()
