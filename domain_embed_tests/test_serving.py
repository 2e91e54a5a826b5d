"""The search interface for applications: what is live, for whom, and what changes only when asked to."""

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import domain_embed
from domain_embed.contracts.errors import AccessError, NotReadyError, SettingsError
from domain_embed.contracts.filters import Range
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.indexing.build import build_collection
from domain_embed.settings import AccessSettings, DomainSettings, Environment, RetrievalSettings, SparseSettings
from domain_embed.stores.workspace import LIVE, Workspace
from domain_embed_tests import scenario
from domain_embed_tests.encoding.fakes import MemoryTable
from domain_embed_tests.scenario import DOMAIN, passages_table, write_domain

SETTINGS = scenario.SETTINGS.model_copy(update={"retrieval": RetrievalSettings(mode="hybrid", depth=20)})
CLOSED = SETTINGS.model_copy(update={"access": AccessSettings(groups_field="readers")})
SHORT = SETTINGS.model.model_copy(update={"max_tokens": 16})
"""Another length limit is another model."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose domain has three collections: two of one model, one of another; none is live."""
    home = tmp_path_factory.mktemp("home")
    write_domain(home / DOMAIN, SETTINGS)
    workspace = Workspace(Environment(home=home), DOMAIN)
    for version, model in (("v1", SETTINGS.model), ("v2", SETTINGS.model), ("v1", SHORT)):
        encoder = workspace.encoder(model.base, model)
        build_collection(
            workspace.vector_store, encoder, model.base, MemoryTable(readable(version), version), SparseSettings(),
            workspace.vector_cache(encoder.fingerprint), model.model_dump(mode="json"),
        )  # fmt: skip
    return home


def readable(version: str) -> pa.Table:
    """The passages with their team as the only reader; version v2 holds half of them."""
    rows = passages_table().to_pylist()
    for row in rows:
        metadata = json.loads(row["metadata"])
        row["metadata"] = json.dumps({**metadata, "readers": [metadata["team"]]})
    return pa.Table.from_pylist(rows if version == "v1" else rows[::2], schema=passages_table().schema)


@pytest.fixture
def go_live(home: Path) -> Callable[..., str]:
    """Puts settings in force and makes a collection live; returns its name."""

    def put(settings: DomainSettings = SETTINGS, version: str = "v1", tokens: int = 64) -> str:
        write_domain(home / DOMAIN, settings)
        store = Workspace(Environment(home=home), DOMAIN).vector_store
        [name] = [
            info.name
            for info in store.collections()
            if (info.passages_version, info.model_settings["max_tokens"]) == (version, tokens)
        ]
        store.set_alias(LIVE, name)
        return name

    return put


def test_what_is_live_is_searched_as_served(home: Path, go_live: Callable[..., str]) -> None:
    name = go_live()
    searcher = domain_embed.Searcher.open(DOMAIN, home=home)
    assert searcher.collection == name
    hits = searcher.search("certificate is not yet valid", 3)
    assert hits[0].passage_id == "cert-clock"
    assert set(hits[0].places) == {"dense", "sparse", "hybrid"}
    assert [hit.passage_id for hit in searcher.search_many(["x", "not yet valid"], 1)[1]] == ["cert-clock"]
    assert searcher.search_documents("not yet valid", 1)[0].doc_id == "cert-clock"
    assert {hit.metadata["year"] for hit in searcher.search("dns", 9, where={"year": Range(gte=2024)})} == {2024}
    assert searcher.fetch(["cert-clock", "missing"])[0].title == "Not yet valid"
    assert searcher.filterable == {"readers": "str", "team": "str", "year": "int"}


def test_a_searcher_keeps_its_pair_of_model_and_collection_until_it_reloads(
    home: Path, go_live: Callable[..., str], minilm: TorchEncoder
) -> None:
    before = go_live()
    searcher = domain_embed.Searcher.open(DOMAIN, home=home)
    after = go_live(tokens=16)
    assert (searcher.collection, searcher.fingerprint) == (before, minilm.fingerprint)
    assert searcher.search("not yet valid", 1, mode="dense")[0].passage_id == "cert-clock"
    assert searcher.reload()
    assert searcher.collection == after
    assert searcher.fingerprint != minilm.fingerprint
    assert searcher.search("not yet valid", 1, mode="dense")[0].passage_id == "cert-clock"
    assert not searcher.reload()


