"""From labels to judgments: what counts, what waits for a person, and that everything left out is counted."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import JUDGED_NEGATIVES, JUDGMENTS, LABELS, UNDECIDED
from domain_embed.judgments.alignment import Aligner, Alignment, Label, Places
from domain_embed.judgments.judgments import Judged, JudgmentReport, decide_judgments
from domain_embed.judgments.review import Decision, Decisions

PLACES = Places(
    {"p1": "p1", "p2": "p2", "p3": "p3", "d#1": "d", "d#2": "d", "single#1": "single"},
    {"d": ["d#1", "d#2"], "single": ["single#1"]},
)


class Told(Aligner):
    """Aligns as it was told, and remembers what it was asked."""

    def __init__(self, *alignments: Alignment) -> None:
        self._alignments = alignments
        self.asked: list[Label] = []

    def align(self, labels: Sequence[Label]) -> Any:
        self.asked += labels
        return iter(self._alignments)


def label(query: str, target: str | None, grade: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "query_id": query, "query": f"text of {query}", "target": target, "answer": None, "grade": grade,
        "source": "file", "confidence": 1.0, "created_at": None, "split": None, "train_only": False, "filters": None,
        **more,
    }  # fmt: skip


def decide(
    *rows: dict[str, Any], aligner: Told | None = None, decisions: Decisions | None = None
) -> tuple[Judged, JudgmentReport]:
    report = JudgmentReport()
    batches = pa.Table.from_pylist(list(rows), schema=LABELS).to_batches(max_chunksize=2)
    judged = decide_judgments(batches, PLACES, aligner or Told(), decisions or Decisions(), 0.5, report)
    assert judged.judgments.schema == JUDGMENTS
    assert judged.negatives.schema == JUDGED_NEGATIVES
    assert judged.undecided.schema == UNDECIDED
    return judged, report


def keys(table: pa.Table) -> list[tuple[str, str, int]]:
    return [(row["query_id"], row["passage_id"], row["grade"]) for row in table.to_pylist()]


def pairs(table: pa.Table) -> list[tuple[str, str]]:
    return [(row["query_id"], row["passage_id"]) for row in table.to_pylist()]


def decided(query: str, passage_id: str, verdict: Any, grade: int | None = None) -> Decisions:
    return Decisions([Decision(f"Text  OF {query}", passage_id, verdict, grade)])


def test_a_label_about_a_passage_is_a_judgment_as_it_stands() -> None:
    judged, report = decide(label("a", "p1", 2, source="s", confidence=0.7, created_at="2026-01-02", split="test"))
    assert judged.judgments.to_pylist() == [
        {"query_id": "a", "query": "text of a", "passage_id": "p1", "doc_id": "p1", "grade": 2, "source": "s",
         "confidence": 0.7, "created_at": "2026-01-02", "split": "test", "train_only": False, "filters": None}
    ]  # fmt: skip
    assert report == JudgmentReport()


def test_unknown_passages_are_left_out_and_counted() -> None:
    judged, report = decide(label("a", "p1"), label("a", "gone"), label("b", "gone"))
    assert keys(judged.judgments) == [("a", "p1", 1)]
    assert report.left_out == {"unknown passage": 2}
    assert report.samples == [("unknown passage", "a", "gone"), ("unknown passage", "b", "gone")]


def test_a_query_without_a_positive_is_counted() -> None:
    judged, report = decide(label("a", "p1"), label("c", "p3", 0))
    assert keys(judged.judgments) == [("a", "p1", 1)]
    assert report.left_out == {"query without a positive": 1}


def test_judged_negatives_are_kept_apart_and_never_contradict_a_positive() -> None:
    judged, _ = decide(label("a", "p1"), label("a", "p2", 0), label("b", "p1", 0) | {"query": "TEXT of a"})
    assert pairs(judged.negatives) == [("a", "p2")]


def test_a_document_that_does_not_answer_has_no_passage_that_does() -> None:
    judged, _ = decide(label("a", "p1"), label("a", "d", 0))
    assert pairs(judged.negatives) == [("a", "d#1"), ("a", "d#2")]


def test_a_pair_judged_again_keeps_the_row_of_the_highest_grade() -> None:
    judged, report = decide(
        label("a", "p1", 1, source="first"),
        label("a", "p1", 3, source="best"),
        label("a", "p1", 3, source="late"),
        label("a", "p1", 2, source="low"),
        label("b", "p1", 1),
    )
    assert keys(judged.judgments) == [("a", "p1", 3), ("b", "p1", 1)]
    assert judged.judgments["source"][0].as_py() == "best"
    assert report.left_out == {"repeated": 3}
    assert report.samples == [("repeated", "a", "p1")] * 3


def test_what_was_asked_goes_before_what_was_made_up() -> None:
    judged, _ = decide(label("a", "p1", source="made", train_only=True), label("a", "p1", source="asked"))
    assert judged.judgments.to_pylist()[0]["source"] == "asked"


def test_the_same_pair_in_two_given_splits_stays_in_both_so_that_the_leak_is_seen() -> None:
    judged, report = decide(label("a", "p1", split="train"), label("a", "p1", split="test"))
    assert judged.judgments["split"].to_pylist() == ["train", "test"]
    assert not report.left_out


def test_a_document_of_one_passage_needs_no_alignment() -> None:
    aligner = Told()
    judged, _ = decide(label("a", "single"), aligner=aligner)
    assert keys(judged.judgments) == [("a", "single#1", 1)]
    assert judged.judgments["doc_id"].to_pylist() == ["single"]
    assert aligner.asked == []


def test_documents_of_several_passages_and_bare_answers_are_aligned() -> None:
    aligner = Told(Alignment("d#2", 0.9, "agree"), Alignment("p3", 1.0, "stands in it"))
    judged, report = decide(
        label("a", "d", confidence=0.5), label("b", None, answer="because"), aligner=aligner
    )  # fmt: skip
    assert aligner.asked == [Label("text of a", "d", None), Label("text of b", None, "because")]
    assert keys(judged.judgments) == [("a", "d#2", 1), ("b", "p3", 1)]
    assert judged.judgments["confidence"].to_pylist() == [0.45, 1.0]
    assert report.aligned == 2


def test_an_uncertain_alignment_waits_for_a_person() -> None:
    judged, report = decide(label("a", "p1"), label("b", "d"), aligner=Told(Alignment("d#1", 0.4, "they differ")))
    assert keys(judged.judgments) == [("a", "p1", 1)]
    [row] = judged.undecided.to_pylist()
    assert (row["query_id"], row["passage_id"], row["confidence"]) == ("b", "d#1", 0.4)
    assert row["reason"] == "which passage is meant: they differ"
    assert report.left_out == {"query without a positive": 1}


def test_a_label_without_any_passage_is_left_out_with_the_grounds() -> None:
    _, report = decide(
        label("a", "p1"), label("b", None, answer="no"), aligner=Told(Alignment(None, 0.0, "stands in no passage"))
    )
    assert report.left_out == {"passage not found": 1, "query without a positive": 1}
    assert report.samples == [("passage not found", "b", "stands in no passage")]


@pytest.mark.parametrize(("grade", "expected"), [(None, 2), (3, 3)])
def test_a_person_goes_before_every_label(grade: int | None, expected: int) -> None:
    judged, report = decide(
        label("a", "p1", 2, confidence=0.3, train_only=True), decisions=decided("a", "p1", "relevant", grade)
    )
    [row] = judged.judgments.to_pylist()
    assert (row["grade"], row["confidence"], row["train_only"]) == (expected, 1.0, False)
    assert report.reviewed == 1


def test_what_a_person_calls_not_relevant_becomes_a_negative() -> None:
    judged, _ = decide(label("a", "p1"), label("a", "p2"), decisions=decided("a", "p2", "not_relevant"))
    assert keys(judged.judgments) == [("a", "p1", 1)]
    assert pairs(judged.negatives) == [("a", "p2")]


def test_what_a_person_is_not_sure_about_is_left_out() -> None:
    judged, report = decide(label("a", "p1"), label("a", "p2"), decisions=decided("a", "p2", "unsure"))
    assert keys(judged.judgments) == [("a", "p1", 1)]
    assert report.left_out == {"nobody is sure": 1}


def test_a_decision_settles_an_uncertain_alignment() -> None:
    judged, _ = decide(
        label("b", "d"), aligner=Told(Alignment("d#1", 0.1, "")), decisions=decided("b", "d#1", "relevant")
    )  # fmt: skip
    assert keys(judged.judgments) == [("b", "d#1", 1)]
    assert judged.undecided.num_rows == 0


def test_only_the_first_samples_are_kept() -> None:
    _, report = decide(label("a", "p1"), *(label("a", f"gone-{n}") for n in range(30)))
    assert report.left_out["unknown passage"] == 30
    assert [what for _, _, what in report.samples] == [f"gone-{n}" for n in range(20)]


def test_nothing_left_says_why() -> None:
    with pytest.raises(InputError) as caught:
        decide(label("a", "gone"), label("b", "p1", 0), label("b", "gone"))
    assert str(caught.value).startswith("no usable judgment (2 × unknown passage, 1 × query without a positive)")


def test_no_rows_at_all_say_so() -> None:
    with pytest.raises(InputError, match=r"no usable judgment \(no rows\)"):
        decide()


def test_a_decision_about_a_passage_without_a_label_is_a_judgment() -> None:
    """So a right answer that nobody had labeled, and a person was asked about, counts from then on."""
    judged, report = decide(label("a", "p1", split="test"), decisions=decided("a", "p2", "relevant", 2))
    assert keys(judged.judgments) == [("a", "p1", 1), ("a", "p2", 2)]
    assert judged.judgments.to_pylist()[1]["source"] == "review"
    assert judged.judgments.to_pylist()[1]["split"] == "test"
    assert report.reviewed == 1
    judged, _ = decide(label("a", "p1"), decisions=decided("a", "p2", "not_relevant"))
    assert (keys(judged.judgments), pairs(judged.negatives)) == ([("a", "p1", 1)], [("a", "p2")])


@pytest.mark.parametrize(("query", "passage_id", "verdict"), [
    ("a", "gone", "relevant"), ("nobody asked", "p2", "relevant"), ("a", "p2", "unsure"),
])  # fmt: skip
def test_decisions_that_are_about_nothing_known_or_not_sure_make_no_judgment(
    query: str, passage_id: str, verdict: str
) -> None:
    judged, report = decide(label("a", "p1"), decisions=decided(query, passage_id, verdict))
    assert keys(judged.judgments) == [("a", "p1", 1)]
    assert (report.left_out, report.reviewed) == ({}, 0)
