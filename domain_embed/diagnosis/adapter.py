"""A query adapter, tried in seconds: nothing is embedded again for it, so it is the cheapest way to learn anything."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, Encoder
from domain_embed.diagnosis.causes import DEPTH
from domain_embed.diagnosis.rankings import Rankings, drawn
from domain_embed.settings import AdapterSettings, DiagnosisSettings
from domain_embed.training.adapter import LinearAdapter, train_query_adapter

HELD_OUT = 0.2
"""Of the training pairs: they choose the adapter, so that its effect on validation is no choice's luck."""
FEWEST_PAIRS = 64
RECIPE = AdapterSettings(batch_size=64)
"""Small batches: of a few hundred pairs, larger ones make too few steps to move anything."""

Vectors = NDArray[np.float32]


def try_adapter(
    splits: pa.Table, collection: Collection, encoder: Encoder, settings: DiagnosisSettings
) -> LinearAdapter | None:
    """An adapter trained on the vectors of at most `adapter_queries` training queries; None for too few pairs."""
    rows = drawn(splits, "train", settings.adapter_queries, settings.seed)
    if rows.num_rows < FEWEST_PAIRS or len(pc.unique(rows["passage_id"])) < FEWEST_PAIRS:
        return None
    queries = encoder.encode_queries(rows["query"].to_pylist())
    dense = {point.passage_id: point.dense for point in collection.fetch(sorted(set(rows["passage_id"].to_pylist())))}
    return fit_adapter(queries, np.stack([dense[key] for key in rows["passage_id"].to_pylist()]), settings.seed)


def fit_adapter(queries: Vectors, positives: Vectors, seed: int) -> LinearAdapter:
    """The adapter that ranks held-out pairs best; the one that changes nothing where none is better.

    Args:
        queries: (n, dim) float32 of unit length.
        positives: (n, dim), row by row what answers the query.
        seed: Of the draw of what is held out.
    """
    held = np.zeros(len(queries), dtype=bool)
    held[np.random.default_rng(seed).permutation(len(queries))[: max(1, round(HELD_OUT * len(queries)))]] = True
    own = np.flatnonzero(held)

    def figure(adapter: LinearAdapter) -> float:
        """Mean reciprocal rank of the held-out positives among all positives."""
        scores = adapter(queries[held]) @ positives.T
        reached = scores[np.arange(len(own)), own]
        return float((1 / (1 + (scores > reached[:, None] + 1e-6).sum(axis=1))).mean())

    return train_query_adapter(
        queries[~held], positives[~held], None, figure, RECIPE.model_copy(update={"seed": seed})
    ).adapter


def adapted_scores(
    adapter: LinearAdapter, rankings: Rankings, collection: Collection, encoder: Encoder
) -> "pd.Series[float]":
    """nDCG@10 by query id of dense retrieval with adapted queries, through the store."""
    vectors = adapter(encoder.encode_queries(list(rankings.queries.values())))
    found = collection.search_dense(vectors, DEPTH, exact=True)
    run = {
        key: [hit.passage_id for hit in hits] for key, hits in zip(rankings.query_ids, found, strict=True)
    }  # fmt: skip
    return rankings.scores(run)
