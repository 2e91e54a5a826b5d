"""One training at one learning rate: epochs of steps, validated, stopped early, and taken up again after a kill.

What differs from sentence-transformers' trainer, and why: micro-batches are sorted by length (padding), attention is
eager (the fused kernel's backward is slow on CPUs), dropout is off (it costs more than it gives on few pairs), word
embeddings may be frozen, and known positives are masked in batching and loss.
"""

import copy
import logging
import math
from collections.abc import Sequence
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
from domain_embed.training.checkpoint import save_model
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
    """A finished fit: the folder of its best epoch's model, and how it went.

    `pool_vectors` are that epoch's, as in `Checkpoint`.
    """

    folder: Path
    history: History
    pool_vectors: NDArray[np.float32] | None


class Fit:
    """Trains one model on given batches.

    Args:
        base: Folder or hub id of the base model.
        model_settings: How texts are put to the model.
        settings: The recipe; its learning rate is the one that is trained at.
        pairs: The texts that the batches name.
        epochs: The batches of every epoch.
        validation: What chooses the epoch.
        ndcg: nDCG@10 of a run, by query id.
    """

    def __init__(
        self, base: str, model_settings: ModelSettings, settings: TrainingSettings, pairs: TrainingPairs,
        epochs: Sequence[Sequence[Batch]], validation: ValidationSet, ndcg: Measure,
    ) -> None:  # fmt: skip
        self._base, self._model_settings, self._settings = base, model_settings, settings
        self._pairs, self._epochs = pairs, epochs
        self._validation, self._ndcg = validation, ndcg
        cached = isinstance(settings.objective, CachedRankingObjective)
        self._gradient = Gradient(settings.max_tokens, settings.precision, 0 if cached else KEPT_BYTES)
        self._total_steps = sum(len(batches) for batches in epochs)
        self._best_passages: NDArray[np.float32] | None = None

    def run(self, folder: Path, tracker: Tracker) -> Fitted:
        """Trains until validation stops rising or the epochs end, and keeps the best epoch in `folder`.

        Unfinished work there is taken up where its state was last saved; the result is the same as without
        interruption, up to rounding.

        Raises:
            TrainingError: When the loss stops being a number.
            StoreError: When state or model cannot be written.
        """
        import torch

        model = trainable_model(self._base, self._model_settings, self._settings)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=self._settings.learning_rate, weight_decay=self._settings.weight_decay
        )
        history = load_state(folder, model, optimizer)
        tracker.log_metrics({"validation_ndcg_at_10": self._validation.base_ndcg}, step=0)
        for epoch, batches in enumerate(self._epochs):
            if history.stalled(self._settings.patience):
                logger.info("validation has not risen for %d epochs: training ends", self._settings.patience)
                break
            done_before = sum(len(earlier) for earlier in self._epochs[:epoch])
            self._train_epoch(epoch, batches[max(0, history.steps - done_before) :], model, optimizer, history,
                              folder, tracker)  # fmt: skip
            if len(history.validation) <= epoch:
                self._finish_epoch(model, optimizer, history, folder, tracker)
        return Fitted(folder / "best", history, self._best_passages)

    def _train_epoch(
        self, epoch: int, batches: Sequence[Batch], model: "SentenceTransformer", optimizer: "torch.optim.Optimizer",
        history: History, folder: Path, tracker: Tracker,
    ) -> None:  # fmt: skip
        description = f"train epoch {epoch + 1}/{len(self._epochs)}"
        with progress_bar(description, sum(len(batch.queries) for batch in batches), "pairs") as progress:
            for batch in batches:
                loss = self._step(model, optimizer, batch, history.steps)
                history.loss.append(loss)
                tracker.log_metrics({"loss": loss}, step=history.steps)
                if history.steps % self._settings.save_every_steps == 0:
                    save_state(folder, model, optimizer, history)
                progress.update(len(batch.queries))

    def _step(self, model: "SentenceTransformer", optimizer: "torch.optim.Optimizer", batch: Batch, step: int) -> float:
        import torch

        for group in optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * schedule(step, self._total_steps, self._settings.warmup)
        queries = [self._pairs.queries[index] for index in batch.queries]
        passages = [self._pairs.passages[index] for index in batch.passages]
        optimizer.zero_grad()
        loss = self._gradient.add(model, queries, passages, BatchLoss(batch, self._settings))
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} at step {step + 1}", "lower training.learning_rate")
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        return loss

    def _finish_epoch(
        self, model: "SentenceTransformer", optimizer: "torch.optim.Optimizer", history: History, folder: Path,
        tracker: Tracker,
    ) -> None:  # fmt: skip
        """Validates, keeps the model when it is the best so far, and saves the state after both."""
        save_state(folder, model, optimizer, history)
        plain = plain_copy(model)
        encoder = TorchEncoder(copy.deepcopy(plain), self._model_settings)
        scores, passages = measure(encoder, self._validation, self._ndcg)
        figure = float(scores.mean())
        history.validation.append(figure)
        epoch = len(history.validation)
        logger.info("epoch %d: validation nDCG@10 %.4f (base %.4f)", epoch, figure, self._validation.base_ndcg)
        tracker.log_metrics({"validation_ndcg_at_10": figure}, step=history.steps)
        if history.best_epoch == epoch:
            self._best_passages = passages
            save_model(plain, folder / "best")
        save_state(folder, model, optimizer, history)


def schedule(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up, then linear to zero; a factor of the peak learning rate, never zero at the first step."""
    rising = max(1, round(warmup * steps))
    return (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)
