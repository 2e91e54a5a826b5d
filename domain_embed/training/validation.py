"""Validation: how well a model in training ranks the validation queries' positives among their near misses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.ports import Collection, Encoder
from domain_embed.contracts.records import Qrels, Run, embedded_text
from domain_embed.judgments.graded import graded_queries

if TYPE_CHECKING:
    import pandas as pd

BATCH_QUERIES = 512
RANKED = 10

Measure = Callable[[Run, Qrels], "pd.Series[float]"]
"""nDCG@10 of a run, by query id."""


class RankingPool(Protocol):
    """Queries that are all ranked against one pool of passages."""

    @property
    def query_ids(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def queries(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def passage_ids(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def passages(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def qrels(self) -> Qrels: ...  # noqa: D102


@dataclass(frozen=True)
class ValidationSet:
    """The validation queries, and one pool of passages for all of them.

    The pool holds every positive and every query's nearest passages by the base model. It is harder per passage than
    the corpus and far smaller; figures compare epochs with each other and with `base_ndcg`, not with the test set.
    """

    query_ids: Sequence[str]
    queries: Sequence[str]
    passage_ids: Sequence[str]
    passages: Sequence[str]
    content_hashes: Sequence[str]
    qrels: Qrels
    base_scores: Mapping[str, float]
    """nDCG@10 of the base model by query id."""

    @property
    def base_ndcg(self) -> float:
        """Their mean."""
        return float(np.mean(list(self.base_scores.values())))


def validation_set(
    splits: pa.Table, collection: Collection, encoder: Encoder, depth: int, ndcg: Measure
) -> ValidationSet:
    """The validation split with a pool from the base model's collection, and the base model's own scores in it."""
    texts, qrels = graded_queries(splits.filter(pc.equal(splits["split"], "validation")))
    vectors = encoder.encode_queries(list(texts.values()))
    near = collection.search_dense(vectors, depth)
    judged = {passage_id for grades in qrels.values() for passage_id in grades}
    pool_ids = sorted(judged | {hit.passage_id for hits in near for hit in hits})
    points = collection.fetch(pool_ids)
    pool = ValidationSet(
        query_ids=list(texts),
        queries=list(texts.values()),
        passage_ids=[point.passage_id for point in points],
        passages=[embedded_text(point.title, point.text) for point in points],
        content_hashes=[point.content_hash for point in points],
        qrels=qrels,
        base_scores={},
    )
    scores = validate(pool, vectors, np.stack([point.dense for point in points]), ndcg)
    return replace(pool, base_scores={str(query_id): score for query_id, score in scores.items()})


def measure(
    encoder: Encoder, pool: RankingPool, ndcg: Measure, passages: NDArray[np.float32] | None = None
) -> tuple["pd.Series[float]", NDArray[np.float32]]:
    """nDCG@10 of a model in the pool, by query id, and its vectors of the pool's passages, (n, dim) float32.

    `passages` are these vectors where they are there already.

    Raises TrainingError when the vectors are not numbers.
    """
    if passages is None:
        passages = encoder.encode_documents(pool.passages)
    return validate(pool, encoder.encode_queries(pool.queries), passages, ndcg), passages


def validate(
    data: RankingPool, queries: NDArray[np.float32], passages: NDArray[np.float32], ndcg: Measure
) -> "pd.Series[float]":
    """nDCG@10, by query id, of the model that made the vectors of the queries and of the pool's passages.

    Raises TrainingError when they are not numbers.
    """
    if not (np.isfinite(queries).all() and np.isfinite(passages).all()):
        raise TrainingError("the model gives vectors that are not numbers", "lower training.learning_rate")
    return ndcg(rank_pool(data, queries, passages), data.qrels)


def rank_pool(pool: RankingPool, queries: NDArray[np.float32], passages: NDArray[np.float32]) -> Run:
    """The best ten passages per query; equal scores stand in order of passage id, as everywhere.

    `queries` (n, dim) and `passages` (m, dim) are one model's vectors of the pool's.
    """
    order = np.argsort(np.array(pool.passage_ids))
    sorted_ids, sorted_passages = np.array(pool.passage_ids)[order], passages[order]
    run: dict[str, Sequence[str]] = {}
    for start in range(0, len(pool.query_ids), BATCH_QUERIES):
        scores = queries[start : start + BATCH_QUERIES] @ sorted_passages.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :RANKED]
        for query_id, row in zip(pool.query_ids[start : start + BATCH_QUERIES], best, strict=True):
            run[query_id] = sorted_ids[row].tolist()
    return run
