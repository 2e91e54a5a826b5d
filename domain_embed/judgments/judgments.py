"""Labels to judgments: about one known passage each, the certain ones apart from those a person has to decide."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import JUDGED_NEGATIVES, JUDGMENTS, UNDECIDED, normalized_query
from domain_embed.judgments.alignment import Aligner, Alignment, Label, Places
from domain_embed.judgments.review import Decisions

SAMPLES_KEPT = 20
REVIEW_SOURCE = "review"
"""The source of a judgment that a person made about a passage without a label."""

Row = dict[str, Any]


@dataclass
class JudgmentReport:
    """What became of the labels; `samples` holds the first few left out as (reason, query id, passage or document)."""

    left_out: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str, str]] = field(default_factory=list)
    aligned: int = 0
    reviewed: int = 0

    def leave_out(self, reason: str, row: Row, what: str | None = None) -> None:
        """Counts one label that is not used."""
        self.left_out[reason] += 1
        if len(self.samples) < SAMPLES_KEPT:
            self.samples.append((reason, row["query_id"], what or row["target"] or ""))


@dataclass(frozen=True)
class Judged:
    """A JUDGMENTS table of positives, a JUDGED_NEGATIVES table, and an UNDECIDED one that waits for a person."""

    judgments: pa.Table
    negatives: pa.Table
    undecided: pa.Table


def decide_judgments(
    labels: Iterable[pa.RecordBatch], places: Places, aligner: Aligner, decisions: Decisions,
    min_confidence: float, report: JudgmentReport,
) -> Judged:  # fmt: skip
    """What the labels say about passages.

    A label about a document of several passages, or about an answer's text, is aligned; below `min_confidence` it
    waits undecided. A person's decision about a query and a passage goes before every label, and is a judgment where no
    label is about them. A query and passage judged more than once keep the highest grade, the first of equals; one
    that is relevant somewhere is no negative. Labels about unknown passages, repeated ones and queries that end without
    a positive are counted.

    Raises:
        InputError: When no positive remains.
    """
    book = _Book(places, decisions, min_confidence, report)
    waiting: list[Row] = []
    for batch in labels:
        for row in batch.to_pylist():
            passages = places.passages(row["target"]) if row["target"] is not None else []
            if row["target"] is not None and not passages:
                report.leave_out("unknown passage", row)
            elif row["grade"] < 1 and passages:  # a document that does not answer: none of its passages does
                for passage_id in passages:
                    book.settle(row, passage_id, row["confidence"])
            elif len(passages) == 1:
                book.settle(row, passages[0], row["confidence"])
            else:
                waiting.append(row)
    asked = [Label(row["query"], row["target"], row["answer"]) for row in waiting]
    for row, alignment in zip(waiting, aligner.align(asked), strict=True):
        book.settle_aligned(row, alignment)
    book.settle_reviewed()
    return book.close()


class _Book:
    """Collects decided and undecided rows, each query and passage once."""

    def __init__(self, places: Places, decisions: Decisions, min_confidence: float, report: JudgmentReport) -> None:
        self._places, self._decisions, self._report = places, decisions, report
        self._min_confidence = min_confidence
        self._kept: dict[tuple[str, str, str | None], Row] = {}
        self._negatives: dict[tuple[str, str], Row] = {}
        self._undecided: dict[tuple[str, str], Row] = {}
        self._queries: set[str] = set()
        # Where people have decided: one label of each query, by the text they decided about.
        self._labels: dict[str, dict[str, Row]] = {}
        self._settled: set[tuple[str, str]] = set()

    def settle_aligned(self, row: Row, alignment: Alignment) -> None:
        """Takes a label whose passage had to be found."""
        if alignment.passage_id is None:
            self._queries.add(row["query_id"])
            self._report.leave_out("passage not found", row, alignment.grounds)
            return
        confidence = row["confidence"] * alignment.confidence
        decided = self._decisions.about(row["query"], alignment.passage_id) is not None
        if not decided and alignment.confidence < self._min_confidence:
            self._queries.add(row["query_id"])
            reason = f"which passage is meant: {alignment.grounds}"
            found = {**row, "passage_id": alignment.passage_id, "confidence": confidence, "reason": reason}
            self._undecided.setdefault((row["query_id"], alignment.passage_id), found)
            return
        self._report.aligned += 1
        self.settle(row, alignment.passage_id, confidence)

    def settle(self, row: Row, passage_id: str, confidence: float) -> None:
        """Takes a label about one passage, as the label or a person says."""
        self._queries.add(row["query_id"])
        self._note(row, passage_id)
        grade, train_only = row["grade"], row["train_only"]
        decision = self._decisions.about(row["query"], passage_id)
        if decision is not None:
            self._report.reviewed += 1
            if decision.verdict == "unsure":
                self._report.leave_out("nobody is sure", row, passage_id)
                return
            confidence, train_only = 1.0, False
            grade = max(decision.grade or grade, 1) if decision.verdict == "relevant" else 0
        settled = {
            **row, "passage_id": passage_id, "doc_id": self._places.document_of[passage_id], "grade": grade,
            "confidence": confidence, "train_only": train_only,
        }  # fmt: skip
        if grade < 1:
            self._negatives.setdefault((row["query_id"], passage_id), settled)
        else:
            self._keep_best(settled)

    def settle_reviewed(self) -> None:
        """Takes what people decided about passages that no label of the query is about; when unsure, nothing."""
        for decision in self._decisions:
            text, passage_id = decision.identity
            if passage_id not in self._places.document_of or decision.verdict == "unsure":
                continue
            for query_id, row in self._labels.get(text, {}).items():
                if (query_id, passage_id) not in self._settled:
                    given = {"target": passage_id, "answer": None, "grade": 1, "source": REVIEW_SOURCE}
                    self.settle({**row, **given, "created_at": decision.decided_at or None}, passage_id, 1.0)

    def _note(self, row: Row, passage_id: str) -> None:
        if len(self._decisions):
            self._labels.setdefault(normalized_query(row["query"]), {}).setdefault(row["query_id"], row)
            self._settled.add((row["query_id"], passage_id))

    def close(self) -> Judged:
        """The tables. Raises InputError when there is no positive."""
        self._report.left_out["query without a positive"] = len(self._queries - {key[0] for key in self._kept})
        self._report.left_out = +self._report.left_out  # drops zero counts
        if not self._kept:
            reasons = ", ".join(f"{count} × {reason}" for reason, count in self._report.left_out.items()) or "no rows"
            hint = "a label must name a passage or a document of the corpus by its id, or an answer that stands in it"
            raise InputError(f"no usable judgment ({reasons})", hint)
        return Judged(
            pa.Table.from_pylist(list(self._kept.values()), schema=JUDGMENTS),
            pa.Table.from_pylist(list(self._without_positives()), schema=JUDGED_NEGATIVES),
            pa.Table.from_pylist(list(self._undecided.values()), schema=UNDECIDED),
        )

    def _keep_best(self, row: Row) -> None:
        key = (row["query_id"], row["passage_id"], row["split"])
        known = self._kept.get(key)
        if known is None:
            self._kept[key] = row
            return
        self._report.leave_out("repeated", row, row["passage_id"])
        if (row["grade"], not row["train_only"]) > (known["grade"], not known["train_only"]):
            self._kept[key] = row

    def _without_positives(self) -> Iterator[Row]:
        positive = {(normalized_query(row["query"]), row["passage_id"]) for row in self._kept.values()}
        for row in self._negatives.values():
            if (normalized_query(row["query"]), row["passage_id"]) not in positive:
                yield row
