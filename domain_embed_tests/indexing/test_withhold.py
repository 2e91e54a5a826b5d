"""Withholding: what is gone from the corpus is gone from every collection, and nothing else is."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from domain_embed.contracts.errors import CollectionGoneError, StoreError, StoreUnavailableError
from domain_embed.contracts.ports import VectorStore
from domain_embed.contracts.records import Hit
from domain_embed.contracts.tables import DOCUMENTS, content_hash
from domain_embed.indexing.build import build_collection
from domain_embed.indexing.withhold import Alignments, Withheld, withhold
from domain_embed.settings import SparseSettings
from domain_embed_tests.encoding.fakes import FakeEncoder, MemoryCache, MemoryTable
from domain_embed_tests.scenario import CORPUS, Passage, passages_table
from domain_embed_tests.stores.backends import a_store

MODELS = ("1" * 16, "2" * 16)
FIRST, SECOND, THIRD, *REST = CORPUS
MOVED = FIRST._replace(team="legal")
EDITED = SECOND._replace(text="Another text.")


def table_of(passages: Sequence[Passage], version: str) -> MemoryTable:
    return MemoryTable(passages_table(passages), version)


BEFORE = table_of(CORPUS, "v1")
AFTER = table_of([MOVED, EDITED, *REST], "v2")
"""The first passage is another group's, the second was edited, the third was deleted."""


def build(store: VectorStore, passages: MemoryTable, model: str = MODELS[0]) -> str:
    report = build_collection(store, FakeEncoder(model), "base", passages, SparseSettings(), MemoryCache())
    return report.info.name


