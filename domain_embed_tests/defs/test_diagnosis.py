"""The diagnosis in the graph, and a "no" that is a road like any other."""

import json
from pathlib import Path

import dagster as dg
import pytest

from domain_embed.cutover import promote_challenger, roll_back_model
from domain_embed.definitions import build_definitions
from domain_embed.defs.decision import decide_training
from domain_embed.defs.runs import open_instance
from domain_embed.defs.staleness import DATA_VERSION_TAG
from domain_embed.promotion.champion import PromotionLog
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace
from domain_embed_tests.whole import DOMAIN, Whole


def speak_against(whole: Whole, *, advice: str = "no", headline: str = "BM25 alone, do not fine-tune") -> None:
    """Puts a "no" where the stored diagnosis of this small domain leaves it open, or takes it away; decides by it."""
    path = whole.workspace.root / "diagnosis" / "diagnosis.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["recommendation"] |= {"fine_tune": advice, "headline": headline, "lever": "bm25"}
    path.write_text(json.dumps(stored), encoding="utf-8")
    whole.run(("training_decision",), force=True)


def forget_live(whole: Whole) -> None:
    """As if nothing had ever been promoted."""
    path = whole.workspace.root / "index" / "aliases.json"
    aliases = json.loads(path.read_text(encoding="utf-8"))
    del aliases[LIVE]
    path.write_text(json.dumps(aliases), encoding="utf-8")


def test_small_domain_is_diagnosed_and_left_open(finished: Whole) -> None:
    stored = finished.workspace.diagnosis()
    assert stored["recommendation"]["fine_tune"] == "open"
    assert stored["queries"] >= 30
    assert stored["splits_version"] == finished.workspace.tables.read("splits").version
    assert finished.metadata("diagnosis")["recommendation"] == stored["recommendation"]["headline"]
    assert finished.metadata("diagnosis")["failures"] == stored["failures"]


ROAD = ("checkpoint", "collection", "eval_report", "champion")


def made(whole: Whole, asset: str) -> tuple[str, str]:
    """The run that made an asset's last result, and the result's version."""
    with open_instance(whole.environment) as instance:
        record = instance.get_latest_materialization_event(dg.AssetKey([DOMAIN, asset]))
        assert record is not None
        assert record.asset_materialization is not None
        return record.run_id, (record.asset_materialization.tags or {})[DATA_VERSION_TAG]


def test_a_no_is_a_road_like_any_other(whole: Whole) -> None:
    """Every step makes its own result in the same run, and the base model goes live where nothing was."""
    before = {asset: made(whole, asset) for asset in ROAD}
    speak_against(whole)
    forget_live(whole)
    moves = len(PromotionLog(whole.workspace.promotions).read())
    whole.edit("training", learning_rate=9e-5)
    outcome = whole.run()
    assert outcome is not None
    assert tuple(outcome.worked) == ROAD
    after = {asset: made(whole, asset) for asset in ROAD}
    assert {run for run, _ in after.values()} == {outcome.run_id}
    assert all(after[asset][1] != before[asset][1] for asset in ("checkpoint", "collection", "eval_report"))
    base = whole.workspace.aliased(BASE)
    assert after["collection"][1] == after["champion"][1] == base
    assert whole.workspace.aliased(LIVE) == whole.workspace.aliased(CHALLENGER) == base
    told = "the base model, and nothing is trained: the diagnosis speaks against training: BM25 alone, do not fine-tune"
    assert whole.metadata("checkpoint")["kept"] == told
    assert whole.metadata("collection")["embedded"] == 0
    assert whole.metadata("champion")["decision"] == "refreshed"
    (move,) = PromotionLog(whole.workspace.promotions).read()[moves:]
    assert "the diagnosis speaks against training: BM25 alone, do not fine-tune" in move.reason
    assert whole.workspace.tuned_weight(base) is not None
    assert whole.plan().stale == ()
    assert whole.run() is None


