"""Two rankings to one: by rank, or by weighted score.

By rank: Cormack, Clarke and Büttcher (2009), "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
Learning Methods". By score: Bruch, Gai and Ingber (2023), "An Analysis of Fusion Functions for Hybrid Retrieval", the
convex combination of scores scaled between their theoretical minimum and the query's maximum.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.records import Hit, Run

COSINE_MINIMUM, BM25_MINIMUM = -1.0, 0.0
EQUAL_WEIGHT = 0.5
WEIGHTS = tuple(step / 20 for step in range(21))
"""What is tried when the weight is tuned: 0, 0.05, … 1."""
PRIOR_WEIGHT, PRIOR_QUERIES = 0.75, 20
"""What a tuned weight is drawn toward, and for how many queries that counts.

Chosen with `benchmarks.weights` on the few sets named there. Not equal weights: cosines fill only the upper part of
their scale, so that at 0.5 BM25 decides; 0.75 was near the best both where BM25 beats the model and where it does not.
"""
TUNED_DEPTH = 100


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
    return [replace(hits[passage_id], score=scores[passage_id]) for passage_id in best]


def weigh(dense: Sequence[Hit], sparse: Sequence[Hit], k: int, dense_weight: float) -> list[Hit]:
    """The best k by dense_weight · dense + (1 − dense_weight) · sparse, scores scaled to [0, 1]; ties by passage id.

    A cosine is scaled between −1 and the query's highest, a BM25 score between 0 and the query's highest. A passage
    that the dense ranking does not hold gets the lowest score in it, which is the most it can have; one that BM25 does
    not hold gets 0, as if no term matched.
    """
    hits = {hit.passage_id: hit for hit in (*sparse, *dense)}
    ids, first, second = _scaled(dense, sparse)
    scores = dense_weight * first + (1 - dense_weight) * second
    best = np.argsort(-scores, kind="stable")[:k]
    return [replace(hits[ids[n]], score=float(scores[n])) for n in best]


def tune_weight(
    dense_runs: Mapping[str, Sequence[Hit]],
    sparse_runs: Mapping[str, Sequence[Hit]],
    measure: Callable[[Run], float],
) -> float:
    """The dense weight of `WEIGHTS` whose fused run measures best, drawn toward `PRIOR_WEIGHT` where queries are few.

    Args:
        dense_runs: Scored hits per query id.
        sparse_runs: The same queries, ranked by BM25.
        measure: Higher is better; gets the ranked passage ids per query, at most 100.
    """
    scaled = {query_id: _scaled(dense, sparse_runs[query_id]) for query_id, dense in dense_runs.items()}

    def measured(weight: float) -> float:
        run = {}
        for query_id, (ids, first, second) in scaled.items():
            best = np.argsort(-(weight * first + (1 - weight) * second), kind="stable")[:TUNED_DEPTH]
            run[query_id] = [ids[n] for n in best]
        return measure(run)

    best = best_weight({weight: measured(weight) for weight in WEIGHTS})
    return shrunk_weight(best, len(scaled))


def best_weight(figures: Mapping[float, float]) -> float:
    """The weight with the highest figure; of equally good ones the middle."""
    highest = max(figures.values())
    return statistics.median_low(weight for weight, figure in figures.items() if figure == highest)


def shrunk_weight(weight: float, queries: int, prior: float = PRIOR_WEIGHT, strength: float = PRIOR_QUERIES) -> float:
    """A weight found on so many queries, drawn toward `prior`, as if that had been found on `strength` others.

    The shrinkage of empirical Bayes estimates: Efron and Morris (1975), "Data Analysis Using Stein's Estimator and Its
    Generalizations". At 0 queries it is the prior; at many, nearly the weight itself.
    """
    return prior + (weight - prior) * (queries / (queries + strength) if queries else 0.0)


def _scaled(dense: Sequence[Hit], sparse: Sequence[Hit]) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Sorted passage ids of both rankings, and the scaled score each ranking gives them."""
    ids = sorted({hit.passage_id for hit in (*dense, *sparse)})
    lowest = min((hit.score for hit in dense), default=COSINE_MINIMUM)
    return ids, _column(ids, dense, COSINE_MINIMUM, lowest), _column(ids, sparse, BM25_MINIMUM, BM25_MINIMUM)


def _column(ids: Sequence[str], ranking: Sequence[Hit], minimum: float, missing: float) -> NDArray[np.float64]:
    scores = {hit.passage_id: hit.score for hit in ranking}
    column = np.array([scores.get(passage_id, missing) for passage_id in ids], dtype=np.float64)
    span = max(scores.values(), default=minimum) - minimum
    return (column - minimum) / span if span > 0 else np.zeros_like(column)