@pytest.fixture(params=["edge", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    with a_store(request.param, tmp_path / "vectors") as empty:
        yield empty


@pytest.fixture
def memory_store(tmp_path: Path) -> Iterator[VectorStore]:
    with a_store("memory", tmp_path) as empty:
        yield empty


@pytest.fixture
def aligned(tmp_path: Path) -> Alignments:
    return Alignments(tmp_path / "alignments.json")


class Spy:
    """Passes everything on, remembers what was opened and amended, and fails where it was told to."""

    def __init__(self, store: VectorStore, fails: Mapping[str, Exception] | None = None) -> None:
        self.opened: list[str] = []
        self.amended: list[str] = []
        self._store, self._fails = store, fails or {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def open(self, name: str) -> Any:
        self.opened.append(name)
        return self._store.open(name)

    def amend(self, name: str, **changes: Any) -> None:
        if name in self._fails:
            raise self._fails[name]
        self.amended.append(name)
        self._store.amend(name, **changes)


def held(store: VectorStore, name: str) -> dict[str, str]:
    return {one.passage_id: str(one.metadata["team"]) for one in store.open(name).contents()}


def test_what_is_gone_edited_or_restricted_is_so_in_every_collection(store: VectorStore, aligned: Alignments) -> None:
    names = [build(store, BEFORE, model) for model in MODELS]
    readers = [store.open(name) for name in names]
    assert withhold(store, AFTER, aligned) == [Withheld(name, 2, 1) for name in names]
    for name, reader in zip(names, readers, strict=True):
        assert held(store, name) == {one.passage_id: one.team for one in (MOVED, *REST)}
        assert reader.describe([[Hit(THIRD.passage_id, 1.0), Hit(SECOND.passage_id, 1.0)]]) == [[]]
        assert [point.metadata["team"] for point in reader.fetch([FIRST.passage_id])] == ["legal"]


def test_what_is_aligned_is_not_looked_at_again(memory_store: VectorStore, aligned: Alignments) -> None:
    build(memory_store, BEFORE)
    spy = Spy(memory_store)
    assert withhold(spy, BEFORE, aligned) == []  # type: ignore[arg-type]
    assert spy.opened == []
    withhold(memory_store, AFTER, aligned)
    assert withhold(spy, AFTER, aligned) == []  # type: ignore[arg-type]
    assert (spy.opened, spy.amended) == ([], [])


def test_what_was_amended_by_others_or_built_again_is_looked_at_again(
    memory_store: VectorStore, aligned: Alignments
) -> None:
    name = build(memory_store, BEFORE)
    withhold(memory_store, AFTER, aligned)
    memory_store.amend(name, remove=[], metadata={FIRST.passage_id: {"team": "data", "year": FIRST.year}})
    assert withhold(memory_store, AFTER, aligned) == [Withheld(name, 0, 1)]
    memory_store.drop(name)
    assert build(memory_store, BEFORE) == name
    assert withhold(memory_store, AFTER, aligned) == [Withheld(name, 2, 1)]


def test_what_comes_back_is_not_restricted_any_longer(memory_store: VectorStore, aligned: Alignments) -> None:
    name = build(memory_store, BEFORE)
    withhold(memory_store, table_of([MOVED, *CORPUS[1:]], "v2"), aligned)
    assert withhold(memory_store, BEFORE, aligned) == [Withheld(name, 0, 1)]
    assert held(memory_store, name)[FIRST.passage_id] == FIRST.team


def test_an_interrupted_one_is_completed_by_the_next(memory_store: VectorStore, aligned: Alignments) -> None:
    first, second = (build(memory_store, BEFORE, model) for model in MODELS)
    with pytest.raises(KeyboardInterrupt):
        withhold(Spy(memory_store, {second: KeyboardInterrupt()}), AFTER, aligned)  # type: ignore[arg-type, dict-item]
    spy = Spy(memory_store)
    assert withhold(spy, AFTER, aligned) == [Withheld(second, 2, 1)]  # type: ignore[arg-type]
    assert spy.opened == [second]
    assert held(memory_store, first) == held(memory_store, second)


@pytest.mark.parametrize(("raised", "told"), [(StoreError, StoreError), (StoreUnavailableError, StoreUnavailableError)])
def test_one_that_cannot_be_amended_is_named_and_keeps_no_other_from_it(
    memory_store: VectorStore, aligned: Alignments, raised: type[StoreError], told: type[StoreError]
) -> None:
    first, second = (build(memory_store, BEFORE, model) for model in MODELS)
    with pytest.raises(StoreError, match=f"may still be found in {first} .*is read-only") as caught:
        withhold(Spy(memory_store, {first: raised("it is read-only")}), AFTER, aligned)  # type: ignore[arg-type]
    assert type(caught.value) is told
    assert THIRD.passage_id in held(memory_store, first)
    assert THIRD.passage_id not in held(memory_store, second)
    assert withhold(memory_store, AFTER, aligned) == [Withheld(first, 2, 1)]


def test_one_that_is_dropped_meanwhile_serves_nobody(memory_store: VectorStore, aligned: Alignments) -> None:
    first, second = (build(memory_store, BEFORE, model) for model in MODELS)
    spy = Spy(memory_store, {first: CollectionGoneError("dropped")})
    assert withhold(spy, AFTER, aligned) == [Withheld(second, 2, 1)]  # type: ignore[arg-type]


def test_only_the_named_ones(memory_store: VectorStore, aligned: Alignments) -> None:
    first, second = (build(memory_store, BEFORE, model) for model in MODELS)
    assert withhold(memory_store, AFTER, aligned, only=[second]) == [Withheld(second, 2, 1)]
    assert THIRD.passage_id in held(memory_store, first)


def test_purging_amends_also_what_is_aligned(memory_store: VectorStore, aligned: Alignments) -> None:
    build(memory_store, BEFORE)
    withhold(memory_store, AFTER, aligned)
    spy = Spy(memory_store)
    assert withhold(spy, AFTER, aligned, purge=True) == []  # type: ignore[arg-type]
    assert len(spy.amended) == 1


# --- documents that are cut in another way --------------------------------------------------------------

TEXT = "First things first. A secret of the house. The end of it."


def document(text: str = TEXT, title: str = "House", **metadata: Any) -> dict[str, Any]:
    encoded = json.dumps(metadata or {"team": "hr"})
    return {"doc_id": "d", "title": title, "text": text, "metadata": encoded, "content_hash": content_hash(title, text)}


def documents_of(rows: Iterable[Mapping[str, Any]], version: str = "d2") -> MemoryTable:
    return MemoryTable(pa.Table.from_pylist(list(rows), schema=DOCUMENTS), version)


def cut(version: str, *texts: str, title: str = "House", whole: bool = False) -> MemoryTable:
    rows = [
        {**document(text, title), "passage_id": "d" if whole else f"d#{content_hash('', text)[:8]}",
         "heading": "", "start": 0, "end": len(text)}
        for text in texts
    ]  # fmt: skip
    return MemoryTable(pa.Table.from_pylist(rows, schema=passages_table().schema), version)


def texts(store: VectorStore, name: str) -> set[str]:
    collection = store.open(name)
    return {point.text for point in collection.fetch([one.passage_id for one in collection.contents()])}


SENTENCES = ("First things first.", "A secret of the house.", "The end of it.")
PAIRS = ("First things first. A secret of the house.", "The end of it.")


def test_cutting_documents_in_another_way_takes_nothing_away(memory_store: VectorStore, aligned: Alignments) -> None:
    name = build(memory_store, cut("v1", *SENTENCES))
    assert withhold(memory_store, cut("v2", *PAIRS), aligned, documents=documents_of([document()])) == []
    assert texts(memory_store, name) == set(SENTENCES)


def test_of_a_document_cut_in_another_way_only_what_it_still_says_stays(
    memory_store: VectorStore, aligned: Alignments
) -> None:
    name = build(memory_store, cut("v1", *SENTENCES))
    left = document("First things first. The end of it.", team="legal")
    found = withhold(memory_store, cut("v2", left["text"]), aligned, documents=documents_of([left]))
    assert found == [Withheld(name, 1, 2)]
    assert texts(memory_store, name) == {"First things first.", "The end of it."}
    assert set(held(memory_store, name).values()) == {"legal"}


@pytest.mark.parametrize(
    ("title", "now", "stays"),
    [
        ("House", document(), True),
        ("House > Secret", document(), False),
        ("House > First things", document(), True),
        ("House", document(title="Home"), False),
        ("House > Part", document("## Part\n" + TEXT, title="House"), True),
    ],
)
def test_a_title_must_stand_in_the_document_too(
    memory_store: VectorStore, aligned: Alignments, title: str, now: dict[str, Any], stays: bool
) -> None:
    name = build(memory_store, cut("v1", *SENTENCES, title=title))
    withhold(memory_store, None, aligned, documents=documents_of([now]))
    assert texts(memory_store, name) == (set(SENTENCES) if stays else set())


def test_a_passage_that_is_a_whole_document_must_be_equal_to_it(memory_store: VectorStore, aligned: Alignments) -> None:
    name = build(memory_store, cut("v1", "First things first.", whole=True))
    withhold(memory_store, None, aligned, documents=documents_of([document()]))
    assert texts(memory_store, name) == set()


def test_without_passages_the_documents_alone_decide(memory_store: VectorStore, aligned: Alignments) -> None:
    name = build(memory_store, cut("v1", *SENTENCES))
    assert withhold(memory_store, None, aligned, documents=documents_of([])) == [Withheld(name, 3, 0)]
