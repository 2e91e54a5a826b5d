"""The training decision in the graph: what changes it, what reads it, and that nothing is trained without it."""

import json
from typing import Any

import dagster as dg
import pytest

from domain_embed.contracts.errors import NotReadyError
from domain_embed.definitions import build_definitions
from domain_embed.defs.decision import decide_training
from domain_embed.defs.graph import in_order
from domain_embed.defs.runs import open_instance
from domain_embed.defs.staleness import DATA_VERSION_TAG, input_tag, last_materialization
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import TrainingDecision
from domain_embed_tests.whole import DOMAIN, Whole

QUALITY: dict[str, Any] = {"splits_version": "s1", "blocking": False, "verdict": "Nothing is wrong."}
DIAGNOSIS: dict[str, Any] = {
    "domain": DOMAIN, "splits_version": "s1", "base_fingerprint": "b1",
    "recommendation": {"fine_tune": "no", "headline": "BM25 alone, do not fine-tune"},
}  # fmt: skip


def decided(quality: dict[str, Any], fine_tune: str, **settings: Any) -> str:
    advice = {**DIAGNOSIS["recommendation"], "fine_tune": fine_tune}
    chosen = DomainSettings.model_validate(settings)
    return decide_training(quality, {**DIAGNOSIS, "recommendation": advice}, chosen).answer


def test_the_decision_follows_from_both_reports_and_the_settings() -> None:
    blocking = {**QUALITY, "blocking": True}
    assert [decided(QUALITY, answer) for answer in ("yes", "open", "no")] == ["train", "train", "keep base"]
    assert decided(blocking, "yes") == decided(blocking, "no") == "stop"
    assert decided(blocking, "no", diagnosis={"on_negative": "continue"}) == "stop"
    assert decided(QUALITY, "no", diagnosis={"on_negative": "continue"}) == "train"
    assert decided(QUALITY, "no", training={"method": {"kind": "query_adapter"}}) == "train"
    with pytest.raises(NotReadyError, match="about different splits") as caught:
        decided({**QUALITY, "splits_version": "s0"}, "yes")
    assert f"domain-embed run {DOMAIN} --select quality_report,diagnosis,training_decision" in str(caught.value)
    found = decide_training(QUALITY, DIAGNOSIS, DomainSettings())
    told = "the diagnosis speaks against training: BM25 alone, do not fine-tune"
    assert found == TrainingDecision("keep base", told, "s1", "b1")


def version(whole: Whole, asset: str) -> str:
    with open_instance(whole.environment) as instance:
        made = last_materialization(instance, dg.AssetKey([DOMAIN, asset]))
    assert made is not None
    return (made.tags or {})[DATA_VERSION_TAG]


def test_a_report_that_changes_without_changing_the_decision_retrains_nothing(whole: Whole) -> None:
    before = {asset: version(whole, asset) for asset in ("quality_report", "training_decision")}
    whole.edit("quality", min_characters=80, severity={"short_text": "info"})
    assert whole.plan().stale == ("quality_report",)
    outcome = whole.run()
    assert outcome is not None
    assert tuple(outcome.worked) == ("quality_report", "training_decision")
    assert "checkpoint" in outcome.reused
    assert version(whole, "quality_report") != before["quality_report"]
    assert version(whole, "training_decision") == before["training_decision"]
    assert whole.plan().stale == ()


def test_nothing_is_trained_on_new_splits_before_it_is_decided(whole: Whole) -> None:
    trained = whole.workspace.newest_checkpoint
    with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps({"query": f"dead rows {n}", "passage_id": "pg-vacuum"}) + "\n" for n in range(3))
    whole.edit("training", epochs=1)
    whole.run(("labels", "judgments", "splits", "hard_negatives"))
    with pytest.raises(NotReadyError, match="the training decision is about other splits") as caught:
        whole.run(("checkpoint",))
    assert f"`domain-embed run {DOMAIN} --select quality_report,diagnosis,training_decision`" in str(caught.value)
    with pytest.raises(NotReadyError, match="about different splits"):
        whole.run(("quality_report", "training_decision"))
    assert whole.workspace.newest_checkpoint == trained
    outcome = whole.run(("diagnosis", "training_decision", "checkpoint"))
    assert outcome is not None
    assert tuple(outcome.worked) == ("diagnosis", "training_decision", "checkpoint")
    assert whole.workspace.newest_checkpoint != trained


def forget_decision(whole: Whole) -> None:
    """As a workspace of before there was a decision: no step has made one, and none has read one."""
    (whole.workspace.root / "decision" / "decision.json").unlink()
    decision, checkpoint = (dg.AssetKey([DOMAIN, name]) for name in ("training_decision", "checkpoint"))
    with open_instance(whole.environment) as instance:
        made = last_materialization(instance, checkpoint)
        assert made is not None
        tags = {tag: value for tag, value in (made.tags or {}).items() if tag != input_tag(decision)}
        instance.wipe_assets([decision])
        kept = dg.AssetMaterialization(checkpoint, metadata=made.metadata, tags=tags)
        instance.report_runless_asset_event(kept)


def test_a_model_that_was_trained_before_there_was_a_decision_is_not_trained_again(whole: Whole) -> None:
    trained, made = whole.workspace.newest_checkpoint, version(whole, "checkpoint")
    forget_decision(whole)
    assert whole.plan().stale == ("training_decision",)
    outcome = whole.run()
    assert outcome is not None
    assert tuple(outcome.worked) == ("training_decision",)
    assert "checkpoint" in outcome.reused
    assert (whole.workspace.newest_checkpoint, version(whole, "checkpoint")) == (trained, made)
    with open_instance(whole.environment) as instance:
        kept = last_materialization(instance, dg.AssetKey([DOMAIN, "checkpoint"]))
    assert kept is not None
    read = (kept.tags or {})[input_tag(dg.AssetKey([DOMAIN, "training_decision"]))]
    assert read == version(whole, "training_decision")
    assert whole.plan().stale == ()


def names(settings: DomainSettings) -> list[str]:
    return [recipe.name for recipe in in_order(settings)]


def test_the_diagnosis_weighs_a_finished_reranker_and_a_trained_one_waits_for_the_decision(whole: Whole) -> None:
    finished, trained = (DomainSettings.model_validate({"reranker": {"source": one}}) for one in ("given", "train"))
    order = names(finished)
    assert order.index("reranker") < order.index("diagnosis") < order.index("training_decision")
    order = names(trained)
    assert order.index("diagnosis") < order.index("training_decision") < order.index("reranker")
    parents = {}
    for source in ("none", "train", "given"):
        whole.edit("reranker", source=source)
        graph = build_definitions(whole.environment).resolve_asset_graph()
        parents[source] = {
            asset: {key.path[-1] for key in graph.get(dg.AssetKey([DOMAIN, asset])).parent_keys}
            for asset in ("diagnosis", "reranker")
        }
    assert {source: "reranker" in found["diagnosis"] for source, found in parents.items()} == {
        "none": False, "train": False, "given": True,
    }  # fmt: skip
    assert {source: "training_decision" in found["reranker"] for source, found in parents.items()} == {
        "none": False, "train": True, "given": False,
    }  # fmt: skip
