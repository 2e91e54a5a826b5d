"""Access while things change: revoked, rolled back, reloaded, under another rule, or none that is known."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain_embed.contracts.access import AccessRule
from domain_embed.contracts.errors import AccessError, NotReadyError, SettingsError
from domain_embed.contracts.ports import VectorStore
from domain_embed.contracts.records import COLLECTION_SCHEMA, CollectionInfo, Point
from domain_embed.encoding.bm25 import Analyzer
from domain_embed.indexing.identity import canary_vectors
from domain_embed.serving import Searcher
from domain_embed.settings import AccessSettings, DomainSettings, Environment, RetrievalSettings, render_yaml
from domain_embed.stores.workspace import LIVE, Workspace
from domain_embed_tests.encoding.fakes import FakeEncoder, hashed_vector
from domain_embed_tests.stores.backends import BACKENDS, a_store
from domain_embed_tests.stores.samples import info, point

GROUPS = ["staff", "legal", "hr"]
EXAMPLES = 2_000 if os.environ.get("DOMAIN_EMBED_SLOW") else 40
OPEN, NOBODY, EVERYBODY, RENAMED, MISSPELT = (
    AccessSettings(),
    AccessSettings(groups_field="groups"),
    AccessSettings(groups_field="groups", without_groups="everybody"),
    AccessSettings(groups_field="owner.groups"),
    AccessSettings(groups_field="grups", without_groups="everybody"),
)
RULES = {"open": OPEN, "nobody": NOBODY, "everybody": EVERYBODY, "renamed": RENAMED, "misspelt": MISSPELT}
VERSIONS = ("v1", "v2")


def passages(version: str) -> list[Point]:
    """Thirty passages; in v2 every third one was taken from its group, and one in seven is gone."""
    made, analyzer = [], Analyzer("english")
    for n in range(30):
        if version == "v2" and n % 7 == 0:
            continue
        group: Any = GROUPS[n % 3] if n % 5 else [[], 5][n % 2]
        other = GROUPS[(n + 1) % 3]
        if version == "v2" and n % 3 == 0:
            group = "board"
        text = f"salary contract {n}"
        plain = point(f"d{n % 9}/p{n}", hashed_vector(text, 8), groups=group, owner={"groups": [other]})
        made.append(replace(plain, text=text, title="", sparse=analyzer.query_vector(text)))
    return made


def collection(version: str) -> CollectionInfo:
    points = passages(version)
    return replace(
        info(version, count=len(points)), dimensions=8, metadata_types={"groups": "str", "owner.groups": "str"},
        schema_version=COLLECTION_SCHEMA, canaries=canary_vectors(ENCODER), content=version,
    )  # fmt: skip


ENCODER = FakeEncoder()
MOVED = ("d3/p3", "d6/p6", "d0/p9")
"""Passages whose group changes in the collection itself."""


class Domain(NamedTuple):
    """A domain over one store, whose file and live collection a test changes."""

    workspace: Workspace
    store: VectorStore
    moved: dict[str, str]

    def write(self, access: AccessSettings) -> None:
        text = render_yaml(DomainSettings(access=access, retrieval=RetrievalSettings(mode="hybrid", depth=10)))
        (self.workspace.folder / "domain.yaml").write_text(text, encoding="utf-8")

    def spoil(self) -> None:
        (self.workspace.folder / "domain.yaml").write_text("access: [", encoding="utf-8")

    def begin(self) -> None:
        """As it is before anything happened."""
        (self.workspace.root / "access.json").unlink(missing_ok=True)
        self.store.set_alias(LIVE, "v1")
        self.restrict("v1", "staff")

    def restrict(self, version: str, group: str) -> dict[str, Any]:
        """Gives the passages of MOVED to this group at once, in a collection that serves; their metadata then."""
        now = {"groups": group, "owner": {"groups": [group]}}
        held = dict.fromkeys((one.passage_id for one in passages(version) if one.passage_id in MOVED), now)
        if self.moved.get(version) != group:  # to amend takes a shard on disk a copy of it
            self.store.amend(version, remove=[], metadata=held)
            self.moved[version] = group
        return held

    def opened(self, groups: Sequence[str] | None) -> Searcher:
        return Searcher(self.workspace, "champion", groups)


@pytest.fixture(scope="module", params=BACKENDS)
def domain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    home = tmp_path_factory.mktemp("home")
    (home / "acme").mkdir()
    with a_store(request.param, home / "index") as store, pytest.MonkeyPatch.context() as patch:
        for version in VERSIONS:
            store.build(collection(version), [passages(version)])
        workspace = Workspace(Environment(home=home), "acme")
        workspace.root.mkdir(parents=True)
        patch.setitem(vars(workspace), "vector_store", store)
        patch.setattr(workspace, "encoder_of", lambda told: ENCODER)
        yield Domain(workspace, store, {})


def shown(searcher: Searcher, mode: Any) -> dict[str, Any]:
    """Everything a principal gets, by passage id, with its metadata."""
    hits = searcher.search("salary contract", 60, mode=mode)
    documents = searcher.search_documents("salary", 9, mode=mode)
    found = [
        *hits,
        *(hit for one in documents for hit in one.passages),
        *searcher.fetch([f"d{n % 9}/p{n}" for n in range(30)]),
    ]
    return {one.passage_id: one.metadata for one in found}


def may_see(metadata: Any, rule: AccessRule, groups: Sequence[str]) -> bool:
    """The rule in words of its own."""
    named = metadata["owner"]["groups"] if rule.groups_field == "owner.groups" else metadata["groups"]
    if named == 5:
        return False
    if named == []:
        return rule.without_groups == "everybody"
    return bool(set([named] if isinstance(named, str) else named) & set(groups))


# --- by hand --------------------------------------------------------------------------------------------


def test_what_was_revoked_is_gone_with_the_reload_and_stays_gone_with_a_renamed_field(domain: Domain) -> None:
    domain.begin()
    domain.write(NOBODY)
    searcher = domain.opened(["staff"])
    before = shown(searcher, "hybrid")
    assert {metadata["groups"] for metadata in before.values()} == {"staff"}
    domain.store.set_alias(LIVE, "v2")
    assert searcher.reload()
    after = shown(searcher, "hybrid")
    assert after.keys() < before.keys()
    domain.write(RENAMED)
    assert {tuple(one["owner"]["groups"]) for one in shown(searcher, "sparse").values()} == {("staff",)}
    domain.store.set_alias(LIVE, "v1")
    searcher.reload()
    assert {tuple(one["owner"]["groups"]) for one in shown(searcher, "dense").values()} == {("staff",)}


def test_what_is_revoked_in_the_collection_itself_is_gone_at_once(domain: Domain) -> None:
    domain.begin()
    domain.write(NOBODY)
    searcher = domain.opened(["staff"])
    before = shown(searcher, "hybrid")
    assert set(MOVED) <= before.keys()
    domain.restrict("v1", "board")
    assert shown(searcher, "hybrid").keys() == before.keys() - set(MOVED)
    assert set(shown(domain.opened(["board"]), "sparse")) == set(MOVED)


def test_one_passage_that_is_amended_to_nonsense_hides_itself(domain: Domain) -> None:
    domain.begin()
    domain.write(NOBODY)
    before = shown(domain.opened(["staff"]), "hybrid").keys()
    domain.store.amend("v1", remove=[], metadata={MOVED[0]: {"groups": 5}})
    domain.moved.clear()
    assert shown(domain.opened(["staff"]), "hybrid").keys() == before - {MOVED[0]}
    assert shown(domain.opened(["5"]), "hybrid") == {}


@pytest.mark.parametrize("access", [NOBODY, EVERYBODY], ids=["nobody", "everybody"])
def test_a_misspelt_field_finds_nothing_for_anybody(domain: Domain, access: AccessSettings) -> None:
    domain.begin()
    domain.write(access.model_copy(update={"groups_field": "grups"}))
    with pytest.raises(SettingsError, match="'grups' is absent"):
        domain.opened(["hr"])


def test_hidden_passages_change_no_score_and_no_count(domain: Domain) -> None:
    """The same visible passages with and without hidden ones that hold the same words."""
    domain.begin()
    domain.write(NOBODY)
    searcher = domain.opened(["legal"])
    for mode in ("sparse", "hybrid", "weighted"):
        hits = searcher.search("salary contract", 60, mode=mode)
        assert [hit.score for hit in hits] == [1 / rank for rank in range(1, len(hits) + 1)]


# --- whatever happens -----------------------------------------------------------------------------------

EVENTS = st.one_of(
    st.sampled_from([("live", version) for version in VERSIONS]),
    st.sampled_from([("rule", name) for name in RULES]),
    st.sampled_from([("restrict", group) for group in ("staff", "legal", "board")]),
    st.sampled_from([("reload", ""), ("spoil", ""), ("record", ""), ("open", "")]),
    st.sampled_from([("search", mode) for mode in ("dense", "sparse", "hybrid", "weighted")]),
)


@settings(max_examples=EXAMPLES)
@given(
    events=st.lists(EVENTS, min_size=3, max_size=12),
    groups=st.none() | st.lists(st.sampled_from([*GROUPS, "board", "nobody"]), max_size=2),
    first=st.sampled_from(["open", "nobody", "everybody", "renamed"]),
)
def test_whatever_happens_nothing_is_shown_that_the_rule_in_force_hides(
    domain: Domain, events: list[tuple[str, str]], groups: list[str] | None, first: str
) -> None:
    (domain.workspace.root / "access.json").unlink(missing_ok=True)
    domain.store.set_alias(LIVE, "v1")
    given_now: AccessSettings | None = RULES[first]
    domain.write(RULES[first])
    recorded = opened_by_owner = False
    searcher: Searcher | None = None
    narrowed: AccessRule | None = None
    said = {version: {one.passage_id: one.metadata for one in passages(version)} for version in VERSIONS}
    for version in VERSIONS:
        said[version] |= domain.restrict(version, domain.moved.get(version, "staff"))
    for event, about in (*events, ("search", "hybrid")):
        match event:
            case "restrict":
                said["v1"] |= domain.restrict("v1", about)
            case "live":
                domain.store.set_alias(LIVE, about)
            case "rule":
                given_now = RULES[about]
                domain.write(given_now)
            case "spoil":
                given_now = None
                domain.spoil()
            case "record" if given_now is not None:
                domain.workspace.access_record.see(given_now.rule)
                recorded = recorded or given_now.rule is not None
                opened_by_owner = opened_by_owner and given_now.rule is None
            case "open":
                domain.workspace.access_record.open("test")
                recorded, opened_by_owner = False, True
            case "reload" if searcher is not None:
                try:
                    searcher.reload()
                except (AccessError, SettingsError):
                    continue
            case "search":
                try:
                    searcher = searcher or domain.opened(groups)
                    found = shown(searcher, about)
                except (AccessError, SettingsError, NotReadyError):
                    continue
                finally:
                    if searcher is not None:
                        searcher._reloads.succeeded()  # no thread of one example reloads in the next
                rule = given_now.rule if given_now is not None else None
                narrowed = rule or narrowed
                if rule is None:
                    assert not recorded
                    assert given_now is not None or narrowed is None
                if narrowed is not None and groups is not None:
                    now = said[searcher.collection]
                    assert [one for one in found if not may_see(now[one], narrowed, groups)] == []
                assert rule is None or groups is not None
