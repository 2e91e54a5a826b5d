"""A reranker that asks its model about each pair once, ever: for teachers, who are asked about the same pairs again."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.ports import Reranker, VectorCache

PAIRS_PER_CHUNK = 2048
"""Scored before they are put into the cache: a crash loses at most so many."""


class CachedReranker:
    """The same scores as `reranker`, kept in a cache of that reranker's own; see the Reranker port.

    A pair is known by the hash of its query and passage text, so neither ids nor order matter.

    Args:
        reranker: Who is asked about unknown pairs.
        cache: Of this reranker alone, with vectors of one dimension.
    """

    def __init__(self, reranker: Reranker, cache: VectorCache) -> None:
        self.fingerprint = reranker.fingerprint
        self._reranker = reranker
        self._cache = cache

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """(n,) float32 in the order of `pairs`; only pairs never seen before cost anything."""
        keys = [pair_key(query, passage) for query, passage in pairs]
        known = self._cache.get(keys)
        unknown = list({key: pair for key, pair in zip(keys, pairs, strict=True) if key not in known}.items())
        for start in range(0, len(unknown), PAIRS_PER_CHUNK):
            new_keys, asked = zip(*unknown[start : start + PAIRS_PER_CHUNK], strict=True)
            scores = self._reranker.score(asked).reshape(-1, 1)
            self._cache.put(new_keys, scores)
            known |= zip(new_keys, scores, strict=True)
        return np.array([known[key][0] for key in keys], dtype=np.float32)


def pair_key(query: str, passage: str) -> str:
    """Under what the score of a pair is kept."""
    return hashlib.sha256(f"{query}\x00{passage}".encode()).hexdigest()[:32]
