"""Columns of label files: what is read, what is named, and that no grade is passed over."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.judgments.detect import detect_source
from domain_embed.judgments.sources import LabelReport, read_source
from domain_embed.settings import (
    AnnotationsSource,
    AnswersSource,
    BeirSource,
    ClicksSource,
    JudgmentSource,
    PairsSource,
    TicketsSource,
)
from domain_embed_tests.scenario import write_lines

FIELDS: dict[str, dict[str, Any]] = {
    "pairs": {"query": "lid sticks", "passage_id": "lid"},
    "answers": {"question": "lid sticks?", "answer": "oil it"},
    "tickets": {"doc_id": "lid", "subject": "lid sticks"},
    "annotations": {"query": "lid sticks", "passage_id": "lid", "annotator": "kim"},
}
SOURCES: dict[str, type[Any]] = {
    "pairs": PairsSource, "answers": AnswersSource, "tickets": TicketsSource, "annotations": AnnotationsSource,
}  # fmt: skip
CLICK = {"search_id": "s", "query": "lid", "passage_id": "lid", "position": 1, "clicked": True}


def labels(folder: Path, source: JudgmentSource) -> tuple[list[int], LabelReport]:
    """The grades of a source, and its report."""
    report = LabelReport()
    return [row["grade"] for row in read_source(source, folder, report)], report


def csv_of(folder: Path, column: str, *values: str) -> Path:
    path = folder / "labels.csv"
    rows = [f"query {n},lid{n},{value}" for n, value in enumerate(values)]
    path.write_text("\n".join([f"query,passage_id,{column}", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "name",
    ["label", "Label", "RELEVANCE", "score", "rel", "rating", "judgement", "is_relevant", "isRelevant", "human label",
     "relevance_score", "Grade"],
)  # fmt: skip
@pytest.mark.parametrize(
    "values", [("1", "0"), ("3", "0", "2"), ("-1", "1"), ("true", "False"), ("yes", "no"), ("4", "5")]
)
def test_what_looks_like_a_grade_is_an_error_until_it_is_mapped(
    tmp_path: Path, name: str, values: tuple[str, ...]
) -> None:
    path = csv_of(tmp_path, name, *values)
    with pytest.raises(InputError, match="looks like a grade") as caught:
        labels(tmp_path, PairsSource(path="labels.csv"))
    assert str(path) in str(caught.value)
    assert repr(name) in str(caught.value)
    assert f"grade_field: {name}" in str(caught.value)

    said = {"true": 1, "False": 0, "yes": 1, "no": 0}
    grades, report = labels(tmp_path, PairsSource(path="labels.csv", grade_field=name))
    assert grades == [said[value] if value in said else int(value) for value in values]
    assert report.unread == []
    grades, report = labels(tmp_path, PairsSource(path="labels.csv", unused_fields=(name,)))
    assert grades == [1] * len(values)
    assert report.unread == []


@pytest.mark.parametrize("values", [("0.87", "0.31"), ("billing", "travel"), ("1", "1"), ("17", "250")])
def test_what_is_no_grade_by_its_values_is_named(tmp_path: Path, values: tuple[str, ...]) -> None:
    csv_of(tmp_path, "score", *values)
    grades, report = labels(tmp_path, PairsSource(path="labels.csv"))
    assert grades == [1, 1]
    assert report.unread == ["score (labels.csv)"]


def test_a_grade_that_comes_late_is_seen(tmp_path: Path) -> None:
    csv_of(tmp_path, "label", *["1"] * 500, "0")
    with pytest.raises(InputError, match=r"'label' \(0, 1\)"):
        labels(tmp_path, PairsSource(path="labels.csv"))


def test_beside_a_grade_that_is_read_another_one_is_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "judgments.jsonl", [{**FIELDS["pairs"], "grade": 2, "score": 0, "mood": "bad"}])
    grades, report = labels(tmp_path, PairsSource())
    assert (grades, report.unread) == ([2], ["score (judgments.jsonl)", "mood (judgments.jsonl)"])


def test_a_mapped_grade_must_be_given(tmp_path: Path) -> None:
    csv_of(tmp_path, "label", "1", "")
    with pytest.raises(InputError, match=r"line 3: field 'label' is empty"):
        labels(tmp_path, PairsSource(path="labels.csv", grade_field="label"))


def test_empty_columns_and_metadata_are_not_named(tmp_path: Path) -> None:
    write_lines(tmp_path / "judgments.jsonl", [{**FIELDS["pairs"], "label": None, "metadata": {"x": 1}, "mood": " "}])
    assert labels(tmp_path, PairsSource())[1].unread == []


@pytest.mark.parametrize("kind", FIELDS)
def test_every_kind_of_rows_maps_its_grade_and_names_the_rest(tmp_path: Path, kind: str) -> None:
    rows = [{**FIELDS[kind], "label": grade, "mood": "bad"} for grade in (True, False)]
    rows[1] = {key: f"{value} too" for key, value in FIELDS[kind].items()} | {"label": False, "mood": "good"}
    write_lines(tmp_path / "rows.jsonl", rows)
    with pytest.raises(InputError):
        labels(tmp_path, SOURCES[kind](path="rows.jsonl"))
    grades, report = labels(tmp_path, SOURCES[kind](path="rows.jsonl", grade_field="label"))
    assert (grades, report.unread) == ([1, 0], ["mood (rows.jsonl)"])


def test_booleans_of_parquet_are_grades(tmp_path: Path) -> None:
    table = pa.table({"query": ["a", "b"], "passage_id": ["1", "2"], "relevant": [True, False]})
    pq.write_table(table, tmp_path / "j.parquet")
    assert labels(tmp_path, PairsSource(path="j.parquet", grade_field="relevant"))[0] == [1, 0]


def test_clicks_and_beir_name_what_they_do_not_read(tmp_path: Path) -> None:
    write_lines(tmp_path / "clicks.jsonl", [{**CLICK, "engine": "old", "bm25_score": 7.25}])
    assert labels(tmp_path, ClicksSource())[1].unread == ["engine (clicks.jsonl)", "bm25_score (clicks.jsonl)"]
    write_lines(tmp_path / "clicks.jsonl", [{**CLICK, "relevance": 0}])
    with pytest.raises(InputError, match="looks like a grade"):
        labels(tmp_path, ClicksSource())

    write_lines(tmp_path / "queries.jsonl", [{"_id": "a", "text": "lid", "metadata": {}, "origin": "wiki"}])
    (tmp_path / "test.tsv").write_text("query-id\tcorpus-id\tscore\trelevance\na\tlid\t2\t0\n")
    grades, report = labels(tmp_path, BeirSource(qrels={"test": "test.tsv"}))
    assert (grades, report.unread) == ([2], ["origin (queries.jsonl)", "relevance (test.tsv)"])


@pytest.mark.parametrize("kind", ["pairs", "answers", "tickets"])
def test_splits_are_read_in_any_case_and_an_unknown_one_is_named(tmp_path: Path, kind: str) -> None:
    names = ["Train", "DEV", "val", "validation", " test "]
    write_lines(tmp_path / "rows.jsonl", [{**FIELDS[kind], "split": name} for name in names])
    found = [row["split"] for row in read_source(SOURCES[kind](path="rows.jsonl"), tmp_path)]
    assert found == ["train", "validation", "validation", "validation", "test"]

    write_lines(tmp_path / "rows.jsonl", [{**FIELDS[kind], "split": "holdout 2"}])
    with pytest.raises(InputError, match=r"rows.jsonl, line 1: .*'holdout 2'"):
        list(read_source(SOURCES[kind](path="rows.jsonl"), tmp_path))
    ignored = SOURCES[kind](path="rows.jsonl", unused_fields=("split",))
    assert [row["split"] for row in read_source(ignored, tmp_path)] == [None]


def test_a_clear_grade_is_mapped_by_detection_and_said(tmp_path: Path) -> None:
    found = detect_source(csv_of(tmp_path, "Label", "1", "0"))
    assert found.source == PairsSource(path=str(tmp_path / "labels.csv"), grade_field="Label")
    assert found.remarks == ("labels.csv: grade ← Label 0/1 (0 and less: judged not relevant)",)


@pytest.mark.parametrize("values", [("1", "5", "3"), ("1", "2")])
def test_a_scale_that_may_mean_anything_is_not_mapped_but_said(tmp_path: Path, values: tuple[str, ...]) -> None:
    found = detect_source(csv_of(tmp_path, "rating", *values))
    assert found.source == PairsSource(path=str(tmp_path / "labels.csv"))
    [remark] = found.remarks
    assert "looks like a grade" in remark


def test_detection_counts_given_splits_and_names_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    write_lines(path, [{**FIELDS["pairs"], "split": name, "mood": "bad"} for name in ("train", "dev", "Test", "")])
    found = detect_source(path)
    assert found.splits == {"train": 1, "validation": 1, "test": 1, None: 1}
    assert found.remarks == ("labels.jsonl: not read: mood",)
