"""How long a training goes on and what it keeps: the rules alone, and with a tiny model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from domain_embed.contracts.ports import NullTracker, Tracker
from domain_embed.settings import LoraTuning, SearchSettings
from domain_embed.training import fit as fit_module
from domain_embed.training.average import WeightAverage
from domain_embed.training.course import MOST_EPOCHS, Falling, Steady, clearly_better, course_of
from domain_embed.training.fit import Fit, Fitted
from domain_embed.training.state import History
from domain_embed.training.trainer import TeachingEpochs
from domain_embed_tests.encoding.tiny_family import save
from domain_embed_tests.training.scenario import RECORD, Inputs, InterruptingTracker, MetricsLog, ndcg_by_query

EPOCH_STEPS = 5


@pytest.fixture(scope="module")
def tiny(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """The scenario with a tiny model, trained as long as it learns."""
    base = save("bert", tmp_path_factory.mktemp("models") / "bert")
    return replace(inputs, base=base).with_settings(epochs="auto", patience=None, learning_rate=1e-3)


def fit(inputs: Inputs, folder: Path, tracker: Tracker | None = None, epochs: int = 2, **options: Any) -> Fitted:
    """At most so many epochs."""
    folder.mkdir(exist_ok=True)
    drawn = TeachingEpochs(inputs.pairs, inputs.settings)[:epochs]
    made = Fit(
        inputs.base, inputs.model, inputs.settings, inputs.pairs, drawn, inputs.validation, ndcg_by_query, **options
    )
    return made.run(folder, tracker or NullTracker())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def greatest_difference(one: Path, other: Path) -> float:
    first, second = weights(one), weights(other)
    return max(float((first[name] - second[name]).abs().max()) for name in first)


# --- the average ----------------------------------------------------------------------------------------


def test_the_average_is_the_mean_of_the_first_weights_and_exponential_from_then_on() -> None:
    model: Any = torch.nn.Linear(1, 1, bias=False)
    average = WeightAverage(window=3)
    found = []
    for step, value in enumerate([1.0, 3.0, 5.0, 9.0, 0.0], start=1):
        torch.nn.init.constant_(model.weight, value)
        average.add(model, step)
        found.append(average.copy_of(model).weight.item())
    assert found == pytest.approx([1.0, 2.0, 3.0, 3 * 2 / 3 + 9 / 3, 5 * 2 / 3])
    assert float(model.weight) == 0.0


def test_an_average_of_other_weights_is_refused() -> None:
    model: Any = torch.nn.Linear(2, 1)
    with pytest.raises(ValueError, match="of other weights"):
        WeightAverage(2).load({"weight": torch.ones(3, 3)}, model)


def test_frozen_weights_have_no_average() -> None:
    model: Any = torch.nn.Linear(2, 1)
    model.bias.requires_grad_(False)
    average = WeightAverage(2)
    average.add(model, 1)
    assert list(average.state()) == ["weight"]


def test_what_is_kept_is_the_average_of_the_weights_of_every_step(
    tiny: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after: list[dict[str, torch.Tensor]] = []
    step = Fit._step

    def noted(self: Fit, model: Any, *rest: Any) -> float:
        loss = step(self, model, *rest)
        after.append({name: value.detach().clone() for name, value in model.named_parameters()})
        return loss

    monkeypatch.setattr(Fit, "_step", noted)
    fitted = fit(tiny, tmp_path / "one", epochs=1)
    assert len(after) == EPOCH_STEPS
    name = next(name for name in after[0] if name.endswith("layer.0.attention.self.query.weight"))
    expected = (after[0][name] + after[1][name]) / 2  # half an epoch: two steps
    for later in after[2:]:
        expected = (expected + later[name]) / 2
    kept = next(value for key, value in weights(fitted.folder).items() if name.endswith(key))
    assert torch.allclose(kept, expected, atol=1e-6)
    assert not torch.allclose(kept, after[-1][name], atol=1e-6)


# --- the rules ------------------------------------------------------------------------------------------


def test_the_rate_is_constant_after_the_warm_up() -> None:
    course = Steady(epoch_steps=20, warmup=0.1, patience=3)
    rates = [course.rate(step) for step in range(320)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert set(rates[4:]) == {1.0}


@pytest.mark.parametrize(
    ("steps", "points"), [(3, {3}), (20, {20}), (21, {10, 21}), (60, {20, 40, 60}), (61, {61}), (400, {400})]
)
def test_small_sets_are_validated_every_twenty_steps_and_all_at_the_end_of_an_epoch(
    steps: int, points: set[int]
) -> None:
    assert Steady(steps, 0.1, 3).points(steps) == points
    assert Falling(steps, 0.1, 1).points(steps) == {steps}


def test_later_is_clearly_better_by_half_its_standard_error() -> None:
    """A gain of 0.2 for two queries of four, and for the others a loss."""
    kept = np.array([0.5, 0.4, 0.3, 0.2])
    assert clearly_better(kept + np.array([0.2, 0, 0.2, 0]), kept)
    assert clearly_better(kept + np.array([0.2, -0.1, 0.2, -0.1]), kept)  # 0.05, half an error is 0.0375
    assert not clearly_better(kept + np.array([0.2, -0.16, 0.2, -0.16]), kept)  # 0.02, half an error is 0.045
    assert not clearly_better(kept, kept)
    assert not clearly_better(kept - 0.1, kept)


def history(figures: Sequence[float], each: int) -> History:
    numbers = range(1, len(figures) + 1)
    return History(
        validation=list(figures), validated_at=[each * n for n in numbers], epochs=[float(n) for n in numbers]
    )


@pytest.mark.parametrize(
    ("figures", "each", "ended"),
    [
        ([0.5, 0.6, 0.5, 0.5], 20, False),
        ([0.5, 0.6, 0.5, 0.5, 0.6], 20, True),
        ([0.5, 0.6, 0.5, 0.5, 0.7], 20, False),
        ([0.6, 0.5, 0.5, 0.5], 6, False),  # 18 steps
        ([0.6, 0.5, 0.5, 0.5, 0.5], 6, True),
    ],
)
def test_patience_ends_after_epochs_and_steps_without_a_rise(figures: list[float], each: int, ended: bool) -> None:
    assert Steady(each, 0.1, 3).ended(history(figures, each)) is ended


def test_the_settings_choose_the_course(tiny: Inputs) -> None:
    epochs = TeachingEpochs(tiny.pairs, tiny.settings)
    assert (len(epochs), len(epochs[0])) == (MOST_EPOCHS, EPOCH_STEPS)
    assert course_of(tiny.settings, epochs) == Steady(EPOCH_STEPS, 0.1, 2)
    two = tiny.with_settings(epochs=2).settings
    assert course_of(two, TeachingEpochs(tiny.pairs, two)) == Falling(2 * EPOCH_STEPS, 0.1, 1)


# --- with a model ---------------------------------------------------------------------------------------


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[float]]:
    """Validations that only say their scores by query, and steps that change nothing."""
    remaining: list[Sequence[float]] = []
    monkeypatch.setattr(Fit, "_step", lambda *_: 1.0)
    found = lambda *_: (np.array(remaining.pop(0)), np.zeros((1, 1), np.float32))  # noqa: E731
    monkeypatch.setattr(fit_module, "measure", found)
    return remaining


def test_a_later_one_within_the_noise_is_not_kept_and_training_goes_on_for_patience(
    tiny: Inputs, tmp_path: Path, ranked: list[Sequence[float]]
) -> None:
    ranked += [(0.2, 0.3), (0.4, 0.5), (0.9, 0.1), *[(0.1, 0.1)] * 9]  # the third is higher, by one query of two
    ended = fit(tiny, tmp_path / "one", log := MetricsLog(), epochs=12).history
    assert (ended.kept, ended.best_epoch, ended.best_figure) == (2, 2.0, pytest.approx(0.45))
    assert (ended.ended, ended.epochs[-1]) == ("patience", 7.0)  # twenty steps after the third
    assert log.of("epochs") == [(None, 7.0)]
    assert log.of("best_epoch") == [(None, 2.0)]
    assert [step for step, _ in log.of("validation_ndcg_at_10")] == [0, 5, 10, 15, 20, 25, 30, 35]


def test_the_time_ends_training_in_the_middle_of_an_epoch_and_what_is_there_is_validated(
    tiny: Inputs, tmp_path: Path, ranked: list[Sequence[float]]
) -> None:
    ranked += [(0.2, 0.3), (0.4, 0.5)]
    seconds = iter(range(0, 10_000, 10))  # each look at the clock
    limited = tiny.with_settings(max_minutes=1.2)
    ended = fit(limited, tmp_path / "one", clock=lambda: float(next(seconds))).history
    assert (ended.ended, ended.validated_at) == ("max_minutes", [5, 7])
    assert ended.epochs == pytest.approx([1.0, 1.4])
    assert ended.kept == 2


def test_most_epochs_end_what_still_rises(tiny: Inputs, tmp_path: Path, ranked: list[Sequence[float]]) -> None:
    ranked += [(0.01 * number, 0.01 * number) for number in range(1, MOST_EPOCHS + 1)]
    ended = fit(tiny, tmp_path / "one", epochs=99).history
    assert (ended.ended, ended.epochs[-1], ended.kept) == ("epochs", float(MOST_EPOCHS), MOST_EPOCHS)


@pytest.mark.parametrize(
    ("metric", "step", "save_every"), [("loss", 4, 1), ("loss", 8, 3), ("validation_ndcg_at_10", 5, 2)]
)
def test_an_interrupted_training_ends_with_the_weights_of_one_that_was_not(
    tiny: Inputs, tmp_path: Path, metric: str, step: int, save_every: int
) -> None:
    often = tiny.with_settings(save_every_steps=save_every)
    whole = fit(often, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(often, tmp_path / "killed", InterruptingTracker(metric, step))
    resumed = fit(often, tmp_path / "killed", log := MetricsLog())
    assert len(log.of("loss")) < 2 * EPOCH_STEPS
    assert resumed.history.validation == whole.history.validation
    assert (resumed.history.kept, resumed.history.ended) == (whole.history.kept, whole.history.ended)
    assert resumed.history.kept_scores == whole.history.kept_scores
    assert greatest_difference(resumed.folder, whole.folder) < 1e-6


@pytest.mark.parametrize(
    "changes",
    [{"method": LoraTuning(rank=4)}, {"matryoshka": (16,)}, {"epochs": 2}],
    ids=lambda value: next(iter(value)),
)
def test_other_methods_are_trained_too(tiny: Inputs, tmp_path: Path, changes: dict[str, Any]) -> None:
    fitted = fit(tiny.with_settings(**changes), tmp_path / "one")
    assert fitted.history.epochs == [1.0, 2.0]
    assert greatest_difference(fitted.folder, Path(tiny.base)) > 1e-4


def test_a_search_finds_the_rate_under_auto(tiny: Inputs, tmp_path: Path, ranked: list[Sequence[float]]) -> None:
    falling = [(0.4 - 0.01 * number,) * len(tiny.validation.query_ids) for number in range(5)]
    ranked += [*falling, *[tuple(2 * figure for figure in scores) for scores in falling]]
    searching = tiny.with_settings(search=SearchSettings(learning_rates=(1e-3, 1e-4)), interpolation=())
    checkpoint = searching.trainer().train(tmp_path, RECORD, MetricsLog())
    assert checkpoint.learning_rate == 1e-3
    assert (checkpoint.history.ended, checkpoint.history.best_epoch) == ("patience", 1.0)
