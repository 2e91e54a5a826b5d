"""The search interface for applications: what is live, for whom, and what changes only when asked to."""

import json
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import domain_embed
from domain_embed.contracts.errors import (
    AccessError,
    CollectionGoneError,
    NotReadyError,
    SettingsError,
    StoreUnavailableError,
)
from domain_embed.contracts.filters import Range
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.indexing.build import build_collection
from domain_embed.settings import AccessSettings, DomainSettings, Environment, RetrievalSettings, SparseSettings
from domain_embed.stores.edge_shard import EdgeCollection
from domain_embed.stores.reloads import Reloads, failed_reloads
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


def test_a_failed_reload_changes_nothing_is_told_and_is_tried_again(
    home: Path, go_live: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain_embed.stores.reloads.FIRST_PAUSE_S", 0.05)
    before = go_live()
    searcher = domain_embed.Searcher.open(DOMAIN, home=home)
    after, aliased = go_live(version="v2"), domain_embed.serving.aliased
    states = Workspace(Environment(home=home), DOMAIN).searchers

    def away(workspace: Workspace, version: str) -> str:
        raise StoreUnavailableError("the server sleeps")

    monkeypatch.setattr("domain_embed.serving.aliased", away)
    with pytest.raises(StoreUnavailableError, match="the server sleeps"):
        searcher.reload()
    assert searcher.collection == before
    assert searcher.search("not yet valid", 1)[0].passage_id == "cert-clock"
    [told] = failed_reloads(states)
    assert "failed reloads, the last: the server sleeps" in told
    monkeypatch.setattr("domain_embed.serving.aliased", aliased)
    waited = threading.Event()
    while searcher.collection == before or failed_reloads(states):
        waited.wait(0.02)
    assert searcher.collection == after


def test_the_pause_between_tries_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    class Timer:
        def __init__(self, pause: float, again: Callable[[], object]) -> None:
            pauses.append(pause)

        def start(self) -> None:
            pass

        def cancel(self) -> None:
            pass

    monkeypatch.setattr("domain_embed.stores.reloads.threading.Timer", Timer)
    read_only = tmp_path / "a file, no folder"
    read_only.write_text("")
    reloads = Reloads(read_only / "searchers", "champion", lambda: None)
    for _ in range(12):
        reloads.failed(StoreUnavailableError("away"))
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert reloads.pending
    reloads.succeeded()
    assert not reloads.pending


def test_a_rule_that_appears_stops_searchers_that_know_no_groups(home: Path, go_live: Callable[..., str]) -> None:
    go_live()
    searcher = domain_embed.Searcher.open(DOMAIN, home=home)
    assert searcher.search("not yet valid", 1)
    go_live(CLOSED)
    for ask in (searcher.search, lambda query: searcher.fetch([query]), lambda query: searcher.search_many([query])):
        with pytest.raises(AccessError, match="nobody says who asks"):
            ask("cert-clock")
    with pytest.raises(AccessError, match="nobody says who asks"):
        searcher.search_documents("cert-clock")
    go_live()
    assert searcher.search("not yet valid", 1)


def test_a_rule_that_changes_is_followed_at_once(home: Path, go_live: Callable[..., str]) -> None:
    go_live(CLOSED)
    searcher = domain_embed.Searcher.open(DOMAIN, groups=["data"], home=home)
    go_live(CLOSED.model_copy(update={"access": AccessSettings(groups_field="team")}), version="v2")
    assert {hit.metadata["team"] for hit in searcher.search("anything", 40)} == {"data"}
    go_live(CLOSED.model_copy(update={"access": AccessSettings(groups_field="reader")}))
    with pytest.raises(SettingsError, match="'reader' is absent"):
        searcher.search("anything")


@pytest.mark.parametrize("broken", ["a: [", "acess: {groups_field: readers}", "[]", "splits: {test: 2}"], ids=str)
def test_a_broken_file_closes_a_restricted_domain(home: Path, go_live: Callable[..., str], broken: str) -> None:
    go_live(CLOSED)
    searcher = domain_embed.Searcher.open(DOMAIN, groups=["data"], home=home)
    (home / DOMAIN / "domain.yaml").write_text(broken)
    for _ in range(2):
        with pytest.raises(AccessError, match="who may see which passage is not known"):
            searcher.search("anything")
    go_live(CLOSED)
    assert searcher.search("anything")


@pytest.mark.parametrize(
    ("broken", "serves"),
    [
        ("a: [", True),
        ("splits: {test: 2}\naccess:\n  groups_field: null # for now\n", True),
        ("splits: {test: 2}\naccess:\n  # groups_field: readers\n", True),
        ("splits: {test: 2}\naccess:\n  groups_field: readers\n", False),
        ('{"acess": {"groups_field": "readers"}}', False),
    ],
)
def test_a_broken_file_closes_an_open_domain_only_where_it_names_groups(
    home: Path, go_live: Callable[..., str], broken: str, serves: bool
) -> None:
    go_live()
    searcher = domain_embed.Searcher.open(DOMAIN, home=home)
    (home / DOMAIN / "domain.yaml").write_text(broken)
    if serves:
        assert searcher.search("anything")
    else:
        with pytest.raises(AccessError, match="not known"):
            searcher.search("anything")


def test_a_rule_that_vanishes_closes_the_domain_until_its_owner_opens_it(
    home: Path, go_live: Callable[..., str]
) -> None:
    go_live(CLOSED)
    record = Workspace(Environment(home=home), DOMAIN).access_record
    record.see(CLOSED.access.rule)
    try:
        running = domain_embed.Searcher.open(DOMAIN, groups=["data"], home=home)
        go_live()
        with pytest.raises(AccessError, match="no longer in its domain"):
            running.search("anything")
        for groups in (None, ["data"]):
            with pytest.raises(AccessError, match="no longer in its domain"):
                domain_embed.Searcher.open(DOMAIN, groups=groups, home=home)
        record.open("published")
        assert {hit.metadata["team"] for hit in running.search("anything", 40)} == {"data"}
        assert len(domain_embed.Searcher.open(DOMAIN, home=home).search("anything", 40)) > len(running.search("a", 40))
        lines = list(Workspace(Environment(home=home), DOMAIN).trail.read(DOMAIN))
        assert [(line.deed, line.target, line.reason) for line in lines][-1] == ("access", "open", "published")
    finally:
        (home / ".store" / "domains" / DOMAIN / "access.json").unlink()


def test_a_rule_that_came_and_went_between_two_searches_is_missed(home: Path, go_live: Callable[..., str]) -> None:
    go_live()
    searcher = domain_embed.Searcher.open(DOMAIN, home=home)
    record = Workspace(Environment(home=home), DOMAIN).access_record
    record.see(CLOSED.access.rule)
    try:
        go_live()
        with pytest.raises(AccessError, match="no longer in its domain"):
            searcher.search("anything")
        (home / DOMAIN / "domain.yaml").write_text("a: [")
        with pytest.raises(AccessError, match="no longer in its domain"):
            searcher.search("anything")
    finally:
        (home / ".store" / "domains" / DOMAIN / "access.json").unlink()


def test_a_dropped_collection_is_followed_by_what_is_live(
    home: Path, go_live: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_live()
    searcher = domain_embed.Searcher.open(DOMAIN, home=home)
    after = go_live(version="v2")
    asked, query = [], EdgeCollection._query

    def gone(self: EdgeCollection, *arguments: Any) -> Any:
        asked.append(self.info.name)
        if self.info.name != after:
            raise CollectionGoneError(f"{self.info.name} was dropped")
        return query(self, *arguments)

    monkeypatch.setattr(EdgeCollection, "_query", gone)
    assert len(searcher.search("anything", 40)) == len(readable("v2"))
    assert searcher.collection == after
    go_live()
    searcher.reload()
    with pytest.raises(CollectionGoneError, match="was dropped"):
        searcher.search("anything")
    assert len(set(asked[-2:])) == 1


def test_a_collection_that_is_really_dropped_is_followed_and_one_without_a_successor_is_named(
    home: Path, go_live: Callable[..., str], tmp_path: Path
) -> None:
    go_live()
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    searcher = domain_embed.Searcher.open(DOMAIN, home=tmp_path)
    store = Workspace(Environment(home=tmp_path), DOMAIN).vector_store
    before = searcher.collection
    [after] = [info.name for info in store.collections() if info.passages_version == "v2"]
    store.set_alias(LIVE, after)
    store.drop(before)
    assert len(searcher.search("anything", 40, mode="dense")) == len(readable("v2"))
    assert (searcher.collection, searcher.reload()) == (after, False)
    shutil.rmtree(tmp_path / ".store" / "domains" / DOMAIN / "index")
    for _ in range(2):
        with pytest.raises(CollectionGoneError, match="was removed"):
            searcher.search("anything")
    assert failed_reloads(Workspace(Environment(home=tmp_path), DOMAIN).searchers)
    searcher._reloads.succeeded()


def test_side_doors_are_shut_under_access_control(home: Path, go_live: Callable[..., str]) -> None:
    go_live(CLOSED)
    searcher = domain_embed.Searcher.open(DOMAIN, groups=["data"], home=home)
    with pytest.raises(AccessError, match="are not told"):
        _ = searcher.filterable
    [point] = searcher.fetch(["pg-vacuum", "page-duty"])
    assert (point.passage_id, len(point.sparse.indices)) == ("pg-vacuum", 0)
    for mode in ("sparse", "hybrid", "weighted"):
        hits = searcher.search("vacuum the tables", 5, mode=mode)
        assert [hit.score for hit in hits] == [1 / rank for rank in range(1, len(hits) + 1)]
        assert not any(hit.places for hit in hits)
    open_scores = searcher.search("vacuum the tables", 3, mode="dense")
    go_live()
    everything = domain_embed.Searcher.open(DOMAIN, home=home).search("vacuum the tables", 40, mode="dense")
    assert {hit.passage_id: hit.score for hit in open_scores}.items() <= {
        h.passage_id: h.score for h in everything
    }.items()


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
