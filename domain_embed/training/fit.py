"""One training at one learning rate: epochs of steps, validated, ended by its course, and taken up after a kill.

What differs from sentence-transformers' trainer, and why: micro-batches are sorted by length (padding), attention is
eager (the fused kernel's backward is slow on CPUs), dropout is off (it costs more than it gives on few pairs), word
embeddings may be frozen, and known positives are masked in batching and loss.
"""

import copy
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.ports import Tracker
from domain_embed.contracts.progress import progress_bar
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import CachedRankingObjective, ModelSettings, TrainingSettings
from domain_embed.training.average import WeightAverage
from domain_embed.training.checkpoint import save_model
from domain_embed.training.course import course_of
from domain_embed.training.gradient import KEPT_BYTES, Gradient
from domain_embed.training.objectives import BatchLoss
from domain_embed.training.pairs import Batch, TrainingPairs
from domain_embed.training.state import History, load_state, save_state
from domain_embed.training.trainable import plain_copy, trainable_model
from domain_embed.training.validation import Measure, ValidationSet, measure

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Fitted:
    """A finished fit: the folder of its best model, and how it went.

    `pool_vectors` are that model's, as in `Checkpoint`.
    """

    folder: Path
    history: History
    pool_vectors: NDArray[np.float32] | None


@dataclass(frozen=True)
class Work:
    """A fit under way; `average` is None where the weights are judged themselves."""

    model: "SentenceTransformer"
    optimizer: "torch.optim.Optimizer"
    average: WeightAverage | None
    history: History
    folder: Path
    tracker: Tracker

    def save(self) -> None:
        """Keeps its state, in one step."""
        save_state(self.folder, self.model, self.optimizer, self.history, self.average)

    def judged(self) -> "SentenceTransformer":
        """The model that validation is about, as anybody can load it."""
        return plain_copy(self.model if self.average is None else self.average.copy_of(self.model))


