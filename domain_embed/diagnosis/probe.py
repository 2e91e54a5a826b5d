"""A small training whose effect says what the whole one would gain: a few hundred pairs, one epoch, minutes at most."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, Encoder, NullTracker, TableReader
from domain_embed.contracts.records import Hit, Mode, Run
from domain_embed.contracts.tables import HARD_NEGATIVES
from domain_embed.diagnosis.causes import DEPTH
from domain_embed.diagnosis.rankings import Rankings, drawn
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.measures import ndcg_scores
from domain_embed.retrieval.fusion import fuse, weigh
from domain_embed.settings import DiagnosisSettings, ModelSettings, TrainingSettings
from domain_embed.training.fit import Fit
from domain_embed.training.pairs import epoch_batches, training_pairs
from domain_embed.training.validation import ValidationSet, validation_set

FEWEST_PAIRS = 64
"""Fewer make no training that says anything."""
POOL_DEPTH = 10
TIMED = 64
"""Passages that are embedded to know how long all take."""
RECIPE = TrainingSettings(
    epochs=1,
    batch_size=16,
    hard_negatives=0,
    learning_rate=1e-4,
    interpolation=(),
    save_every_steps=100_000,
)
"""Its own, so that an edit of `training:` makes no diagnosis stale. No hard negatives: it has to be cheap, and what it
gains is a beginning, not the end. But it reads as much of a passage as training by default: on less it learns least
where fine-tuning gains most, from answers that stand far back. Small batches: of a few hundred pairs, large ones make
too few steps to learn anything."""


@dataclass(frozen=True)
class Probe:
    """What the small training did.

    `before` and `after` are nDCG@10 by query id of base and trained model, in the mode that serves, both in the pool of
    every query's positives and nearest passages by the base model. A pool is kind to the trained model: passages that
    only it would rank high are not in it.
    """

    pairs: int
    before: "pd.Series[float]"
    after: "pd.Series[float]"
    train_s: float
    embed_s: float
    pool: int


@dataclass(frozen=True)
class Ground:
    """What the probe needs to know of the domain."""

    splits: pa.Table
    passages: TableReader
    collection: Collection
    encoder: Encoder
    base: str
    model: ModelSettings


def run_probe(
    ground: Ground, rankings: Rankings, served: Mode, weight: float, rrf_k: int, settings: DiagnosisSettings
) -> Probe | None:
    """Trains on `probe_pairs` pairs and ranks `probe_queries` validation queries before and after.

    Rankings are fused as they are served: with `weight` where the mode is weighted, by `rrf_k` where it is hybrid.
    None where there are too few pairs, or where no model serves.
    """
    pairs = drawn(ground.splits, "train", settings.probe_pairs, settings.seed)
    asked = drawn(ground.splits, "validation", settings.probe_queries, settings.seed)
    if served == "sparse" or len(pairs) < FEWEST_PAIRS or not len(asked):
        return None
    validation = validation_set(asked, ground.collection, ground.encoder, POOL_DEPTH, ndcg_scores)
    data = training_pairs(pairs, HARD_NEGATIVES.empty_table(), ground.passages)
    with tempfile.TemporaryDirectory(prefix="domain-embed-probe-") as folder:
        # Not the trainer, which gives the base model back where nothing is better: what was learned is to be seen.
        batches = epoch_batches(data, RECIPE.batch_size, RECIPE.hard_negatives, RECIPE.seed, 0)
        fit = Fit(ground.base, ground.model, RECIPE, data, [batches], validation, ndcg_scores)
        started = time.monotonic()
        fitted = fit.run(Path(folder), NullTracker())
        seconds = time.monotonic() - started
        encoder = TorchEncoder.load(str(fitted.folder), ground.model)
        started = time.monotonic()
        passages = encoder.encode_documents(validation.passages[:TIMED])
        rate = (time.monotonic() - started) / max(1, len(passages))
        tuned = fitted.pool_vectors
        if tuned is None:
            tuned = encoder.encode_documents(validation.passages)
        queries = encoder.encode_queries(validation.queries)
    fused = Fusion(rankings, served, weight, rrf_k)
    points = {point.passage_id: point.dense for point in ground.collection.fetch(list(validation.passage_ids))}
    known = np.stack([points[key] for key in validation.passage_ids])
    before = fused.run(validation, ground.encoder.encode_queries(validation.queries), known)
    after = fused.run(validation, queries, tuned)
    return Probe(
        pairs=len(data.pairs),
        before=ndcg_scores(before, validation.qrels),
        after=ndcg_scores(after, validation.qrels),
        train_s=max(0.0, seconds - rate * len(validation.passages)),
        embed_s=rate * ground.collection.count(),
        pool=len(validation.passages),
    )


class Fusion:
    """Ranks a pool by vectors, in the mode that serves."""

    def __init__(self, rankings: Rankings, served: Mode, weight: float, rrf_k: int) -> None:
        self._sparse = dict(zip(rankings.query_ids, rankings.hits["sparse"], strict=True))
        self._served, self._weight, self._rrf_k = served, weight, rrf_k

    def run(self, pool: ValidationSet, queries: NDArray[np.float32], passages: NDArray[np.float32]) -> Run:
        """The first DEPTH passages of the pool by query id; `queries` (n, dim) and `passages` (m, dim) are float32."""
        ids = np.array(pool.passage_ids)
        order = np.argsort(ids)
        scores = queries @ passages[order].T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        run = {}
        for key, row, places in zip(pool.query_ids, scores, best, strict=True):
            dense = [Hit(str(ids[order][place]), float(row[place])) for place in places]
            run[key] = [hit.passage_id for hit in self._fused(dense, self._sparse[key])]
        return run

    def _fused(self, dense: Sequence[Hit], sparse: Sequence[Hit]) -> Sequence[Hit]:
        match self._served:
            case "hybrid":
                return fuse([dense, sparse], DEPTH, self._rrf_k)
            case "weighted":
                return weigh(dense, sparse, DEPTH, self._weight)
        return dense
