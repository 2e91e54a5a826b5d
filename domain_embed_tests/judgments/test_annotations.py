"""Judgments of several people become one: the median, and how far they agree."""

from pathlib import Path
from statistics import median_low
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.judgments.sources import query_id_of, read_source
from domain_embed.settings import AnnotationsSource
from domain_embed_tests.scenario import write_lines

SOURCE = AnnotationsSource(path="annotations.jsonl")


def annotations(folder: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    write_lines(folder / "annotations.jsonl", rows)
    return list(read_source(SOURCE, folder))


def graded(annotator: str, grade: int, created_at: str | None = None, passage_id: str = "p") -> dict[str, Any]:
    return {
        "query": "make tea", "passage_id": passage_id, "grade": grade, "annotator": annotator, "created_at": created_at,
    }  # fmt: skip


def test_annotations_of_a_pair_become_one_row(tmp_path: Path) -> None:
    header = "query_id,query,passage_id,grade,annotator,created_at,split\n"
    (tmp_path / "annotations.csv").write_text(
        header
        + "q1,make tea,p1,2,ann,2026-01-03,test\n"
        + "q2,make coffee,p9,1,ann,,\n"
        + "q1,Make  TEA,p1,0,bob,2026-01-02,test\n"
        + "q1,make tea,p1,3,cyd,2026-01-01,test\n"
    )
    tea, coffee = read_source(AnnotationsSource(), tmp_path)
    assert tea == {
        "query_id": "q1", "query": "make tea", "target": "p1", "answer": None, "grade": 2,
        "source": "annotations.csv", "confidence": pytest.approx(2 / 3), "created_at": "2026-01-03", "split": "test",
        "train_only": False, "filters": None,
    }  # fmt: skip
    assert (coffee["query_id"], coffee["grade"], coffee["confidence"], coffee["created_at"]) == ("q2", 1, 1.0, None)


@pytest.mark.parametrize(
    ("grades", "grade", "confidence"),
    [
        ([2], 2, 1.0),
        ([0, 2], 0, 0.5),
        ([1, 3], 1, 1.0),
        ([0, 0, 3], 0, 2 / 3),
        ([0, 1, 2, 3], 1, 0.75),
        ([-1, 0, 1], 0, 2 / 3),
    ],
)
def test_grade_and_confidence_by_hand(tmp_path: Path, grades: list[int], grade: int, confidence: float) -> None:
    [row] = annotations(tmp_path, *(graded(f"a{number}", one) for number, one in enumerate(grades)))
    assert (row["grade"], row["confidence"]) == (grade, pytest.approx(confidence))


@given(
    judged=st.lists(
        st.tuples(st.sampled_from("pqr"), st.sampled_from("abcd"), st.integers(-1, 3)), min_size=1, max_size=20
    )
)
def test_grade_and_confidence_the_slow_way(tmp_path: Path, judged: list[tuple[str, str, int]]) -> None:
    last: dict[str, dict[str, int]] = {}
    for passage_id, annotator, grade in judged:
        last.setdefault(passage_id, {})[annotator] = grade
    rows = annotations(tmp_path, *(graded(name, grade, passage_id=one) for one, name, grade in judged))
    assert [row["target"] for row in rows] == list(last)
    for row, grades in zip(rows, (list(by_name.values()) for by_name in last.values()), strict=True):
        expected = median_low(grades)
        assert row["grade"] == expected
        agreeing = [grade for grade in grades if (grade >= 1) == (expected >= 1)]
        assert row["confidence"] == pytest.approx(len(agreeing) / len(grades))


def test_the_newest_annotation_of_a_person_counts(tmp_path: Path) -> None:
    [row] = annotations(tmp_path, graded("ann", 3, "2026-01-02"), graded("ann", 1, "2026-01-01"), graded("ann", 2))
    assert (row["grade"], row["created_at"]) == (3, "2026-01-02")


def test_the_last_of_equally_old_annotations_counts(tmp_path: Path) -> None:
    [row] = annotations(tmp_path, graded("ann", 3), graded("ann", 1), graded("bob", 1), graded("bob", 2))
    assert row["grade"] == 1
    [row] = annotations(tmp_path, graded("ann", 3, "2026-01-02"), graded("ann", 1, "2026-01-02"))
    assert row["grade"] == 1


def test_times_of_two_zones_are_compared_as_times(tmp_path: Path) -> None:
    earlier, later = "2026-01-02T09:00:00+09:00", "2026-01-02T01:00:00Z"
    [row] = annotations(tmp_path, graded("ann", 3, later), graded("ann", 1, earlier))
    assert row["grade"] == 3


def test_without_ids_queries_are_told_apart_by_their_text(tmp_path: Path) -> None:
    rows = annotations(tmp_path, graded("ann", 1), {**graded("bob", 2), "query": " MAKE  tea"})
    assert [(row["query_id"], row["query"], row["grade"]) for row in rows] == [(query_id_of("make tea"), "make tea", 1)]


def test_an_id_with_two_texts_stays_two_rows_so_that_it_is_seen(tmp_path: Path) -> None:
    rows = annotations(
        tmp_path, {**graded("ann", 1), "query_id": "q"}, {**graded("ann", 1), "query_id": "q", "query": "other"}
    )
    assert [row["query"] for row in rows] == ["make tea", "other"]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({**graded("ann", 1), "grade": None}, "field 'grade' is empty"),
        ({**graded("ann", 1), "grade": 1.5}, "the grade must be a whole number, not 1.5"),
        ({**graded("", 1)}, "field 'annotator' is empty"),
        ({"query": "q", "passage_id": "p", "grade": 1}, "no field 'annotator' (fields: query, passage_id, grade)"),
        ({**graded("ann", 1), "created_at": "now"}, "created_at must be a date or time in ISO 8601, not 'now'"),
        (
            {**graded("bob", 1), "split": "test"},
            "the split of this query and passage is 'test' here and None in an earlier row",
        ),
    ],
)
def test_an_annotation_that_cannot_be_used_is_named(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        annotations(tmp_path, graded("ann", 1), row)
    assert str(caught.value).startswith(f"{tmp_path / 'annotations.jsonl'}, line 2: {problem}")
