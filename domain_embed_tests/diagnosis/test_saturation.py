"""The learning curve: what its figures say of known scores, and that real trainings make one."""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from domain_embed.contracts.errors import TrainingError
from domain_embed.diagnosis import saturation as saturation_module
from domain_embed.diagnosis.saturation import Saturation, _share, measure_saturation, saturation
from domain_embed.settings import EvaluationSettings
from domain_embed_tests.training.scenario import Inputs, InterruptingTracker, MetricsLog, make_inputs

INTERVALS = EvaluationSettings(resamples=500)
IDS = [f"q{number}" for number in range(40)]


def curve(figures: list[float], sizes: list[int], noise: float = 0.0) -> Saturation:
    """Every query has these figures, give or take what is its own in all of them."""
    own = pd.Series(np.random.default_rng(0).normal(0, noise, len(IDS)), index=IDS)
    before = own + 0.3
    return saturation(sizes, before, [own + figure for figure in figures], INTERVALS)


def test_pace_is_that_of_the_last_two_doublings() -> None:
    found = curve([0.30, 0.50, 0.54, 0.58], [100, 200, 400, 800])
    assert found.per_doubling == pytest.approx(0.04)
    assert [point.gain for point in found.points] == pytest.approx([0.0, 0.2, 0.24, 0.28])
    assert found.points[-1].ndcg == pytest.approx(0.58)
    gain, ci95 = found.worth(800)
    assert (gain, *ci95) == pytest.approx((0.04, 0.04, 0.04))
    assert found.worth(100)[0] == pytest.approx(0.04 * math.log2(9 / 8))


def test_sizes_need_not_double() -> None:
    found = curve([0.2, 0.3, 0.5], [100, 200, 800])
    assert found.per_doubling == pytest.approx(0.1)


def test_what_all_trainings_share_says_nothing_about_the_pace() -> None:
    quiet, loud = (curve([0.3, 0.4, 0.5], [1, 2, 4], noise) for noise in (0.0, 0.2))
    assert loud.per_doubling == pytest.approx(quiet.per_doubling)
    assert loud.ci95 == pytest.approx(quiet.ci95)


def test_nothing_is_worth_more_than_there_is_left_to_gain() -> None:
    found = curve([0.5, 0.7, 0.9], [10, 20, 40])
    assert found.worth(10_000) == (pytest.approx(0.1), (pytest.approx(0.1), pytest.approx(0.1)))


def test_a_flat_curve_is_worth_nothing_and_a_falling_one_less() -> None:
    assert curve([0.5, 0.5, 0.5], [10, 20, 40]).worth(1000)[0] == pytest.approx(0.0)
    assert curve([0.5, 0.4, 0.3], [10, 20, 40]).worth(40)[0] == pytest.approx(-0.1)


@pytest.fixture(scope="module")
def inputs(minilm_path: str, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    made = make_inputs(minilm_path, tmp_path_factory.mktemp("curve"))
    return made.with_settings(epochs=1, batch_size=8, save_every_steps=1, frozen_layers=5, max_tokens=32)


def test_smaller_shares_lie_in_larger_ones_and_keep_queries_whole(inputs: Inputs) -> None:
    parts = [_share(inputs.pairs, share, seed=3).pairs.tolist() for share in (0.125, 0.25, 0.5, 1.0)]
    for smaller, larger in itertools.pairwise(parts):
        assert {tuple(pair) for pair in smaller} < {tuple(pair) for pair in larger}
    assert sorted(parts[-1]) == sorted(inputs.pairs.pairs.tolist())
    half = {query for query, _ in parts[2]}
    assert [pair for pair in inputs.pairs.pairs.tolist() if pair[0] in half] == parts[2]


def measured(inputs: Inputs, folder: Path, tracker: MetricsLog) -> Saturation:
    return measure_saturation(
        inputs.base, inputs.model, inputs.settings, inputs.pairs, inputs.validation, folder, tracker, INTERVALS
    )


def test_real_trainings_make_a_curve_also_after_a_kill(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saturation_module, "FEWEST_PAIRS", 8)
    monkeypatch.setattr(saturation_module, "SHARES", (0.25, 0.5, 1.0))
    log = MetricsLog()
    found = measured(inputs, tmp_path / "whole", log)
    sizes = [point.pairs for point in found.points]
    assert sizes[-1] == len(inputs.pairs.pairs)
    assert sizes == sorted(set(sizes))
    assert log.trials == [f"{size} pairs" for size in sizes]
    assert found.queries == len(inputs.validation.query_ids)
    assert found.base_ndcg == pytest.approx(inputs.validation.base_ndcg, abs=1e-6)
    assert found.points[-1].ndcg - found.base_ndcg == pytest.approx(found.points[-1].gain)
    with pytest.raises(KeyboardInterrupt):
        measured(inputs, tmp_path / "killed", InterruptingTracker("loss", 2))
    assert measured(inputs, tmp_path / "killed", MetricsLog()).points == found.points


def test_too_few_pairs_are_said(inputs: Inputs, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=f"{len(inputs.pairs.pairs)} training pairs are too few for a curve: 128"):
        measured(inputs, tmp_path, MetricsLog())
