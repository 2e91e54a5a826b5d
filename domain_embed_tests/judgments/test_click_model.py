"""The click model: by hand where a hand can, and against the truth of simulated users where not."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta

from domain_embed.judgments.click_model import PRIOR_LOOKS, ClickCounts, ClickModel, fit_click_model


class Cell(NamedTuple):
    """A pair at a position."""

    pair: int
    position: int
    shown: int
    clicked: int


def counts(cells: Sequence[Cell]) -> ClickCounts:
    columns = np.array(cells, dtype=np.int64).T
    return ClickCounts(columns[0], columns[1], columns[2].astype(float), columns[3].astype(float))


def fit(*cells: Cell) -> ClickModel:
    return fit_click_model(counts(cells))


Floats = NDArray[np.float64]


def expected_clicks(examination: Floats, attraction: Floats, shown: NDArray[np.int64]) -> ClickCounts:
    """Exactly as many clicks as the model expects; (n_pairs, n_positions) impressions, 0 where never shown."""
    pair, position = np.nonzero(shown)
    clicked = shown[pair, position] * examination[position] * attraction[pair]
    return ClickCounts(pair, position + 1, shown[pair, position].astype(float), clicked)


# --- by hand --------------------------------------------------------------------------------------------


def test_at_one_position_attraction_is_the_click_rate_drawn_to_the_average() -> None:
    model = fit(Cell(0, 1, 8, 6), Cell(1, 1, 12, 0), Cell(2, 1, 20, 4))
    average = (6 + 0 + 4) / (8 + 12 + 20)
    assert model.average == pytest.approx(average)
    expected = [
        (PRIOR_LOOKS * average + clicks) / (PRIOR_LOOKS + shown) for clicks, shown in [(6, 8), (0, 12), (4, 20)]
    ]
    assert model.attraction == pytest.approx(expected)
    assert model.looks == pytest.approx([8, 12, 20])
    assert model.examination.by_position == {1: 1.0}
    assert model.examination.converged


def test_the_topmost_position_shown_is_the_measure_of_the_others() -> None:
    model = fit(Cell(0, 3, 100, 40), Cell(0, 7, 100, 20))
    assert model.examination.by_position[3] == 1.0
    assert model.examination.by_position[7] == pytest.approx(0.5, abs=0.01)


def test_a_pair_at_two_positions_tells_how_far_users_look() -> None:
    model = fit(Cell(0, 1, 10_000, 4000), Cell(0, 2, 10_000, 1000))
    assert model.examination.by_position == pytest.approx({1: 1.0, 2: 0.25}, rel=5e-3)
    assert model.attraction == pytest.approx([0.4], rel=1e-3)
    assert model.looks == pytest.approx([12_500], rel=1e-3)


def test_a_few_impressions_make_nothing_certain() -> None:
    rest = Cell(2, 1, 1000, 200)
    model = fit(Cell(0, 1, 1, 1), Cell(1, 1, 100, 100), rest)
    assert model.attraction[0] < 0.55 < 0.97 < model.attraction[1]
    at_least = 1 - model.probability_at_most(0.3)
    assert at_least[0] < 0.8
    assert at_least[1] > 0.999


def test_confidence_is_the_posterior_of_a_beta_distribution() -> None:
    model = fit(Cell(0, 1, 10, 4), Cell(1, 1, 30, 6))
    prior = PRIOR_LOOKS * 10 / 40
    posterior = beta(prior + 4, PRIOR_LOOKS - prior + 6)
    assert model.probability_at_most(0.3)[0] == pytest.approx(posterior.cdf(0.3))
    assert model.attraction[0] == pytest.approx(posterior.mean())


def test_more_clicks_never_make_a_positive_less_certain() -> None:
    certainty = [
        1 - float(fit(Cell(0, 1, 20, clicks), Cell(1, 1, 100_000, 10_000)).probability_at_most(0.3)[0])
        for clicks in range(21)
    ]
    assert certainty == sorted(certainty)
    assert 0 < certainty[1] < 0.01 < 0.9 < certainty[12] < 1


@pytest.mark.parametrize("clicked", [0, 50])
def test_logs_without_any_click_or_with_nothing_else_can_be_fitted(clicked: int) -> None:
    model = fit(Cell(0, 1, 50, clicked), Cell(1, 2, 50, clicked))
    assert model.examination.converged
    assert np.all(model.attraction < 0.001) if clicked == 0 else np.all(model.attraction > 0.999)
    assert np.isfinite(model.probability_at_most(0.5)).all()


# --- against the truth ----------------------------------------------------------------------------------

POSITIONS = 8
EXAMINATION = 1 / np.arange(1, POSITIONS + 1)


def attractions(count: int, rng: np.random.Generator) -> Floats:
    """Most results are not relevant, few are."""
    return np.where(rng.random(count) < 0.2, rng.uniform(0.3, 0.95, count), rng.uniform(0.01, 0.1, count))


def ranked(attraction: Floats, noise: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """The place (from 0) of each result, by an engine that puts better ones higher, as far as noise allows."""
    order = np.argsort(np.argsort(-attraction + rng.normal(0, noise, len(attraction))))
    return order * POSITIONS // len(attraction)


def drawn(attraction: Floats, shown: NDArray[np.int64], rng: np.random.Generator) -> ClickCounts:
    """Clicks of users who behave as the model says."""
    expected = expected_clicks(EXAMINATION, attraction, shown)
    clicked = rng.binomial(expected.shown.astype(int), expected.clicked / expected.shown)
    return ClickCounts(expected.pair, expected.position, expected.shown, clicked.astype(float))


@pytest.mark.parametrize(("pairs", "impressions", "off_by"), [(400, 2000, 0.1), (40_000, 4, 0.25)])
def test_examination_and_attraction_are_recovered(pairs: int, impressions: int, off_by: float) -> None:
    """Though good results stand high, most impressions of a pair fall on one position, and a pair may have few."""
    rng = np.random.default_rng(7)
    attraction = attractions(pairs, rng)
    shown = np.zeros((pairs, POSITIONS), dtype=np.int64)
    shown[np.arange(pairs), ranked(attraction, 0.2, rng)] = impressions
    shown[np.arange(pairs), rng.integers(0, POSITIONS, pairs)] += impressions // 4
    model = fit_click_model(drawn(attraction, shown, rng))
    assert model.examination.converged
    assert list(model.examination.by_position.values()) == pytest.approx(list(EXAMINATION), abs=0.03)
    assert np.abs(model.attraction - attraction).mean() < off_by


def test_a_result_that_moved_up_because_it_is_good_does_not_mislead() -> None:
    rng = np.random.default_rng(7)
    attraction = attractions(2000, rng)
    shown = np.zeros((2000, POSITIONS), dtype=np.int64)
    for noise, impressions in [(1.0, 60), (0.1, 40)]:
        shown[np.arange(2000), ranked(attraction, noise, rng)] += impressions
    model = fit_click_model(drawn(attraction, shown, rng))
    assert list(model.examination.by_position.values()) == pytest.approx(list(EXAMINATION), abs=0.03)
    sure = 1 - model.probability_at_most(0.3) > 0.9
    assert (attraction[sure] >= 0.3).mean() > 0.99
    assert sure.sum() > 0.6 * (attraction >= 0.3).sum()


def test_a_result_at_position_8_is_as_attractive_as_the_same_at_position_1() -> None:
    attraction = np.array([0.5, 0.5, *np.linspace(0.1, 0.8, 16)])
    shown = np.full((18, POSITIONS), 500)
    shown[0] = [5000] + 7 * [0]
    shown[1] = 7 * [0] + [5000]
    truth = expected_clicks(EXAMINATION, attraction, shown)
    raw = np.bincount(truth.pair, truth.clicked) / np.bincount(truth.pair, truth.shown)
    assert raw[0] / raw[1] == pytest.approx(8)
    model = fit_click_model(truth)
    assert model.attraction[:2] == pytest.approx([0.5, 0.5], rel=0.02)
    assert model.looks[1] == pytest.approx(5000 / 8, rel=0.03)
    # It was looked at less often, so that less is known of it.
    at_most = model.probability_at_most(0.48)
    assert 0 < at_most[0] < at_most[1] < 0.5


def test_where_nothing_moves_results_count_as_equally_attractive_at_all_positions() -> None:
    model = fit(Cell(0, 1, 1000, 400), Cell(1, 2, 1000, 300))
    assert model.examination.by_position == pytest.approx({1: 1.0, 2: 0.75})
    assert model.attraction == pytest.approx([0.4, 0.4], abs=0.001)


def test_where_nothing_moves_click_rates_that_fall_steeply_are_not_all_due_to_the_position() -> None:
    model = fit(Cell(0, 1, 1000, 400), Cell(1, 2, 1000, 20))
    assert model.examination.by_position == pytest.approx({1: 1.0, 2: 0.5})
    assert model.attraction == pytest.approx([0.4, 0.04], abs=0.005)


CELLS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(1, 30), st.floats(0, 1)),
    min_size=1, max_size=20, unique_by=lambda cell: (cell[0], cell[1]),
)  # fmt: skip


def without_gaps(cells: list[tuple[int, int, int, float]]) -> ClickCounts:
    pairs = sorted({pair for pair, *_ in cells})
    return counts(
        [Cell(pairs.index(pair), position, shown, round(share * shown)) for pair, position, shown, share in cells]
    )


@given(cells=CELLS)
def test_all_estimates_are_probabilities_whatever_was_counted(cells: list[tuple[int, int, int, float]]) -> None:
    model = fit_click_model(without_gaps(cells))
    examination = list(model.examination.by_position.values())
    assert examination[0] == 1.0
    assert all(0 <= one <= 1 for one in examination)
    assert ((model.attraction > 0) & (model.attraction < 1)).all()
    probability = model.probability_at_most(0.3)
    assert ((probability >= 0) & (probability <= 1)).all()


@given(cells=CELLS, seed=st.integers(0, 100))
def test_the_order_of_counts_decides_nothing(cells: list[tuple[int, int, int, float]], seed: int) -> None:
    ordered = without_gaps(cells)
    order = np.random.default_rng(seed).permutation(len(cells))
    shuffled = ClickCounts(ordered.pair[order], ordered.position[order], ordered.shown[order], ordered.clicked[order])
    assert fit_click_model(shuffled).attraction == pytest.approx(fit_click_model(ordered).attraction, abs=1e-4)
