"""The query path: bound to one model, and in each mode what the stores themselves answer."""

import pytest

from domain_embed.contracts.errors import InputError, ModelMismatchError
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import Hit, Mode
from domain_embed.encoding.bm25 import Analyzer
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.indexing.build import build_collection
from domain_embed.retrieval.fusion import fuse
from domain_embed.retrieval.searcher import Searcher, parse_filters
from domain_embed.settings import RetrievalSettings, SparseSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.encoding.fakes import FakeEncoder, MemoryCache, MemoryTable
from domain_embed_tests.scenario import CORPUS, passages_table

SETTINGS = RetrievalSettings(mode="hybrid", depth=10, rrf_k=60)
QUESTIONS = ["certificate is not yet valid", "the of and", "CrashLoopBackOff"]
MODES: list[Mode] = ["dense", "sparse", "hybrid"]


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


# --- filters --------------------------------------------------------------------------------------------

TYPES = {"team": "str", "year": "int", "price": "float", "public": "bool"}


def test_values_are_read_as_the_type_of_their_key() -> None:
    where = parse_filters(["team=data", "team=a=b", "year=2023", "price=1", "public=TRUE", "public=false"], TYPES)
    assert where == {"team": ["data", "a=b"], "year": [2023], "price": [1.0], "public": [True, False]}
    assert [type(values[0]) for values in where.values()] == [str, int, float, bool]


def test_no_filters_and_empty_texts() -> None:
    assert parse_filters([], TYPES) == {}
    assert parse_filters(["team="], TYPES) == {"team": [""]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("team", "filter 'team' is not of the form key=value"),
        ("=data", "filter '=data' is not of the form key=value"),
        ("", "filter '' is not of the form key=value"),
        ("tem=data", "no passage can be filtered on 'tem'\n  → keys: team, year, price, public"),
        ("year=soon", "filter year=soon: year holds values of type int"),
        ("year=1.5", "filter year=1.5: year holds values of type int"),
        ("price=cheap", "filter price=cheap: price holds values of type float"),
        ("public=yes", "filter public=yes: public holds values of type bool"),
        ("year=", "filter year=: year holds values of type int"),
    ],
)
def test_a_filter_that_cannot_be_used_is_named(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_filters(["team=data", text], TYPES)
    assert str(caught.value) == said


def test_a_collection_without_keys_says_so() -> None:
    with pytest.raises(InputError, match="keys: none"):
        parse_filters(["team=data"], {})
