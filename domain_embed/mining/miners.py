"""Who proposes candidates: dense models by an exact scan, BM25 through the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, Encoder
from domain_embed.encoding.bm25 import Analyzer
from domain_embed.mining.passages import UNKNOWN, PassageRows, VectorFile

BASE_MINER, BM25_MINER = "base/dense", "bm25"


class Miner(Protocol):
    """Ranks passages for queries; `name` is its provenance in the table."""

    @property
    def name(self) -> str:
        """What the table says of its candidates."""
        ...

    def rank(self, queries: Sequence[str], depth: int) -> list[NDArray[np.int64]]:
        """The rows of the best passages per query, at most `depth`, best first, ties by passage id."""
        ...


@dataclass(frozen=True)
class DenseModel:
    """A model and what it made of the passages: a miner, and the measure of closeness.

    `encoder` must be the one `vectors` were made by.
    """

    name: str
    encoder: Encoder
    passages: PassageRows
    vectors: VectorFile

    def rank(self, queries: Sequence[str], depth: int) -> list[NDArray[np.int64]]:
        """The nearest passages by cosine, from a scan of all: see `nearest`."""
        return self.rank_vectors(self.encoder.encode_queries(queries), depth)

    def rank_vectors(self, queries: NDArray[np.float32], depth: int) -> list[NDArray[np.int64]]:
        """Like `rank`, for encoded queries."""
        scores, rows = nearest(queries, self.vectors, min(depth, len(self.passages)))
        order = np.lexsort((self.passages.place[rows], -scores), axis=1)
        return list(np.take_along_axis(rows, order, axis=1))


@dataclass(frozen=True)
class Bm25Miner:
    """The collection's sparse vectors, as served."""

    collection: Collection
    passages: PassageRows
    name: str = BM25_MINER

    def rank(self, queries: Sequence[str], depth: int) -> list[NDArray[np.int64]]:
        """The best passages by BM25; few or none where few share a word with the query."""
        analyzer = Analyzer.of(self.collection.info)
        hits = self.collection.search_sparse([analyzer.query_vector(query) for query in queries], depth)
        rows = [self.passages.rows([hit.passage_id for hit in ranking]) for ranking in hits]
        return [found[found != UNKNOWN] for found in rows]


def nearest(
    queries: NDArray[np.float32], vectors: VectorFile, depth: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The `depth` highest cosines of each query and their rows, both (n, depth), in no order.

    Exact, in one pass over the vectors for all queries: for thousands of queries at once a matrix product is many
    times faster than as many searches. After the first pages nearly all scores are below what is already kept, and
    only those above are looked at again. Memory is one page of scores and the best so far.
    """
    best = np.full((len(queries), depth), -np.inf, dtype=np.float32)
    rows = np.zeros((len(queries), depth), dtype=np.int64)
    for start, page in vectors.pages():
        scores = queries @ page.T
        query, column = np.nonzero(scores > best.min(axis=1, keepdims=True))
        _keep_best(best, rows, query, scores[query, column], column + start)
    return best, rows


def _keep_best(
    best: NDArray[np.float32], rows: NDArray[np.int64], query: NDArray[np.int64], scores: NDArray[np.float32],
    found: NDArray[np.int64],
) -> None:  # fmt: skip
    """Puts better finds into the tables of the best so far, in place. `query` (m,) is sorted."""
    if not len(query):
        return
    firsts = np.flatnonzero(np.diff(query, prepend=-1))
    touched, counts = query[firsts], np.diff(firsts, append=len(query))
    depth = best.shape[1]
    column = depth + np.arange(len(query)) - np.repeat(firsts, counts)
    line = np.repeat(np.arange(len(touched)), counts)
    all_scores = np.full((len(touched), depth + int(counts.max())), -np.inf, dtype=np.float32)
    all_rows = np.zeros(all_scores.shape, dtype=np.int64)
    all_scores[:, :depth], all_rows[:, :depth] = best[touched], rows[touched]
    all_scores[line, column], all_rows[line, column] = scores, found
    keep = np.argpartition(-all_scores, depth - 1, axis=1)[:, :depth]
    best[touched] = np.take_along_axis(all_scores, keep, axis=1)
    rows[touched] = np.take_along_axis(all_rows, keep, axis=1)
