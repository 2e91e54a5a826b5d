"""Building a collection: each text is embedded once per model, whatever happens to the build."""

import json
import multiprocessing as mp
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, VectorStore
from domain_embed.contracts.records import Point, embedded_text
from domain_embed.contracts.tables import PASSAGES
from domain_embed.encoding import words
from domain_embed.encoding.bm25 import Analyzer
from domain_embed.indexing import build
from domain_embed.indexing.build import BuildReport, build_collection, collection_name, metadata_types
from domain_embed.settings import SparseSettings
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.qdrant import QdrantStore
from domain_embed.stores.vectors import FileVectorCache
from domain_embed_tests import scenario
from domain_embed_tests.encoding.fakes import FakeEncoder, MemoryCache, MemoryTable
from domain_embed_tests.scenario import CORPUS, Passage, passages_table

SPAWN = mp.get_context("spawn")
SPARSE = SparseSettings()
TEXTS = [embedded_text(passage.title, passage.text) for passage in CORPUS]


@pytest.fixture
def store() -> VectorStore:
    return QdrantStore.in_memory()


def build_from(
    store: VectorStore, encoder: FakeEncoder, cache: Any, passages: Sequence[Passage] = CORPUS, version: str = "v1",
) -> BuildReport:  # fmt: skip
    return build_collection(store, encoder, "base", MemoryTable(passages_table(passages), version), SPARSE, cache)


def stored(collection: Collection) -> list[dict[str, Any]]:
    """Everything a collection holds, as plain values."""
    points = collection.fetch(sorted(content.passage_id for content in collection.contents()))
    return [as_values(point) for point in points]


def as_values(point: Point) -> dict[str, Any]:
    fields = {name: getattr(point, name) for name in ("passage_id", "doc_id", "title", "text", "content_hash")}
    sparse = dict(zip(point.sparse.indices.tolist(), point.sparse.values.round(5).tolist(), strict=True))
    return {**fields, "metadata": dict(point.metadata), "dense": point.dense.round(6).tolist(), "sparse": sparse}


# --- what a build makes ---------------------------------------------------------------------------------


def test_a_collection_holds_every_passage_with_its_vectors_and_says_what_it_is(store: VectorStore) -> None:
    encoder = FakeEncoder()
    report = build_from(store, encoder, MemoryCache())
    assert (report.embedded, report.reused) == (40, 0)
    assert sorted(encoder.embedded) == sorted(TEXTS)
    collection = store.open(report.info.name)
    assert collection.info == report.info
    assert (report.info.fingerprint, report.info.model, report.info.dimensions) == ("f" * 16, "base", 8)
    assert (report.info.passages_version, report.info.count, report.info.sparse_language) == ("v1", 40, "english")
    assert report.info.metadata_types == scenario.METADATA_TYPES
    [point] = collection.fetch(["cert-clock"])
    assert point.dense.tolist() == pytest.approx(encoder.encode_queries([embedded_text(point.title, point.text)])[0])
    assert (point.doc_id, point.metadata) == ("cert-clock", {"team": "network", "year": 2023})
    assert len(point.sparse.indices) == 13


def test_building_again_embeds_nothing_and_gives_the_same(store: VectorStore) -> None:
    first = build_from(store, FakeEncoder(), MemoryCache())
    again = build_from(store, encoder := FakeEncoder(), MemoryCache())
    assert again == BuildReport(first.info, embedded=0, reused=40)
    assert encoder.embedded == []
    assert [info.name for info in store.collections()] == [first.info.name]


def test_names_differ_with_model_passages_and_sparse_settings() -> None:
    names = {
        collection_name("a" * 16, "v1", SPARSE),
        collection_name("b" * 16, "v1", SPARSE),
        collection_name("a" * 16, "v2", SPARSE),
        collection_name("a" * 16, "v1", SparseSettings(k1=1.3)),
        collection_name("a" * 16, "v1", SparseSettings(language="german")),
    }
    assert len(names) == 5
    assert collection_name("a" * 16, "v1", SparseSettings(k1=1.2)) in names