def test_a_failed_reload_changes_nothing(home: Path, go_live: Callable[..., str]) -> None:
    before = go_live()
    searcher = domain_embed.Searcher.open(DOMAIN, home=home)
    go_live(CLOSED)
    with pytest.raises(AccessError, match="nobody says who asks"):
        searcher.reload()
    assert searcher.collection == before
    assert searcher.search("not yet valid", 1)[0].passage_id == "cert-clock"


def test_only_the_passages_of_the_groups_are_found_and_fetched(home: Path, go_live: Callable[..., str]) -> None:
    go_live(CLOSED)
    with pytest.raises(AccessError, match="nobody says who asks"):
        domain_embed.Searcher.open(DOMAIN, home=home)
    searcher = domain_embed.Searcher.open(DOMAIN, groups=["data", "network"], home=home)
    assert {hit.metadata["team"] for hit in searcher.search("anything", 40, mode="dense")} == {"data", "network"}
    assert [point.passage_id for point in searcher.fetch(["page-duty", "cert-clock"])] == ["cert-clock"]
    assert domain_embed.Searcher.open(DOMAIN, groups=[], home=home).search("anything") == []
    with pytest.raises(AccessError, match="list of texts, not 'data'"):
        domain_embed.Searcher.open(DOMAIN, groups="data", home=home)


def test_what_cannot_be_opened_says_why(home: Path, tmp_path: Path, go_live: Callable[..., str]) -> None:
    go_live()
    with pytest.raises(SettingsError, match="version 'old' is not one of champion, challenger, base"):
        domain_embed.Searcher.open(DOMAIN, version="old", home=home)
    with pytest.raises(NotReadyError, match="no challenger collection"):
        domain_embed.Searcher.open(DOMAIN, version="challenger", home=home)
    with pytest.raises(SettingsError, match="no domain 'nowhere'"):
        domain_embed.Searcher.open("nowhere", home=tmp_path)
    with pytest.raises(AttributeError, match="no attribute 'Sercher'"):
        domain_embed.Sercher  # noqa: B018


def test_many_threads_find_what_one_does_while_the_alias_moves(home: Path, go_live: Callable[..., str]) -> None:
    go_live()
    searcher = domain_embed.Searcher.open(DOMAIN, home=home)
    asked = [query.text for query in scenario.QUERIES[:12]]
    halves = {passage["passage_id"] for passage in readable("v2").to_pylist()}
    expected = {query: [hit.passage_id for hit in searcher.search(query, 5)] for query in asked}
    go_live(version="v2")
    half = domain_embed.Searcher.open(DOMAIN, home=home)
    in_half = {query: [hit.passage_id for hit in half.search(query, 5)] for query in asked}
    found: list[tuple[str, list[str]]] = []

    def ask() -> None:
        found.extend((query, [hit.passage_id for hit in searcher.search(query, 5)]) for query in asked * 2)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for n in range(6):
        go_live(version="v2" if n % 2 else "v1")
        searcher.reload()
    for thread in threads:
        thread.join()
    assert len(found) == 6 * 24
    assert all(ids in (expected[query], in_half[query]) for query, ids in found)
    assert set(in_half[asked[0]]) <= halves


def test_the_examples_of_the_documentation_are_python(home: Path, go_live: Callable[..., str]) -> None:
    go_live(CLOSED)
    page = (Path(domain_embed.__file__).parents[1] / "docs" / "search.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 4
    for example in examples:
        compile(example, "docs/search.md", "exec")
    first = examples[0].replace('"handbook"', f'"{DOMAIN}", home={str(home)!r}').replace('"staff"', '"network"')
    names: dict[str, object] = {}
    exec(first, names)
    assert names["hits"]