class Fit:
    """Trains one model on given batches.

    Args:
        base: Folder or hub id of the base model.
        model_settings: How texts are put to the model.
        settings: The recipe; its learning rate is the one that is trained at.
        pairs: The texts that the batches name.
        epochs: The batches of every epoch.
        validation: What chooses the model that is kept.
        ndcg: nDCG@10 of a run, by query id.
        clock: Seconds, from any moment on.
    """

    def __init__(
        self, base: str, model_settings: ModelSettings, settings: TrainingSettings, pairs: TrainingPairs,
        epochs: Sequence[Sequence[Batch]], validation: ValidationSet, ndcg: Measure,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._base, self._model_settings, self._settings = base, model_settings, settings
        self._pairs, self._epochs = pairs, epochs
        self._validation, self._ndcg, self._clock = validation, ndcg, clock
        cached = isinstance(settings.objective, CachedRankingObjective)
        self._gradient = Gradient(settings.max_tokens, settings.precision, 0 if cached else KEPT_BYTES)
        self._course = course_of(settings, epochs)
        self._best_passages: NDArray[np.float32] | None = None

    def run(self, folder: Path, tracker: Tracker) -> Fitted:
        """Trains until validation stops rising, the time is up or the epochs end, and keeps the best in `folder`.

        Unfinished work there is taken up where its state was last saved; the result is the same as without
        interruption, up to rounding.

        Raises:
            TrainingError: When the loss stops being a number.
            StoreError: When state or model cannot be written.
        """
        work = self._begin(folder, tracker)
        history = work.history
        tracker.log_metrics({"validation_ndcg_at_10": self._validation.base_ndcg}, step=0)
        started = self._clock() - history.seconds
        done = 0
        for epoch, batches in enumerate(self._epochs):
            if history.ended:
                break
            self._train_epoch(epoch, batches, done, started, work)
            done += len(batches)
        history.ended = history.ended or "epochs"
        logger.info("training ended by %s after %g epochs; kept: epoch %g", history.ended, history.epochs[-1],
                    history.best_epoch)  # fmt: skip
        tracker.log_metrics({"epochs": history.epochs[-1], "best_epoch": history.best_epoch})
        return Fitted(folder / "best", history, self._best_passages)

    def _begin(self, folder: Path, tracker: Tracker) -> Work:
        import torch

        model = trainable_model(self._base, self._model_settings, self._settings)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=self._settings.learning_rate, weight_decay=self._settings.weight_decay
        )
        average = WeightAverage(self._course.window) if self._course.window > 1 else None
        history = load_state(folder, model, optimizer, average)
        return Work(model, optimizer, average, history, folder, tracker)

    def _train_epoch(self, epoch: int, batches: Sequence[Batch], done: int, started: float, work: Work) -> None:
        """Trains what is left of an epoch before which there were `done` steps, unless training ends in it."""
        history, points = work.history, self._course.points(len(batches))
        left = sum(len(batch.queries) for batch in batches[max(0, history.steps - done) :])
        with progress_bar(f"train epoch {epoch + 1}/{len(self._epochs)}", left, "pairs") as progress:
            for number, batch in enumerate(batches, start=1):
                if done + number > history.steps:
                    self._advance(batch, started, work)
                    progress.update(len(batch.queries))
                validated = history.validated_at[-1] if history.validated_at else 0
                if done + number == history.steps > validated and (number in points or self._late(history)):
                    self._validate(epoch + number / len(batches), started, work)
                if history.ended:
                    return

    def _advance(self, batch: Batch, started: float, work: Work) -> None:
        history = work.history
        loss = self._step(work.model, work.optimizer, batch, history.steps)
        history.loss.append(loss)
        if work.average is not None:
            work.average.add(work.model, history.steps)
        history.seconds = self._clock() - started
        work.tracker.log_metrics({"loss": loss}, step=history.steps)
        if history.steps % self._settings.save_every_steps == 0:
            work.save()

    def _end(self, epochs: float, history: History) -> str:
        """What ends training after a validation, if anything does."""
        if epochs >= len(self._epochs):
            return "epochs"
        return "max_minutes" if self._late(history) else "patience" if self._course.ended(history) else ""

    def _late(self, history: History) -> bool:
        limit = self._settings.max_minutes
        return limit is not None and history.seconds >= 60 * limit

    def _step(self, model: "SentenceTransformer", optimizer: "torch.optim.Optimizer", batch: Batch, step: int) -> float:
        import torch

        for group in optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * self._course.rate(step)
        queries = [self._pairs.queries[index] for index in batch.queries]
        passages = [self._pairs.passages[index] for index in batch.passages]
        optimizer.zero_grad()
        loss = self._gradient.add(model, queries, passages, BatchLoss(batch, self._settings))
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step + 1}", "lower training.learning_rate")
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        return loss

    def _validate(self, epochs: float, started: float, work: Work) -> None:
        """Validates, keeps the model when it is the best so far, and saves the state before and after."""
        work.save()
        history, plain = work.history, work.judged()
        encoder = TorchEncoder(copy.deepcopy(plain), self._model_settings)
        found, passages = measure(encoder, self._validation, self._ndcg)
        scores = np.asarray(found, dtype=np.float64)
        figure, keeps = float(found.mean()), self._course.keeps(history, scores)
        history.validation.append(figure)
        history.validated_at.append(history.steps)
        history.epochs.append(epochs)
        logger.info("epoch %g: validation nDCG@10 %.4f (base %.4f)", epochs, figure, self._validation.base_ndcg)
        work.tracker.log_metrics({"validation_ndcg_at_10": figure}, step=history.steps)
        if keeps:
            history.kept, history.kept_scores = len(history.validation), scores.tolist()
            self._best_passages = passages
            save_model(plain, work.folder / "best")
        history.ended = self._end(epochs, history)
        history.seconds = self._clock() - started
        work.save()
