"""Labels of all sources as one stream: counted, in bounded batches, one text for each query id."""

from pathlib import Path
from typing import Any

import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import LABELS
from domain_embed.judgments.labels import BATCH_ROWS, collect_labels
from domain_embed.judgments.sources import LabelReport, query_id_of
from domain_embed.settings import (
    AnswersSource,
    BeirSource,
    JudgmentSettings,
    JudgmentSource,
    PairsSource,
    TicketsSource,
)
from domain_embed_tests import scenario
from domain_embed_tests.scenario import write_lines


def collect(folder: Path, *sources: JudgmentSource) -> tuple[list[dict[str, Any]], LabelReport]:
    report = LabelReport()
    batches = list(collect_labels(JudgmentSettings(sources=sources or (PairsSource(),)), folder, report))
    assert all(batch.schema == LABELS for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()], report


def judged(query: str, passage_id: str, grade: int = 1, **more: Any) -> dict[str, Any]:
    return {"query_id": query, "query": f"text of {query}", "passage_id": passage_id, "grade": grade, **more}


def test_the_scenario_is_read_whole(tmp_path: Path) -> None:
    rows, report = collect(scenario.write_domain(tmp_path))
    assert [(row["query_id"], row["target"], row["grade"]) for row in rows] == [
        (query.query_id, passage_id, grade) for query, passage_id, grade in scenario.PAIRS
    ]
    assert report.given == len(scenario.PAIRS)
    assert not report.left_out


def test_sources_are_read_one_after_the_other_and_counted(tmp_path: Path) -> None:
    write_lines(tmp_path / "judgments.jsonl", [judged("a", "p1"), judged("a", "p2", 0)])
    write_lines(tmp_path / "queries.jsonl", [{"_id": "c", "text": "text of c"}])
    (tmp_path / "test.tsv").write_text("query-id\tcorpus-id\tscore\nc\tp3\t1\n")
    write_lines(tmp_path / "answers.jsonl", [{"question": "why?", "answer": "because"}])
    write_lines(
        tmp_path / "tickets.jsonl",
        [{"doc_id": "p1", "subject": "help"}, {"doc_id": "p1", "subject": "help", "solved": False}],
    )
    rows, report = collect(
        tmp_path, PairsSource(), BeirSource(qrels={"test": "test.tsv"}), AnswersSource(), TicketsSource()
    )
    assert [(row["query"], row["target"], row["answer"], row["grade"]) for row in rows] == [
        ("text of a", "p1", None, 1),
        ("text of a", "p2", None, 0),
        ("text of c", "p3", None, 1),
        ("why?", None, "because", 1),
        ("help", "p1", None, 1),
    ]
    assert {name: source.given for name, source in report.sources.items()} == {
        "pairs:judgments.jsonl": 2, "beir:queries.jsonl": 1, "answers:answers.jsonl": 1, "tickets:tickets.jsonl": 1,
    }  # fmt: skip
    assert (report.given, report.left_out) == (5, {"ticket not solved": 1})


def test_batches_are_bounded(tmp_path: Path) -> None:
    write_lines(tmp_path / "judgments.jsonl", [judged("a", f"p{n}") for n in range(BATCH_ROWS + 1)])
    sizes = [batch.num_rows for batch in collect_labels(JudgmentSettings(), tmp_path, LabelReport())]
    assert sizes == [BATCH_ROWS, 1]


def test_repeats_and_unknown_passages_are_passed_on(tmp_path: Path) -> None:
    write_lines(tmp_path / "judgments.jsonl", [judged("a", "gone")] * 2)
    assert len(collect(tmp_path)[0]) == 2


def test_nothing_in_the_files_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "judgments.jsonl").touch()
    rows, report = collect(tmp_path)
    assert (rows, report.given) == ([], 0)


def test_a_query_id_with_two_texts_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "judgments.jsonl", [judged("a", "p1")])
    write_lines(tmp_path / "more.jsonl", [judged("a", "p2") | {"query": "something else"}])
    with pytest.raises(InputError) as caught:
        collect(tmp_path, PairsSource(), PairsSource(path="more.jsonl"))
    assert str(caught.value).startswith("query id 'a' names two texts: 'text of a' and 'something else' (more.jsonl)\n")


@pytest.mark.parametrize("query_id", ["q1", ""])
def test_texts_that_differ_in_case_and_space_only_are_one_query(tmp_path: Path, query_id: str) -> None:
    first = {"query_id": query_id, "query": "Make tea", "passage_id": "p1"}
    write_lines(tmp_path / "judgments.jsonl", [first, {**first, "query": "make  TEA", "passage_id": "p2"}])
    rows, _ = collect(tmp_path)
    assert {row["query_id"] for row in rows} == {query_id or query_id_of("make tea")}
    assert [row["query"] for row in rows] == ["Make tea", "Make tea"]


def test_only_the_first_samples_are_kept(tmp_path: Path) -> None:
    write_lines(tmp_path / "tickets.jsonl", [{"doc_id": "p", "subject": "a", "solved": False}] * 30)
    _, report = collect(tmp_path, TicketsSource())
    assert report.left_out == {"ticket not solved": 30}
    [source] = report.sources.values()
    assert source.samples == [("ticket not solved", f"line {line}") for line in range(1, 21)]
