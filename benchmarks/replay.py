"""Rules for when a steady training ends and what it keeps, judged on validations that were measured, or simulated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain_embed.training.course import MOST_EPOCHS, Course, Steady
from domain_embed.training.state import History

CURVES = (
    (0.368, 0.446, 0.491, 0.522, 0.558, 0.605, 0.601, 0.563),
    (0.810, 0.834, 0.827, 0.837, 0.835),
    (0.592, 0.591, 0.588, 0.570),
    (0.600, 0.610, 0.600, 0.595),
)
"""nDCG@10 on test of the averaged weights by epoch, as seen on four domains that are not among these."""
DRAWS = 400
WALK = 0.12
"""Standard deviation of how much more or less than the curve one query moves in an epoch, in nDCG@10; assumed."""

Measured = Mapping[str, Any]
"""One validation as it was kept: `epochs`, `steps`, and nDCG@10 by query, `scores` of validation and `test`."""


@dataclass(frozen=True)
class Replay:
    """What a rule keeps of a training, the validation it ends with, and whether it is the rule that ends it there."""

    kept: Measured
    last: Measured
    ended: bool


@dataclass(frozen=True)
class Ruled(Steady):
    """A steady course that keeps a later validation which is so many standard errors better, and at all."""

    clearly: float = 0.0

    def keeps(self, history: History, scores: NDArray[np.float64]) -> bool:
        """As the product's, but for the number of standard errors."""
        return not history.validation or better_by(self.clearly, scores - np.array(history.kept_scores))


def better_by(errors: float, gains: NDArray[np.float64]) -> bool:
    """Whether gains, by query, are above zero by so many standard errors of their mean."""
    return bool(gains.mean() > 0 and gains.mean() >= errors * gains.std() / math.sqrt(len(gains)))


def replayed(points: Sequence[Measured], course: Course) -> Replay:
    """Goes through the validations of a training as if it were under way."""
    history, kept = History(), points[0]
    for point in points:
        scores = np.array(point["scores"])
        if course.keeps(history, scores):
            history.kept, history.kept_scores, kept = len(history.validation) + 1, scores.tolist(), point
        history.validation.append(float(scores.mean()))
        history.validated_at.append(point["steps"])
        history.epochs.append(point["epochs"])
        if course.ended(history):
            return Replay(kept, point, ended=True)
    return Replay(kept, points[-1], ended=False)


def rules() -> list[str]:
    """What rules lose against the best epoch, on average over the curves, by how many queries validate; Markdown.

    A query's figure is the curve's and a random walk, so that epochs far apart differ more than neighbours.
    """
    factors, patiences = (0.0, 0.25, 0.5, 1.0, 1.5), (2, 3)
    lines = ["| queries | patience | " + " | ".join(f"{factor:g} errors" for factor in factors) + " | epochs |",
             "|---" * (len(factors) + 3) + "|"]  # fmt: skip
    for queries in (12, 30, 100, 300):
        for patience in patiences:
            found = [simulated(queries, patience, factor) for factor in factors]
            cells = [f"{lost:.4f}" for lost, _ in found]
            lines.append(
                f"| {queries} | {patience} | {' | '.join(cells)} | {mean(trained for _, trained in found):.1f} |"
            )
    return lines


def simulated(queries: int, patience: int, factor: float) -> tuple[float, float]:
    """nDCG@10 lost against the best epoch, and epochs trained; means over the curves."""
    generator = np.random.default_rng(0)
    lost, trained = [], []
    for curve in CURVES:
        truth = np.array([*curve, *[curve[-1]] * (MOST_EPOCHS - len(curve))])
        for _ in range(DRAWS):
            scores = truth[:, None] + np.cumsum(generator.normal(0, WALK, (MOST_EPOCHS, queries)), axis=0)
            chosen = highest = 0
            for epoch in range(1, MOST_EPOCHS):
                if better_by(factor, scores[epoch] - scores[chosen]):
                    chosen = epoch
                highest = epoch if scores[epoch].mean() > scores[highest].mean() else highest
                if epoch - highest >= patience:
                    break
            lost.append(float(truth.max() - truth[chosen]))
            trained.append(epoch + 1)
    return mean(lost), mean(trained)