def test_the_checkpoint_writes_no_report_and_moves_no_alias(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen on every write of a report, an alias and a promotion while the checkpoint alone runs."""
    written: list[str] = []
    for owner, name in ((Workspace, "save_report"), (EdgeStore, "set_alias"), (PromotionLog, "append")):
        monkeypatch.setattr(owner, name, lambda *args, seen=name, **options: written.append(seen))
    speak_against(whole)
    whole.edit("training", learning_rate=9e-5)
    outcome = whole.run(("checkpoint",))
    assert outcome is not None
    assert tuple(outcome.worked) == ("checkpoint",)
    assert written == []
    assert whole.workspace.kept_base is not None


def test_an_equal_no_is_the_same_version_whatever_its_words(whole: Whole) -> None:
    speak_against(whole)
    whole.edit("training", learning_rate=9e-5)
    whole.run(("checkpoint",))
    _, version = made(whole, "checkpoint")
    speak_against(whole, headline="hybrid, do not fine-tune")
    whole.edit("training", learning_rate=8e-5)
    outcome = whole.run(("checkpoint", "collection"))
    assert outcome is not None
    assert tuple(outcome.worked) == ("checkpoint", "collection")
    assert made(whole, "checkpoint")[1] == version
    kept = whole.workspace.kept_base
    assert kept is not None
    assert kept.reason == "the diagnosis speaks against training: hybrid, do not fine-tune"


@pytest.mark.parametrize("way", ["continue", "another diagnosis"])
def test_what_was_held_back_is_trained_once_nothing_speaks_against_it(whole: Whole, way: str) -> None:
    speak_against(whole)
    trained = whole.workspace.newest_checkpoint
    whole.edit("training", learning_rate=9e-5, epochs=1)
    whole.run()
    assert whole.workspace.newest_checkpoint == trained
    if way == "continue":
        whole.edit("diagnosis", on_negative="continue")
        assert whole.plan().stale == ("diagnosis", "training_decision")
    else:
        speak_against(whole, advice="open")
        assert whole.plan().statuses["checkpoint"].causes == ("training_decision has new content",)
    whole.run()
    assert whole.workspace.kept_base is None
    assert whole.workspace.newest_checkpoint != trained
    tuned = whole.workspace.vector_store.open(whole.workspace.aliased(CHALLENGER)).info
    assert tuned.fingerprint == whole.workspace.newest_checkpoint
    report = whole.workspace.latest_report()
    assert report["evidence"]["challenger_fingerprint"] == tuned.fingerprint
    assert "untrained" not in report
    assert whole.plan().stale == ()


def test_a_stop_reports_the_untuned_systems_once(whole: Whole) -> None:
    speak_against(whole)
    whole.edit("training", learning_rate=9e-5)
    before = whole.workspace.latest_report()
    whole.run()
    report = whole.workspace.latest_report()
    assert report["verdict"]["promote"] is False
    told = "Nothing was trained: the diagnosis speaks against training: BM25 alone, do not fine-tune."
    assert report["verdict"]["reasons"] == [told]
    evidence = report["evidence"]
    assert evidence["challenger_fingerprint"] == evidence["baseline_fingerprint"]
    assert evidence["systems"]["tuned/dense"] == evidence["systems"]["base/dense"]
    for system in ("base/dense", "base/hybrid", "bm25"):
        assert evidence["systems"][system] == pytest.approx(before["evidence"]["systems"][system])
    page = Path(report["html"])
    shown = page.read_text(encoding="utf-8")
    assert told in shown
    assert "tuned/dense" not in shown
    compared = {(one["challenger"], one["baseline"]) for one in evidence["comparisons"]}
    assert compared >= {("bm25", "base/dense"), ("base/hybrid", "base/dense")}
    made_at = page.stat().st_mtime_ns
    whole.run()
    assert page.stat().st_mtime_ns == made_at
    assert whole.workspace.latest_report() == report


def test_a_live_tuned_model_stays_live_and_can_be_rolled_back(whole: Whole) -> None:
    promote_challenger(whole.workspace, reason="wanted", force=True)
    live, base = whole.workspace.aliased(LIVE), whole.workspace.aliased(BASE)
    assert live != base
    speak_against(whole)
    whole.edit("training", learning_rate=9e-5)
    whole.run()
    assert whole.workspace.aliased(LIVE) == live
    assert whole.metadata("champion")["decision"] == "kept"
    assert whole.workspace.aliased(CHALLENGER) == base
    assert whole.workspace.latest_report()["evidence"]["champion_fingerprint"] == live_model(whole)
    assert roll_back_model(whole.workspace).target == base
    assert live in {info.name for info in whole.workspace.vector_store.collections()}


def live_model(whole: Whole) -> str:
    return whole.workspace.vector_store.open(whole.workspace.aliased(LIVE)).info.fingerprint


def test_force_trains_all_the_same(whole: Whole) -> None:
    speak_against(whole)
    whole.edit("training", learning_rate=9e-5, epochs=1)
    outcome = whole.run(("checkpoint",), force=True)
    assert outcome is not None
    assert tuple(outcome.worked) == ("checkpoint",)
    assert whole.workspace.kept_base is None
    assert "checkpoint" not in whole.plan().stale


def test_continue_is_a_setting(whole: Whole) -> None:
    whole.edit("diagnosis", on_negative="continue")
    plan = whole.plan()
    assert plan.stale == ("diagnosis", "training_decision")
    assert plan.may_run == ("checkpoint", "collection", "eval_report", "champion", "served_quality")
    outcome = whole.run()
    assert outcome is not None
    assert tuple(outcome.worked) == ("diagnosis", "training_decision")
    speak_against(whole)
    workspace = whole.workspace
    decided = decide_training(workspace.quality(), workspace.diagnosis(), workspace.settings)
    assert decided == workspace.training_decision()
    assert decided.answer == "train"


def test_another_way_to_cut_is_a_lever(whole: Whole) -> None:
    whole.edit("diagnosis", chunkings=[{"strategy": "sentences", "max_tokens": 32}])
    graph = build_definitions(whole.environment).resolve_asset_graph()
    parents = graph.get(dg.AssetKey([DOMAIN, "diagnosis"])).parent_keys
    assert dg.AssetKey([DOMAIN, "documents"]) in parents
    whole.run(("diagnosis", "training_decision"))
    (lever,) = [one for one in whole.workspace.diagnosis()["levers"] if one["name"].startswith("chunking:")]
    assert lever["title"] == "Passages by sentences, 32 tokens"
    assert lever["kind"] == "measured"
    assert lever["reembeds"] >= whole.workspace.tables.read("passages").count
    assert whole.plan().stale == ()
