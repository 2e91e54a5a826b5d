"""Retention: old collections go, never one in use."""

from dataclasses import replace

import pytest

from domain_embed.contracts.errors import StoreError
from domain_embed.contracts.records import CollectionInfo
from domain_embed.promotion.retention import prune, superfluous
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.stores.samples import POINTS, info

INFOS = [replace(info(name), built_at=f"2026-01-0{day}T00:00:00+00:00") for day, name in enumerate("abcde", start=1)]


def names(infos: list[CollectionInfo]) -> str:
    return "".join(one.name for one in infos)


@pytest.mark.parametrize(
    ("in_use", "keep", "expected"),
    [("e", 0, "abcd"), ("e", 2, "ab"), ("a", 2, "bc"), ("ab", 3, ""), ("", 9, ""), ("abcde", 0, ""), ("x", 4, "a")],
)
def test_the_newest_idle_ones_stay(in_use: str, keep: int, expected: str) -> None:
    assert names(superfluous(list(reversed(INFOS)), set(in_use), keep)) == expected


def test_pruning_may_be_repeated_and_never_removes_what_an_alias_names() -> None:
    store = QdrantStore.in_memory()
    for one in INFOS:
        store.build(one, [POINTS])
    store.set_alias("live", "b")
    assert names(prune(store, {"b"}, keep=1)) == "acd"
    assert prune(store, {"b"}, keep=1) == []
    assert names(store.collections()) == "be"
    with pytest.raises(StoreError, match="served as live"):
        prune(store, set(), keep=0)
    assert names(store.collections()) == "be"
