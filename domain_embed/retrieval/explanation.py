"""Why a passage is where it is: its rank and score in every ranking that went into the result."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from domain_embed.contracts.records import Hit, Mode, Place

FUSED: frozenset[Mode] = frozenset({"hybrid", "weighted"})
"""The modes that are made of the dense and the sparse ranking."""


def explained(rankings: Mapping[Mode, Sequence[Sequence[Hit]]], mode: Mode, k: int) -> list[list[Hit]]:
    """The first k hits of a mode, per query, each with its place in its ranking and in those it was fused of."""
    sources: list[Mode] = ["dense", "sparse", mode] if mode in FUSED else [mode]
    return [
        _with_places(hits[:k], {name: rankings[name][number] for name in sources})
        for number, hits in enumerate(rankings[mode])
    ]


def _with_places(hits: Sequence[Hit], sources: Mapping[Mode, Sequence[Hit]]) -> list[Hit]:
    places: dict[str, dict[str, Place]] = {hit.passage_id: {} for hit in hits}
    for name, ranking in sources.items():
        for rank, hit in enumerate(ranking, start=1):
            if hit.passage_id in places:
                places[hit.passage_id][name] = Place(rank, hit.score)
    return [replace(hit, places=places[hit.passage_id]) for hit in hits]
