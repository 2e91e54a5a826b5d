"""Access: nothing that is asked of a searcher brings a passage from outside the principal's groups."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from domain_embed.contracts.access import NOBODY, WithoutGroups
from domain_embed.contracts.errors import AccessError, SettingsError
from domain_embed.contracts.filters import AllOf, AnyOf, Condition, Missing, Not, Range, Where
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import Hit, Mode, Point
from domain_embed.encoding.bm25 import Analyzer
from domain_embed.retrieval.access import visible_to
from domain_embed.retrieval.searcher import Searcher
from domain_embed.settings import AccessSettings, RetrievalSettings
from domain_embed_tests.encoding.fakes import FakeEncoder, hashed_vector
from domain_embed_tests.stores.backends import BACKENDS, a_store
from domain_embed_tests.stores.samples import info, point

FIELD = "acl.groups"
CLOSED, OPEN = AccessSettings(groups_field=FIELD), AccessSettings(groups_field=FIELD, without_groups="everybody")
RETRIEVAL = RetrievalSettings(mode="hybrid", depth=10, rerank_depth=7)
DAY = "2024-01-01"
GROUPS = ["staff", "legal", "hr", "ops"]
WORDS = ["contract", "salary", "server", "holiday"]
EXAMPLES = 10_000 if os.environ.get("DOMAIN_EMBED_SLOW") else 400

MALFORMED: list[Any] = [5, ["hr", 5], {"hr": True}, [["hr"]], [None], True, 1.5, [{"groups": "hr"}]]
"""What names no groups and is not nothing either: it hides its passage, from everybody."""
ALLOWED: list[Any] = [
    *GROUPS, *([one, other] for one in GROUPS for other in GROUPS if one < other), [], None, "absent",
    DAY, [DAY, "ops"], *MALFORMED,
]  # fmt: skip
"""What a passage may say about its groups; "absent" stands for nothing at all."""


def acl(allowed: Any) -> dict[str, Any]:
    return {} if allowed == "absent" else {"acl": {"groups": allowed}}


def passages() -> list[Point]:
    analyzer = Analyzer("english")
    made = []
    for n in range(len(ALLOWED) * 3):
        text = f"{WORDS[n % 4]} {WORDS[n // 4 % 4]} number {n}"
        plain = point(f"doc{n % 17}/p{n}", hashed_vector(text, 8), **acl(ALLOWED[n % len(ALLOWED)]), team=WORDS[n % 3])
        made.append(replace(plain, text=text, title="", sparse=analyzer.query_vector(text)))
    return made


PASSAGES = {one.passage_id: one for one in passages()}


def may_see(passage_id: str, groups: Sequence[str], access: AccessSettings) -> bool:
    named = PASSAGES[passage_id].metadata.get("acl", {}).get("groups")
    if any(named is one for one in MALFORMED):
        return False
    if not named:
        return access is OPEN
    return bool(({named} if isinstance(named, str) else set(named)) & set(groups))


@pytest.fixture(scope="module", params=BACKENDS)
def collection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    with a_store(request.param, Path(tmp_path_factory.mktemp("access"))) as store:
        types = {"acl.groups": "str", "team": "str"}
        told = replace(info(count=len(PASSAGES)), dimensions=8, metadata_types=types)
        store.build(told, [list(PASSAGES.values())])
        yield store.open(told.name)


class Watched:
    """A reranker that remembers every text it was shown."""

    fingerprint = "r" * 16

    def __init__(self) -> None:
        self.shown: set[str] = set()

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.shown |= {text for _, text in pairs}
        return np.array([len(text) for _, text in pairs], np.float32)


def searcher_for(
    collection: Collection, groups: Sequence[str] | None, access: AccessSettings, reranker: Watched | None = None
) -> Searcher:
    return Searcher(visible_to(collection, access, groups), FakeEncoder(), RETRIEVAL, reranker)


# --- by hand --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("access", [CLOSED, OPEN], ids=["closed", "open"])
@pytest.mark.parametrize("groups", [[], ["hr"], ["hr", "ops"], GROUPS, [DAY], ["nobody"], ["5", "True"]], ids=str)
def test_exactly_the_passages_of_the_groups_are_found(
    collection: Collection, groups: list[str], access: AccessSettings
) -> None:
    expected = {passage_id for passage_id in PASSAGES if may_see(passage_id, groups, access)}
    searcher = searcher_for(collection, groups, access)
    assert {hit.passage_id for hit in searcher.search("salary", 200, mode="dense")} == expected
    assert {one.passage_id for one in searcher.collection.fetch(list(PASSAGES))} == expected


def test_without_a_principal_nothing_is_opened(collection: Collection) -> None:
    with pytest.raises(AccessError, match="nobody says who asks"):
        visible_to(collection, CLOSED, None)
    with pytest.raises(AccessError, match="nobody says who asks"):
        visible_to(collection, OPEN, None)
    with pytest.raises(AccessError, match="list of texts, not 'hr'"):
        visible_to(collection, CLOSED, "hr")
    with pytest.raises(AccessError, match=r"list of texts, not \[1\]"):
        visible_to(collection, CLOSED, [1])  # type: ignore[list-item]


def test_groups_without_access_control_are_a_mistake(collection: Collection) -> None:
    assert visible_to(collection, AccessSettings(), None) is collection
    with pytest.raises(SettingsError, match="no access control"):
        visible_to(collection, AccessSettings(), ["hr"])


@pytest.mark.parametrize("access", [CLOSED, OPEN], ids=["closed", "open"])
def test_nobody_is_in_the_group_of_unreadable_groups(tmp_path: Path, access: AccessSettings) -> None:
    first = next(iter(PASSAGES.values()))
    hidden = replace(first, passage_id="hidden", metadata={"acl": {"groups": NOBODY}})
    with a_store("memory", tmp_path) as store:
        told = replace(info(count=1), dimensions=8, metadata_types={"acl.groups": "str"})
        store.build(told, [[hidden]])
        searcher = searcher_for(store.open(told.name), [NOBODY, "hr"], access)
        assert searcher.search("salary", 10, mode="dense") == []
        assert searcher.collection.fetch(["hidden"]) == []


def test_a_field_that_locks_everybody_out_is_named(collection: Collection) -> None:
    with pytest.raises(SettingsError, match=r"'grups' is absent.*nobody finds anything"):
        visible_to(collection, AccessSettings(groups_field="grups"), ["hr"])


@pytest.mark.parametrize("access", [CLOSED, OPEN], ids=["closed", "open"])
def test_the_store_itself_takes_no_wrong_value_for_none(collection: Collection, access: AccessSettings) -> None:
    """Of what is malformed a search for ids finds at most a list that names the group among other things."""
    [hits] = visible_to(collection, access, ["hr"]).search_dense(np.eye(1, 8, dtype=np.float32), 200, exact=True)
    found = [PASSAGES[hit.passage_id].metadata.get("acl", {}).get("groups") for hit in hits]
    assert [groups for groups in found if groups in MALFORMED and groups != ["hr", 5]] == []


@pytest.mark.parametrize("key", ["Zugriff für", "groups[]", "g[0]", "a'b", "$id", "0", "owner.groups", "ä.ö ü"])
@pytest.mark.parametrize("kind", ["str", "date", None])
@pytest.mark.parametrize("backend", BACKENDS)
def test_any_key_is_enforced_whatever_its_type_is_taken_for(
    backend: str, kind: str | None, key: str, tmp_path: Path
) -> None:
    """A collection that was built before there was a rule has other types, or none where they are mixed."""
    points = []
    for n, groups in enumerate(["hr", 5, DAY, ["legal", "hr"], []]):
        metadata: Any = groups
        for part in reversed(key.split(".")):
            metadata = {part: metadata}
        points.append(replace(point(f"p{n}", hashed_vector(str(n), 8)), metadata=metadata))
    with a_store(backend, tmp_path) as store:
        told = replace(info(count=5), dimensions=8, metadata_types={key: kind} if kind else {})
        store.build(told, [points])
        opened = store.open(told.name)
        for access, groups, expected in (
            (AccessSettings(groups_field=key), ["hr"], {"p0", "p3"}),
            (AccessSettings(groups_field=key), [DAY], {"p2"}),
            (AccessSettings(groups_field=key, without_groups="everybody"), ["legal"], {"p3", "p4"}),
        ):
            searcher = searcher_for(opened, groups, access)
            assert {hit.passage_id for hit in searcher.search("x", 9, mode="dense")} == expected


@pytest.mark.parametrize("without_groups", ["nobody", "everybody"])
def test_a_field_that_no_passage_has_is_an_error_for_everybody(
    collection: Collection, without_groups: WithoutGroups
) -> None:
    for key in ("grups", "acl.group", "acl.groups.x"):
        with pytest.raises(SettingsError, match=f"'{key}' is absent"):
            visible_to(collection, AccessSettings(groups_field=key, without_groups=without_groups), ["hr"])


# --- side doors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_given_out_is_equal_however_many_hidden_passages_hold_a_word(backend: str, tmp_path: Path) -> None:
    """Only the order can tell something: what a store makes of the frequency of words."""
    analyzer = Analyzer("english")

    def collection(hidden: int) -> list[Point]:
        told = [("hr", "salary"), ("hr", "salary contract salary"), *[("legal", "salary")] * hidden]
        return [
            replace(
                point(f"p{n}", hashed_vector(text, 8), groups=group), text=text, title="",
                sparse=analyzer.query_vector(text),
            )
            for n, (group, text) in enumerate(told)
        ]  # fmt: skip

    found = []
    for hidden in (0, 1, 40):
        with a_store(backend, tmp_path / str(hidden)) as store:
            points = collection(hidden)
            told = replace(info(count=len(points)), dimensions=8, metadata_types={"groups": "str"})
            store.build(told, [points])
            searcher = searcher_for(store.open(told.name), ["hr"], AccessSettings(groups_field="groups"), Watched())
            modes, rerank = ("dense", "sparse", "hybrid", "weighted"), (False, True)
            hits = [searcher.search("salary", 9, mode=mode, rerank=wanted) for mode in modes for wanted in rerank]
            documents = [searcher.search_documents("salary", 9, mode=mode) for mode in modes]
            hits += [list(one.passages) for found_documents in documents for one in found_documents]
            found.append([[(hit.passage_id, round(hit.score, 5), hit.places) for hit in one] for one in hits])
            fetched = searcher.collection.fetch(["p0", "p1", "p2"])
            assert [(one.passage_id, len(one.sparse.indices)) for one in fetched] == [("p0", 0), ("p1", 0)]
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_scores_of_the_query_and_the_passage_alone_stay(collection: Collection) -> None:
    searcher = searcher_for(collection, GROUPS, OPEN, Watched())
    everything = searcher_for(collection, None, AccessSettings(), Watched())
    for mode, rerank in (("dense", False), ("dense", True), ("hybrid", True)):
        asked: dict[str, Any] = {"mode": mode, "rerank": rerank}
        scores = {hit.passage_id: hit.score for hit in everything.search("salary", 200, **asked)}
        hits = searcher.search("salary", RETRIEVAL.rerank_depth if rerank else 200, **asked)
        for hit in hits:
            expected = len(PASSAGES[hit.passage_id].text) if rerank else scores[hit.passage_id]
            assert hit.score == pytest.approx(expected)
    tail = searcher.search("salary", 12, mode="hybrid", rerank=True)[RETRIEVAL.rerank_depth :]
    assert [hit.score for hit in tail] == [1 / rank for rank in range(RETRIEVAL.rerank_depth + 1, 13)][: len(tail)]


def test_a_part_cannot_be_scanned(collection: Collection) -> None:
    seen = visible_to(collection, CLOSED, ["hr"])
    for scan in (seen.count, seen.contents, seen.dense_vectors):
        with pytest.raises(AccessError, match="cannot be scanned"):
            scan()


# --- whatever is asked ----------------------------------------------------------------------------------

NAMES = st.sampled_from([*GROUPS, "nobody", "", *WORDS])
KEYS = st.sampled_from([FIELD, "acl", "team", "acl.groups.x", "no_such_key"])
LEAVES = st.one_of(NAMES, st.lists(NAMES, max_size=3), st.just(Missing()), st.just(Range(gte=0)), st.booleans())
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, max_size=3).map(lambda told: AllOf(tuple(told))),
        st.lists(inner, max_size=3).map(lambda told: AnyOf(tuple(told))),
    ),
    max_leaves=4,
)
FILTERS: st.SearchStrategy[Where] = st.dictionaries(KEYS, CONDITIONS, max_size=3)
QUERIES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
ASKED = st.fixed_dictionaries(
    {
        "query": QUERIES,
        "k": st.integers(1, 60),
        "mode": st.sampled_from(get_args(Mode)),
        "where": st.none() | FILTERS,
        "rerank": st.booleans(),
    }
)


def everything_found(searcher: Searcher, asked: dict[str, Any], exact: bool, way: str) -> list[Hit]:
    if way == "documents":
        return [hit for document in searcher.search_documents(**asked) for hit in document.passages]
    if way == "many":
        query, where = asked.pop("query"), asked.pop("where")
        return [hit for hits in searcher.search_many([query, query], where=[where, None], **asked) for hit in hits]
    if way == "rank":
        query, mode = asked.pop("query"), asked.pop("mode")
        rankings = searcher.rank([query], modes=[mode, "dense", "sparse"], exact=exact, **asked)
        return [hit for [hits] in rankings.values() for hit in hits]
    return searcher.search(**asked)


@settings(max_examples=EXAMPLES)
@given(
    asked=ASKED,
    groups=st.lists(st.sampled_from([*GROUPS, "nobody"]), max_size=3),
    access=st.sampled_from([CLOSED, OPEN]),
    exact=st.booleans(),
    way=st.sampled_from(["search", "documents", "many", "rank"]),
)
def test_nothing_from_outside_the_groups_is_ever_found(
    collection: Collection, asked: dict[str, Any], groups: list[str], access: AccessSettings, exact: bool, way: str
) -> None:
    reranker = Watched()
    searcher = searcher_for(collection, groups, access, reranker)
    found = everything_found(searcher, dict(asked), exact, way)
    picked = list(PASSAGES)[::3]
    [described] = searcher.collection.describe([[Hit(passage_id, 1.0) for passage_id in picked]])
    seen = {hit.passage_id for hit in (*found, *described)} | {
        one.passage_id for one in searcher.collection.fetch(picked)
    }
    assert [passage_id for passage_id in seen if not may_see(passage_id, groups, access)] == []
    hidden = {one.text for passage_id, one in PASSAGES.items() if not may_see(passage_id, groups, access)}
    assert not reranker.shown & hidden
