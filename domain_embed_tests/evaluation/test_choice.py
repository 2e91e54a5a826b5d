"""Which way to ask a model is chosen: the simplest that is as good as the best, and with few queries the robust one."""

import numpy as np
import pandas as pd
import pytest

from domain_embed.evaluation.choice import FEW_QUERIES, choose

MANY, FEW = 200, 12


def scores(means: dict[str, float], queries: int, noise: float = 0.05) -> "dict[str, pd.Series[float]]":
    """Figures with exactly these means; each two variants differ by noise of about this size from query to query."""
    rng = np.random.default_rng(3)
    ids = [f"q{n}" for n in range(queries)]
    found = {}
    for variant, mean in means.items():
        drawn = rng.normal(0, noise, queries)
        found[variant] = pd.Series(drawn - drawn.mean() + mean, index=ids)
    return found


@pytest.mark.parametrize(
    ("means", "queries", "variant", "reason"),
    [
        ({"dense": 0.70, "hybrid": 0.70, "weighted": 0.701}, MANY, "dense", "within one standard error"),
        ({"dense": 0.60, "hybrid": 0.70, "weighted": 0.701}, MANY, "hybrid", "within one standard error"),
        ({"dense": 0.60, "hybrid": 0.70, "weighted": 0.75}, MANY, "weighted", "within one standard error"),
        ({"weighted": 0.751, "dense": 0.6, "hybrid": 0.7, "sparse": 0.75}, MANY, "sparse", "within one standard error"),
        ({"dense": 0.7, "hybrid": 0.7, "weighted": 0.7, "dense+rerank": 0.9}, MANY, "dense+rerank",
         "within one standard error"),
        ({"dense": 0.7, "hybrid": 0.7, "weighted": 0.7, "hybrid+rerank": 0.7}, MANY, "dense",
         "within one standard error"),
        ({"dense": 0.70, "hybrid": 0.69, "weighted": 0.71}, FEW, "hybrid", "few queries"),
        ({"dense": 0.30, "hybrid": 0.69, "weighted": 0.70}, FEW, "hybrid", "few queries"),
        ({"dense": 0.90, "hybrid": 0.69, "weighted": 0.70}, FEW, "dense", "clearly better"),
    ],
)  # fmt: skip
def test_the_simplest_as_good_as_the_best_is_chosen(
    means: dict[str, float], queries: int, variant: str, reason: str
) -> None:
    choice = choose(scores(means, queries))
    assert (choice.variant, choice.reason, choice.queries) == (variant, reason, queries)
    assert choice.means == pytest.approx(means)
    best = max(means, key=lambda name: means[name])
    assert choice.errors[best] == 0
    assert all(0.002 < error < 0.05 for name, error in choice.errors.items() if name != best)


def test_the_error_is_of_the_paired_difference() -> None:
    ids = [f"q{n}" for n in range(FEW_QUERIES)]
    hard = pd.Series(np.linspace(0, 1, FEW_QUERIES), index=ids)  # queries differ a lot, the ways to ask never
    choice = choose({"dense": hard, "hybrid": hard + 0.01, "weighted": hard + 0.01})
    assert choice.variant == "hybrid"
    assert choice.errors == pytest.approx({"dense": 0, "hybrid": 0, "weighted": 0}, abs=1e-12)


def test_without_queries_and_with_one_the_robust_way_is_taken() -> None:
    nothing = choose({})
    assert (nothing.variant, nothing.reason, nothing.queries) == ("hybrid", "no validation queries", 0)
    one = choose({name: pd.Series({"q": value}) for name, value in {"dense": 1.0, "hybrid": 0.0}.items()})
    assert (one.variant, one.reason) == ("hybrid", "few queries")
