"""The diagnosis in the graph: a gate without being an input, and a stop that is no failure."""

import json
from pathlib import Path

import dagster as dg
import pytest

from domain_embed.definitions import build_definitions
from domain_embed.defs.diagnosis import held_back
from domain_embed.defs.work import Work
from domain_embed.promotion.champion import PromotionLog
from domain_embed.stores.workspace import BASE, LIVE
from domain_embed_tests.whole import DOMAIN, Whole

AFTER = ("checkpoint", "collection", "eval_report", "champion", "served_quality")


def speak_against(whole: Whole, *, of_other_splits: bool = False) -> None:
    """Puts a "no" where the stored diagnosis of this small domain leaves it open."""
    path = whole.workspace.root / "diagnosis" / "diagnosis.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["recommendation"] |= {"fine_tune": "no", "headline": "BM25 alone, do not fine-tune", "lever": "bm25"}
    if of_other_splits:
        stored["splits_version"] = "another"
    path.write_text(json.dumps(stored), encoding="utf-8")


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


def test_a_no_stops_before_training_and_is_no_failure(whole: Whole) -> None:
    speak_against(whole)
    forget_live(whole)
    moves = len(PromotionLog(whole.workspace.promotions).read())
    whole.edit("training", learning_rate=9e-5)
    outcome = whole.run()
    assert outcome is not None
    assert outcome.not_made == AFTER
    assert dict(outcome.worked) == {}
    assert whole.workspace.aliased(LIVE) == whole.workspace.aliased(BASE)
    (move,) = PromotionLog(whole.workspace.promotions).read()[moves:]
    assert "the diagnosis speaks against training: BM25 alone, do not fine-tune" in move.reason
    assert whole.workspace.tuned_weight(whole.workspace.aliased(BASE)) is not None
    assert whole.plan().stale == ("checkpoint",)


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


def test_what_is_live_stays_live(whole: Whole) -> None:
    live = whole.workspace.aliased(LIVE)
    speak_against(whole)
    whole.edit("training", learning_rate=9e-5)
    assert whole.run(("checkpoint",)).not_made == ("checkpoint",)  # type: ignore[union-attr]
    assert whole.workspace.aliased(LIVE) == live


@pytest.mark.parametrize("way", ["force", "other splits"])
def test_it_is_trained_all_the_same(whole: Whole, way: str) -> None:
    """By force, or where the diagnosis is not about these judgments."""
    speak_against(whole, of_other_splits=way == "other splits")
    whole.edit("training", learning_rate=9e-5, epochs=1)
    outcome = whole.run(("checkpoint",), force=way == "force")
    assert outcome is not None
    assert tuple(outcome.worked) == ("checkpoint",)


def test_continue_is_a_setting(whole: Whole) -> None:
    whole.edit("diagnosis", on_negative="continue")
    plan = whole.plan()
    assert plan.stale == ("diagnosis",)
    assert plan.may_run == ()
    outcome = whole.run()
    assert outcome is not None
    assert tuple(outcome.worked) == ("diagnosis",)
    speak_against(whole)
    settings = whole.workspace.settings
    work = Work(whole.workspace, settings, None, None, forced=False)  # type: ignore[arg-type]
    assert held_back(work) is None


def test_another_way_to_cut_is_a_lever(whole: Whole) -> None:
    whole.edit("diagnosis", chunkings=[{"strategy": "sentences", "max_tokens": 32}])
    graph = build_definitions(whole.environment).resolve_asset_graph()
    parents = graph.get(dg.AssetKey([DOMAIN, "diagnosis"])).parent_keys
    assert dg.AssetKey([DOMAIN, "documents"]) in parents
    whole.run(("diagnosis",))
    (lever,) = [one for one in whole.workspace.diagnosis()["levers"] if one["name"].startswith("chunking:")]
    assert lever["title"] == "Passages by sentences, 32 tokens"
    assert lever["kind"] == "measured"
    assert lever["reembeds"] >= whole.workspace.tables.read("passages").count
    assert whole.plan().stale == ()