GERMAN = (
    "Der Fahrradkeller ist nachts geschlossen, den Schlüssel hat der Hausmeister im Erdgeschoss.",
    "Die Waschmaschine läuft nur mit Münzen, die es beim Hausmeister gibt.",
    "Nach zehn Uhr abends bleibt es im Treppenhaus und in den Höfen still.",
)
ENGLISH = (
    "The bicycle cellar is closed at night, and the janitor on the ground floor has the key.",
    "The washing machine works with coins only, which the janitor sells on weekdays.",
)
CHINESE = ("地下室的自行车房夜间关闭,钥匙在一楼管理员那里。", "洗衣机只能用硬币,管理员那里可以买到。") * 3


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (GERMAN, "german"),
        (ENGLISH * 10, "english"),
        (CHINESE, "none"),  # there is no stemmer for it
        (GERMAN + ENGLISH, "none"),
        (("Keller", "Hof", "Treppe") * 10, "none"),  # together long enough, and in no language for sure
        (("Fahrrad im Keller abstellen", "Wo ist der Schlüssel?", "Müll wird am Dienstag abgeholt") * 5, "german"),
        (("0x80070005", "v1.2"), "none"),
        ((), "none"),
    ],
)
def test_the_passages_decide_stemmer_and_stop_words(store: VectorStore, texts: Sequence[str], language: str) -> None:
    passages = [Passage(f"p{n}", "", text, "t", 2020) for n, text in enumerate(texts)]
    table = MemoryTable(passages_table(passages), "v1")
    report = build_collection(store, FakeEncoder(), "base", table, SparseSettings(language="auto"), MemoryCache())
    info = store.open(report.info.name).info
    assert (info.sparse_language, info.words_version) == (language, words.VERSION)
    if texts:
        [point] = store.open(info.name).fetch(["p0"])
        assert point.sparse.indices.tolist() == Analyzer(language).query_vector(texts[0]).indices.tolist()


def test_another_definition_of_a_word_makes_another_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    now = collection_name("a" * 16, "v1", SPARSE)
    monkeypatch.setattr(words, "VERSION", words.VERSION + 1)
    assert collection_name("a" * 16, "v1", SPARSE) != now


def test_a_changed_document_embeds_only_its_own_text(store: VectorStore) -> None:
    cache = MemoryCache()
    before = build_from(store, FakeEncoder(), cache)
    changed = [passage._replace(text="All new.") if n == 7 else passage for n, passage in enumerate(CORPUS)]
    report = build_from(store, encoder := FakeEncoder(), cache, changed, "v2")
    assert encoder.embedded == [embedded_text(CORPUS[7].title, "All new.")]
    assert (report.embedded, report.reused) == (1, 39)
    assert store.open(report.info.name).fetch([CORPUS[7].passage_id])[0].text == "All new."
    assert store.open(before.info.name).fetch([CORPUS[7].passage_id])[0].text == CORPUS[7].text


def test_changed_metadata_embeds_nothing_and_is_stored(store: VectorStore) -> None:
    cache = MemoryCache()
    build_from(store, FakeEncoder(), cache)
    changed = [passage._replace(year=1999) if n == 7 else passage for n, passage in enumerate(CORPUS)]
    report = build_from(store, encoder := FakeEncoder(), cache, changed, "v2")
    assert encoder.embedded == []
    assert (report.embedded, report.reused) == (0, 40)
    [point] = store.open(report.info.name).fetch([CORPUS[7].passage_id])
    assert point.metadata["year"] == 1999


def test_removed_and_added_documents_are_gone_and_there(store: VectorStore) -> None:
    cache = MemoryCache()
    build_from(store, FakeEncoder(), cache)
    new = Passage("new", "New", "Something else.", "data", 2025)
    report = build_from(store, encoder := FakeEncoder(), cache, [*CORPUS[1:], new], "v2")
    assert encoder.embedded == ["New Something else."]
    ids = {content.passage_id for content in store.open(report.info.name).contents()}
    assert ids == {passage.passage_id for passage in CORPUS[1:]} | {"new"}


