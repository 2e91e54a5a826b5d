"""Contrastive fine-tuning that is fast on a CPU and can be killed at any moment.

What differs from sentence-transformers' trainer, and why: micro-batches are sorted by length (padding), attention is
eager (the fused kernel's backward is slow on CPUs), dropout is off (it costs more than it gives on few pairs), word
embeddings may be frozen, and known positives are masked in batching and loss.
"""

import copy
import hashlib
import json
import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import StoreError, TrainingError
from domain_embed.contracts.ports import Tracker
from domain_embed.contracts.progress import progress_bar
from domain_embed.encoding.encoder import TorchEncoder, cpu_has_bf16, length_sorted_batches
from domain_embed.encoding.models import fingerprint, load_model
from domain_embed.settings import ModelSettings, TrainingSettings
from domain_embed.training.loss import masked_ranking_loss
from domain_embed.training.pairs import Batch, TrainingPairs, epoch_batches
from domain_embed.training.state import STATE_FILE, History, load_state, save_state
from domain_embed.training.validation import Measure, ValidationSet, validate

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

TOKENS_PER_FORWARD = 1024
"""Of one forward pass, padding included: larger ones are no faster on two cores, and hold more memory."""
MAX_GRADIENT_NORM = 1.0
RECORD_FILE = "domain_embed.json"


@dataclass(frozen=True)
class Checkpoint:
    """A finished training: a sentence-transformers folder, its fingerprint, and how it went.

    `pool_vectors` are those of the validation pool's passages by this model, (n, dim) float32; None where the best
    epoch was validated before an interruption.
    """

    path: Path
    fingerprint: str
    history: History
    base_ndcg: float
    pool_vectors: NDArray[np.float32] | None = None


class Trainer:
    """Trains one model on one set of pairs.

    Args:
        base: Folder or hub id of the base model.
        model_settings: How texts are put to the model; written into the checkpoint.
        settings: The recipe.
        pairs: What to learn.
        validation: What chooses the epoch.
        ndcg: Mean nDCG@10 of a run.
    """

    def __init__(
        self, base: str, model_settings: ModelSettings, settings: TrainingSettings, pairs: TrainingPairs,
        validation: ValidationSet, ndcg: Measure,
    ) -> None:  # fmt: skip
        self._base, self._model_settings, self._settings = base, model_settings, settings
        self._pairs, self._validation, self._ndcg = pairs, validation, ndcg
        self._best_passages: NDArray[np.float32] | None = None
        self._epochs = [
            epoch_batches(pairs, settings.batch_size, settings.hard_negatives, settings.seed, epoch)
            for epoch in range(settings.epochs)
        ]
        self._total_steps = sum(len(batches) for batches in self._epochs)
        if self._total_steps == 0:
            raise TrainingError("the training pairs make no batch of two", "add judgments")

    def train(self, checkpoints: Path, record: Mapping[str, Any], tracker: Tracker) -> Checkpoint:
        """Trains to the end and keeps the best epoch under `checkpoints/<fingerprint>`.

        Unfinished work of the same `record` (what went in: versions and settings) is taken up where its state was
        last saved; the result is the same as without interruption, up to rounding.

        Raises:
            TrainingError: When the loss stops being a number.
            StoreError: When state or checkpoint cannot be written.
        """
        key = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
        workdir = checkpoints / f".training-{key}"
        try:
            workdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{workdir} cannot be written: {error}", "free space or fix permissions") from error
        history = self._run(workdir, tracker)
        best = load_model(str(workdir / "best"), self._model_settings)
        identity = fingerprint(best, self._model_settings)
        target = checkpoints / identity
        outcome = {"history": {"loss": history.loss, "validation": history.validation}}
        record_text = json.dumps({**record, **outcome, "fingerprint": identity}, indent=1)
        (workdir / "best" / RECORD_FILE).write_text(record_text, encoding="utf-8")
        # First the state: without its model it would count as finished, and could never be taken up again.
        (workdir / STATE_FILE).unlink()
        if not target.exists():
            (workdir / "best").replace(target)
        shutil.rmtree(workdir)
        return Checkpoint(target, identity, history, self._validation.base_ndcg, self._best_passages)

    def _run(self, workdir: Path, tracker: Tracker) -> History:
        import torch

        model = self._prepared_model()
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, lr=self._settings.learning_rate, weight_decay=self._settings.weight_decay
        )
        history = load_state(workdir, model, optimizer)
        tracker.log_metrics({"validation_ndcg_at_10": self._validation.base_ndcg}, step=0)
        for epoch, batches in enumerate(self._epochs):
            done_before = sum(len(earlier) for earlier in self._epochs[:epoch])
            self._train_epoch(epoch, batches[max(0, history.steps - done_before) :], model, optimizer, history,
                              workdir, tracker)  # fmt: skip
            if len(history.validation) <= epoch:
                self._finish_epoch(model, optimizer, history, workdir, tracker)
        return history

    def _prepared_model(self) -> "SentenceTransformer":
        """The base model, in evaluation mode so that dropout is off, with the prompts it will be saved with."""
        model = load_model(self._base, self._model_settings)
        model.prompts = {
            "query": self._model_settings.query_prompt,
            "document": self._model_settings.document_prompt,
        }
        transformer = model.transformers_model
        if model.device.type == "cpu":
            transformer.set_attn_implementation("eager")
        if self._settings.freeze_embeddings:
            transformer.get_input_embeddings().requires_grad_(False)
        if self._settings.frozen_layers:
            _freeze_layers(transformer, self._settings.frozen_layers)
        return model

    def _train_epoch(
        self, epoch: int, batches: Sequence[Batch], model: "SentenceTransformer", optimizer: "torch.optim.Optimizer",
        history: History, workdir: Path, tracker: Tracker,
    ) -> None:  # fmt: skip
        description = f"train epoch {epoch + 1}/{self._settings.epochs}"
        with progress_bar(description, sum(len(batch.queries) for batch in batches), "pairs") as progress:
            for batch in batches:
                loss = self._step(model, optimizer, batch, history.steps)
                history.loss.append(loss)
                tracker.log_metrics({"loss": loss}, step=history.steps)
                if history.steps % self._settings.save_every_steps == 0:
                    save_state(workdir, model, optimizer, history)
                progress.update(len(batch.queries))

    def _step(self, model: "SentenceTransformer", optimizer: "torch.optim.Optimizer", batch: Batch, step: int) -> float:
        import torch

        for group in optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * self._schedule(step)
        queries = [self._model_settings.query_prompt + self._pairs.queries[index] for index in batch.queries]
        passages = [self._model_settings.document_prompt + self._pairs.passages[index] for index in batch.passages]
        device = model.device
        with self._autocast(device.type):
            loss = masked_ranking_loss(
                _embed(model, queries, self._settings.max_tokens),
                _embed(model, passages, self._settings.max_tokens),
                torch.from_numpy(batch.targets).to(device),
                torch.from_numpy(batch.masked).to(device),
                self._settings.scale,
            )
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(f"the loss is {value} at step {step + 1}", "lower training.learning_rate")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        return value

    def _schedule(self, step: int) -> float:
        """Linear warm-up, then linear to zero; a factor of the peak learning rate, never zero at the first step."""
        warmup_steps = max(1, round(self._settings.warmup * self._total_steps))
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return (self._total_steps - step) / max(1, self._total_steps - warmup_steps)

    def _finish_epoch(
        self, model: "SentenceTransformer", optimizer: "torch.optim.Optimizer", history: History, workdir: Path,
        tracker: Tracker,
    ) -> None:  # fmt: skip
        """Validates, keeps the model when it is the best so far, and saves the state after both."""
        save_state(workdir, model, optimizer, history)
        encoder = TorchEncoder(copy.deepcopy(model), self._model_settings)
        queries = encoder.encode_queries(self._validation.queries)
        passages = encoder.encode_documents(self._validation.passages)
        figure = validate(self._validation, queries, passages, self._ndcg)
        history.validation.append(figure)
        epoch = len(history.validation)
        logger.info("epoch %d: validation nDCG@10 %.4f (base %.4f)", epoch, figure, self._validation.base_ndcg)
        tracker.log_metrics({"validation_ndcg_at_10": figure}, step=history.steps)
        if history.best_epoch == epoch:
            self._best_passages = passages
            _save_model(model, workdir)
        save_state(workdir, model, optimizer, history)

    @contextmanager
    def _autocast(self, device: str) -> Iterator[None]:
        import torch

        wanted = self._settings.precision == "bf16" or (self._settings.precision == "auto" and _has_bf16(device))
        with torch.autocast(device, torch.bfloat16, enabled=wanted):
            yield


