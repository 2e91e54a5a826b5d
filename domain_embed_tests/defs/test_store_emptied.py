"""The vector store was emptied, or is another one than before: the same is made again, and nothing is trained."""

import shutil
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from domain_embed import cutover
from domain_embed.evaluation.evidence import Evidence
from domain_embed.promotion.champion import PromotionLog
from domain_embed.serving import Searcher
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace
from domain_embed_tests.stores.backends import no_waiting, on_cluster
from domain_embed_tests.stores.cluster import FakeCluster
from domain_embed_tests.stores.test_qdrant import ONE_AXIS, point_to
from domain_embed_tests.whole import DOMAIN, Whole

QUERY = "autovacuum falls behind"


def hits(whole: Whole) -> list[tuple[str, float]]:
    found = Searcher.open(DOMAIN, home=whole.home).search(QUERY, 5)
    return [(hit.passage_id, round(hit.score, 5)) for hit in found]


@pytest.mark.parametrize("tuned", [True, False], ids=["tuned live", "base live"])
def test_what_was_live_is_live_again(whole: Whole, tuned: bool) -> None:
    workspace = whole.workspace
    if tuned and workspace.aliased(LIVE) != workspace.aliased(CHALLENGER):
        cutover.promote_challenger(workspace, force=True)
    elif not tuned and workspace.aliased(LIVE) == workspace.aliased(CHALLENGER):
        cutover.roll_back_model(workspace)
    whole.run()
    aliases = {alias: workspace.aliased(alias) for alias in (LIVE, BASE, CHALLENGER)}
    before, trained = hits(whole), workspace.newest_checkpoint
    shutil.rmtree(workspace.root / "index")
    assert {"base_collection", "collection", "champion"} <= set(whole.plan().stale)
    whole.run()
    assert {alias: workspace.aliased(alias) for alias in aliases} == aliases
    assert hits(whole) == before
    assert workspace.newest_checkpoint == trained
    assert whole.plan().stale == ()


def test_a_domain_goes_from_disk_to_a_cluster_that_kept_models_in_one_place(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies there of an earlier release, several models in one collection, is neither read nor removed."""
    whole.run()
    on_disk = {alias: whole.workspace.aliased(alias) for alias in (LIVE, BASE, CHALLENGER)}
    moves = len(PromotionLog(whole.workspace.promotions).read())
    cluster = FakeCluster()
    shared, prefix = f"{DOMAIN}--shared-c1", f"{DOMAIN}--"
    client: QdrantClient = cluster.client()
    client.create_collection(shared, vectors_config={"a": ONE_AXIS}, metadata={"shared": "shared-c1"})
    point_to(client, f"{prefix}live", shared)
    store = on_cluster(cluster, prefix=prefix)
    monkeypatch.setattr(Workspace, "vector_store", store)
    with no_waiting():
        whole.run()
    assert {alias: store.alias(alias) for alias in on_disk} == on_disk
    assert client.collection_exists(shared)
    assert whole.plan().stale == ()
    assert len(PromotionLog(whole.workspace.promotions).read()) == moves + 1


def test_figures_of_several_shards_stand_beside_those_of_one(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    """BM25 weighs words by each shard's passages, so that its figures are others; dense search is what it was."""
    store = on_cluster(FakeCluster(), prefix=f"{DOMAIN}--")
    monkeypatch.setattr(Workspace, "vector_store", store)
    with no_waiting():
        whole.run()
        assert Evidence.from_json(whole.workspace.latest_report()["evidence"]).sharding == ()
        whole.edit("index", shards=3)
        whole.run()
    evidence = Evidence.from_json(whole.workspace.latest_report()["evidence"])
    found = {one.system: one for one in evidence.sharding}
    assert set(found) == {"bm25", "base/dense", "tuned/dense"}
    assert {one.shards for one in found.values()} == {3}
    assert found["bm25"].ndcg == pytest.approx(evidence.mean("bm25"))
    assert found["bm25"].ndcg != found["bm25"].one_shard
    for system in ("base/dense", "tuned/dense"):
        assert found[system].ndcg == pytest.approx(found[system].one_shard) == pytest.approx(evidence.mean(system))
    assert "What shards do" in Path(whole.workspace.latest_report()["html"]).read_text(encoding="utf-8")