@pytest.mark.parametrize("batch", [2, 100])
def test_identical_texts_are_embedded_once(store: VectorStore, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(build, "BATCH_PASSAGES", batch)
    copies = [CORPUS[0]._replace(passage_id=f"copy-{n}") for n in range(5)]
    report = build_from(store, encoder := FakeEncoder(), MemoryCache(), [*copies, CORPUS[1]])
    assert encoder.embedded == TEXTS[:2]
    assert (report.embedded, report.reused) == (2, 4)
    collection = store.open(report.info.name)
    assert collection.count() == 6
    assert len({tuple(point.dense) for point in collection.fetch([copy.passage_id for copy in copies])}) == 1


# --- interruptions --------------------------------------------------------------------------------------


def test_an_interrupted_build_is_invisible_and_goes_on_where_it_was(
    store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "BATCH_PASSAGES", 8)
    cache = MemoryCache()
    interrupted = FakeEncoder(fails_at_call=4)
    with pytest.raises(KeyboardInterrupt):
        build_from(store, interrupted, cache)
    assert store.collections() == []
    assert interrupted.embedded == TEXTS[:24]

    report = build_from(store, second := FakeEncoder(), cache)
    assert second.embedded == TEXTS[24:]
    assert (report.embedded, report.reused) == (16, 24)
    whole = QdrantStore.in_memory()
    uninterrupted = build_from(whole, FakeEncoder(), MemoryCache())
    assert stored(store.open(report.info.name)) == stored(whole.open(uninterrupted.info.name))


class HangingEncoder(FakeEncoder):
    """Reports its third batch and waits there to be killed."""

    def __init__(self, reached: Connection) -> None:
        super().__init__()
        self._reached = reached

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.calls == 2:
            self._reached.send("third batch")
            time.sleep(300)
        return super().encode_documents(texts)


def build_and_hang(folder: Path, reached: Connection) -> None:
    build.BATCH_PASSAGES = 8
    build_from(EdgeStore(folder / "index"), HangingEncoder(reached), FileVectorCache(folder / "vectors"))


def test_a_killed_build_on_disk_is_invisible_and_goes_on_where_it_was(tmp_path: Path) -> None:
    reached, sender = SPAWN.Pipe(duplex=False)
    builder = SPAWN.Process(target=build_and_hang, args=(tmp_path, sender))
    builder.start()
    assert reached.poll(300)
    os.kill(builder.pid or 0, signal.SIGKILL)
    builder.join()

    store = EdgeStore(tmp_path / "index")
    assert store.collections() == []
    report = build_from(store, encoder := FakeEncoder(), FileVectorCache(tmp_path / "vectors"))
    assert sorted(encoder.embedded) == sorted(TEXTS[16:])
    assert (report.embedded, report.reused) == (24, 16)

    elsewhere = EdgeStore(tmp_path / "elsewhere")
    uninterrupted = build_from(elsewhere, FakeEncoder(), MemoryCache())
    assert stored(store.open(report.info.name)) == stored(elsewhere.open(uninterrupted.info.name))


# --- metadata types -------------------------------------------------------------------------------------


def types_of(*metadata: dict[str, Any], groups_field: str | None = None) -> dict[str, str]:
    row = {"doc_id": "d", "title": "", "text": "t", "content_hash": "h"}
    rows = [{**row, "passage_id": str(n), "metadata": json.dumps(one)} for n, one in enumerate(metadata)]
    return metadata_types(MemoryTable(pa.Table.from_pylist(rows, schema=PASSAGES)), groups_field)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b"], "str"),
        ([1, 2], "int"),
        ([1.5, 2.5], "float"),
        ([True, False], "bool"),
        ([1, 2.5], "float"),
        ([["a"], ["b", "c"], "d"], "str"),
        ([[1, 2.5], 3], "float"),
        (["2024-02-29", "2025-01-01"], "date"),
        ([["2024-02-29"], None], "date"),
        (["2024-02-29", "soon"], "str"),
        (["2024-02-30"], "str"),
        (["2024-02-29T10:00:00"], "str"),
        (["2024-02-29", 1], None),
        ([None, 1], "int"),
        ([[None, "a"]], "str"),
        ([[], 1], "int"),
        ([1, "a"], None),
        ([1, True], None),
        ([{"deep": 1}], None),
        (["a", {"deep": 1}], None),
        ([[["nested"]]], None),
        ([None], None),
        ([[]], None),
    ],
)
def test_a_key_can_be_filtered_on_when_its_values_are_of_one_type(values: list[Any], expected: str | None) -> None:
    assert types_of(*({"key": value} for value in values), {}).get("key") == expected


