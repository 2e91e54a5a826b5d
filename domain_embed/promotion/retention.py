"""Which collections may go: never one in use, never the one a rollback would put back."""

from collections.abc import Callable, Collection, Sequence

from domain_embed.contracts.ports import VectorStore
from domain_embed.contracts.records import CollectionInfo


def superfluous(infos: Sequence[CollectionInfo], in_use: Collection[str], keep: int) -> list[CollectionInfo]:
    """Those not in use but for the newest `keep` of them, oldest first."""
    idle = sorted((info for info in infos if info.name not in in_use), key=lambda info: (info.built_at, info.name))
    return idle[: max(len(idle) - keep, 0)]


def prune(
    store: VectorStore,
    in_use: Collection[str],
    keep: int,
    *,
    record: Callable[[CollectionInfo], None] = lambda info: None,
) -> list[CollectionInfo]:
    """Removes what is superfluous, one after the other, oldest first; interrupted, it goes on the next time.

    `record` is told of each before it goes. What has come into use meanwhile is left: the store refuses to drop what an
    alias names.
    """
    removed = superfluous(store.collections(), in_use, keep)
    for info in removed:
        record(info)
        store.drop(info.name)
    return removed
