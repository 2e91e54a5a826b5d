"""Reciprocal rank fusion.

Cormack, Clarke and Büttcher (2009), "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
Methods".
"""

from collections import defaultdict
from collections.abc import Sequence

from domain_embed.contracts.records import Hit


def fuse(rankings: Sequence[Sequence[Hit]], k: int, rrf_k: int) -> list[Hit]:
    """The best k of several rankings by Σ 1 / (rrf_k + rank), rank from 1; ties go by passage id.

    Done here and not in the store: ties are frequent in fusion, and one rule has to decide them everywhere.
    """
    scores: dict[str, float] = defaultdict(float)
    hits: dict[str, Hit] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, start=1):
            scores[hit.passage_id] += 1 / (rrf_k + rank)
            hits.setdefault(hit.passage_id, hit)
    best = sorted(scores, key=lambda passage_id: (-scores[passage_id], passage_id))[:k]
    return [
        Hit(passage_id, scores[passage_id], hits[passage_id].title, hits[passage_id].text, hits[passage_id].metadata)
        for passage_id in best
    ]
