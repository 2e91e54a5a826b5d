"""Intervals and p-values where the answer is known: by hand, by symmetry, or by simulation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from domain_embed.contracts.records import Comparison
from domain_embed.evaluation.significance import (
    bca_intervals,
    bootstrap_interval,
    compare,
    compare_pairs,
    detectable_effect,
    holm,
    sign_flip_p,
    sign_flip_p_values,
)


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


@pytest.mark.parametrize("n", [30, 400])
def test_intervals_are_scipys(n: int) -> None:
    """The same draws, so that not even the last digit may differ by luck."""
    skewed = np.random.default_rng(n).exponential(size=n)
    theirs = stats.bootstrap((skewed,), np.mean, n_resamples=1000, method="BCa", rng=np.random.default_rng(7))
    ours = bootstrap_interval(skewed, resamples=1000, seed=7)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), rel=1e-12)
    percentile = stats.bootstrap(
        (skewed,), np.mean, n_resamples=1000, method="percentile", rng=np.random.default_rng(7)
    ).confidence_interval
    assert ours[0] > percentile.low  # the long tail is on the right: both ends are moved towards it
    assert ours[1] > percentile.high


def test_p_value_is_scipys_where_every_assignment_can_be_counted() -> None:
    differences = np.array([0.3, -0.1, 0.25, 0.0, 0.4, 0.05, -0.2, 0.15])
    exact = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(differences, resamples=20_000, seed=0) == pytest.approx(exact.pvalue, abs=0.01)


def test_columns_are_resampled_as_if_each_were_alone() -> None:
    values = np.random.default_rng(6).normal(0.01, 0.3, size=(60, 4))
    together = bca_intervals(values, resamples=500, seed=3)
    alone = [bootstrap_interval(column, resamples=500, seed=3) for column in values.T]
    assert together == pytest.approx(np.array(alone))
    assert sign_flip_p_values(values, resamples=500, seed=3).tolist() == [
        sign_flip_p(column, resamples=500, seed=3) for column in values.T
    ]


def test_a_column_without_spread_keeps_its_point_beside_one_with() -> None:
    values = np.column_stack([np.full(10, 0.25), np.linspace(0, 1, 10)])
    (constant, spread) = bca_intervals(values, resamples=200, seed=0)
    assert constant.tolist() == [0.25, 0.25]
    assert spread[0] < 0.5 < spread[1]


def test_holm_by_hand() -> None:
    # Sorted: 0.01 × 4, 0.02 × 3, 0.03 × 2 and 0.04 × 1; the last two may not be below 0.06.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_the_textbook_rule_and_never_too_kind(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(raw <= fixed <= 1 for raw, fixed in zip(p_values, adjusted, strict=True))
    assert sorted(range(len(adjusted)), key=lambda i: (adjusted[i], p_values[i])) == sorted(
        range(len(adjusted)), key=lambda i: (p_values[i], adjusted[i])
    )
    rejected = 0  # step down by hand: stop at the first that is not small enough
    for rank, p in enumerate(sorted(p_values)):
        if p > 0.05 / (len(p_values) - rank):
            break
        rejected += 1
    margin = [fixed for fixed in adjusted if abs(fixed - 0.05) > 1e-12]
    assert sum(fixed < 0.05 for fixed in margin) <= rejected <= sum(fixed <= 0.05 + 1e-12 for fixed in adjusted)


def test_comparisons_made_together_are_corrected_and_alone_are_not() -> None:
    rng = np.random.default_rng(8)
    base = rng.random(30)
    scores = pd.DataFrame({"base": base, "better": base + rng.normal(0.1, 0.2, 30), "same": base})
    better, same = compare_pairs([("better", "base"), ("same", "base")], "nDCG@10", scores, resamples=1000, seed=0)
    assert better.p_adjusted == pytest.approx(2 * better.p)
    assert (same.p, same.p_adjusted, same.ties) == (1.0, 1.0, 30)
    (alone,) = compare_pairs([("better", "base")], "nDCG@10", scores, resamples=1000, seed=0)
    assert alone.p_adjusted is None
    assert alone.ci95 == pytest.approx(better.ci95)
    assert alone.p == better.p
    assert compare_pairs([], "nDCG@10", scores, resamples=1000, seed=0) == []


def test_system_against_itself_is_an_error() -> None:
    same = _series([0.1, 0.2])
    with pytest.raises(ValueError, match="base/dense cannot be compared to itself"):
        compare("base/dense", "base/dense", "nDCG@10", same, same, seed=0)


def test_detectable_effect_by_hand_and_by_simulation() -> None:
    # (1.959964 + 0.841621) × 0.2 / √100
    effect = detectable_effect(0.2, 100)
    assert effect == pytest.approx(0.0560317, abs=1e-6)
    assert detectable_effect(0.2, 400) == pytest.approx(effect / 2)
    assert detectable_effect(0.2, 100, power=0.5) == pytest.approx(1.959964 * 0.02, abs=1e-6)
    samples = np.random.default_rng(9).normal(effect, 0.2, size=(100, 1000))
    found = (sign_flip_p_values(samples, resamples=400, seed=1) < 0.05).mean()
    assert 0.76 <= found <= 0.84
