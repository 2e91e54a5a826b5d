"""The second stage: a reranker reads the first passages of a ranking and puts them in its own order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from domain_embed.contracts.ports import Reranker
from domain_embed.contracts.records import Hit, Mode, Place, embedded_text

RERANKED = "rerank"
"""The name of the reranker's ranking among a hit's places."""


def rerank_heads(
    reranker: Reranker, queries: Sequence[str], rankings: Mapping[Mode, Sequence[Sequence[Hit]]], depth: int
) -> dict[Mode, list[list[Hit]]]:
    """The first `depth` hits of each ranking by the reranker's score, ties by passage id; the rest follows unchanged.

    Hits need their texts. What several modes found for a query is read once.
    """
    texts = {
        (number, hit.passage_id): embedded_text(hit.title, hit.text)
        for ranked in rankings.values()
        for number, hits in enumerate(ranked)
        for hit in hits[:depth]
    }
    scored = reranker.score([(queries[number], text) for (number, _), text in texts.items()])
    scores = dict(zip(texts, scored.tolist(), strict=True))
    return {
        mode: [
            [*_ordered(hits[:depth], {hit.passage_id: scores[number, hit.passage_id] for hit in hits[:depth]}),
             *hits[depth:]]
            for number, hits in enumerate(ranked)
        ]
        for mode, ranked in rankings.items()
    }  # fmt: skip


def _ordered(hits: Sequence[Hit], scores: Mapping[str, float]) -> list[Hit]:
    best = sorted(hits, key=lambda hit: (-scores[hit.passage_id], hit.passage_id))
    return [
        replace(hit, score=(score := scores[hit.passage_id]), places={**hit.places, RERANKED: Place(rank, score)})
        for rank, hit in enumerate(best, start=1)
    ]
