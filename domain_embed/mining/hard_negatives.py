"""Positive-aware mining: near misses of the base model that are unlikely to be unlabeled positives.

A candidate is dropped when it scores above a share of the positive's own score: Moreira et al. (2024),
"NV-Retriever: Improving text embedding models with effective hard-negative mining".
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, Encoder
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Hit
from domain_embed.contracts.tables import HARD_NEGATIVES
from domain_embed.settings import MiningSettings

BATCH_QUERIES = 512
MINER = "base/dense"


@dataclass
class MiningReport:
    """What mining saw, filled while the batches are consumed."""

    queries: int = 0
    negatives: int = 0
    without_negative: list[str] = field(default_factory=list)
    too_close: int = 0
    """Candidates left out because they score too close to the positive: possible unlabeled positives."""


@dataclass(frozen=True)
class _Query:
    query_id: str
    text: str
    positives: frozenset[str]


def mine_hard_negatives(
    splits: pa.Table, collection: Collection, encoder: Encoder, settings: MiningSettings, report: MiningReport
) -> Iterator[pa.RecordBatch]:
    """Yields HARD_NEGATIVES batches for the training queries, ordered by query id and rank.

    Never yields a known positive of the query, nor a passage with the same content as one. The draw depends on the
    seed and the query id alone, so a query keeps its negatives when others come or go.

    Args:
        splits: A SPLITS table; only its train rows are used.
        collection: The base model's collection.
        encoder: The base model.
        settings: Depth, threshold, number kept and seed.
        report: Filled on the way.
    """
    content = dict(collection.content_hashes())
    queries = _training_queries(splits)
    with progress_bar("mine hard negatives", len(queries), "queries") as progress:
        for start in range(0, len(queries), BATCH_QUERIES):
            batch = queries[start : start + BATCH_QUERIES]
            vectors = encoder.encode_queries([query.text for query in batch])
            depth = settings.depth + max(len(query.positives) for query in batch)
            rankings = collection.search_dense(vectors, depth)
            positive_scores = _lowest_positive_scores(batch, vectors, collection)
            rows = [
                row
                for query, hits, score in zip(batch, rankings, positive_scores, strict=True)
                for row in _negatives_of(query, hits, score, content, settings, report)
            ]
            yield pa.RecordBatch.from_pylist(rows, schema=HARD_NEGATIVES)
            progress.update(len(batch))


def _training_queries(splits: pa.Table) -> list[_Query]:
    frame = splits.to_pandas()
    groups = frame[frame["split"] == "train"].groupby("query_id", sort=True)
    return [_Query(str(key), rows["query"].iloc[0], frozenset(rows["passage_id"])) for key, rows in groups]


def _lowest_positive_scores(
    batch: Sequence[_Query], vectors: NDArray[np.float32], collection: Collection
) -> list[float]:
    """Cosine of every query to the farthest of its positives: none of them may be pushed away."""
    wanted = sorted({passage_id for query in batch for passage_id in query.positives})
    dense = {point.passage_id: point.dense for point in collection.fetch(wanted)}
    return [
        min(float(vector @ dense[passage_id]) for passage_id in query.positives)
        for query, vector in zip(batch, vectors, strict=True)
    ]


def _negatives_of(
    query: _Query, hits: Sequence[Hit], positive_score: float, content: Mapping[str, str],
    settings: MiningSettings, report: MiningReport,
) -> list[dict[str, object]]:  # fmt: skip
    same_as_positive = {content[passage_id] for passage_id in query.positives}
    candidates = [
        (rank, hit) for rank, hit in enumerate(hits, start=1) if content[hit.passage_id] not in same_as_positive
    ][: settings.depth]
    eligible = [pair for pair in candidates if pair[1].score <= settings.max_relative_score * positive_score]
    seed = hashlib.sha256(f"{settings.seed} {query.query_id}".encode()).digest()[:8]
    generator = np.random.default_rng(int.from_bytes(seed))
    chosen = sorted(generator.permutation(len(eligible))[: settings.per_query])
    report.queries += 1
    report.too_close += len(candidates) - len(eligible)
    report.negatives += len(chosen)
    if not chosen:
        report.without_negative.append(query.query_id)
    return [
        {
            "query_id": query.query_id,
            "passage_id": hit.passage_id,
            "score": hit.score,
            "positive_score": positive_score,
            "rank": rank,
            "miner": MINER,
        }
        for rank, hit in (eligible[index] for index in chosen)
    ]
