"""The whole graph on a small domain, with the real base model, Dagster instance, MLflow store and Qdrant Edge."""

import json
import os
import sqlite3

import dagster as dg
import pytest
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from sqlalchemy.exc import OperationalError

from domain_embed.contracts.errors import (
    InputError,
    ModelMismatchError,
    NotReadyError,
    SettingsError,
    StoreError,
    TrainingError,
)
from domain_embed.contracts.records import Verdict
from domain_embed.definitions import build_definitions
from domain_embed.defs.runs import open_instance
from domain_embed.judgments.review import Decision, record_decisions
from domain_embed.promotion.champion import Move, PromotionLog, roll_back, settle
from domain_embed.retrieval.searcher import Searcher
from domain_embed.stores.tracking import Tracking, registered_name
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE
from domain_embed_tests.whole import DOMAIN, EVERYTHING, Whole


def test_first_run_makes_everything_and_the_second_nothing(finished: Whole) -> None:
    plan = finished.plan()
    assert plan.stale == ()
    assert plan.may_run == ()
    assert finished.run() is None
    assert set(plan.last_seconds) == set(EVERYTHING)


def test_asset_graph_reads_as_designed(finished: Whole) -> None:
    definitions = build_definitions(finished.environment)
    graph = definitions.resolve_asset_graph()
    parents = {
        key.path[-1]: {parent.path[-1] for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }  # fmt: skip
    assert parents == {
        "corpus_files": set(),
        "label_files": set(),
        "review_decisions": set(),
        "query_log": set(),
        "live": set(),
        "learning_curve": set(),
        "documents": {"corpus_files"},
        "passages": {"documents"},
        "withheld": {"documents", "passages"},
        "live_collection": {"passages", "withheld"},
        "base_collection": {"passages"},
        "labels": {"label_files"},
        "synthetic_queries": {"labels", "passages", "base_collection"},
        "judgments": {"labels", "synthetic_queries", "review_decisions", "passages", "base_collection"},
        "splits": {"judgments"},
        "quality_report": {"passages", "labels", "judgments", "splits", "base_collection"},
        "diagnosis": {"labels", "judgments", "splits", "passages", "base_collection"},
        "hard_negatives": {"splits", "judgments", "base_collection"},
        "reranker": {"splits", "hard_negatives"},
        "training_decision": {"quality_report", "diagnosis"},
        "checkpoint": {"splits", "hard_negatives", "training_decision"},
        "collection": {"checkpoint", "passages"},
        "eval_report": {
            "splits",
            "judgments",
            "labels",
            "passages",
            "base_collection",
            "checkpoint",
            "collection",
            "reranker",
            "live",
            "learning_curve",
        },
        "champion": {"passages", "base_collection", "collection", "eval_report"},
        "served_quality": {"query_log", "champion"},
    }
    dg.Definitions.validate_loadable(definitions)


def test_dagsters_own_staleness_agrees_that_all_is_fresh(finished: Whole) -> None:
    """The UI shows Dagster's; a difference would make people run what need not run."""
    definitions = build_definitions(finished.environment)
    with open_instance(finished.environment) as instance:
        graph = definitions.resolve_asset_graph()
        view = AssetGraphView.for_test(definitions, instance=instance)
        resolver = CachingStaleStatusResolver(instance, graph, view)
        found = {key.path[-1]: resolver.get_status(key) for key in graph.get_all_asset_keys()}
    assert found == dict.fromkeys(found, StaleStatus.FRESH)


def test_checks_of_a_good_domain_pass(finished: Whole) -> None:
    with open_instance(finished.environment) as instance:
        definitions = build_definitions(finished.environment)
        results = {}
        for key in definitions.resolve_asset_graph().asset_check_keys:
            records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
            evaluation = records[0].event.dagster_event.event_specific_data  # type: ignore[union-attr]
            results[key.name] = evaluation.passed  # type: ignore[union-attr]
    assert results["runbooks_no_leakage"] is True
    assert results["runbooks_quality"] is (not _warnings(finished))
    assert results["runbooks_base_collection_parity"] is True
    assert results["runbooks_collection_parity"] is True
    assert results["runbooks_verdict"] == finished.workspace.latest_report()["verdict"]["promote"]


@pytest.mark.parametrize("section", ["training"])
def test_changed_training_section_runs_checkpoint_and_what_follows(whole: Whole, section: str) -> None:
    whole.edit(section, learning_rate=2e-4)
    plan = whole.plan()
    assert plan.stale == ("checkpoint",)
    assert plan.statuses["checkpoint"].causes == ("training: settings changed (learning_rate is 0.0002, was 5e-05)",)
    assert plan.may_run == ("collection", "eval_report", "champion", "served_quality")
    outcome = whole.run()
    assert outcome is not None
    assert {"checkpoint", "collection", "eval_report", "champion"} <= set(outcome.worked)
    # What is live may have stayed the same, and then what it serves is not judged again.
    assert {*outcome.worked, *outcome.reused} == {*plan.stale, *plan.may_run}
    assert whole.plan().stale == ()


def test_touched_and_rewritten_files_cost_nothing_downstream(whole: Whole) -> None:
    (whole.folder / "corpus.jsonl").touch()
    assert whole.plan().stale == ()
    whole.write_corpus(list(reversed(whole.corpus())), separators=(" ,", " : "))
    plan = whole.plan()
    assert plan.stale == ("documents",)
    assert plan.statuses["documents"].causes == ("corpus_files has new content",)
    outcome = whole.run()
    assert outcome is not None
    assert tuple(outcome.worked) == ("documents",)
    assert set(outcome.reused) == set(EVERYTHING) - {"documents", "labels"}
    assert whole.plan().stale == ()


def test_reused_asset_keeps_its_metadata(whole: Whole) -> None:
    before = whole.metadata("checkpoint")
    whole.write_corpus(list(reversed(whole.corpus())))
    whole.run()
    after = whole.metadata("checkpoint")
    assert after.pop("reused") is True
    assert before.pop("reused") is False
    assert after == before


def test_changed_document_is_the_only_one_embedded_again(whole: Whole) -> None:
    rows = whole.corpus()
    rows[0]["text"] += " Reviewed this spring."
    whole.write_corpus(rows)
    workspace = whole.workspace
    live, base = (workspace.vector_store.open(workspace.aliased(alias)).info for alias in (LIVE, BASE))
    outcome = whole.run()
    assert outcome is not None
    assert {"documents", "passages", "live_collection", "base_collection", "collection"} <= set(outcome.worked)
    served_by_base = live.fingerprint == base.fingerprint  # then live_collection has embedded it before
    assert whole.metadata("base_collection")["embedded"] == (0 if served_by_base else 1)
    if "checkpoint" in outcome.reused:
        assert whole.metadata("collection")["embedded"] == 1
    hits = whole.workspace.searcher(whole.workspace.aliased(LIVE)).search(rows[0]["title"], 3)
    assert any("Reviewed this spring" in hit.text for hit in hits)


def test_changed_judgment_leaves_the_corpus_side_alone(whole: Whole) -> None:
    with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"query": "a brand new question", "passage_id": whole.corpus()[0]["_id"]}) + "\n")
    plan = whole.plan()
    assert plan.stale == ("labels",)
    assert not {"documents", "passages", "base_collection"} & {*plan.stale, *plan.may_run}


