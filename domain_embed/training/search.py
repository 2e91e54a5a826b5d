"""A small search for the learning rate: one training each, the best by validation is taken, finished ones are kept."""

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import StoreError, TrainingError
from domain_embed.contracts.ports import Tracker
from domain_embed.files import keep_file, read_json
from domain_embed.training.checkpoint import prepare_folder
from domain_embed.training.fit import Fit, Fitted
from domain_embed.training.state import STATE_FILE, History

logger = logging.getLogger(__name__)

FINISHED_FILE = "finished.json"


@dataclass(frozen=True)
class Trial:
    """One training at one learning rate."""

    learning_rate: float
    fitted: Fitted

    @property
    def figure(self) -> float:
        """Validation nDCG@10 of what it keeps."""
        return self.fitted.history.best_figure

    def to_json(self) -> dict[str, Any]:
        """Its line in a checkpoint's record."""
        return {"learning_rate": self.learning_rate, "validation": self.fitted.history.validation}


@dataclass(frozen=True)
class Search:
    """All trials that ended well, in the order of their learning rates; of equals the lower rate is the best."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The one to go on with."""
        return max(self.trials, key=lambda trial: trial.figure)


def search(fit_at: Callable[[float], Fit], learning_rates: Sequence[float], folder: Path, tracker: Tracker) -> Search:
    """Trains at every learning rate, each in a folder and a tracked run of its own.

    After a kill, finished trials are not repeated and an unfinished one goes on. Only the best model is kept on disk.

    Args:
        fit_at: The training at a learning rate.
        learning_rates: At least one.
        folder: Where the trials lie.
        tracker: Gets a nested run for every trial.

    Raises:
        TrainingError: When the loss stops being a number at every learning rate.
        StoreError: When a folder cannot be written.
    """
    found, failure = Search(()), None
    for rate in sorted(set(learning_rates)):
        try:
            trial = _trial(fit_at, rate, folder / f"trial-{rate:g}", tracker)
        except TrainingError as error:  # too high a rate for this model is what a search is to find out
            logger.warning("learning rate %g is left out: %s", rate, error)
            failure = error
            continue
        logger.info("learning rate %g: validation nDCG@10 %.4f", rate, trial.figure)
        found = Search((*found.trials, trial))
        for other in found.trials:
            if other is not found.best:
                shutil.rmtree(other.fitted.folder, ignore_errors=True)
    if not found.trials and failure is not None:
        raise failure
    tracker.log_metrics({"best_learning_rate": found.best.learning_rate})
    return found


def _trial(fit_at: Callable[[float], Fit], rate: float, folder: Path, tracker: Tracker) -> Trial:
    finished = folder / FINISHED_FILE
    if finished.exists():
        history = History(**read_json(finished))
        return Trial(rate, Fitted(folder / "best", history, None))
    prepare_folder(folder)
    with tracker.nested(f"learning rate {rate:g}") as nested:
        nested.log_params({"learning_rate": rate})
        fitted = fit_at(rate).run(folder, nested)
    keep_file(finished, json.dumps(asdict(fitted.history)))
    try:
        (folder / STATE_FILE).unlink()
    except OSError as error:
        raise StoreError(f"{folder / STATE_FILE} cannot be removed: {error}", "fix permissions") from error
    return Trial(rate, fitted)
