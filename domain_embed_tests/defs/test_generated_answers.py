"""Answers generated for a finished domain's report: figures on the page, in the JSON and in MLflow, asked for once."""

import json
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pytest

from domain_embed.evaluation.evidence import Evidence
from domain_embed.stores.tracking import Tracking
from domain_embed_tests.cli.test_cli import answer
from domain_embed_tests.evaluation.test_report import Page
from domain_embed_tests.judgments.chat_server import MODEL, Reply, Served, chat_server, says
from domain_embed_tests.scenario import CORPUS, QUERIES
from domain_embed_tests.whole import DOMAIN, Whole


def _reply(_: int, prompt: str) -> Reply:
    """Always the same answer, half of it supported; complete where the passage shown was judged relevant."""
    if not prompt.startswith("Judge an answer"):
        return says("Alpha, beta.")
    (query,) = [one for one in QUERIES if f"The question: {one.text}\n" in prompt]
    (shown,) = [one for one in CORPUS if f"[1] {one.title} {one.text}\n" in prompt]
    found = float(shown.passage_id in query.grades)
    return says(json.dumps({"claims": 2, "supported": 1, "completeness": found}))


@pytest.fixture
def server(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A model that is reached by the environment; the domain asks it about the first passage of every test query."""
    labels = whole.workspace.tables.read("labels").read()
    known = pa.array(["the Alpha beta gamma"] * len(labels), pa.string())
    place = labels.schema.get_field_index("answer")
    whole.workspace.tables.write_table("labels", labels.set_column(place, labels.schema.field(place), known))
    whole.edit("answers", source="endpoint", passages=1, requests_per_minute=1_000_000)
    with chat_server(_reply) as served:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for name, value in served.variables.items():
            monkeypatch.setenv(name, value)
        yield served


def test_the_report_says_how_good_answers_are_and_asks_once(whole: Whole, server: Served) -> None:
    """So told, completeness is the share of queries with a relevant passage at rank 1."""
    live = whole.workspace.vector_store.alias("live")
    assert whole.plan().stale == ("eval_report",)
    whole.run(("eval_report",))
    asked, folder = len(server.requests), whole.workspace.report_folder()
    evidence = Evidence.from_json(json.loads((folder / "report.json").read_text(encoding="utf-8"))["evidence"])
    answers = evidence.answers
    assert answers is not None
    assert (answers.model, answers.queries, list(answers.systems)) == (
        MODEL, evidence.test_queries, ["base/dense", "tuned/dense"],
    )  # fmt: skip
    for system, found in answers.means.items():
        assert found == pytest.approx(
            {"exact": 0.0, "f1": 0.8, "grounded": 0.5, "complete": evidence.systems[system]["Success@1"]}
        )
    gain = {one.metric: one.delta for one in answers.differences}
    expected = evidence.systems["tuned/dense"]["Success@1"] - evidence.systems["base/dense"]["Success@1"]
    assert gain == pytest.approx({"exact": 0.0, "f1": 0.0, "grounded": 0.0, "complete": expected})

    page = Page((folder / "report.html").read_text(encoding="utf-8")).text
    assert f"{MODEL} answered {evidence.test_queries} queries from the first 1 passage of each system" in page
    assert f"Supported tuned/dense {evidence.test_queries} 0.500 0.500 to 0.500" in page
    assert len(pd.read_parquet(folder / "answers.parquet")) == 2 * evidence.test_queries
    assert answer(whole.home, "report", DOMAIN)["answers"] == answers.model_dump(mode="json")
    assert _metrics(whole)["answers/tuned/dense/f1"] == pytest.approx(0.8)

    whole.run(("eval_report",), force=True)
    assert len(server.requests) == asked > 0
    assert whole.workspace.report_folder() == folder
    assert whole.workspace.vector_store.alias("live") == live


def _metrics(whole: Whole) -> dict[str, float]:
    client = Tracking(None, whole.home / ".store" / "mlflow").client()
    experiment = client.get_experiment_by_name(f"domain-embed/{DOMAIN}")
    assert experiment is not None
    newest, *_ = client.search_runs([experiment.experiment_id], "tags.asset = 'eval_report'")
    return dict(newest.data.metrics)


def test_a_model_is_shown_only_what_its_groups_may_see(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    whole.edit("access", groups_field="team", language_model_groups=["data"])
    assert whole.plan().stale == ("documents",)  # their groups are read anew
    whole.edit("answers", source="endpoint", passages=3, requests_per_minute=1_000_000)
    assert whole.plan().stale == ("documents", "eval_report")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with chat_server(lambda _, prompt: says("Alpha, beta.")) as served:
        for name, value in served.variables.items():
            monkeypatch.setenv(name, value)
        whole.run(("eval_report",))
        teams = {one.team for one in CORPUS if any(one.text in prompt for prompt in served.prompts)}
    assert teams == {"data"}
    answers = answer(whole.home, "report", DOMAIN)["answers"]
    assert 0 < answers["not_sent"] < len(CORPUS)
    page = (whole.workspace.report_folder() / "report.html").read_text(encoding="utf-8")
    assert "of these were not shown to the model" in page
    whole.edit("access", groups_field="team", language_model_groups=[])
    assert "eval_report" in whole.plan().stale
    whole.edit("synthetic", source="endpoint")
    assert "synthetic_queries" in whole.plan().stale
