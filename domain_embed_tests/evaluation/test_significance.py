"""Intervals and p-values where the answer is known: by hand, by symmetry, or by simulation."""

import numpy as np
import pandas as pd
import pytest

from domain_embed.contracts.records import Comparison
from domain_embed.evaluation.significance import bootstrap_interval, compare


def _series(values: list[float]) -> "pd.Series[float]":
    return pd.Series(values, index=[f"q{n}" for n in range(len(values))], dtype=float)


def _compare(one: "pd.Series[float]", other: "pd.Series[float]", seed: int = 0, resamples: int = 1000) -> Comparison:
    return compare("tuned/dense", "base/dense", "nDCG@10", one, other, resamples=resamples, seed=seed)


def test_equal_scores_differ_by_nothing() -> None:
    same = _series([0.1, 0.5, 1.0])
    assert _compare(same, same) == Comparison(
        "tuned/dense", "base/dense", "nDCG@10", delta=0.0, ci95=(0.0, 0.0), p=1.0, wins=0, ties=3, losses=0
    )


def test_constant_gain_has_an_interval_of_one_point() -> None:
    base = _series([0.25] * 20)
    comparison = _compare(base + 0.5, base)
    assert comparison.delta == comparison.ci95[0] == comparison.ci95[1] == 0.5
    assert (comparison.wins, comparison.ties, comparison.losses) == (20, 0, 0)
    # Only all signs equal, 2 of 2^20 assignments, are as extreme: none is drawn but the one observed.
    assert comparison.p == 1 / 1001


def test_p_of_three_wins_is_a_quarter() -> None:
    # Of the 8 assignments of three equal differences, +++ and --- are as extreme as what was seen.
    comparison = _compare(_series([1.0, 1.0, 1.0, 0.5]), _series([0.0, 0.0, 0.0, 0.5]), resamples=10_000)
    assert comparison.p == pytest.approx(0.25, abs=0.02)
    assert (comparison.wins, comparison.ties, comparison.losses) == (3, 1, 0)


def test_figures_repeat_with_the_seed_and_only_with_it() -> None:
    rng = np.random.default_rng(3)
    one, other = _series(list(rng.random(50))), _series(list(rng.random(50)))
    assert _compare(one, other, seed=1) == _compare(one, other, seed=1)
    assert _compare(one, other, seed=1).ci95 != _compare(one, other, seed=2).ci95


def test_swapping_the_systems_mirrors_everything() -> None:
    rng = np.random.default_rng(4)
    one, other = _series(list(rng.random(40))), _series(list(rng.random(40)))
    there, back = _compare(one, other), _compare(other, one)
    assert back.delta == pytest.approx(-there.delta)
    assert back.ci95 == pytest.approx((-there.ci95[1], -there.ci95[0]))
    assert back.p == there.p
    assert (back.wins, back.losses) == (there.losses, there.wins)


def test_queries_are_paired_by_id_not_by_place() -> None:
    base = _series([0.0, 0.2, 0.4, 0.9])
    assert _compare(base.sample(frac=1, random_state=1), base).ties == 4


def test_different_queries_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"1 queries are scored for one system only, the first is 'q2'"):
        _compare(_series([0.1, 0.2, 0.3]), _series([0.1, 0.2]))


def test_query_scored_twice_is_an_error() -> None:
    twice = pd.Series([0.1, 0.2], index=["q0", "q0"])
    with pytest.raises(ValueError, match="more than one score"):
        _compare(twice, twice)


def test_no_query_is_an_error() -> None:
    with pytest.raises(ValueError, match="no query"):
        _compare(_series([]), _series([]))


def test_interval_holds_the_true_mean_about_95_times_of_100() -> None:
    rng = np.random.default_rng(5)
    samples = rng.beta(0.5, 0.8, size=(300, 80)) - rng.beta(0.5, 0.8, size=(300, 80))  # true mean difference: 0
    intervals = [bootstrap_interval(sample, resamples=500, seed=n) for n, sample in enumerate(samples)]
    assert 0.91 <= np.mean([low <= 0 <= high for low, high in intervals]) <= 0.98


def test_many_queries_are_resampled_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.linspace(0, 1, 40)
    whole = bootstrap_interval(values, resamples=200, seed=0)
    monkeypatch.setattr("domain_embed.evaluation.significance._CELLS", 90)
    assert bootstrap_interval(values, resamples=200, seed=0) == pytest.approx(whole)
