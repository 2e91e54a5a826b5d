"""Whether a difference between systems is more than luck with the queries: paired resampling, and what it can see.

Intervals are bias-corrected and accelerated bootstrap intervals (BCa; Efron & Tibshirani, An Introduction to the
Bootstrap, 1993, ch. 14) and p-values those of Fisher's randomization test, both over queries; Smucker, Allan &
Carterette (A Comparison of Statistical Significance Tests for Information Retrieval Evaluation, CIKM 2007) found the
bootstrap and the randomization test to agree and advise against the Wilcoxon and sign tests. Every system is resampled
with the same draws, so many comparisons cost little more than one.
"""

from collections.abc import Iterator, Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain_embed.contracts.records import Comparison

TIE = 1e-9
"""Differences up to this are rounding of one and the same figure."""
LEVEL = 0.05
"""Of every test and interval: what happens by luck alone less often is taken for a finding."""
POWER = 0.8
"""How often a detectable effect is detected."""

# 2 million float64 cells are 16 MB: the memory of a resampling step, whatever the number of queries.
_CELLS = 1 << 21


def compare(
    challenger: str,
    baseline: str,
    metric: str,
    challenger_scores: "pd.Series[float]",
    baseline_scores: "pd.Series[float]",
    *,
    resamples: int = 10_000,
    seed: int,
) -> Comparison:
    """A paired comparison on the same queries; equal arguments give equal figures.

    Args:
        challenger: Name of the system whose gain counts as positive.
        baseline: Name of the system it is compared to.
        metric: Name of the measure.
        challenger_scores: One score per query, indexed by query id, in any order.
        baseline_scores: Likewise, over the same query ids.
        resamples: Bootstrap resamples, and random sign assignments.
        seed: Seed of both.

    Raises:
        ValueError: The two do not hold the same queries, each once, or hold none.
    """
    if challenger == baseline:
        raise ValueError(f"{challenger} cannot be compared to itself")
    table = pd.DataFrame(_paired(challenger_scores, baseline_scores), columns=[challenger, baseline])
    (found,) = compare_pairs([(challenger, baseline)], metric, table, resamples=resamples, seed=seed)
    return found


def compare_pairs(
    pairs: Sequence[tuple[str, str]], metric: str, scores: pd.DataFrame, *, resamples: int, seed: int
) -> list[Comparison]:
    """One comparison for each (challenger, baseline), in order, with p-values adjusted for their number.

    Args:
        pairs: Columns of `scores`.
        metric: Name of the measure.
        scores: One row per query, one column per system; at least one row.
        resamples: Bootstrap resamples, and random sign assignments.
        seed: Seed of both.
    """
    if not pairs:
        return []
    differences = np.stack([(scores[one] - scores[other]).to_numpy(np.float64) for one, other in pairs], axis=1)
    intervals = bca_intervals(differences, resamples=resamples, seed=seed)
    p = sign_flip_p_values(differences, resamples=resamples, seed=seed)
    return [
        Comparison(
            challenger=one,
            baseline=other,
            metric=metric,
            delta=float(column.mean()),
            ci95=(float(low), float(high)),
            p=float(raw),
            wins=int(np.count_nonzero(column > TIE)),
            ties=int(np.count_nonzero(np.abs(column) <= TIE)),
            losses=int(np.count_nonzero(column < -TIE)),
            p_adjusted=adjusted if len(pairs) > 1 else None,
        )
        for (one, other), column, (low, high), raw, adjusted in zip(
            pairs, differences.T, intervals, p, holm(p.tolist()), strict=True
        )
    ]


