"""From pairs to a checkpoint that is at least as good as the base model on validation: fit, weigh against base, keep.

It can be killed at any moment and goes on where it was.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.ports import Tracker
from domain_embed.encoding.models import fingerprint, load_model
from domain_embed.settings import ModelSettings, TrainingSettings
from domain_embed.training.checkpoint import Checkpoint, prepare_folder, publish, save_model
from domain_embed.training.course import MOST_EPOCHS
from domain_embed.training.fit import Fit
from domain_embed.training.interpolation import Mixer, interpolated
from domain_embed.training.objectives import negatives_of
from domain_embed.training.pairs import Batch, TrainingPairs, epoch_batches
from domain_embed.training.probes import Probe, require_other_subject
from domain_embed.training.search import Search, Trial, search
from domain_embed.training.validation import Measure, ValidationSet

DISCARDED = ".discarded"


class Trainer:
    """Trains one model on one set of pairs.

    Args:
        base: Folder or hub id of the base model.
        model_settings: How texts are put to the model; written into the checkpoint.
        settings: The recipe.
        pairs: What to learn.
        validation: What chooses the epoch and the share of the tuned weights.
        ndcg: nDCG@10 of a run, by query id.
        probes: Other subjects, by which forgetting is measured.
    """

    def __init__(
        self, base: str, model_settings: ModelSettings, settings: TrainingSettings, pairs: TrainingPairs,
        validation: ValidationSet, ndcg: Measure, probes: Sequence[Probe] = (),
    ) -> None:  # fmt: skip
        self._base, self._model_settings, self._settings = base, model_settings, settings
        self._pairs, self._validation, self._ndcg, self._probes = pairs, validation, ndcg, probes
        for probe in probes:
            require_other_subject(probe, pairs.queries)
        self._epochs = TeachingEpochs(pairs, settings)
        if not any(self._epochs):
            raise TrainingError(
                f"the training pairs make no batch with a negative for {settings.objective.kind}",
                "add judgments, or set training.hard_negatives and mining.max_relative_score higher",
            )

    def train(self, checkpoints: Path, record: Mapping[str, Any], tracker: Tracker) -> Checkpoint:
        """Trains to the end and keeps what ranks the validation queries best under `checkpoints/<fingerprint>`.

        That is the best epoch's, mixed with the base model where the mixture is better, and the base model itself where
        nothing is. Unfinished work of the same `record` (what went in: versions and settings) is taken up where its
        state was last saved; the result is the same as without interruption, up to rounding.

        Raises:
            TrainingError: When the loss stops being a number.
            StoreError: When state or checkpoint cannot be written.
        """
        key = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
        workdir = checkpoints / f".training-{key}"
        for left_behind in checkpoints.glob(f"{DISCARDED}*"):
            shutil.rmtree(left_behind)
        prepare_folder(workdir)
        found = self._search(workdir, tracker)
        checkpoint = self._weigh(found, workdir / "chosen", checkpoints, tracker)
        trials = [trial.to_json() for trial in found.trials]
        outcome = {"history": checkpoint.history.to_json(), "trials": trials, **checkpoint.sweep.to_json()}
        publish(workdir / "chosen", checkpoint.path, {**record, **outcome, "fingerprint": checkpoint.fingerprint})
        _discard(workdir)
        return checkpoint

    def _search(self, workdir: Path, tracker: Tracker) -> Search:
        """Trains at every learning rate that is to be tried, or at the one of the settings."""
        rates, rate = self._settings.search.learning_rates, self._settings.learning_rate
        if rates:
            return search(self._fit, rates, workdir, tracker)
        return Search((Trial(rate, self._fit(rate).run(workdir, tracker)),))

    def _fit(self, learning_rate: float) -> Fit:
        recipe = self._settings.model_copy(update={"learning_rate": learning_rate})
        return Fit(self._base, self._model_settings, recipe, self._pairs, self._epochs, self._validation, self._ndcg)

    def _weigh(self, found: Search, chosen: Path, checkpoints: Path, tracker: Tracker) -> Checkpoint:
        """Saves the best mixture of the base model and the best trial's."""
        fitted = found.best.fitted
        base = load_model(self._base, self._model_settings)
        tuned = load_model(str(fitted.folder), self._model_settings)
        mixer = Mixer(base, tuned, self._model_settings, self._validation, self._probes, self._ndcg)
        budget = self._settings.forgetting.budget
        sweep, vectors = mixer.sweep(
            self._settings.interpolation, found.best.figure, fitted.pool_vectors, budget, tracker
        )
        alpha = sweep.chosen.alpha
        tracker.log_metrics({"alpha": alpha})
        model = interpolated(base, tuned, alpha)
        save_model(model, chosen)
        identity = fingerprint(model, self._model_settings)
        pool_vectors = fitted.pool_vectors if alpha == 1 else vectors.get(alpha)
        return Checkpoint(
            checkpoints / identity, identity, fitted.history, found.best.learning_rate, self._validation.base_ndcg,
            sweep, pool_vectors,
        )  # fmt: skip


class TeachingEpochs(Sequence[list[Batch]]):
    """The batches of every epoch that there may be, drawn when they are asked for.

    Left out are those in which the objective finds no negative of any query.
    """

    def __init__(self, pairs: TrainingPairs, settings: TrainingSettings) -> None:
        self._pairs, self._settings = pairs, settings

    def __len__(self) -> int:
        return MOST_EPOCHS if self._settings.epochs == "auto" else self._settings.epochs

    @overload
    def __getitem__(self, epoch: int) -> list[Batch]: ...

    @overload
    def __getitem__(self, epoch: slice) -> list[list[Batch]]: ...

    def __getitem__(self, epoch: int | slice) -> list[Batch] | list[list[Batch]]:
        if isinstance(epoch, slice):
            return [self[one] for one in range(len(self))[epoch]]
        drawn = range(len(self))[epoch]  # IndexError past the last
        recipe = self._settings
        batches = epoch_batches(self._pairs, recipe.batch_size, recipe.hard_negatives, recipe.seed, drawn)
        return [batch for batch in batches if negatives_of(batch, recipe.objective).any()]


def _discard(workdir: Path) -> None:
    """In one step: of a half-deleted training it could not be told where to take it up."""
    discarded = workdir.with_name(DISCARDED + workdir.name)
    workdir.replace(discarded)
    shutil.rmtree(discarded)