def test_a_decision_of_a_person_reaches_the_judgments(whole: Whole) -> None:
    row = whole.workspace.tables.read("splits").read().to_pylist()[0]
    decision = Decision(row["query"], row["passage_id"], "relevant", grade=7, reviewer="eva")
    record_decisions(whole.folder / "decisions.jsonl", [decision])
    plan = whole.plan()
    assert plan.stale == ("judgments",)
    assert plan.statuses["judgments"].causes == ("review_decisions has new content",)
    outcome = whole.run(("judgments", "splits"))
    assert outcome is not None
    rows = whole.workspace.tables.read("splits").read().to_pylist()
    grades = {(one["query_id"], one["passage_id"]): one["grade"] for one in rows}
    assert grades[row["query_id"], row["passage_id"]] == 7


def test_an_error_of_the_quality_report_stops_training_even_alone(whole: Whole) -> None:
    whole.edit("quality", severity={"near_duplicate_query": "error"})
    copies = [
        {"query": text, "passage_id": whole.corpus()[0]["_id"]}
        for text in ("how do I promote the standby to be the leader", "How do I promote the standby to be the leader ?")
    ]
    with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in copies)
    with pytest.raises((TrainingError, dg.DagsterError)):
        whole.run()
    assert whole.workspace.quality()["blocking"] is True
    with pytest.raises(NotReadyError, match="about other splits"):
        whole.run(("checkpoint",))
    whole.run(("diagnosis", "training_decision"))
    with pytest.raises(TrainingError, match="the quality report stops training"):
        whole.run(("checkpoint",))
    whole.edit("reranker", source="train")
    with pytest.raises(TrainingError, match="the quality report stops training"):
        whole.run(("reranker",))


