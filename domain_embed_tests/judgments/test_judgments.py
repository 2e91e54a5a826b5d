"""From rows to the table of judgments: what counts, what is left out, and that everything left out is counted."""

from pathlib import Path
from typing import Any

import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import JUDGMENTS
from domain_embed.judgments.judgments import JudgmentReport, collect_judgments
from domain_embed.judgments.sources import query_id_of
from domain_embed.settings import BeirSource, JudgmentSettings, PairsSource
from domain_embed_tests import scenario
from domain_embed_tests.scenario import write_lines

KNOWN = ["p1", "p2", "p3"]


def collect(folder: Path, *rows: dict[str, Any]) -> tuple[list[dict[str, Any]], JudgmentReport]:
    write_lines(folder / "judgments.jsonl", rows)
    table, report = collect_judgments(JudgmentSettings(), folder, KNOWN)
    assert table.schema == JUDGMENTS
    return table.to_pylist(), report


def judged(query: str, passage_id: str, grade: int = 1, **more: Any) -> dict[str, Any]:
    return {"query_id": query, "query": f"text of {query}", "passage_id": passage_id, "grade": grade, **more}


def keys(rows: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(row["query_id"], row["passage_id"], row["grade"]) for row in rows]


def test_the_scenario_is_kept_whole(tmp_path: Path) -> None:
    folder = scenario.write_domain(tmp_path)
    passage_ids = [passage.passage_id for passage in scenario.CORPUS]
    table, report = collect_judgments(scenario.SETTINGS.judgments, folder, passage_ids)
    assert keys(table.to_pylist()) == [
        (query.query_id, passage_id, grade) for query, passage_id, grade in scenario.PAIRS
    ]
    assert report == JudgmentReport()


def test_unknown_passages_are_left_out_and_counted(tmp_path: Path) -> None:
    rows, report = collect(tmp_path, judged("a", "p1"), judged("a", "gone"), judged("b", "gone"))
    assert keys(rows) == [("a", "p1", 1)]
    assert report.left_out == {"unknown passage": 2, "query without a positive": 1}
    assert report.samples == [("unknown passage", "a", "gone"), ("unknown passage", "b", "gone")]


def test_grades_below_one_are_left_out_and_counted(tmp_path: Path) -> None:
    rows, report = collect(
        tmp_path, judged("a", "p1"), judged("a", "p2", 0), judged("b", "p2", -1), judged("c", "p3", 0)
    )
    assert keys(rows) == [("a", "p1", 1)]
    assert report.left_out == {"grade below 1": 3, "query without a positive": 2}


def test_a_pair_judged_again_keeps_the_row_of_the_highest_grade(tmp_path: Path) -> None:
    rows, report = collect(
        tmp_path,
        judged("a", "p1", 1, source="first"),
        judged("a", "p1", 3, source="best"),
        judged("a", "p1", 3, source="late"),
        judged("a", "p1", 2, source="low"),
        judged("b", "p1", 1),
    )
    assert keys(rows) == [("a", "p1", 3), ("b", "p1", 1)]
    assert rows[0]["source"] == "best"
    assert report.left_out == {"repeated": 3}
    assert report.samples == [("repeated", "a", "p1")] * 3


def test_the_same_pair_in_two_given_splits_stays_in_both_so_that_the_leak_is_seen(tmp_path: Path) -> None:
    rows, report = collect(tmp_path, judged("a", "p1", split="train"), judged("a", "p1", split="test"))
    assert [row["split"] for row in rows] == ["train", "test"]
    assert not report.left_out


def test_a_query_id_with_two_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="query id 'a' names two texts: 'text of a' and 'something else'"):
        collect(tmp_path, judged("a", "p1"), judged("a", "p2") | {"query": "something else"})


@pytest.mark.parametrize("query_id", ["q1", ""])
def test_texts_that_differ_in_case_and_space_only_are_one_query(tmp_path: Path, query_id: str) -> None:
    first = {"query_id": query_id, "query": "Make tea", "passage_id": "p1"}
    rows, _ = collect(tmp_path, first, {**first, "query": "make  TEA", "passage_id": "p2"})
    assert {row["query_id"] for row in rows} == {query_id or query_id_of("make tea")}
    assert [row["query"] for row in rows] == ["Make tea", "Make tea"]


def test_only_the_first_samples_are_kept(tmp_path: Path) -> None:
    _, report = collect(tmp_path, judged("a", "p1"), *(judged("a", f"gone-{n}") for n in range(30)))
    assert report.left_out["unknown passage"] == 30
    assert [passage_id for _, _, passage_id in report.samples] == [f"gone-{n}" for n in range(20)]


def test_nothing_left_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        collect(tmp_path, judged("a", "gone"), judged("b", "p1", 0), judged("b", "gone"))
    assert str(caught.value).startswith(
        f"no usable judgment in {tmp_path} (2 × unknown passage, 1 × grade below 1, 2 × query without a positive)"
    )


def test_no_rows_at_all_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no usable judgment in .* \(no rows\)"):
        collect(tmp_path)


def test_sources_are_read_together(tmp_path: Path) -> None:
    write_lines(tmp_path / "judgments.jsonl", [judged("a", "p1", 1)])
    (tmp_path / "more.csv").write_text("query_id,query,passage_id,grade\na,text of a,p1,2\nb,text of b,p2,1\n")
    write_lines(tmp_path / "queries.jsonl", [{"_id": "c", "text": "text of c"}])
    (tmp_path / "test.tsv").write_text("query-id\tcorpus-id\tscore\nc\tp3\t1\n")
    sources = (PairsSource(), PairsSource(path="more.csv"), BeirSource(qrels={"test": "test.tsv"}))
    table, report = collect_judgments(JudgmentSettings(sources=sources), tmp_path, KNOWN)
    assert keys(table.to_pylist()) == [("a", "p1", 2), ("b", "p2", 1), ("c", "p3", 1)]
    assert table["source"].to_pylist() == ["more.csv", "more.csv", "test.tsv"]
    assert report.left_out == {"repeated": 1}
