"""Where versions lie on a Qdrant server, as the metadata of its collections tells.

A version has a Qdrant collection of its own, whose metadata is its state; or it shares one with other models' versions
of the same passages, each with its vectors under its own name. The metadata of a shared one has an entry for each
version and for each alias that points to it, which the server changes one by one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domain_embed.contracts.records import CollectionInfo
from domain_embed.stores import points as pt

SHARED = "shared"
_VERSION, _ALIAS = "version:", "alias:"


@dataclass(frozen=True)
class Stored:
    """One version, finished or not: its Qdrant collection, the name of its vectors there, and its state."""

    collection: str
    vector: str
    state: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the version."""
        return str(self.state["info"]["name"])

    @property
    def shares(self) -> bool:
        """Whether the Qdrant collection may hold other versions, too."""
        return self.vector != pt.DENSE

    @property
    def complete(self) -> bool:
        """Whether it may be seen."""
        return bool(self.state.get("complete"))

    def entry(self, state: Mapping[str, Any] | None) -> dict[str, Any]:
        """The change of the Qdrant collection's metadata that gives it this state; None takes it out."""
        return {_VERSION + self.vector: state} if self.shares else dict(state or {})

    def info(self) -> CollectionInfo:
        """Raises StoreError when the state does not describe a collection."""
        return pt.info_from_json(self.state["info"], f"the metadata of {self.collection}")


def stored_in(collection: str, metadata: Mapping[str, Any]) -> Iterator[Stored]:
    """The versions in a Qdrant collection; none in one that this product did not make."""
    if is_shared(collection, metadata):
        for key, state in metadata.items():
            if key.startswith(_VERSION):
                yield Stored(collection, key.removeprefix(_VERSION), state)
    elif metadata.get("info", {}).get("name") == collection:
        yield Stored(collection, pt.DENSE, metadata)


def shared_metadata(collection: str) -> dict[str, Any]:
    """Of a Qdrant collection that versions share; its own name tells it from that of a store with a longer prefix."""
    return {SHARED: collection}


def is_shared(collection: str, metadata: Mapping[str, Any]) -> bool:
    """Whether versions of this store share this Qdrant collection."""
    return bool(metadata.get(SHARED) == collection)


def alias_entry(alias: str, name: str) -> dict[str, Any]:
    """The change of a shared collection's metadata by which an alias means this version."""
    return {_ALIAS + alias: name}


def meant_by(alias: str, collection: str, metadata: Mapping[str, Any]) -> str:
    """The version an alias means that points to this Qdrant collection."""
    return str(metadata.get(_ALIAS + alias, collection))
