"""Positive-aware mining: near misses of the base model that are unlikely to be unlabeled positives.

A candidate is dropped when it scores above a share of the positive's own score: Moreira et al. (2024),
"NV-Retriever: Improving text embedding models with effective hard-negative mining".
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, Encoder
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.tables import HARD_NEGATIVES, normalized_query
from domain_embed.settings import MiningSettings

BLOCK_QUERIES = 4096
"""Scored together: bounds memory to this many scores per page of passages."""
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
    copies = Counter(content.values())
    queries = _training_queries(splits)
    with progress_bar("mine hard negatives", len(queries), "queries") as progress:
        for start in range(0, len(queries), BLOCK_QUERIES):
            block = queries[start : start + BLOCK_QUERIES]
            vectors = encoder.encode_queries([query.text for query in block])
            depth = settings.depth + max(_passages_like_positives(query, content, copies) for query in block)
            rankings = _nearest(collection, vectors, depth)
            positive_scores = _lowest_positive_scores(block, vectors, collection)
            rows = [
                row
                for query, near, score in zip(block, rankings, positive_scores, strict=True)
                for row in _negatives_of(query, near, score, content, settings, report)
            ]
            yield pa.RecordBatch.from_pylist(rows, schema=HARD_NEGATIVES)
            progress.update(len(block))


def _passages_like_positives(query: _Query, content: Mapping[str, str], copies: Mapping[str, int]) -> int:
    """How many passages have the content of a positive: so many may stand before the candidates and are left out."""
    return sum(copies[same] for same in {content[passage_id] for passage_id in query.positives})


def _nearest(collection: Collection, queries: NDArray[np.float32], depth: int) -> list[list[tuple[str, float]]]:
    """The `depth` nearest passages of each query with their cosine, ties by passage id.

    Exact, in one pass over the stored vectors for all queries: for thousands of queries at once a matrix product is
    many times faster than as many searches, and memory is bounded by one page and the best so far.
    """
    ids: list[str] = []
    best = np.empty((len(queries), 0), dtype=np.float32)
    rows = np.empty((len(queries), 0), dtype=np.int64)
    for page_ids, vectors in collection.dense_vectors():
        scores = np.concatenate([best, queries @ vectors.T], axis=1)
        page_rows = np.broadcast_to(np.arange(len(ids), len(ids) + len(page_ids)), (len(queries), len(page_ids)))
        all_rows = np.concatenate([rows, page_rows], axis=1)
        ids += page_ids
        keep = np.argpartition(-scores, min(depth, scores.shape[1]) - 1, axis=1)[:, :depth]
        best, rows = np.take_along_axis(scores, keep, axis=1), np.take_along_axis(all_rows, keep, axis=1)
    return [
        sorted(
            ((ids[row], float(score)) for row, score in zip(*found, strict=True)), key=lambda near: (-near[1], near[0])
        )
        for found in zip(rows.tolist(), best.tolist(), strict=True)
    ]


def _training_queries(splits: pa.Table) -> list[_Query]:
    """The training queries by id; one text under two ids has the positives of both."""
    frame = splits.to_pandas()
    train = frame[frame["split"] == "train"]
    text_of = train["query"].map(normalized_query)
    positives = train.groupby(text_of)["passage_id"].agg(frozenset)
    distinct = train.assign(text=text_of).drop_duplicates("query_id").sort_values("query_id")
    return [
        _Query(query_id, query, positives[text])
        for query_id, query, text in zip(distinct["query_id"], distinct["query"], distinct["text"], strict=True)
    ]


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
    query: _Query, near: Sequence[tuple[str, float]], positive_score: float, content: Mapping[str, str],
    settings: MiningSettings, report: MiningReport,
) -> list[dict[str, object]]:  # fmt: skip
    same_as_positive = {content[passage_id] for passage_id in query.positives}
    candidates = [
        (rank, passage_id, score)
        for rank, (passage_id, score) in enumerate(near, start=1)
        if content[passage_id] not in same_as_positive
    ][: settings.depth]
    eligible = [found for found in candidates if found[2] <= settings.max_relative_score * positive_score]
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
            "passage_id": passage_id,
            "score": score,
            "positive_score": positive_score,
            "rank": rank,
            "miner": MINER,
        }
        for rank, passage_id, score in (eligible[index] for index in chosen)
    ]
