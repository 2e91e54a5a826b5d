"""Every system through a real store: what is run, by what name, and what the reranker is asked."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, Reranker
from domain_embed.evaluation import systems
from domain_embed.evaluation.serving import ann_recall, measure_serving
from domain_embed.evaluation.systems import every_variant, run_systems
from domain_embed.indexing.build import build_collection
from domain_embed.retrieval.searcher import Searcher
from domain_embed.settings import RetrievalSettings, SparseSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.encoding.fakes import FakeEncoder, MemoryCache, MemoryTable
from domain_embed_tests.scenario import CORPUS, QUERIES, passages_table

SETTINGS = RetrievalSettings(depth=10, dense_weight=0.3, rerank_depth=3)
ASKED = {query.query_id: query.text for query in QUERIES[:7]}


class LongestFirst:
    """Likes long passages."""

    fingerprint = "r" * 16

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


def _collection(fingerprint: str, dimensions: int) -> tuple[Collection, FakeEncoder]:
    store, encoder = QdrantStore.in_memory(), FakeEncoder(fingerprint, dimensions)
    report = build_collection(store, encoder, "m", MemoryTable(passages_table()), SparseSettings(), MemoryCache())
    return store.open(report.info.name), encoder


@pytest.fixture(scope="module")
def collections() -> dict[str, tuple[Collection, FakeEncoder]]:
    return {"base": _collection("b" * 16, 8), "tuned": _collection("t" * 16, 16)}


def _searchers(
    collections: dict[str, tuple[Collection, FakeEncoder]], reranker: Reranker | None = None
) -> dict[str, Searcher]:
    return {name: Searcher(*opened, SETTINGS, reranker) for name, opened in collections.items()}


def test_every_system_answers_as_its_searcher_does(collections: dict[str, tuple[Collection, FakeEncoder]]) -> None:
    searchers = _searchers(collections)
    runs = run_systems(searchers, ASKED, every_variant(rerank=False))
    assert set(runs) == {
        "bm25", "base/dense", "base/hybrid", "base/weighted", "tuned/dense", "tuned/hybrid", "tuned/weighted",
    }  # fmt: skip
    texts = list(ASKED.values())
    for name in ("base", "tuned"):
        ranked = searchers[name].rank(texts, 100, ["weighted"], exact=True)["weighted"]
        assert list(runs[f"{name}/weighted"].values()) == [[hit.passage_id for hit in hits] for hits in ranked]
    assert runs["base/dense"] != runs["tuned/dense"]
    assert all(list(run) == list(ASKED) for run in runs.values())


def test_a_query_is_searched_within_its_filter(collections: dict[str, tuple[Collection, FakeEncoder]]) -> None:
    narrowed, free = list(ASKED)[:2]
    searchers = _searchers(collections)
    runs = run_systems(searchers, ASKED, every_variant(rerank=False), {narrowed: {"team": ["network"]}})
    network = {one.passage_id for one in CORPUS if one.team == "network"}
    everything = run_systems(searchers, ASKED, every_variant(rerank=False))
    for system, run in runs.items():
        assert set(run[narrowed]) <= network, system
        assert run[free] == everything[system][free]
    assert set(runs["base/dense"][narrowed]) == network


def test_reranked_systems_stand_beside_the_plain_ones(collections: dict[str, tuple[Collection, FakeEncoder]]) -> None:
    runs = run_systems(_searchers(collections, LongestFirst()), ASKED, every_variant(rerank=True))
    assert len(runs) == 14
    assert "bm25+rerank" in runs
    for query_id in ASKED:
        plain, reranked = runs["tuned/hybrid"][query_id], runs["tuned/hybrid+rerank"][query_id]
        assert set(plain[:3]) == set(reranked[:3])
        assert plain[3:] == reranked[3:]
    assert runs["tuned/dense"] != runs["tuned/dense+rerank"]


def test_batches_change_nothing(
    collections: dict[str, tuple[Collection, FakeEncoder]], monkeypatch: pytest.MonkeyPatch
) -> None:
    searchers = _searchers(collections, LongestFirst())
    whole = run_systems(searchers, ASKED, every_variant(rerank=True))
    monkeypatch.setattr(systems, "BATCH_QUERIES", 2)
    assert run_systems(searchers, ASKED, every_variant(rerank=True)) == whole


def test_only_the_variants_that_are_asked_for_are_run(collections: dict[str, tuple[Collection, FakeEncoder]]) -> None:
    assert set(run_systems(_searchers(collections), ASKED, ["hybrid"])) == {"base/hybrid", "tuned/hybrid"}


def test_passages_are_named_by_one_string_each(collections: dict[str, tuple[Collection, FakeEncoder]]) -> None:
    runs = run_systems(_searchers(collections), ASKED, every_variant(rerank=False))
    names = [key for run in runs.values() for keys in run.values() for key in keys]
    assert len({id(name) for name in names}) == len(set(names))


def test_serving_is_measured_for_every_query(collections: dict[str, tuple[Collection, FakeEncoder]]) -> None:
    searcher = _searchers(collections)["tuned"]
    serving = measure_serving("tuned/hybrid", searcher, list(ASKED.values()), "hybrid")
    assert (serving.system, serving.queries) == ("tuned/hybrid", 7)
    assert 0 < serving.p50_ms <= serving.p95_ms <= serving.p99_ms
    assert serving.ann_recall == 1.0  # a store this small has no approximate index
    assert measure_serving("bm25", searcher, list(ASKED.values()), "sparse").ann_recall is None


def test_recall_of_the_index_by_hand(collections: dict[str, tuple[Collection, FakeEncoder]]) -> None:
    """An index that loses the best passage of every query finds nine of ten."""
    collection, encoder = collections["base"]

    class Lossy:
        info = collection.info

        def search_dense(self, vectors: NDArray[np.float32], k: int, *, exact: bool = False, **asked: object) -> object:
            hits = collection.search_dense(vectors, k + 1, exact=True)
            return [one[:k] for one in hits] if exact else [one[1:] for one in hits]

    assert ann_recall(Searcher(Lossy(), encoder, SETTINGS), list(ASKED.values())) == pytest.approx(0.9)  # type: ignore[arg-type]