def _embed(model: "SentenceTransformer", texts: Sequence[str], max_tokens: int) -> "torch.Tensor":
    """(n, dim) in the order of `texts`, by length-sorted forward passes that share one graph."""
    import torch

    limit = min(max_tokens, model.max_seq_length or max_tokens)
    batches = length_sorted_batches(model, texts, limit, TOKENS_PER_FORWARD)
    parts = []
    for _, inputs in batches:
        features = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        parts.append(model(features)["sentence_embedding"])
    order = np.concatenate([rows for rows, _ in batches])
    return torch.cat(parts)[torch.from_numpy(np.argsort(order))]


def _freeze_layers(transformer: Any, count: int) -> None:
    """Freezes the embeddings and the lowest `count` layers; nothing below a trained layer then needs a gradient."""
    from torch.nn import ModuleList

    depth = transformer.config.num_hidden_layers
    stacks = [module for module in transformer.modules() if isinstance(module, ModuleList) and len(module) == depth]
    if not stacks or count >= depth:
        raise TrainingError(f"training.frozen_layers: {count} of this model's {depth} layers cannot be frozen")
    embeddings = getattr(transformer, "embeddings", transformer.get_input_embeddings())
    for module in (embeddings, *stacks[0][:count]):
        module.requires_grad_(False)


def _save_model(model: "SentenceTransformer", workdir: Path) -> None:
    """Replaces workdir/best; a crash in between leaves it absent, and the epoch is then validated and saved again."""
    draft, best = workdir / "best.draft", workdir / "best"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        model.save_pretrained(str(draft), create_model_card=False)
        shutil.rmtree(best, ignore_errors=True)
        draft.replace(best)
    except OSError as error:
        raise StoreError(f"the model in {workdir} cannot be written: {error}", "free space") from error


def _has_bf16(device: str) -> bool:
    import torch

    return torch.cuda.is_bf16_supported() if device == "cuda" else device == "cpu" and cpu_has_bf16()
