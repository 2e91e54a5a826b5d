"""What an evaluation leaves behind on a finished domain: figures, tables, files, MLflow tags, and their commands."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from domain_embed.cli import app
from domain_embed.contracts.errors import NotReadyError
from domain_embed.contracts.tables import UNDECIDED
from domain_embed.evaluation.evidence import Evidence
from domain_embed.evaluation.measures import MEASURES
from domain_embed.judgments.review import Decision, record_decisions
from domain_embed.stores.tracking import Tracking
from domain_embed_tests.whole import DOMAIN, Whole


@pytest.fixture(scope="module")
def evidence(finished: Whole) -> Evidence:
    return Evidence.from_json(finished.workspace.latest_report()["evidence"])


def _command(whole: Whole, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments], env={"DOMAIN_EMBED_HOME": str(whole.home), "COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_way_to_ask_both_models_was_measured(evidence: Evidence) -> None:
    assert set(evidence.systems) == {
        "bm25", "base/dense", "base/hybrid", "base/weighted", "tuned/dense", "tuned/hybrid", "tuned/weighted",
    }  # fmt: skip
    assert set(evidence.dense_weights) == {"base", "tuned"}
    assert all(0 <= weight <= 1 for weight in evidence.dense_weights.values())


def test_what_the_decision_rests_on_was_looked_at(evidence: Evidence) -> None:
    assert [(gate.name, gate.passed) for gate in evidence.gates] == [
        ("leakage", True), ("parity of base", True), ("parity of tuned", True),
    ]  # fmt: skip
    assert evidence.validation is not None
    assert (
        evidence.validation.wins + evidence.validation.ties + evidence.validation.losses
        == (evidence.queries_per_split["validation"])
    )
    assert [timed.system for timed in evidence.serving] == ["base/dense", "tuned/dense"]
    assert all(0 < timed.p50_ms <= timed.p99_ms for timed in evidence.serving)
    assert evidence.detectable is not None
    assert evidence.containment == {}  # its labels have no answer texts
    assert evidence.answers is None  # nobody asked for them


def test_scores_and_runs_lie_beside_the_page(finished: Whole, evidence: Evidence) -> None:
    folder = finished.workspace.report_folder()
    scores = pd.read_parquet(folder / "scores.parquet")
    assert scores.groupby("system")["nDCG@10"].mean().to_dict() == pytest.approx(
        {system: means["nDCG@10"] for system, means in evidence.systems.items()}
    )
    runs = pd.read_parquet(folder / "runs.parquet")
    assert set(runs["system"]) == set(evidence.systems)
    assert runs.groupby(["system", "query_id"], observed=True)["rank"].max().max() <= 100


def test_verdict_and_its_reasons_reach_mlflow(finished: Whole) -> None:
    verdict = finished.workspace.latest_report()["verdict"]
    client = Tracking(None, finished.home / ".store" / "mlflow").client()
    experiment = client.get_experiment_by_name(f"domain-embed/{DOMAIN}")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], "tags.asset = 'eval_report'")
    assert run.data.tags["verdict"] == ("promote" if verdict["promote"] else "refuse")
    assert run.data.tags["reasons"].startswith(verdict["reasons"][0])
    assert run.data.metrics["promote"] == float(verdict["promote"])


def test_report_for_scripts_says_what_the_page_says(finished: Whole, evidence: Evidence) -> None:
    found = json.loads(_command(finished, "report", DOMAIN, "--json"))
    assert found["detectable"] == evidence.detectable
    assert found["intervals"]["tuned/dense"] == list(evidence.intervals["tuned/dense"])
    assert [gate["name"] for gate in found["gates"]] == [gate.name for gate in evidence.gates]
    assert {"gained", "lost"} == set(found["moved"])
    assert all(0 < one["rank"] <= 10 for one in found["please_judge"])


def test_trec_files_are_written(finished: Whole, tmp_path: Path) -> None:
    _command(finished, "report", DOMAIN, "--trec", str(tmp_path / "trec"))
    assert (tmp_path / "trec" / "qrels.txt").exists()
    line = (tmp_path / "trec" / "tuned_dense.run").read_text().splitlines()[0].split()
    assert (line[1], line[3], line[5]) == ("Q0", "1", "tuned/dense")


def test_any_two_systems_can_be_compared(finished: Whole, evidence: Evidence) -> None:
    found = json.loads(_command(finished, "compare", DOMAIN, "base/hybrid", "bm25", "--json"))
    assert [one["metric"] for one in found["comparisons"]] == list(MEASURES)
    assert found["comparisons"][0]["delta"] == pytest.approx(evidence.mean("base/hybrid") - evidence.mean("bm25"))
    version = finished.workspace.report_folder().name
    told = _command(finished, "compare", DOMAIN, f"{version}:tuned/dense", "base/dense")
    assert f"{evidence.test_queries} test queries" in told
    assert f"{evidence.headline.delta:+.3f}" in told


@pytest.mark.parametrize(
    ("named", "told"), [("tuned/desne", "no system 'tuned/desne' was evaluated"), ("x:bm25", "has no report 'x'")]
)
def test_unknown_system_or_report_is_an_error(finished: Whole, named: str, told: str) -> None:
    environment = {"DOMAIN_EMBED_HOME": str(finished.home)}
    result = CliRunner().invoke(app, ["compare", DOMAIN, named, "bm25"], env=environment)
    assert result.exit_code != 0
    assert told in str(result.exception) + result.output


def test_unjudged_passages_go_to_review_and_a_decision_comes_back(whole: Whole) -> None:
    """A right answer that nobody had labeled: found by the tuned model, decided by a person, judged from then on."""
    waiting = whole.workspace.tables.read("unjudged").read()
    assert waiting.schema.names == UNDECIDED.names
    first = waiting.to_pylist()[0]
    sheet = whole.home / "sheet.csv"
    _command(whole, "review", DOMAIN, str(sheet))
    assert "nobody has judged it" in sheet.read_text(encoding="utf-8-sig")
    decision = Decision(first["query"], first["passage_id"], "relevant", reviewer="eva")
    record_decisions(whole.folder / "decisions.jsonl", [decision])
    whole.run(("judgments",))
    judgments = whole.workspace.tables.read("judgments").read().to_pylist()
    (row,) = [one for one in judgments if (one["query_id"], one["passage_id"]) == (
        first["query_id"], first["passage_id"])]  # fmt: skip
    assert (row["grade"], row["source"]) == (1, "review")


def test_a_reranker_doubles_the_systems_and_what_serves_is_judged(whole: Whole) -> None:
    whole.edit("reranker", source="train", max_steps=1, max_tokens=32)
    whole.edit("retrieval", rerank=True, rerank_depth=3)
    whole.run(("reranker", "eval_report"))
    evidence = Evidence.from_json(whole.workspace.latest_report()["evidence"])
    assert len(evidence.systems) == 14
    assert evidence.variant("tuned") == "dense+rerank"
    assert evidence.gain.challenger == "tuned/dense+rerank"
    assert [timed.system for timed in evidence.serving] == ["base/dense+rerank", "tuned/dense+rerank"]
    assert evidence.validation is not None
    assert evidence.validation.challenger == "tuned/dense+rerank"


def test_serving_by_a_reranker_that_is_not_there_is_an_error(whole: Whole) -> None:
    whole.edit("retrieval", rerank=True)
    with pytest.raises(NotReadyError, match=r"there is no reranker\n.*set reranker\.source"):
        whole.run(("eval_report",))


def test_measured_times_make_nothing_stale(whole: Whole) -> None:
    before = whole.workspace.report_folder().name
    whole.run(("eval_report",), force=True)
    assert whole.workspace.report_folder().name == before
    assert whole.plan().stale == ()