def test_keys_of_nested_objects_are_named_by_their_path() -> None:
    metadata = {"owner": {"team": "data", "since": "2024-02-29", "lead": {"age": 40}}, "a.b": 1, "list": [{"x": 1}]}
    assert types_of(metadata) == {"owner.lead.age": "int", "owner.since": "date", "owner.team": "str"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["hr", 5], "str"),
        (["hr", {"deep": 1}], "str"),
        ([["hr", 5], ["ops"]], "str"),
        (["2024-01-01"], "str"),
        (["2024-01-01", 1], "str"),
        ([["hr"], [["nested"]], None], "str"),
        ([5, 6], "int"),
        ([{"deep": 1}], None),
        ([5, True], None),
    ],
)
def test_groups_are_texts_as_soon_as_one_of_them_is(values: list[Any], expected: str | None) -> None:
    assert types_of(*({"key": value} for value in values), groups_field="key").get("key") == expected
    nested = ({"owner": {"key": value}} for value in values)
    assert types_of(*nested, groups_field="owner.key").get("owner.key") == expected


def test_a_key_that_no_store_can_name_is_no_key_to_filter_on() -> None:
    assert types_of({"a\\b": "x", 'a"b': "y", "c": "z"}) == {"c": "str"}


def test_types_are_named_in_order_of_their_keys() -> None:
    assert list(types_of({"b": 1, "a": "x"}, {"c": True}).items()) == [("a", "str"), ("b", "int"), ("c", "bool")]


def test_a_collection_that_was_amended_is_not_taken_for_the_one_its_name_says() -> None:
    store, encoder, cache, table = QdrantStore.in_memory(), FakeEncoder(), MemoryCache(), MemoryTable(passages_table())

    def build(passages: MemoryTable = table) -> BuildReport:
        return build_collection(store, encoder, "base", passages, SparseSettings(), cache)

    first = build().info.name
    store.set_alias("live", first)
    gone, *left = CORPUS
    store.amend(first, remove=[gone.passage_id], metadata={})
    again = build()  # the document has come back, and with it the version of the passages
    assert (again.info.name, again.embedded, again.reused) == (f"{first}-2", 0, len(CORPUS))
    assert store.open(again.info.name).count() == len(CORPUS)
    assert store.open(store.alias("live") or "").count() == len(left)
    assert build().info == again.info
    store.amend(again.info.name, remove=[], metadata={left[0].passage_id: {"team": "legal"}})
    assert build().info.name == f"{first}-3"


def test_a_collection_that_was_amended_and_holds_these_very_passages_is_used() -> None:
    store, encoder, table = QdrantStore.in_memory(), FakeEncoder(), MemoryTable(passages_table())
    first = build_collection(store, encoder, "base", table, SparseSettings(), MemoryCache()).info
    changed = CORPUS[0]
    store.amend(first.name, remove=[], metadata={changed.passage_id: {"team": "legal", "year": changed.year}})
    store.amend(first.name, remove=[], metadata={changed.passage_id: {"team": changed.team, "year": changed.year}})
    again = build_collection(store, encoder, "base", table, SparseSettings(), MemoryCache())
    assert (again.info.name, again.embedded) == (first.name, 0)
