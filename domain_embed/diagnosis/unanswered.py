"""Labels that never became a judgment: their queries fail whatever the model, and are in no split at all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa

from domain_embed.contracts.ports import Collection, TableReader
from domain_embed.diagnosis.causes import Cause
from domain_embed.diagnosis.unseen import Neighbours
from domain_embed.encoding.bm25 import Analyzer
from domain_embed.encoding.words import words
from domain_embed.judgments.alignment import ANSWER_CANDIDATES, Places, answer_share
from domain_embed.settings import AlignmentSettings

BATCH_LABELS = 256

Row: TypeAlias = Mapping[str, Any]
"""Of a LABELS table."""


@dataclass(frozen=True)
class Unanswered:
    """A query without a usable label: why, and in words."""

    query_id: str
    query: str
    cause: Cause
    detail: str


@dataclass(frozen=True)
class LabelLosses:
    """The queries that were lost on the way from labels to judgments, and how many were asked altogether.

    Where the labels say what validates, only those count; otherwise all do, because a query without a passage is in no
    split.
    """

    asked: int
    unanswered: tuple[Unanswered, ...]


def label_losses(
    labels: pa.Table, judged: set[str], passages: TableReader, collection: Collection, settings: AlignmentSettings
) -> LabelLosses:
    """Which queries have no judgment because the corpus holds no answer, or holds it in two passages.

    A label that waits for a person because several passages hold its answer is neither.

    Args:
        labels: A LABELS table.
        judged: Ids of the queries that have a judgment.
        passages: The PASSAGES table.
        collection: The base model's, for its BM25.
        settings: When a passage holds an answer.
    """
    rows = [row for row in labels.to_pylist() if row["grade"] >= 1 and not row["train_only"]]
    validating = [row for row in rows if row["split"] == "validation"]
    rows = validating or rows
    asked = len({row["query_id"] for row in rows})
    lost = [row for row in rows if row["query_id"] not in judged]
    if not lost:
        return LabelLosses(asked, ())
    finder = _Finder(Places.of(passages), passages, collection, settings)
    found: dict[str, Unanswered] = {}
    for one in finder.explain(lost):
        known = found.get(one.query_id)
        if known is None or (known.cause, one.cause) == ("missing", "split"):
            found[one.query_id] = one
    return LabelLosses(asked, tuple(found[key] for key in sorted(found)))


class _Finder:
    """Looks for the answers of labels in single passages and in neighbours taken together."""

    def __init__(
        self, places: Places, passages: TableReader, collection: Collection, settings: AlignmentSettings
    ) -> None:
        self._places, self._passages, self._collection = places, passages, collection
        self._share = settings.min_answer_share
        self._analyzer = Analyzer.of(collection.info)

    def explain(self, rows: Sequence[Row]) -> Iterator[Unanswered]:
        """One for each label whose answer no single passage holds."""
        for start in range(0, len(rows), BATCH_LABELS):
            batch = rows[start : start + BATCH_LABELS]
            candidates = [self._candidates(row) for row in batch]
            held, neighbours = self._texts(candidates)
            for row, ids in zip(batch, candidates, strict=True):
                yield from self._explain_one(row, ids, held, neighbours)

    def _explain_one(
        self, row: Row, ids: Sequence[str], held: Mapping[str, list[str]], neighbours: Neighbours
    ) -> Iterator[Unanswered]:
        target, answer = row["target"], row["answer"]
        if target and not self._places.passages(target):
            yield Unanswered(row["query_id"], row["query"], "missing", f"the corpus holds no {target}")
        elif answer:
            wanted = words(answer)
            if any(answer_share(wanted, held[one]) >= self._share for one in ids):
                return
            pairs = [pair for one in ids for pair in neighbours.pairs(one)]
            both = next((pair for pair in pairs if self._hold(wanted, pair, held)), None)
            if both:
                told = f"its answer stands in {both[0]} and {both[1]} together, in neither alone"
                yield Unanswered(row["query_id"], row["query"], "split", told)
            else:
                yield Unanswered(row["query_id"], row["query"], "missing", "its answer stands in no passage")

    def _hold(self, wanted: list[str], pair: tuple[str, str], held: Mapping[str, list[str]]) -> bool:
        """The share of the answer alone: a short pair inside a long answer is not the answer."""
        joined = held[pair[0]] + held[pair[1]]
        return len(joined) >= len(wanted) and answer_share(wanted, joined) >= self._share

    def _candidates(self, row: Row) -> list[str]:
        """The passages of the document, or those BM25 finds for the answer."""
        if row["target"]:
            return self._places.passages(row["target"])
        if not row["answer"]:
            return []
        terms = [self._analyzer.query_vector(row["answer"])]
        return [hit.passage_id for hit in self._collection.search_sparse(terms, ANSWER_CANDIDATES)[0]]

    def _texts(self, candidates: Sequence[Sequence[str]]) -> tuple[dict[str, list[str]], Neighbours]:
        ids = {one for found in candidates for one in found}
        neighbours = Neighbours.of(ids, self._passages)
        ids |= {one for known in ids for pair in neighbours.pairs(known) for one in pair}
        points = self._collection.fetch(sorted(ids))
        return {point.passage_id: words(point.text) for point in points}, neighbours