def test_forced_selection_runs_just_that(whole: Whole) -> None:
    outcome = whole.run(("splits",), force=True)
    assert outcome is not None
    assert tuple(outcome.worked) == ("splits",)
    assert whole.plan().stale == ()


def test_unforced_selection_of_a_fresh_asset_reuses_it(whole: Whole) -> None:
    outcome = whole.run(("splits",))
    assert outcome is not None
    assert (dict(outcome.worked), outcome.reused) == ({}, ("splits",))


def test_unknown_asset_is_named(finished: Whole) -> None:
    with pytest.raises(SettingsError, match=r"no asset 'chekpoint'\n.*assets: documents, passages"):
        finished.run(("chekpoint",))


def test_broken_corpus_fails_the_run_and_changes_nothing(whole: Whole) -> None:
    live, tables = whole.workspace.aliased(LIVE), whole.workspace.tables
    version = tables.read("documents").version
    with (whole.folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": "broken"\n')
    with pytest.raises(InputError, match=r"corpus\.jsonl, line \d+: malformed JSON"):
        whole.run()
    assert tables.read("documents").version == version
    assert whole.workspace.aliased(LIVE) == live
    assert whole.plan().stale == ("documents",)


def test_a_database_that_fails_in_the_middle_is_a_store_error(finished: Whole) -> None:
    """So a full disk shows where Dagster or MLflow write next."""
    with pytest.raises(StoreError, match=r"a database cannot be used \(disk I/O error\)"), \
            open_instance(finished.environment):  # fmt: skip
        raise OperationalError("insert", {}, sqlite3.OperationalError("disk I/O error"))


def test_champion_alone_refuses_a_failed_verdict(whole: Whole) -> None:
    """A blocking check blocks only inside one run; `champion` reads the stored verdict itself."""
    workspace = whole.workspace
    base = workspace.aliased(BASE)
    workspace.vector_store.set_alias(LIVE, base)
    whole.edit("promotion", min_gain=0.9)
    whole.run(("eval_report",))
    outcome = whole.run(("champion",))
    assert outcome is not None
    assert "champion" in outcome.worked
    assert workspace.aliased(LIVE) == base
    assert whole.metadata("champion")["decision"] == "kept"
    assert "0.9" in whole.metadata("champion")["reason"]


def test_champion_refuses_a_verdict_about_another_checkpoint(whole: Whole) -> None:
    workspace = whole.workspace
    workspace.vector_store.set_alias(LIVE, workspace.aliased(BASE))
    whole.edit("training", learning_rate=3e-4)
    whole.run(("checkpoint", "collection"))
    whole.run(("champion",), force=True)
    assert workspace.aliased(LIVE) == workspace.aliased(BASE)
    assert "materialize eval_report first" in whole.metadata("champion")["reason"]


def test_query_model_of_another_collection_is_refused(finished: Whole) -> None:
    workspace = finished.workspace
    store = workspace.vector_store
    base, tuned = store.open(workspace.aliased(BASE)), store.open(workspace.aliased(CHALLENGER))
    with pytest.raises(ModelMismatchError, match=base.info.fingerprint) as caught:
        Searcher(tuned, workspace.encoder_of(base.info), workspace.settings.retrieval)
    assert tuned.info.fingerprint in str(caught.value)


@pytest.mark.parametrize("before", [None, "http://somewhere.else:5000"])
def test_registering_a_model_leaves_the_process_as_it_was(
    whole: Whole, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    if before is None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", before)
    outcome = whole.run(("checkpoint",), force=True)
    assert outcome is not None
    assert list(outcome.worked) == ["checkpoint"]
    assert os.environ.get("MLFLOW_TRACKING_URI") == before


def test_figures_and_model_reach_mlflow(finished: Whole) -> None:
    client = Tracking(None, finished.home / ".store" / "mlflow").client()
    experiment = client.get_experiment_by_name(f"domain-embed/{DOMAIN}")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=100)
    nested = {run.data.tags["asset"]: run for run in runs if "asset" in run.data.tags}
    parents = [run for run in runs if "asset" not in run.data.tags]
    assert set(nested) == set(EVERYTHING)
    assert len(parents) == 1
    assert all(run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id for run in nested.values())
    assert all(run.info.status == "FINISHED" for run in runs)
    checkpoint = nested["checkpoint"]
    losses = client.get_metric_history(checkpoint.info.run_id, "loss")
    assert [point.step for point in losses] == list(range(1, len(losses) + 1))
    assert checkpoint.data.params["learning_rate"] == str(finished.workspace.settings.training.learning_rate)
    report = finished.workspace.latest_report()["evidence"]
    ndcg = nested["eval_report"].data.metrics["tuned/dense/nDCG_at_10"]
    assert ndcg == pytest.approx(report["systems"]["tuned/dense"]["nDCG@10"])
    assert [file.path for file in client.list_artifacts(nested["eval_report"].info.run_id)] == ["report.json"]
    challenger = client.get_model_version_by_alias(registered_name(DOMAIN), "challenger")
    assert challenger.tags["fingerprint"] == report["challenger_fingerprint"]


def test_rollback_restores_the_earlier_model_and_holds_the_later_back(whole: Whole) -> None:
    workspace = whole.workspace
    base, tuned = workspace.aliased(BASE), workspace.aliased(CHALLENGER)
    log = PromotionLog(workspace.promotions)
    _promote(whole)
    assert workspace.aliased(LIVE) == tuned
    move = roll_back(workspace.vector_store, log, LIVE)
    assert (move.source, move.target) == (tuned, base)
    assert workspace.aliased(LIVE) == base
    stays = settle_with(whole, Verdict(True, ("better",)))
    assert stays.action == "kept"
    assert "rolled back" in stays.reason
    assert workspace.aliased(LIVE) == base


def _warnings(whole: Whole) -> bool:
    checks = whole.workspace.quality()["checks"].values()
    return any(check["count"] and check["severity"] in ("warn", "error") for check in checks)


def _promote(whole: Whole) -> None:
    """A dozen test queries prove little; these tests are about what follows a promotion."""
    whole.workspace.vector_store.set_alias(LIVE, whole.workspace.aliased(BASE))
    assert settle_with(whole, Verdict(True, ("better",))).action == "promoted"


def settle_with(whole: Whole, verdict: Verdict) -> Move:
    workspace = whole.workspace
    infos = {info.name: info for info in workspace.vector_store.collections()}
    base, tuned = infos[workspace.aliased(BASE)], infos[workspace.aliased(CHALLENGER)]
    return settle(
        workspace.vector_store, PromotionLog(workspace.promotions), LIVE, verdict, tuned,
        {base.fingerprint: base, tuned.fingerprint: tuned}, base.fingerprint, lambda info: None,
    )  # fmt: skip
