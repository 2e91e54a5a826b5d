"""What more labels would be worth: the domain's own recipe on growing shares of its training pairs.

Gains are taken to rise by the same amount with each doubling of the pairs, at the pace of the last two doublings. That
is a local reading of the power laws that learning curves follow (Hestness et al. 2017, "Deep Learning Scaling is
Predictable, Empirically"): good for as many labels again, too kind for many times as many.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.ports import Tracker
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.measures import ndcg_scores
from domain_embed.evaluation.significance import bootstrap_interval
from domain_embed.settings import EvaluationSettings, ModelSettings, TrainingSettings
from domain_embed.training.checkpoint import prepare_folder
from domain_embed.training.fit import Fit
from domain_embed.training.pairs import TrainingPairs
from domain_embed.training.trainer import TeachingEpochs
from domain_embed.training.validation import ValidationSet, measure

SHARES = (0.125, 0.25, 0.5, 1.0)
LAST = 3
"""Points that the pace is taken from."""
FEWEST_PAIRS = 32
"""A share with fewer is left out: it would say nothing."""


@dataclass(frozen=True)
class Point:
    """One training: the pairs it learned from, nDCG@10 on the validation queries, and its gain over the base model."""

    pairs: int
    ndcg: float
    gain: float
    ci95: tuple[float, float]


@dataclass(frozen=True)
class Saturation:
    """The curve, and what a doubling of the pairs is worth now, in nDCG@10 on `queries` validation queries.

    Validation queries are ranked in their pool, not in the whole corpus, and chose the epoch: figures compare shares
    with each other, not with the test set. Intervals are over queries; another draw of pairs would move them more.
    """

    queries: int
    base_ndcg: float
    points: tuple[Point, ...]
    per_doubling: float
    ci95: tuple[float, float]

    def worth(self, more: int) -> tuple[float, tuple[float, float]]:
        """The expected gain from so many more pairs, with its interval; never more than there is left to gain."""
        last = self.points[-1]
        doublings, room = math.log2(1 + more / last.pairs), 1 - last.ndcg
        low, high = self.ci95
        return min(self.per_doubling * doublings, room), (min(low * doublings, room), min(high * doublings, room))


def measure_saturation(
    base: str, model: ModelSettings, recipe: TrainingSettings, pairs: TrainingPairs, validation: ValidationSet,
    folder: Path, tracker: Tracker, intervals: EvaluationSettings,
) -> Saturation:  # fmt: skip
    """Trains on each share of the queries and ranks the validation queries; the smaller shares lie in the larger.

    Args:
        base: Folder or hub id of the base model.
        model: How texts are put to the model.
        recipe: As the domain trains, but for the mixture with the base model.
        pairs: All there are.
        validation: What is ranked.
        folder: For unfinished work; the same call goes on from there after a kill.
        tracker: Gets a nested run for every share.
        intervals: Resamples and seed of the intervals.

    Raises:
        TrainingError: When there are too few pairs for a curve.
        StoreError: When the folder cannot be written.
    """
    parts = [_share(pairs, share, recipe.seed) for share in SHARES]
    parts = [part for part in parts if len(part.pairs) >= FEWEST_PAIRS]
    if len(parts) < LAST:
        raise TrainingError(
            f"{len(pairs.pairs)} training pairs are too few for a curve: {FEWEST_PAIRS * 2 ** (LAST - 1)} are needed",
            "add judgments",
        )
    before = _ndcg(base, model, validation)
    scores = []
    for part in parts:
        with tracker.nested(f"{len(part.pairs)} pairs") as nested:
            scores.append(_trained(base, model, recipe, part, validation, folder / str(len(part.pairs)), nested))
            nested.log_metrics({"validation_ndcg_at_10": float(scores[-1].mean())})
    sizes = [len(part.pairs) for part in parts]
    return saturation(sizes, before, scores, intervals)


def saturation(
    sizes: Sequence[int], before: "pd.Series[float]", scores: Sequence["pd.Series[float]"],
    intervals: EvaluationSettings,
) -> Saturation:  # fmt: skip
    """The curve of these trainings: `sizes` rising pairs, at least LAST, nDCG@10 by query id of base and of each."""
    by_query = np.stack([one.loc[before.index].to_numpy(np.float64) for one in scores], axis=1)
    gains = by_query - before.to_numpy(np.float64)[:, None]
    slopes = by_query[:, -LAST:] @ _slope_weights(np.log2(np.array(sizes[-LAST:], dtype=np.float64)))

    def interval(values: NDArray[np.float64]) -> tuple[float, float]:
        return bootstrap_interval(values, resamples=intervals.resamples, seed=intervals.seed)

    points = tuple(
        Point(size, float(column.mean()), float(gain.mean()), interval(gain))
        for size, column, gain in zip(sizes, by_query.T, gains.T, strict=True)
    )
    return Saturation(len(before), float(before.mean()), points, float(slopes.mean()), interval(slopes))


def _slope_weights(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a least-squares slope over `x` multiplies each value with: of a mean curve it is the mean of slopes."""
    centred = x - x.mean()
    weights: NDArray[np.float64] = centred / (centred**2).sum()
    return weights


def _share(pairs: TrainingPairs, share: float, seed: int) -> TrainingPairs:
    """The pairs of a part of the queries that a smaller share's queries are a part of."""
    queries = np.unique(pairs.pairs[:, 0])
    order = np.random.default_rng(seed).permutation(queries)
    chosen = order[: max(1, round(share * len(order)))]
    return replace(pairs, pairs=pairs.pairs[np.isin(pairs.pairs[:, 0], chosen)])


def _trained(
    base: str, model: ModelSettings, recipe: TrainingSettings, pairs: TrainingPairs, validation: ValidationSet,
    folder: Path, tracker: Tracker,
) -> "pd.Series[float]":  # fmt: skip
    prepare_folder(folder)
    epochs = TeachingEpochs(pairs, recipe)
    fitted = Fit(base, model, recipe, pairs, epochs, validation, ndcg_scores).run(folder, tracker)
    return _ndcg(str(fitted.folder), model, validation, fitted.pool_vectors)


def _ndcg(
    location: str, model: ModelSettings, validation: ValidationSet, passages: NDArray[np.float32] | None = None
) -> "pd.Series[float]":
    """By query id; `passages` are the model's vectors of the pool where they are there already."""
    return measure(TorchEncoder.load(location, model), validation, ndcg_scores, passages)[0]
