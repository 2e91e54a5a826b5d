"""What clicks say about relevance once the position is accounted for: the position-based click model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.progress import progress_bar

PRIOR_LOOKS = 2.0
"""What is known of a result before anybody has looked at it counts as much as two looks at an average one."""

PRIOR_CLICKS = 10.0
"""What is known of the positions before any result has moved counts as much as ten clicks on one that moved."""

TOLERANCE = 1e-5
"""The fit has converged when no parameter changes by more than this."""

MAX_ITERATIONS = 500

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ClickCounts:
    """How often each pair of query and passage was shown and clicked at each position.

    One entry for each pair and position that occurred. `pair` (n,) int64 counts pairs from 0 without gaps, `position`
    (n,) int64 counts from 1; `shown` and `clicked` (n,) float64, 0 <= clicked <= shown, shown > 0.
    """

    pair: Integers
    position: Integers
    shown: Floats
    clicked: Floats


@dataclass(frozen=True)
class Examination:
    """How likely users look at each position, relative to the topmost one, which is 1.0; and how it was fitted."""

    by_position: Mapping[int, float]
    iterations: int
    converged: bool


@dataclass(frozen=True)
class ClickModel:
    """A fitted position-based model.

    Attributes:
        examination: How far down users look.
        attraction: (n_pairs,) float64, the probability of a click once looked at: the mean of its posterior.
        looks: (n_pairs,) float64, the expected number of times that somebody looked at the pair.
        clicks: (n_pairs,) float64.
        average: Attraction of the average impression, the mean of the prior.
    """

    examination: Examination
    attraction: Floats
    looks: Floats
    clicks: Floats
    average: float

    def probability_at_most(self, threshold: float) -> Floats:
        """(n_pairs,) posterior probability that the attraction is at most `threshold`.

        The posterior of the attraction, given how far users look, is taken as the Beta distribution of as many clicks
        and looks as there were, the expected ones and those of the prior. The more looks, the narrower it is.
        """
        from scipy.special import betainc  # scipy takes a third of a second that `plan` need not wait for

        clicks = self.clicks + PRIOR_LOOKS * self.average
        passed_over = self.looks - self.clicks + PRIOR_LOOKS * (1 - self.average)
        return np.asarray(betainc(clicks, passed_over, threshold), dtype=np.float64)


def fit_click_model(counts: ClickCounts) -> ClickModel:
    """The position-based model of a log with at least one entry, the same for the same counts.

    P(click on d at position r for q) = examination(r) · attraction(q, d), with an examination of 1.0 at the topmost
    position. Examination is estimated first, from pairs that were shown at several positions alone: see
    `_fit_examination`. Attraction then follows by expectation maximisation, with a Beta prior of `PRIOR_LOOKS` looks
    around the average, so that nothing is certain after a few impressions.

    To estimate both at once, as is usual, overestimates the upper positions when pairs have few impressions each: the
    errors of a million attractions do not average out of a dozen examinations.

    Model: Craswell et al., An experimental comparison of click position-bias models, WSDM 2008. Expectation
    maximisation: Chuklin, Markov, de Rijke, Click Models for Web Search, 2015, chapter 4.
    """
    positions, position = np.unique(counts.position, return_inverse=True)
    examination, steps, converged = _fit_examination(counts, positions, position)
    fit = _Attraction(counts, examination[position])
    iterations, change = 0, np.inf
    with progress_bar("fitting the click model", MAX_ITERATIONS, "iterations") as bar:
        while change > TOLERANCE and iterations < MAX_ITERATIONS:
            change = fit.step()
            iterations += 1
            bar.update(1)
    return ClickModel(
        examination=Examination(
            by_position=dict(zip(positions.tolist(), examination.tolist(), strict=True)),
            iterations=steps + iterations,
            converged=converged and change <= TOLERANCE,
        ),
        attraction=fit.attraction,
        looks=fit.looks,
        clicks=fit.clicks,
        average=fit.average,
    )


class _Attraction:
    """Expectation maximisation for known examination; what is not observed is which results were looked at."""

    def __init__(self, counts: ClickCounts, examination: Floats) -> None:
        self._pair, self._clicked = counts.pair, counts.clicked
        self._not_clicked = counts.shown - counts.clicked
        self._examination = examination
        self._shown = sums(counts.pair, counts.shown)
        self.clicks = sums(counts.pair, counts.clicked)
        self.looks = sums(counts.pair, np.maximum(counts.shown * examination, counts.clicked))
        self.average = _inside(float(self.clicks.sum() / self.looks.sum()))
        self.attraction = self._given_looks()

    def step(self) -> float:
        """One iteration; returns the largest change of an attraction."""
        before, attraction = self.attraction, self.attraction[self._pair]
        looked = self._examination * (1 - attraction) / (1 - self._examination * attraction)
        self.looks = sums(self._pair, self._clicked + self._not_clicked * looked)
        attracted = self.clicks + (self._shown - self.looks) * before
        self.average = _inside(float(attracted.sum() / self._shown.sum()))
        self.attraction = self._given_looks()
        return float(np.abs(self.attraction - before).max())

    def _given_looks(self) -> Floats:
        return (self.clicks + PRIOR_LOOKS * self.average) / (self.looks + PRIOR_LOOKS)


def _fit_examination(counts: ClickCounts, positions: Integers, position: Integers) -> tuple[Floats, int, bool]:
    """(n_positions,) examination, the number of steps, and whether they converged.

    Given all clicks on a pair, the share of them that falls on a position depends on how often the pair was shown there
    and how far users look, but no longer on its attraction. This conditional likelihood (of Poisson counts with fixed
    effects: Hausman, Hall, Griliches, Econometrica 1984) is concave, and its maximum consistent however few impressions
    a pair has, and although better results come to stand higher. Newton's method finds it in a few steps.

    One made-up pair with `PRIOR_CLICKS` clicks ties positions together that share no pair. Its clicks say that users
    look at a position in proportion to its click rate, as if results were equally attractive everywhere, or to
    1 / position if that is more: engines put better results higher, which makes click rates fall too steeply.
    """
    rates = sums(position, counts.clicked) / sums(position, counts.shown)
    prior = np.maximum(np.minimum(rates / max(rates[0], 1e-9), 1.0), positions[0] / positions)
    made_up = np.full(len(positions), counts.pair.max() + 1)
    evidence = ClickCounts(
        pair=np.append(counts.pair, made_up),
        position=np.append(position, np.arange(len(positions))),
        shown=np.append(counts.shown, np.ones(len(positions))),
        clicked=np.append(counts.clicked, PRIOR_CLICKS * prior / prior.sum()),
    )
    clicks = sums(evidence.pair, evidence.clicked)
    logs, steps, change = np.log(prior), 0, np.inf
    while change > TOLERANCE and steps < MAX_ITERATIONS:
        step = _newton_step(evidence, clicks, logs)
        logs += step
        change, steps = float(np.abs(step).max()), steps + 1
    return np.minimum(np.exp(logs), 1.0), steps, change <= TOLERANCE


def _newton_step(evidence: ClickCounts, clicks: Floats, logs: Floats) -> Floats:
    """(n_positions,) what to add to the logarithms of examination; nothing to the topmost one."""
    from scipy.sparse import csr_array

    pair, position = evidence.pair, evidence.position
    weights = evidence.shown * np.exp(logs)[position]
    shares = weights / sums(pair, weights)[pair]
    expected = sums(position, shares * clicks[pair])
    slope = sums(position, evidence.clicked) - expected
    spread = csr_array((shares * np.sqrt(clicks[pair]), (pair, position)))
    curvature = np.diag(expected) - (spread.T @ spread).toarray()
    step = np.zeros(len(logs))
    # From a poor start a full step overshoots.
    step[1:] = np.clip(np.linalg.solve(curvature[1:, 1:], slope[1:]), -2, 2)
    return step


def sums(group: Integers, values: NDArray[np.generic], n_groups: int = 0) -> Floats:
    """(n_groups,) the sum of `values` for each group; groups count from 0."""
    return np.asarray(np.bincount(group, values.astype(np.float64), n_groups), dtype=np.float64)


def _inside(probability: float) -> float:
    """Kept off 0 and 1, where a Beta distribution has no density and a missed click no probability."""
    return min(max(probability, 1e-6), 1 - 1e-6)
