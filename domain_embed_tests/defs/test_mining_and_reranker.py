"""Hard negatives and the reranker as assets: what makes them anew, what they keep, how the reranker is judged."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from domain_embed.contracts.errors import StoreError
from domain_embed.contracts.records import Hit
from domain_embed.defs.reranker import judge_reranker
from domain_embed.defs.runs import upstream
from domain_embed.settings import DomainSettings, RerankerSettings
from domain_embed.stores.tracking import Tracking, registered_name
from domain_embed_tests.encoding.tiny_models import tiny_cross_encoder
from domain_embed_tests.whole import DOMAIN, Whole

SMALL: dict[str, Any] = {"max_steps": 2, "batch_size": 2, "negatives": 1, "max_tokens": 32, "queries": 4, "depth": 10,
                         "resamples": 100}  # fmt: skip


class Longest:
    """Likes long passages."""

    fingerprint = "l" * 16

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return np.array([len(passage) for _, passage in pairs], np.float32)


def test_a_reranker_is_judged_by_what_it_does_to_the_ranking() -> None:
    hits = [Hit("p1", 0.9, "", "xx"), Hit("p2", 0.8, "x", "x"), Hit("p3", 0.7, "", "xxxx"), Hit("p0", 0.6, "", "xxxx")]
    judged = judge_reranker(
        Longest(), {"a": "ask", "b": "ask too"}, {"a": {"p3": 1}, "b": {"p1": 1}}, {"a": hits, "b": hits[:2]},
        RerankerSettings(resamples=100),
    )  # fmt: skip
    # a: rank 3 becomes 2, since p0 and p3 tie; b: rank 1 becomes 2.
    third, second = 1 / np.log2(4), 1 / np.log2(3)
    assert judged.base == pytest.approx((third + 1) / 2)
    assert judged.reranked == pytest.approx(second)
    assert judged.comparison.delta == pytest.approx(second - (third + 1) / 2)
    assert (judged.comparison.wins, judged.comparison.losses) == (1, 1)
    assert "best 20 of 2 queries" in judged.words()


def test_there_is_no_reranker_unless_asked_for(finished: Whole) -> None:
    assert finished.workspace.reranker() is None
    assert finished.workspace.teacher() is None
    assert finished.workspace.reranker_record() == {"source": "none"}


def test_a_trained_reranker_is_kept_judged_and_registered(whole: Whole) -> None:
    whole.edit("reranker", source="train", **SMALL)
    (cause,) = whole.plan().statuses["reranker"].causes
    assert cause.startswith('reranker: settings changed (source is "train", was "none"; ')
    outcome = whole.run(("reranker",))
    assert outcome is not None
    assert tuple(outcome.worked) == ("reranker",)
    record, reranker = whole.workspace.reranker_record(), whole.workspace.reranker()
    assert reranker is not None
    assert record["model"] == f"reranker:{reranker.fingerprint}"
    assert record["validation"]["comparison"]["metric"] == "nDCG@10"
    metadata = whole.metadata("reranker")
    assert metadata["validation_ndcg_at_10"] == record["validation"]["reranked"]
    client = Tracking(None, whole.home / ".store" / "mlflow").client()
    version = client.get_model_version_by_alias(f"{registered_name(DOMAIN)}-reranker", "current")
    assert version.tags["fingerprint"] == reranker.fingerprint
    made_from = json.loads((whole.workspace.rerankers / reranker.fingerprint / "domain_embed.json").read_text())
    assert made_from["hard_negatives"] == whole.workspace.tables.read("hard_negatives").version
    teacher = whole.workspace.teacher()
    assert teacher is not None
    assert teacher.score([("a", "b")]) == pytest.approx(reranker.score([("a", "b")]))
    assert whole.plan().stale == ("eval_report",)
    whole.edit("reranker", source="none")
    whole.run(("reranker",))
    assert whole.workspace.reranker() is None


def test_a_given_reranker_is_used_as_it_is_and_must_stay_so(whole: Whole, minilm_path: str) -> None:
    folder = whole.folder / "given"
    tiny_cross_encoder(folder, minilm_path)
    whole.edit("reranker", source="given", **SMALL)
    whole.run(("reranker",))
    assert whole.workspace.reranker_record()["source"] == "given"
    assert whole.workspace.reranker() is not None
    record = whole.workspace.reranker_record()
    whole.workspace.save_reranker({**record, "fingerprint": "0" * 16})
    with pytest.raises(StoreError, match="not 0000000000000000 as it was"):
        whole.workspace.reranker()


def test_a_model_that_is_no_reranker_stops_the_asset_alone(whole: Whole, minilm_path: str) -> None:
    whole.edit("reranker", source=minilm_path)
    with pytest.raises(Exception, match="no cross-encoder"):
        whole.run(("reranker",))
    assert whole.workspace.reranker_record() == {"source": "none"}


def test_an_earlier_checkpoint_mines_a_second_round(whole: Whole) -> None:
    fingerprint = json.loads((whole.workspace.checkpoints / "challenger.json").read_text())["fingerprint"]
    whole.edit("mining", miners=["dense", "checkpoint"], checkpoint=fingerprint)
    assert whole.plan().stale == ("hard_negatives",)
    whole.run(("hard_negatives",))
    miners = set(whole.workspace.tables.read("hard_negatives").read()["miner"].to_pylist())
    assert f"base/dense+checkpoint/{fingerprint}" in miners
    assert "found_by_several_miners_share" in whole.metadata("hard_negatives")
    assert "hard_negatives" not in whole.plan().stale
    whole.edit("mining", checkpoint="0123456789abcdef")
    with pytest.raises(Exception, match=f"no checkpoint of this domain\n.*known: .*{fingerprint}"):
        whole.run(("hard_negatives",))


def test_judged_negatives_reach_the_table(whole: Whole) -> None:
    splits = whole.workspace.tables.read("splits").read().to_pandas()
    asked = splits[splits["split"] == "train"].iloc[0]
    other = next(row["_id"] for row in whole.corpus() if row["_id"] != asked["passage_id"])
    with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
        row = {"query_id": asked["query_id"], "query": asked["query"], "passage_id": other, "grade": 0}
        file.write(json.dumps(row) + "\n")
    outcome = whole.run(("labels", "judgments", "splits", "hard_negatives"))
    assert outcome is not None
    assert set(outcome.worked) == {"labels", "judgments", "splits", "hard_negatives"}
    table = whole.workspace.tables.read("hard_negatives").read().to_pandas()
    judged = table[table["rank"] == 0]
    assert judged[["query_id", "passage_id"]].to_numpy().tolist() == [[asked["query_id"], other]]
    assert judged["miner"].tolist() == ["judged/judgments.jsonl"]


def test_only_a_distilled_checkpoint_is_made_of_a_reranker() -> None:
    distilling = DomainSettings.model_validate({"training": {"objective": {"kind": "distill_kl"}}})
    plain = upstream("checkpoint", DomainSettings())
    assert "reranker" not in plain
    assert upstream("checkpoint", distilling) == [*plain[:-1], "reranker", "checkpoint"]
