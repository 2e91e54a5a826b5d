"""How long a training goes on, at what rate, and which of its validations is kept.

A `Falling` course ends after a number of epochs that somebody has chosen, with a rate that falls to zero. A `Steady`
one goes on as long as it learns: at a constant rate it can end at any time, which a falling one cannot, and the running
average of the weights takes the place of the fall.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from domain_embed.settings import TrainingSettings
from domain_embed.training import average
from domain_embed.training.state import History

MOST_EPOCHS = 16
"""Of a steady course; domains were seen to peak between the first epoch and the sixth."""
STEPS_APART = 20
"""Most steps between two validations of a small set, and fewest without a rise before a steady course ends."""
SMALL = 60
"""Steps of an epoch up to which a set is small; to validate larger ones more than once an epoch takes too long."""
WARMED_IN = 2
"""Epochs whose steps the warm-up of a steady course is a share of: it is as long as that of a falling one of two."""
CLEARLY = 0.5
"""Standard errors of the difference, paired by query, by which a later average must rank better than the kept one. On
simulated validations of four curves seen on real domains (`benchmarks.epochs --rules`), half an error lost as little as
any rule from 100 queries on, and at most 0.002 more than the least with fewer; a whole one lost up to 0.005 more."""


class Course(Protocol):
    """What `Fit` asks."""

    @property
    def window(self) -> int:
        """Steps that the average of the weights is over; with 1 the weights are judged themselves."""

    def rate(self, step: int) -> float:
        """Factor of the learning rate, never zero at the first step; `step` counts from 0."""

    def points(self, steps: int) -> frozenset[int]:
        """After which steps of an epoch of so many there is a validation; always after the last. They count from 1."""

    def keeps(self, history: History, scores: NDArray[np.float64]) -> bool:
        """Whether these scores, by query, are better than those that are kept; `history` does not hold them yet."""

    def ended(self, history: History) -> bool:
        """Whether patience has come to its end."""


def course_of(settings: TrainingSettings, epochs: Sequence[Sequence[object]]) -> Course:
    """The one that the settings ask for; of a steady one only the first epoch is looked at."""
    if settings.epochs == "auto":
        return Steady(len(epochs[0]), settings.warmup, settings.epochs_of_patience)
    return Falling(sum(len(batches) for batches in epochs), settings.warmup, settings.epochs_of_patience)


@dataclass(frozen=True)
class Falling:
    """Linear warm-up, then linear to zero; the highest validation is kept, the earliest of equals."""

    steps: int
    warmup: float
    patience: int
    window: int = 1

    def rate(self, step: int) -> float:  # noqa: D102
        return schedule(step, self.steps, self.warmup)

    def points(self, steps: int) -> frozenset[int]:  # noqa: D102
        return frozenset({steps})

    def keeps(self, history: History, scores: NDArray[np.float64]) -> bool:  # noqa: D102
        return not history.validation or float(scores.mean()) > history.best_figure

    def ended(self, history: History) -> bool:  # noqa: D102
        return len(history.validation) - history.best >= self.patience


@dataclass(frozen=True)
class Steady:
    """Linear warm-up, then constant. A later validation is kept only when it is clearly better than the kept one.

    Validation is noisy, and of many looks one is high by chance. So the paired difference has to be `CLEARLY` standard
    errors, in the manner of the rule of one standard error by which Breiman et al. (1984), "Classification and
    Regression Trees", take the simpler of two models; the simpler one is here the one that was trained less. That it is
    higher at all is enough to go on: the end comes after `patience` epochs, and `STEPS_APART` steps, below the highest.
    """

    epoch_steps: int
    warmup: float
    patience: int

    @property
    def window(self) -> int:  # noqa: D102
        return max(1, round(average.EPOCHS * self.epoch_steps))

    def rate(self, step: int) -> float:  # noqa: D102
        return min(1.0, (step + 1) / max(1, round(self.warmup * WARMED_IN * self.epoch_steps)))

    def points(self, steps: int) -> frozenset[int]:  # noqa: D102
        parts = math.ceil(steps / STEPS_APART) if steps <= SMALL else 1
        return frozenset(round(steps * part / parts) for part in range(1, parts + 1))

    def keeps(self, history: History, scores: NDArray[np.float64]) -> bool:  # noqa: D102
        return not history.validation or clearly_better(scores, np.array(history.kept_scores))

    def ended(self, history: History) -> bool:  # noqa: D102
        highest = int(np.argmax(history.validation))
        epochs, steps = (since[-1] - since[highest] for since in (history.epochs, history.validated_at))
        return epochs >= self.patience and steps >= STEPS_APART


def clearly_better(later: NDArray[np.float64], kept: NDArray[np.float64]) -> bool:
    """Whether scores of the same queries have risen by `CLEARLY` standard errors of their mean difference."""
    gains = later - kept
    error = float(gains.std()) / math.sqrt(len(gains))
    return bool(gains.mean() > 0 and gains.mean() >= CLEARLY * error)


def schedule(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up, then linear to zero; a factor of the peak learning rate, never zero at the first step."""
    rising = max(1, round(warmup * steps))
    return (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)