def bootstrap_interval(values: NDArray[np.float64], *, resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % BCa interval of the mean of `values` (n,), n >= 1, when its members are drawn anew."""
    ((low, high),) = bca_intervals(values[:, None], resamples=resamples, seed=seed)
    return float(low), float(high)


def bca_intervals(values: NDArray[np.float64], *, resamples: int, seed: int) -> NDArray[np.float64]:
    """The 95 % BCa interval (k, 2) of the mean of each column of `values` (n, k), n >= 1.

    Of a column whose members are all equal nothing can be resampled: its interval is that one point.
    """
    from scipy.special import ndtr, ndtri  # scipy takes a third of a second that `plan` need not wait for

    means = _bootstrap_means(values, resamples, seed)
    centre = values.mean(axis=0)
    deviations = values - centre
    spread = (deviations**2).sum(axis=0)
    varies = spread > len(values) * TIE**2
    # Of a mean, the jackknife that acceleration is made of has this closed form.
    acceleration = (deviations**3).sum(axis=0) / (6 * np.where(varies, spread, 1.0) ** 1.5)
    # Half of those that equal it, which is every resample that holds each query once: rounding must not decide.
    below = ((means < centre - TIE).mean(axis=0) + (means <= centre + TIE).mean(axis=0)) / 2
    bias = ndtri(np.clip(below, 0.5 / resamples, 1 - 0.5 / resamples))
    intervals = np.stack([centre, centre], axis=1)
    for column in np.flatnonzero(varies):
        ends = bias[column] + ndtri(np.array([LEVEL / 2, 1 - LEVEL / 2]))
        shares = ndtr(bias[column] + ends / (1 - acceleration[column] * ends))
        intervals[column] = np.quantile(means[:, column], shares)
    return intervals


def sign_flip_p(differences: NDArray[np.float64], *, resamples: int, seed: int) -> float:
    """The p-value of one column of differences (n,); see `sign_flip_p_values`."""
    return float(sign_flip_p_values(differences[:, None], resamples=resamples, seed=seed)[0])


def sign_flip_p_values(differences: NDArray[np.float64], *, resamples: int, seed: int) -> NDArray[np.float64]:
    """The two-sided p-value (k,) of each column's mean (n, k), if each query's sign were a coin toss.

    (1 + b) / (1 + m) for b of m random assignments at least as extreme as what was seen: the observed
    assignment counts as one of them, so p is never 0 (Davison & Hinkley, Bootstrap Methods, 1997, eq. 4.11).
    """
    moved = np.where(np.abs(differences) > TIE, differences, 0.0)  # a tie adds nothing under either sign
    rng = np.random.default_rng(seed)
    observed = np.abs(moved.sum(axis=0))
    extreme = np.zeros(moved.shape[1], dtype=np.int64)
    for rows in _chunks(resamples, len(moved)):
        signs = rng.integers(2, size=(rows, len(moved)), dtype=np.int8) * 2.0 - 1.0
        extreme += np.count_nonzero(np.abs(signs @ moved) >= observed - TIE, axis=0)
    p: NDArray[np.float64] = (1 + extreme) / (1 + resamples)
    return p


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, in order, adjusted so that all of them together mislead no more often than one.

    Holm's step-down procedure (A Simple Sequentially Rejective Multiple Test Procedure, 1979): the smallest of m
    counts m times, the next m - 1 times, and none less than the one before it.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, floor = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        floor = max(floor, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = floor
    return adjusted


def detectable_effect(deviation: float, queries: int, *, power: float = POWER) -> float:
    """The smallest true difference that so many queries show, at the 5 % level, as often as `power` says.

    (z_0.975 + z_power) · deviation / √queries, from the standard deviation of the paired differences (Cohen,
    Statistical Power Analysis, 1988, ch. 2, for n large enough that t is normal).
    """
    z = NormalDist().inv_cdf
    return float((z(1 - LEVEL / 2) + z(power)) * deviation / np.sqrt(queries))


def detectable_difference(differences: NDArray[np.float64]) -> float | None:
    """The detectable effect of a test set, from its paired differences (n,); None when there is but one."""
    return detectable_effect(float(differences.std(ddof=1)), len(differences)) if len(differences) > 1 else None


def _bootstrap_means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """(resamples, k): the mean of each column over queries drawn with replacement, the same draws for all columns."""
    rng = np.random.default_rng(seed)
    n = len(values)
    means = []
    for rows in _chunks(resamples, n):
        drawn = rng.integers(n, size=(rows, n))
        drawn += np.arange(rows)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        means.append(times.astype(np.float64) @ values / n)
    return np.concatenate(means)


def _paired(challenger: "pd.Series[float]", baseline: "pd.Series[float]") -> NDArray[np.float64]:
    """Challenger and baseline (n, 2) in the order of the sorted query ids."""
    if not challenger.index.is_unique or not baseline.index.is_unique:
        raise ValueError("a query has more than one score, so the systems cannot be paired")
    alone = challenger.index.symmetric_difference(baseline.index)
    if len(alone):
        raise ValueError(f"{len(alone)} queries are scored for one system only, the first is {alone[0]!r}")
    if not len(challenger):
        raise ValueError("there is no query to compare the systems on")
    ids = challenger.index.sort_values()
    return np.stack([challenger.loc[ids].to_numpy(np.float64), baseline.loc[ids].to_numpy(np.float64)], axis=1)


def _chunks(resamples: int, n: int) -> Iterator[int]:
    """Numbers of rows that add up to `resamples`, each few enough for a (rows, n) array to stay small."""
    rows = max(1, _CELLS // max(1, n))
    for start in range(0, resamples, rows):
        yield min(rows, resamples - start)
