"""The checkpoint as an asset: what it says of itself, a training that helps nobody, and one that has a teacher."""

import json
from typing import Any

import dagster as dg
import pytest

from domain_embed.contracts.errors import SettingsError, TrainingError
from domain_embed.definitions import build_definitions
from domain_embed.files import RECORD_FILE
from domain_embed.promotion.verdict import NOTHING_TUNED
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE
from domain_embed_tests.defs.test_mining_and_reranker import SMALL
from domain_embed_tests.training.test_probes import beir
from domain_embed_tests.whole import DOMAIN, Whole


def record_of(whole: Whole) -> dict[str, Any]:
    """What the newest checkpoint's folder says of its making."""
    fingerprint = whole.workspace.newest_checkpoint
    assert fingerprint is not None
    record: dict[str, Any] = json.loads((whole.workspace.checkpoints / fingerprint / RECORD_FILE).read_text())
    return record


def test_record_and_metadata_agree_on_the_mixture_that_was_kept(finished: Whole) -> None:
    record, metadata = record_of(finished), finished.metadata("checkpoint")
    [kept] = [point for point in record["interpolation"] if point["alpha"] == record["alpha"]]
    assert metadata["validation_ndcg_at_10"] == pytest.approx(kept["validation"])
    best = max(record["interpolation"], key=lambda point: point["validation"])
    assert kept == best or best["validation"] - kept["validation"] < best["error"]
    assert metadata["base_validation_ndcg_at_10"] == pytest.approx(record["interpolation"][0]["validation"])
    assert record["forgetting"] == {"base": {}, "tuned": {}}
    assert record["trials"] == [{"learning_rate": 5e-5, "validation": record["history"]["validation"]}]
    shown = [row.data["alpha"] for row in metadata["mixtures"].records]
    assert shown == [f"{point['alpha']:.4f}" for point in record["interpolation"]]


def test_a_training_that_teaches_nothing_ends_with_the_base_model_and_says_so(whole: Whole) -> None:
    """Steps too small to change a ranking: all mixtures are equal, and of equals the base model is taken."""
    workspace = whole.workspace
    workspace.vector_store.set_alias(LIVE, workspace.aliased(BASE))
    whole.edit("training", learning_rate=1e-12)
    whole.run()
    base = workspace.vector_store.open(workspace.aliased(BASE)).info
    assert workspace.aliased(CHALLENGER) == base.name
    made = whole.metadata("checkpoint")
    assert made["model fingerprint"] == base.fingerprint
    assert made["kept"].startswith("the base model as it is: ")
    record = record_of(whole)
    assert record["fingerprint"] == base.fingerprint
    assert record["alpha"] == 0
    assert [point["alpha"] for point in record["interpolation"]] == [0.0, 0.5, 0.75, 1.0]
    assert record["interpolation"][0]["validation"] >= max(point["validation"] for point in record["interpolation"])
    verdict = workspace.latest_report()["verdict"]
    assert verdict == {"promote": False, "reasons": [NOTHING_TUNED], "objections": 1, "open": 0, "untuned": ""}
    assert workspace.aliased(LIVE) == base.name
    assert whole.plan().stale == ()


def parents(whole: Whole) -> set[str]:
    graph = build_definitions(whole.environment).resolve_asset_graph()
    return {key.path[-1] for key in graph.get(dg.AssetKey([DOMAIN, "checkpoint"])).parent_keys}


def test_a_checkpoint_reads_the_reranker_only_to_learn_from_it(whole: Whole) -> None:
    assert parents(whole) == {"splits", "hard_negatives", "training_decision"}
    whole.edit("training", objective={"kind": "margin_mse"})
    assert parents(whole) == {"splits", "hard_negatives", "training_decision", "reranker"}
    with pytest.raises(SettingsError, match="margin_mse learns from a reranker, and there is none"):
        whole.run(("checkpoint",))


def test_another_probe_makes_the_checkpoint_stale_and_says_why(whole: Whole) -> None:
    probe = beir(whole.folder / "probes")
    whole.edit("training", forgetting={"probes": ["probes/animals"]}, epochs=1, batch_size=32)
    assert parents(whole) == {"splits", "hard_negatives", "training_decision", "probe_files"}
    whole.run(("checkpoint",))
    assert set(record_of(whole)["probes"]) == {"animals"}
    assert "checkpoint" not in whole.plan().stale
    (probe / "queries.jsonl").touch()
    assert "checkpoint" not in whole.plan().stale
    with (probe / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"_id": "q-more", "text": "one more"}) + "\n")
    assert whole.plan().statuses["checkpoint"].causes == ("probe_files has new content",)


def test_only_a_teacher_that_knows_better_teaches(whole: Whole) -> None:
    workspace = whole.workspace
    whole.edit("reranker", source="train", **SMALL)
    whole.edit("training", objective={"kind": "distill_kl"}, epochs=1, batch_size=32)
    whole.run(("reranker",))
    judged = workspace.reranker_record()
    worse, better = ({**judged, "validation": {"base": 0.5, "reranked": figure}} for figure in (0.4, 0.6))
    workspace.save_reranker(worse)
    with pytest.raises(TrainingError, match=r"reaches nDCG@10 0\.4000 on validation, the base model 0\.5000"):
        whole.run(("checkpoint",))
    workspace.save_reranker(better)
    whole.run(("checkpoint",))
    assert record_of(whole)["teacher"] == judged["fingerprint"]
    assert record_of(whole)["training"]["objective"]["kind"] == "distill_kl"
