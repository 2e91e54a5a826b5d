"""How far queries have moved away from those a model was trained on."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from domain_embed.encoding.words import words

UNLIKE_QUANTILE = 0.05
"""A query is unlike the training queries when its nearest one is further than this share of them have theirs."""
MOST_QUERIES = 2000
"""Larger samples would cost time and change nothing: a share of 2000 is known to within two percent."""


def unlike_share(queries: NDArray[np.float32], trained: NDArray[np.float32]) -> float | None:
    """The share of queries that are unlike every training query; about 0.05 when nothing has changed.

    A query's likeness is its cosine to the nearest training query. It is unlike when that is below the 5 % quantile of
    what the training queries have among themselves.

    Args:
        queries: (n, dim) float32 of unit length, distinct queries.
        trained: (m, dim) likewise.

    Returns:
        None when there is no query, or fewer than twenty training queries to say what is usual.
    """
    if len(queries) == 0 or len(trained) < 20:
        return None
    among = trained @ trained.T
    np.fill_diagonal(among, -1.0)
    usual = float(np.quantile(among.max(axis=1), UNLIKE_QUANTILE))
    return float(np.mean((queries @ trained.T).max(axis=1) < usual))


def unseen_words_share(queries: Iterable[str], trained: Iterable[str]) -> float | None:
    """The share of the words in `queries`, repeats counted, that stand in no training query; None without words."""
    known = {word for query in trained for word in words(query)}
    asked = [word for query in queries for word in words(query)]
    return float(np.mean([word not in known for word in asked])) if asked else None


def sample_queries(queries: Iterable[str], seed: int = 0) -> list[str]:
    """At most two thousand distinct ones, the same ones for the same queries."""
    distinct = sorted(set(queries))
    if len(distinct) <= MOST_QUERIES:
        return distinct
    chosen: Sequence[int] = np.random.default_rng(seed).choice(len(distinct), MOST_QUERIES, replace=False).tolist()
    return [distinct[place] for place in sorted(chosen)]
