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
GROUPS = ["staff", "legal", "hr", "ops"]
WORDS = ["contract", "salary", "server", "holiday"]
EXAMPLES = 10_000 if os.environ.get("DOMAIN_EMBED_SLOW") else 400

ALLOWED: list[Any] = [*GROUPS, *([one, other] for one in GROUPS for other in GROUPS if one < other), [], None, "absent"]
"""What a passage may say about its groups; "absent" stands for nothing at all."""


def acl(allowed: Any) -> dict[str, Any]:
    return {} if allowed == "absent" else {"acl": {"groups": allowed}}


def passages() -> list[Point]:
    analyzer = Analyzer("english")
    made = []
    for n in range(52):
        text = f"{WORDS[n % 4]} {WORDS[n // 4 % 4]} number {n}"
        plain = point(f"doc{n % 17}/p{n}", hashed_vector(text, 8), **acl(ALLOWED[n % len(ALLOWED)]), team=WORDS[n % 3])
        made.append(replace(plain, text=text, title="", sparse=analyzer.query_vector(text)))
    return made


PASSAGES = {one.passage_id: one for one in passages()}


def groups_of(passage_id: str) -> set[str]:
    named = PASSAGES[passage_id].metadata.get("acl", {}).get("groups") or []
    return {named} if isinstance(named, str) else set(named)


def may_see(passage_id: str, groups: Sequence[str], access: AccessSettings) -> bool:
    named = groups_of(passage_id)
    return bool(named & set(groups)) or (access is OPEN and not named)


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
@pytest.mark.parametrize("groups", [[], ["hr"], ["hr", "ops"], GROUPS, ["nobody"]], ids=str)
def test_exactly_the_passages_of_the_groups_are_found(
    collection: Collection, groups: list[str], access: AccessSettings
) -> None:
    expected = {passage_id for passage_id in PASSAGES if may_see(passage_id, groups, access)}
    searcher = searcher_for(collection, groups, access)
    assert {hit.passage_id for hit in searcher.search("salary", 100, mode="dense")} == expected
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


def test_a_field_that_locks_everybody_out_is_named(collection: Collection) -> None:
    with pytest.raises(SettingsError, match=r"'grups' is absent.*nobody finds anything"):
        visible_to(collection, AccessSettings(groups_field="grups"), ["hr"])


def test_a_part_cannot_be_scanned(collection: Collection) -> None:
    seen = visible_to(collection, CLOSED, ["hr"])
    for scan in (seen.count, seen.content_hashes, seen.dense_vectors):
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
