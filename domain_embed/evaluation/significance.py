"""Whether a difference between two systems is more than luck with the queries: paired resampling.

The interval is the percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13) and
the p-value Fisher's randomization test, both over queries; Smucker, Allan & Carterette (A Comparison of Statistical
Significance Tests for Information Retrieval Evaluation, CIKM 2007) found them to agree and advise against the
Wilcoxon and sign tests. Figures are not adjusted for the number of comparisons.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain_embed.contracts.records import Comparison

TIE = 1e-9
"""Differences up to this are rounding of one and the same figure."""

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
    differences = _paired_differences(challenger_scores, baseline_scores)
    return Comparison(
        challenger=challenger,
        baseline=baseline,
        metric=metric,
        delta=float(differences.mean()),
        ci95=bootstrap_interval(differences, resamples=resamples, seed=seed),
        p=sign_flip_p(differences, resamples=resamples, seed=seed),
        wins=int(np.count_nonzero(differences > TIE)),
        ties=int(np.count_nonzero(np.abs(differences) <= TIE)),
        losses=int(np.count_nonzero(differences < -TIE)),
    )


def bootstrap_interval(values: NDArray[np.float64], *, resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `values` (n,), n >= 1, when its members are drawn anew."""
    rng = np.random.default_rng(seed)
    n = len(values)
    means = [values[rng.integers(n, size=(rows, n))].mean(axis=1) for rows in _chunks(resamples, n)]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def sign_flip_p(differences: NDArray[np.float64], *, resamples: int, seed: int) -> float:
    """The two-sided p-value of a mean difference, if each query's sign were a coin toss.

    (1 + b) / (1 + m) for b of m random assignments at least as extreme as what was seen: the observed
    assignment counts as one of them, so p is never 0 (Davison & Hinkley, Bootstrap Methods, 1997, eq. 4.11).
    """
    moved = differences[np.abs(differences) > TIE]  # a tie adds nothing under either sign
    rng = np.random.default_rng(seed)
    observed = abs(float(moved.sum()))
    extreme = 0
    for rows in _chunks(resamples, len(moved)):
        signs = rng.integers(2, size=(rows, len(moved)), dtype=np.int8) * 2.0 - 1.0
        extreme += int(np.count_nonzero(np.abs(signs @ moved) >= observed - TIE))
    return (1 + extreme) / (1 + resamples)


def _paired_differences(challenger: "pd.Series[float]", baseline: "pd.Series[float]") -> NDArray[np.float64]:
    """Challenger minus baseline in the order of the sorted query ids, (n,) float64."""
    if not challenger.index.is_unique or not baseline.index.is_unique:
        raise ValueError("a query has more than one score, so the systems cannot be paired")
    alone = challenger.index.symmetric_difference(baseline.index)
    if len(alone):
        raise ValueError(f"{len(alone)} queries are scored for one system only, the first is {alone[0]!r}")
    if not len(challenger):
        raise ValueError("there is no query to compare the systems on")
    ids = challenger.index.sort_values()
    return np.asarray(challenger.loc[ids], dtype=np.float64) - np.asarray(baseline.loc[ids], dtype=np.float64)


def _chunks(resamples: int, n: int) -> Iterator[int]:
    """Numbers of rows that add up to `resamples`, each few enough for a (rows, n) array to stay small."""
    rows = max(1, _CELLS // max(1, n))
    for start in range(0, resamples, rows):
        yield min(rows, resamples - start)
