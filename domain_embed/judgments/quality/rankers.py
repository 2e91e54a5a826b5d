"""Base model and BM25 as judges of the judgments: exact ranks over one collection."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import ModelMismatchError
from domain_embed.contracts.ports import Collection, Encoder
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Point
from domain_embed.encoding.bm25 import Analyzer

BLOCK_QUERIES = 4096
"""Scored together: bounds memory to this many scores per page of passages."""
QUERIES_PER_SEARCH = 256
SAME_SCORE = 1e-5
"""Rounding of one and the same cosine in two matrix products."""


class Rankers:
    """Both rankings of one collection. Every query text is encoded once.

    Raises ModelMismatchError when encoder and collection are of two models.
    """

    def __init__(self, collection: Collection, encoder: Encoder) -> None:
        if collection.info.fingerprint != encoder.fingerprint:
            raise ModelMismatchError(collection.info.name, collection.info.fingerprint, encoder.fingerprint)
        self.analyzer = Analyzer.of(collection.info)
        self.passages = collection.count()
        self._collection = collection
        self._encoder = encoder
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        with progress_bar("encode queries", len(new), "queries") as progress:
            for start in range(0, len(new), BLOCK_QUERIES):
                block = new[start : start + BLOCK_QUERIES]
                self._vectors |= zip(block, self._encoder.encode_queries(block), strict=True)
                progress.update(len(block))
        found = np.empty((len(texts), self._encoder.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            found[row] = self._vectors[text]
        return found

    def points(self, passage_ids: Sequence[str]) -> dict[str, Point]:
        """The stored passages by id."""
        return {point.passage_id: point for point in self._collection.fetch(sorted(set(passage_ids)))}

    def dense_ranks(self, texts: Sequence[str], points: Sequence[Point]) -> NDArray[np.int64]:
        """(n,) int64: the rank of each text's passage by the model, 1 where no other passage scores higher.

        Exact, in one pass over the stored vectors for all texts.
        """
        queries = self.vectors(texts)
        own = np.array([query @ point.dense for query, point in zip(queries, points, strict=True)], dtype=np.float32)
        ranks = np.ones(len(texts), dtype=np.int64)
        with progress_bar("rank positives", self.passages, "passages") as progress:
            for ids, vectors in self._collection.dense_vectors():
                for start in range(0, len(texts), BLOCK_QUERIES):
                    block = slice(start, start + BLOCK_QUERIES)
                    higher = queries[block] @ vectors.T > own[block, None] + SAME_SCORE
                    ranks[block] += np.count_nonzero(higher, axis=1)
                progress.update(len(ids))
        return ranks

    def sparse_hits(self, texts: Sequence[str], k: int) -> list[list[str]]:
        """The ids of the k best passages of each text by BM25."""
        found: list[list[str]] = []
        with progress_bar("search by BM25", len(texts), "queries") as progress:
            for start in range(0, len(texts), QUERIES_PER_SEARCH):
                terms = [self.analyzer.query_vector(text) for text in texts[start : start + QUERIES_PER_SEARCH]]
                found += ([hit.passage_id for hit in hits] for hits in self._collection.search_sparse(terms, k))
                progress.update(len(terms))
        return found
