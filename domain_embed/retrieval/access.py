"""Access: a collection as one principal may see it, whatever is asked of it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.access import NOBODY, AccessRule
from domain_embed.contracts.errors import AccessError, SettingsError
from domain_embed.contracts.filters import AnyOf, Missing, Not, Where, both
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import CollectionInfo, Hit, Mode, Point, SparseVector, StoredContent
from domain_embed.settings import AccessSettings

NO_TERMS = SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))


def visible_to(collection: Collection, access: AccessSettings, groups: Sequence[str] | None) -> Collection:
    """The collection as a member of `groups` may see it; all of it where the domain has no access control.

    Raises:
        AccessError: The domain has access control, and nobody says who asks.
        SettingsError: Groups are given where the domain has no access control, or no passage names groups.
    """
    rule = access.rule
    if rule is None:
        if groups is not None:
            raise SettingsError(
                "groups were given, but the domain has no access control", "set access.groups_field, or give no groups"
            )
        return collection
    if groups is None:
        raise AccessError(
            f"passages belong to the groups in {rule.groups_field!r}, and nobody says who asks",
            "give the groups of the one who asks: --group, or groups=[...]; an empty list stands for no group",
        )
    if isinstance(groups, str) or not all(isinstance(group, str) for group in groups):
        raise AccessError(f"groups must be a list of texts, not {groups!r}")
    _require_named_groups(collection, rule.groups_field)
    return VisibleCollection(collection, rule, frozenset(groups) - {NOBODY})


def _require_named_groups(collection: Collection, key: str) -> None:
    """Where no passage names groups the key is a wrong one, whose rule would lock everybody out or let everybody in."""
    kind = collection.info.metadata_types.get(key)
    if kind in ("str", "date") or (kind is None and _any_passage_has(key, collection)):
        return
    found = f"holds values of type {kind}" if kind else "is absent"
    raise SettingsError(
        f"access.groups_field: {key!r} {found} in collection {collection.info.name}: nobody finds anything",
        "name the metadata key that holds the groups, and build the collection again",
    )


def _any_passage_has(key: str, collection: Collection) -> bool:
    """A key whose values are of several types is not among the collection's types, and there all the same."""
    anywhere = np.eye(1, collection.info.dimensions, dtype=np.float32)
    return bool(collection.search_dense(anywhere, 1, where={key: Not(Missing())}, exact=True)[0])


def without_bm25(hits: Sequence[Hit], mode: Mode, reranked: int) -> list[Hit]:
    """The hits of a mode without what BM25 says of passages that are not among them.

    A BM25 score counts in how many passages a word stands, the hidden ones too, and fused scores are made of it: 1 /
    rank takes their place. A dense or a reranker's score, the first `reranked` hits', is of query and passage alone.
    """
    return [
        replace(hit, places={}, score=hit.score if mode == "dense" or rank <= reranked else 1 / rank)
        for rank, hit in enumerate(hits, start=1)
    ]


class VisibleCollection:
    """The Collection port, narrowed to the passages of a principal's groups. Filters given to it narrow it further.

    The store filters by what the groups' key holds of texts. Of that, `describe` and `fetch` leave out the passages
    whose groups cannot be understood.
    """

    def __init__(self, collection: Collection, rule: AccessRule, groups: frozenset[str]) -> None:
        self._collection = collection
        self._rule = rule
        self._groups = groups
        named = sorted(groups)
        everybody = rule.without_groups == "everybody"
        self._mandatory: Where = {rule.groups_field: AnyOf((named, Missing())) if everybody else named}

    @property
    def info(self) -> CollectionInfo:
        """Of the whole collection."""
        return self._collection.info

    def search_dense(
        self, vectors: NDArray[np.float32], k: int, *, where: Where | None = None, exact: bool = False
    ) -> list[list[Hit]]:
        """The k nearest of the visible passages."""
        return self._collection.search_dense(vectors, k, where=both(self._mandatory, where), exact=exact)

    def search_sparse(self, vectors: Sequence[SparseVector], k: int, *, where: Where | None = None) -> list[list[Hit]]:
        """The k best of the visible passages."""
        return self._collection.search_sparse(vectors, k, where=both(self._mandatory, where))

    def describe(self, rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """Those of the hits that are visible, with what is known of them: anybody can make a hit."""
        described = self._collection.describe(rankings)
        return [[hit for hit in hits if self._rule.shows(hit.metadata, self._groups)] for hits in described]

    def fetch(self, passage_ids: Sequence[str]) -> list[Point]:
        """Those points that exist and are visible, without BM25 weights: these tell of all passages' length."""
        points = self._collection.fetch(passage_ids)
        return [replace(point, sparse=NO_TERMS) for point in points if self._rule.shows(point.metadata, self._groups)]

    def contents(self) -> Iterator[StoredContent]:
        """Refused with AccessError: who may see a part searches and fetches, and does not scan."""
        raise self._no_scan()

    def dense_vectors(self) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Refused with AccessError, as `contents`."""
        raise self._no_scan()

    def count(self) -> int:
        """Refused with AccessError, as `contents`."""
        raise self._no_scan()

    def close(self) -> None:
        """Closes the collection underneath."""
        self._collection.close()

    def _no_scan(self) -> AccessError:
        return AccessError(f"collection {self.info.name} cannot be scanned for some groups only", "search or fetch")
