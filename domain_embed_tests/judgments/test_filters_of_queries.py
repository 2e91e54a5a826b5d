"""What narrows the search for a query: how files say it, and that it reaches diagnosis and evaluation."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.filters import Condition, Missing, Not, Range, filter_text, read_filter
from domain_embed.judgments.labels import collect_labels
from domain_embed.judgments.sources import LabelReport
from domain_embed.settings import BeirSource, JudgmentSettings, PairsSource
from domain_embed_tests import scenario
from domain_embed_tests.scenario import write_lines
from domain_embed_tests.whole import Whole

FORMS: list[tuple[Any, Condition]] = [
    ("storage", "storage"),
    (3, 3),
    (True, True),
    (["a", "b"], ["a", "b"]),
    (None, Missing()),
    ({"not": "de"}, Not("de")),
    ({"not": None}, Not(Missing())),
    ({"gte": 2020, "lt": 2022.5}, Range(gte=2020, lt=2022.5)),
    ({"gt": "2025-03-31"}, Range(gt=date(2025, 3, 31))),
    ({"lte": "2025-03-31T12:00:00+00:00"}, Range(lte=datetime(2025, 3, 31, 12, tzinfo=UTC))),
]


@pytest.mark.parametrize(("told", "meant"), FORMS)
def test_every_form_of_a_condition(told: Any, meant: Condition) -> None:
    assert read_filter({"key": told}) == {"key": meant}
    assert read_filter(json.loads(filter_text({"key": told}))) == {"key": meant}


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ("team=storage", "it must be an object of keys and values"),
        ([], "it must be an object"),
        ({}, "it must be an object"),
        ({"team": []}, r"team: \[\] is no value"),
        ({"team": ["a", None]}, "is no value, list of values"),
        ({"year": {"from": 2020}}, "is no value"),
        ({"year": {"gte": True}}, "year: True is no bound"),
        ({"year": {"gte": "yesterday"}}, "year: 'yesterday' is no bound"),
        ({"year": {"gte": 1, "lt": "2025-01-01"}}, "all its bounds must be numbers, or all dates"),
        ({"year": {"not": 1, "gte": 2}}, "is no value"),
    ],
)
def test_what_is_no_filter_is_said(told: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        filter_text(told)


@given(st.dictionaries(st.text(min_size=1), st.one_of(st.text(), st.integers(), st.booleans()), min_size=1))
def test_equal_filters_are_equal_texts(told: dict[str, Any]) -> None:
    shuffled = dict(reversed(told.items()))
    assert filter_text(told) == filter_text(shuffled)
    assert json.loads(filter_text(told)) == told


def labels(folder: Path, *sources: PairsSource | BeirSource) -> list[dict[str, Any]]:
    batches = collect_labels(JudgmentSettings(sources=sources), folder, LabelReport())
    return [row for batch in batches for row in batch.to_pylist()]


def test_pairs_say_it_as_an_object_or_in_a_cell(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"query": "disk full", "passage_id": "p", "filters": {"year": 1, "team": "db"}}])
    cell = '"{""team"": ""db"", ""year"": 1}"'
    (tmp_path / "b.csv").write_text(f"query,passage_id,filters\ndisk full,p,{cell}\nDisk full,p,\n", encoding="utf-8")
    one, same, without = labels(tmp_path, PairsSource(path="a.jsonl"), PairsSource(path="b.csv"))
    assert one["filters"] == same["filters"] == '{"team":"db","year":1}'
    assert without["filters"] is None
    assert one["query_id"] == same["query_id"] != without["query_id"]


def test_beir_queries_may_have_filters(tmp_path: Path) -> None:
    queries = [{"_id": "1", "text": "disk full", "filters": {"team": "db"}}, {"_id": "2", "text": "no space"}]
    write_lines(tmp_path / "queries.jsonl", queries)
    (tmp_path / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\tp\t1\n2\tp\t1\n", encoding="utf-8")
    found = labels(tmp_path, BeirSource(queries="queries.jsonl", qrels={"test": "test.tsv"}))
    assert [row["filters"] for row in found] == ['{"team":"db"}', None]


def test_a_filter_that_cannot_be_used_names_its_row(tmp_path: Path) -> None:
    rows = [{"query": "a", "passage_id": "p"}, {"query": "b", "passage_id": "p", "filters": {"team": []}}]
    write_lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(InputError, match=r"a.jsonl.*2.*the filters cannot be used: team"):
        labels(tmp_path, PairsSource(path="a.jsonl"))


def test_a_query_id_has_one_filter(tmp_path: Path) -> None:
    rows = [{"query_id": "q", "query": "a", "passage_id": "p", "filters": {"team": team}} for team in ("db", "web")]
    write_lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(InputError, match="query id 'q' names two filters"):
        labels(tmp_path, PairsSource(path="a.jsonl"))


def rewrite(whole: Whole, filters: dict[str, Any]) -> None:
    """The scenario's judgments, with these filters by query id."""
    rows = [row | {"filters": filters.get(row["query_id"], {})} for row in scenario.judgment_rows()]
    write_lines(whole.folder / "judgments.jsonl", rows)


def test_every_query_is_diagnosed_and_evaluated_within_its_filter(whole: Whole) -> None:
    team_of = {one.passage_id: one.team for one in scenario.CORPUS}
    wanted = {query.query_id: sorted({team_of[one] for one in query.grades}) for query in scenario.QUERIES}
    held_out = whole.workspace.judged("validation")[0]
    barred = sorted(held_out)[0]
    filters: dict[str, Any] = {query_id: {"team": teams} for query_id, teams in wanted.items()}
    rewrite(whole, filters | {barred: {"team": "nobody"}})
    whole.run(("labels", "judgments", "splits", "diagnosis", "eval_report"))
    assert whole.workspace.filters("validation")[barred] == {"team": "nobody"}
    causes = {one["cause"]: one for one in whole.workspace.diagnosis()["causes"]}
    assert causes["filtered"]["queries"] == 1
    runs = pq.read_table(whole.workspace.report_folder() / "runs.parquet").to_pandas()
    assert len(runs)
    assert all(team_of[row.passage_id] in wanted[row.query_id] for row in runs.itertuples())


def test_a_filter_on_a_key_that_no_passage_has_is_an_error(whole: Whole) -> None:
    rewrite(whole, {scenario.QUERIES[0].query_id: {"tema": "db"}})
    with pytest.raises(InputError, match=r"filters on 'tema', which no passage has\n  → keys: team, year"):
        whole.run(("labels", "judgments"))
