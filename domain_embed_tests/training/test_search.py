"""The search for a learning rate, with trainings that only say how they would end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.ports import Tracker
from domain_embed.stores.tracking import Tracking
from domain_embed.training.fit import Fitted
from domain_embed.training.search import Search, search
from domain_embed.training.state import STATE_FILE, History
from domain_embed_tests.training.scenario import MetricsLog

RATES = (1e-4, 2e-4, 5e-5)


@dataclass
class Lab:
    """Validation figures of every epoch by learning rate; `stops_at` is where the machine goes down."""

    figures: dict[float, list[float]]
    stops_at: float | None = None
    run: list[float] = field(default_factory=list)

    def fit_at(self, rate: float) -> "Plan":
        return Plan(self, rate)


@dataclass
class Plan:
    lab: Lab
    rate: float

    def run(self, folder: Path, tracker: Tracker) -> Fitted:
        self.lab.run.append(self.rate)
        (folder / STATE_FILE).write_text("state")
        if self.rate == self.lab.stops_at:
            raise KeyboardInterrupt
        if not self.lab.figures[self.rate]:
            raise TrainingError(f"the loss is nan at {self.rate:g}")
        (folder / "best").mkdir(exist_ok=True)
        tracker.log_metrics({"validation": max(self.lab.figures[self.rate])}, step=1)
        return Fitted(folder / "best", History([1.0], list(self.lab.figures[self.rate])), None)


FIGURES = {5e-5: [0.5, 0.6], 1e-4: [0.8, 0.7], 2e-4: [0.4]}


def try_rates(lab: Lab, folder: Path, tracker: Tracker | None = None) -> Search:
    return search(lab.fit_at, RATES, folder, tracker or MetricsLog())  # type: ignore[arg-type]


def models(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("*/best"))


def test_every_rate_is_tried_once_and_the_best_model_is_kept(tmp_path: Path) -> None:
    found = try_rates(lab := Lab(FIGURES), tmp_path, log := MetricsLog())
    assert lab.run == [5e-5, 1e-4, 2e-4]
    assert (found.best.learning_rate, found.best.figure) == (1e-4, 0.8)
    assert [trial.to_json() for trial in found.trials] == [
        {"learning_rate": 5e-5, "validation": [0.5, 0.6]},
        {"learning_rate": 1e-4, "validation": [0.8, 0.7]},
        {"learning_rate": 2e-4, "validation": [0.4]},
    ]
    assert models(tmp_path) == ["trial-0.0001"]
    assert log.trials == ["learning rate 5e-05", "learning rate 0.0001", "learning rate 0.0002"]
    assert log.of("best_learning_rate") == [(None, 1e-4)]


def test_of_equals_the_lower_rate_is_taken(tmp_path: Path) -> None:
    found = try_rates(Lab({rate: [0.5] for rate in FIGURES}), tmp_path)
    assert found.best.learning_rate == 5e-5
    assert models(tmp_path) == ["trial-5e-05"]


@pytest.mark.parametrize(("stops_at", "again"), [(5e-5, [5e-5, 1e-4, 2e-4]), (1e-4, [1e-4, 2e-4]), (2e-4, [2e-4])])
def test_after_a_kill_finished_trials_are_not_repeated(tmp_path: Path, stops_at: float, again: list[float]) -> None:
    with pytest.raises(KeyboardInterrupt):
        try_rates(Lab(FIGURES, stops_at), tmp_path)
    assert (tmp_path / f"trial-{stops_at:g}" / STATE_FILE).exists()
    found = try_rates(lab := Lab(FIGURES), tmp_path, log := MetricsLog())
    assert lab.run == again
    assert len(log.trials) == len(again)
    assert (found.best.learning_rate, found.best.figure) == (1e-4, 0.8)
    assert found.best.fitted.folder.is_dir()
    assert not list(tmp_path.glob(f"*/{STATE_FILE}"))


def test_a_rate_at_which_the_loss_breaks_is_left_out(tmp_path: Path) -> None:
    found = try_rates(Lab({**FIGURES, 1e-4: []}), tmp_path)
    assert [trial.learning_rate for trial in found.trials] == [5e-5, 2e-4]
    assert found.best.learning_rate == 5e-5


def test_when_it_breaks_at_all_of_them_the_last_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"the loss is nan at 0\.0002"):
        try_rates(Lab({rate: [] for rate in FIGURES}), tmp_path)


@contextmanager
def tracked(folder: Path) -> Iterator[tuple[Tracker, object]]:
    tracking = Tracking(None, folder)
    with tracking.asset_run("domain", "dagster", "checkpoint") as tracker:
        yield tracker, tracking.client()


def test_each_trial_is_a_run_of_mlflow_within_the_assets(tmp_path: Path) -> None:
    with tracked(tmp_path / "mlflow") as (tracker, client):
        try_rates(Lab({**FIGURES, 2e-4: []}), tmp_path, tracker)
    experiment = client.get_experiment_by_name("domain-embed/domain")  # type: ignore[attr-defined]
    runs = client.search_runs([experiment.experiment_id])  # type: ignore[attr-defined]
    [asset] = [run for run in runs if run.data.tags.get("asset") == "checkpoint"]
    trials = {run.data.params["learning_rate"]: run for run in runs if "trial" in run.data.tags}
    assert {rate: (run.info.status, run.data.metrics.get("validation")) for rate, run in trials.items()} == {
        "5e-05": ("FINISHED", 0.6), "0.0001": ("FINISHED", 0.8), "0.0002": ("FAILED", None)
    }  # fmt: skip
    assert {run.data.tags["mlflow.parentRunId"] for run in trials.values()} == {asset.info.run_id}
    assert asset.data.metrics["best_learning_rate"] == 1e-4


def test_what_is_kept_of_a_finished_trial_is_its_history(tmp_path: Path) -> None:
    try_rates(Lab(FIGURES), tmp_path)
    kept = json.loads((tmp_path / "trial-5e-05" / "finished.json").read_text())
    assert kept == asdict(History([1.0], [0.5, 0.6]))
