"""The query path: bound to one model, and in each mode what the stores themselves answer."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from domain_embed.contracts.errors import ModelMismatchError, NotReadyError
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import Hit, Mode, Place, Run, Where, embedded_text
from domain_embed.contracts.tables import PASSAGES
from domain_embed.encoding.bm25 import Analyzer
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.indexing.build import build_collection
from domain_embed.retrieval.fusion import fuse, weigh
from domain_embed.retrieval.searcher import Searcher
from domain_embed.retrieval.tuning import tune_searcher
from domain_embed.settings import RetrievalSettings, SparseSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests import scenario
from domain_embed_tests.encoding.fakes import FakeEncoder, MemoryCache, MemoryTable
from domain_embed_tests.scenario import CORPUS, passages_table

SETTINGS = RetrievalSettings(mode="hybrid", depth=10, rrf_k=60, dense_weight=0.7, rerank_depth=3)
QUESTIONS = ["certificate is not yet valid", "the of and", "CrashLoopBackOff"]
MODES: list[Mode] = ["dense", "sparse", "hybrid", "weighted"]


@pytest.fixture(scope="module")
def collection(minilm: TorchEncoder) -> Collection:
    store = QdrantStore.in_memory()
    table = MemoryTable(passages_table())
    report = build_collection(store, minilm, "base", table, SparseSettings(), MemoryCache())
    return store.open(report.info.name)


@pytest.fixture(scope="module")
def searcher(collection: Collection, minilm: TorchEncoder) -> Searcher:
    return Searcher(collection, minilm, SETTINGS)


def ids(hits: list[Hit]) -> list[str]:
    return [hit.passage_id for hit in hits]


def test_another_models_collection_is_refused(collection: Collection) -> None:
    with pytest.raises(ModelMismatchError) as caught:
        Searcher(collection, FakeEncoder("0" * 16, 384), SETTINGS)
    message = str(caught.value)
    assert collection.info.name in message
    assert f"built by model {collection.info.fingerprint}" in message
    assert f"the query encoder is model {'0' * 16}" in message


@pytest.mark.parametrize("k", [1, 5, 25])
def test_every_mode_answers_what_the_store_answers(
    searcher: Searcher, collection: Collection, minilm: TorchEncoder, k: int
) -> None:
    depth = max(k, 10)
    dense = collection.search_dense(minilm.encode_queries(QUESTIONS), depth, exact=True)
    analyzer = Analyzer("english")
    sparse = collection.search_sparse([analyzer.query_vector(text) for text in QUESTIONS], depth)
    found = searcher.rank(QUESTIONS, k, MODES, exact=True)
    assert [ids(hits) for hits in found["dense"]] == [ids(hits)[:k] for hits in dense]
    assert [ids(hits) for hits in found["sparse"]] == [ids(hits)[:k] for hits in sparse]
    assert found["hybrid"] == [fuse(pair, k, 60) for pair in zip(dense, sparse, strict=True)]
    assert found["weighted"] == [weigh(one, other, k, 0.7) for one, other in zip(dense, sparse, strict=True)]


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_alone_answers_as_among_others(searcher: Searcher, mode: Mode) -> None:
    alone = searcher.rank(QUESTIONS, 5, [mode])
    assert list(alone) == [mode]
    assert [ids(hits) for hits in alone[mode]] == [ids(hits) for hits in searcher.rank(QUESTIONS, 5, MODES)[mode]]


def test_a_query_of_stop_words_finds_by_meaning_only(searcher: Searcher) -> None:
    found = searcher.rank(["the of and"], 5, MODES)
    assert found["sparse"] == [[]]
    assert ids(found["hybrid"][0]) == ids(found["dense"][0])


def test_search_uses_the_served_mode_and_brings_the_payload(searcher: Searcher) -> None:
    hits = searcher.search("certificate is not yet valid", 3)
    assert ids(hits) == ids(searcher.rank(["certificate is not yet valid"], 3, ["hybrid"])["hybrid"][0])
    assert (hits[0].passage_id, hits[0].title) == ("cert-clock", "Not yet valid")
    assert hits[0].metadata == {"team": "network", "year": 2023}
    other = searcher.search("certificate is not yet valid", 3, mode="sparse")
    assert ids(other) == ids(searcher.rank(["certificate is not yet valid"], 3, ["sparse"])["sparse"][0])


@pytest.mark.parametrize("mode", MODES)
def test_a_filter_holds_in_every_mode(searcher: Searcher, mode: Mode) -> None:
    where = {"team": ["network", "data"], "year": 2023}
    allowed = {p.passage_id for p in CORPUS if p.team in ("network", "data") and p.year == 2023}
    hits = searcher.search("certificate or database is slow", 40, mode=mode, where=where)
    assert hits
    assert set(ids(hits)) <= allowed
    if mode != "sparse":
        assert set(ids(hits)) == allowed
    assert searcher.search("certificate", 5, mode=mode, where={"team": "nobody"}) == []


def test_each_query_may_have_its_own_filter(searcher: Searcher) -> None:
    filters: list[Where | None] = [{"team": "network"}, None, {"team": "data"}, {"team": "network"}]
    queries = ["certificate is slow", "certificate is slow", "certificate is slow", "dns is slow"]
    found = searcher.search_many(queries, 5, where=filters)
    alone = [searcher.search(query, 5, where=where) for query, where in zip(queries, filters, strict=True)]
    assert [ids(hits) for hits in found] == [ids(hits) for hits in alone]
    with pytest.raises(ValueError, match="1 filters for 2 queries"):
        searcher.rank(["a", "b"], 5, ["dense"], where=[None])


# --- explanation and documents --------------------------------------------------------------------------


def test_a_hit_says_which_rankings_put_it_there(searcher: Searcher) -> None:
    query = "certificate is not yet valid"
    rankings: dict[str, list[Hit]] = {mode: found[0] for mode, found in searcher.rank([query], 10, MODES).items()}
    for hit in searcher.search(query, 5, mode="weighted"):
        expected = {
            mode: Place(rank, one.score)
            for mode in ("dense", "sparse", "weighted")
            for rank, one in enumerate(rankings[mode], start=1)
            if one.passage_id == hit.passage_id
        }
        assert hit.places == expected
        assert hit.places["weighted"].score == hit.score
    [first] = searcher.search(query, 1, mode="dense")
    assert first.places == {"dense": Place(1, first.score)}


def test_documents_stand_where_their_best_passage_does(minilm: TorchEncoder) -> None:
    texts = [f"{word} {topic}" for topic in ("certificates", "backups", "releases") for word in "abcdefgh"]
    rows = [scenario.Passage(f"{text[-7:]}/{text[0]}", "", text, "t", 2020) for text in texts]
    table = passages_table(rows)
    doc_ids = pa.array([row.passage_id.partition("/")[0] for row in rows])
    table = table.set_column(table.schema.get_field_index("doc_id"), PASSAGES.field("doc_id"), doc_ids)
    store = QdrantStore.in_memory()
    report = build_collection(store, minilm, "base", MemoryTable(table), SparseSettings(), MemoryCache())
    searcher = Searcher(store.open(report.info.name), minilm, SETTINGS)
    # Eight passages of one document come first: the search has to look past them for the third document.
    found = searcher.search_documents("a certificates", 3, passages=1, mode="dense")
    assert {hit.doc_id for hit in found} == {"ficates", "backups", "eleases"}
    assert (found[0].doc_id, found[0].passages[0].text) == ("ficates", "a certificates")
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    whole = searcher.search("a certificates", 24, mode="dense")
    for document in searcher.search_documents("a certificates", 9, passages=2, mode="dense"):
        assert list(document.passages) == [hit for hit in whole if hit.doc_id == document.doc_id][:2]


# --- reranking ------------------------------------------------------------------------------------------


class LongestFirst:
    """A reranker that likes long passages, and counts what it read."""

    fingerprint = "r" * 16

    def __init__(self) -> None:
        self.read: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.read += pairs
        return np.array([len(text) for _, text in pairs], np.float32)


def test_the_reranker_orders_the_head_and_leaves_the_rest(collection: Collection, minilm: TorchEncoder) -> None:
    reranker = LongestFirst()
    searcher = Searcher(collection, minilm, SETTINGS, reranker)
    query = "certificate is not yet valid"
    before = searcher.search(query, 6, mode="dense")
    after = searcher.search(query, 6, mode="dense", rerank=True)
    texts = {hit.passage_id: embedded_text(hit.title, hit.text) for hit in before}
    head = sorted(ids(before)[:3], key=lambda one: -len(texts[one]))
    assert ids(after) == head + ids(before)[3:]
    assert after[0].score == len(texts[head[0]])
    assert after[0].places["rerank"] == Place(1, after[0].score)
    assert after[0].places["dense"].rank == ids(before).index(head[0]) + 1
    assert "rerank" not in after[3].places
    assert after[3:] == before[3:]


def test_what_several_modes_found_is_read_once(collection: Collection, minilm: TorchEncoder) -> None:
    reranker = LongestFirst()
    found = Searcher(collection, minilm, SETTINGS, reranker).rank(QUESTIONS, 3, MODES, rerank=True)
    assert len(reranker.read) == len(set(reranker.read))
    hits = [(number, hit) for ranked in found.values() for number, hits in enumerate(ranked) for hit in hits]
    assert len(reranker.read) == len({(number, hit.passage_id) for number, hit in hits})
    assert all(hit.title == "" and hit.places == {} for _, hit in hits)


def test_reranking_as_served_and_without_a_reranker(collection: Collection, minilm: TorchEncoder) -> None:
    served = SETTINGS.model_copy(update={"rerank": True})
    query = "certificate is not yet valid"
    found = Searcher(collection, minilm, served, LongestFirst()).search(query, 3)
    assert "rerank" in found[0].places
    assert "rerank" not in Searcher(collection, minilm, served).search(query, 3, rerank=False)[0].places
    with pytest.raises(NotReadyError, match=r"there is no reranker\n  → set reranker.source"):
        Searcher(collection, minilm, served).search(query, 3)


# --- the tuned weight -----------------------------------------------------------------------------------


def test_the_weight_is_tuned_through_the_searcher(searcher: Searcher, minilm: TorchEncoder) -> None:
    def found_by_words(run: Run) -> float:
        return float(run["q"][0] == ids(searcher.rank(["the pool"], 1, ["sparse"])["sparse"][0])[0])

    weight = tune_searcher(searcher, {"q": "the pool"}, {}, found_by_words)
    tuned = SETTINGS.model_copy(update={"dense_weight": weight})
    [[best]] = Searcher(searcher.collection, minilm, tuned).rank(["the pool"], 1, ["weighted"])["weighted"]
    assert best.passage_id == "pg-connections"
    assert weight < 1


@pytest.mark.parametrize("depth", [10, 12])
def test_the_weight_is_tuned_as_deep_as_is_searched(collection: Collection, minilm: TorchEncoder, depth: int) -> None:
    deep = Searcher(collection, minilm, SETTINGS.model_copy(update={"depth": depth}))
    seen: list[Run] = []
    tune_searcher(deep, {"q": "the of and"}, {}, lambda run: float(not seen.append(run)))
    assert {len(run["q"]) for run in seen} == {depth}


def test_the_weight_is_tuned_within_the_querys_filter(searcher: Searcher) -> None:
    seen: list[Run] = []
    tune_searcher(searcher, {"q": "the pool"}, {"q": {"team": "network"}}, lambda run: float(not seen.append(run)))
    network = {one.passage_id for one in scenario.CORPUS if one.team == "network"}
    assert network
    assert all(set(run["q"]) <= network for run in seen)
