"""Access: a collection as one principal may see it, whatever is asked of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import AccessError, SettingsError
from domain_embed.contracts.filters import AnyOf, Missing, Where, both
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import CollectionInfo, Hit, Point, SparseVector
from domain_embed.settings import AccessSettings


def visible_to(collection: Collection, access: AccessSettings, groups: Sequence[str] | None) -> Collection:
    """The collection as a member of `groups` may see it; all of it where the domain has no access control.

    Raises:
        AccessError: The domain has access control, and nobody says who asks.
        SettingsError: Groups are given where the domain has no access control, or no passage names groups.
    """
    if access.groups_field is None:
        if groups is not None:
            raise SettingsError(
                "groups were given, but the domain has no access control", "set access.groups_field, or give no groups"
            )
        return collection
    if groups is None:
        raise AccessError(
            f"passages belong to the groups in {access.groups_field!r}, and nobody says who asks",
            "give the groups of the one who asks: --group, or groups=[...]; an empty list stands for no group",
        )
    if isinstance(groups, str) or not all(isinstance(group, str) for group in groups):
        raise AccessError(f"groups must be a list of texts, not {groups!r}")
    _require_texts(collection.info, access)
    return VisibleCollection(collection, access, frozenset(groups))


def _require_texts(info: CollectionInfo, access: AccessSettings) -> None:
    """Where everybody is locked out, somebody should know why."""
    kind = info.metadata_types.get(str(access.groups_field))
    if kind not in ("str", "date") and access.without_groups == "nobody":
        found = f"holds values of type {kind}" if kind else "is absent, or not always a text or a list of texts"
        raise SettingsError(
            f"access.groups_field: {access.groups_field!r} {found} in collection {info.name}: nobody finds anything",
            "name the metadata key that holds the groups, and build the collection again",
        )


class VisibleCollection:
    """The Collection port, narrowed to the passages of a principal's groups. Filters given to it narrow it further."""

    def __init__(self, collection: Collection, access: AccessSettings, groups: frozenset[str]) -> None:
        self._collection = collection
        self._field = str(access.groups_field)
        self._groups = groups
        self._open = access.without_groups == "everybody"
        named = sorted(groups)
        self._mandatory: Where = {self._field: AnyOf((named, Missing())) if self._open else named}

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
        return [[hit for hit in hits if self._may_see(hit.metadata)] for hits in described]

    def fetch(self, passage_ids: Sequence[str]) -> list[Point]:
        """Those points that exist and are visible."""
        return [point for point in self._collection.fetch(passage_ids) if self._may_see(point.metadata)]

    def content_hashes(self) -> Iterator[tuple[str, str]]:
        """Refused with AccessError: who may see a part searches and fetches, and does not scan."""
        raise self._no_scan()

    def dense_vectors(self) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Refused with AccessError, as `content_hashes`."""
        raise self._no_scan()

    def count(self) -> int:
        """Refused with AccessError, as `content_hashes`."""
        raise self._no_scan()

    def close(self) -> None:
        """Closes the collection underneath."""
        self._collection.close()

    def _may_see(self, metadata: Mapping[str, Any]) -> bool:
        found: Any = metadata
        for part in self._field.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if found is None or found == []:
            return self._open
        return any(
            isinstance(one, str) and one in self._groups for one in (found if isinstance(found, list) else [found])
        )

    def _no_scan(self) -> AccessError:
        return AccessError(f"collection {self.info.name} cannot be scanned for some groups only", "search or fetch")
