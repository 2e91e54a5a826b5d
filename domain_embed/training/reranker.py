"""A cross-encoder for the domain, from any encoder: a short training that is repeated rather than resumed.

What differs from sentence-transformers' trainer and losses, and why: their losses tokenize and pad each batch as it
comes, here pairs go through the model sorted by length, a few lists at a time; dropout is off and word embeddings may
stay as they are, as in the training of encoders; and their ListNet loss takes a softmax over the labels as its target,
which in a list of five leaves 60 % of it on the negatives, where here the positive is the whole target.
"""

import json
import logging
import math
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domain_embed.contracts.errors import StoreError, TrainingError, excerpt
from domain_embed.contracts.ports import Tracker
from domain_embed.contracts.progress import progress_bar
from domain_embed.encoding.models import ModelError
from domain_embed.encoding.reranker import (
    CrossEncoderReranker,
    pair_batches,
    pair_logits,
    require_own_tokenizer,
)
from domain_embed.files import RECORD_FILE, keep_file, private_folder, read_json, tighten
from domain_embed.settings import RerankerSettings
from domain_embed.training.course import schedule
from domain_embed.training.fit import MAX_GRADIENT_NORM
from domain_embed.training.forward import TOKENS_PER_FORWARD, autocast
from domain_embed.training.pairs import TrainingPairs

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder
    from torch import Tensor

MAX_PASSES = 2
LISTS_PER_FORWARD = 2
"""Share one graph: what is held for the backward pass is this many lists of pairs, whatever the batch."""
WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class TrainedReranker:
    """A finished training: a cross-encoder's folder, its fingerprint and the loss of each step."""

    path: Path
    fingerprint: str
    loss: Sequence[float]


@dataclass(frozen=True)
class Example:
    """One list to put in order: a query, a passage that answers it, and some that do not, as indices."""

    query: int
    positive: int
    negatives: Sequence[int]


def train_reranker(
    start: str, settings: RerankerSettings, pairs: TrainingPairs, folder: Path, record: Mapping[str, Any],
    tracker: Tracker,
) -> TrainedReranker:  # fmt: skip
    """Trains a cross-encoder and keeps it under `folder/<fingerprint>`, complete or not at all.

    Equal arguments give equal weights on one machine. An interrupted training starts anew: its steps are bounded, so
    that a state to go on from would be worth minutes only.

    Args:
        start: Folder or hub id of an encoder, or of a cross-encoder with one label.
        settings: The recipe.
        pairs: What to learn.
        folder: Where rerankers are kept.
        record: What went in, kept with the model.
        tracker: Gets the loss of every step.

    Raises:
        ModelError: When `start` cannot become a cross-encoder.
        TrainingError: When there is nothing to tell apart, or the loss stops being a number.
        StoreError: When the model cannot be written.
    """
    steps = plan_steps(pairs, settings)
    model = new_cross_encoder(start, settings)
    loss = _fit(model, pairs, steps, settings, tracker)
    return _keep(model, settings, folder, {**record, "loss": loss}, loss)


def finished_training(folder: Path, record: Mapping[str, Any]) -> TrainedReranker | None:
    """What `train_reranker` has made of this record before; None where it has not."""
    for path in sorted(folder.glob(f"[!.]*/{RECORD_FILE}")):
        kept = read_json(path)
        if {**kept, **record} == kept and kept.keys() == {*record, "loss", "fingerprint"}:
            return TrainedReranker(path.parent, str(kept["fingerprint"]), kept["loss"])
    return None


def plan_steps(pairs: TrainingPairs, settings: RerankerSettings) -> list[list[Example]]:
    """All steps: each pass takes every pair once, in an order and with negatives that seed and pass decide.

    A query short of hard negatives gets passages of other queries that are not known to answer it.

    Raises TrainingError when a query has no passage that does not answer it.
    """
    steps: list[list[Example]] = []
    for number in range(MAX_PASSES):
        generator = np.random.default_rng([settings.seed, number])
        order = generator.permutation(len(pairs.pairs))
        for start in range(0, len(order), settings.batch_size):
            if len(steps) == settings.max_steps:
                return steps
            rows = order[start : start + settings.batch_size]
            steps.append([_example(pairs, int(row), settings.negatives, generator) for row in rows])
    return steps


def _example(pairs: TrainingPairs, row: int, count: int, generator: np.random.Generator) -> Example:
    query, positive = pairs.pairs[row].tolist()
    mined = pairs.negatives[query]
    drawn = [mined[pick] for pick in generator.permutation(len(mined))[:count]]
    known = pairs.positives[query] | set(drawn)
    missing = min(count - len(drawn), len(pairs.passages) - len(known))
    while missing > 0:
        other = int(generator.integers(len(pairs.passages)))
        if other not in known:
            drawn.append(other)
            known |= {other}
            missing -= 1
    if not drawn:
        raise TrainingError(
            f"query {excerpt(repr(pairs.queries[query]))} has no passage that does not answer it",
            "add passages or judgments",
        )
    return Example(query, positive, drawn)


def new_cross_encoder(start: str, settings: RerankerSettings) -> "CrossEncoder":
    """The encoder with a new head for one score, in evaluation mode so that dropout is off."""
    import torch
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder

    try:
        with torch.random.fork_rng(devices=[]), _quiet():
            torch.manual_seed(settings.seed)
            model = CrossEncoder(start, num_labels=1)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        raise ModelError(
            f"{start!r} cannot become a cross-encoder: {error}",
            "reranker.start must be an encoder, or a cross-encoder with one label",
        ) from error
    require_own_tokenizer(model, start)
    positions = getattr(model.config, "max_position_embeddings", settings.max_tokens)
    if settings.max_tokens > positions:
        raise ModelError(f"reranker.max_tokens: {settings.max_tokens} is more than the model's {positions} positions")
    model.max_seq_length = settings.max_tokens
    if model.device.type == "cpu":
        model.transformers_model.set_attn_implementation("eager")
    if settings.freeze_embeddings:
        model.transformers_model.get_input_embeddings().requires_grad_(False)
    return model.eval()


def _fit(
    model: "CrossEncoder", pairs: TrainingPairs, steps: Sequence[Sequence[Example]], settings: RerankerSettings,
    tracker: Tracker,
) -> list[float]:  # fmt: skip
    import torch

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)
    history: list[float] = []
    with progress_bar("train reranker", len(steps), "steps") as progress:
        for step, examples in enumerate(steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * schedule(step, len(steps), settings.warmup)
            optimizer.zero_grad()
            loss = _accumulate(model, pairs, examples, settings)
            if not math.isfinite(loss):
                raise TrainingError(f"the reranker's loss is {loss} at step {step + 1}", "lower reranker.learning_rate")
            torch.nn.utils.clip_grad_norm_(trained, MAX_GRADIENT_NORM)
            optimizer.step()
            history.append(loss)
            tracker.log_metrics({"loss": loss}, step=step + 1)
            progress.update(1)
    return history


def _accumulate(
    model: "CrossEncoder", pairs: TrainingPairs, examples: Sequence[Example], settings: RerankerSettings
) -> float:
    """Adds up the gradients of one step, a few lists of like length at a time; returns the mean loss."""
    ordered = sorted(examples, key=lambda example: -max(len(pairs.passages[p]) for p in _passages(example)))
    total = 0.0
    for start in range(0, len(ordered), LISTS_PER_FORWARD):
        some = ordered[start : start + LISTS_PER_FORWARD]
        loss = list_loss(_scores(model, pairs, some, settings.max_tokens), settings.objective) / len(ordered)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def _scores(
    model: "CrossEncoder", pairs: TrainingPairs, examples: Sequence[Example], max_tokens: int
) -> "list[Tensor]":
    """The scores of each list, (1 + negatives,), its positive first."""
    import torch

    asked = [(pairs.queries[one.query], pairs.passages[passage]) for one in examples for passage in _passages(one)]
    batches = pair_batches(model, asked, max_tokens, TOKENS_PER_FORWARD)
    with autocast(model.device.type, "auto"):
        logits = torch.cat([pair_logits(model, inputs).float() for _, inputs in batches])
    order = torch.from_numpy(np.argsort(np.concatenate([rows for rows, _ in batches])))
    return list(torch.split(logits[order.to(logits.device)], [len(_passages(one)) for one in examples]))


def list_loss(scores: "Sequence[Tensor]", objective: str) -> "Tensor":
    """The sum over lists of how badly each positive, which stands first in its list, is told from its negatives.

    `listwise`: cross-entropy of the softmax over the list (Gao, Dai and Callan 2021, "Rethink Training of BERT
    Rerankers in Multi-Stage Retrieval Pipeline"). `binary`: cross-entropy of each pair alone, the positive weighing as
    much as all its negatives together.
    """
    import torch
    from torch.nn.functional import logsigmoid

    if objective == "listwise":
        losses = [torch.logsumexp(of_list, dim=0) - of_list[0] for of_list in scores]
    else:
        losses = [-(logsigmoid(of_list[0]) + logsigmoid(-of_list[1:]).mean()) / 2 for of_list in scores]
    return torch.stack(losses).sum()


def _passages(example: Example) -> list[int]:
    return [example.positive, *example.negatives]


def _keep(
    model: "CrossEncoder", settings: RerankerSettings, folder: Path, record: Mapping[str, Any], loss: Sequence[float]
) -> TrainedReranker:
    """Writes the model under a name nobody reads, loads it back, and only then gives it its own."""
    for abandoned in folder.glob(".training-*"):  # by a process that was killed while it wrote
        shutil.rmtree(abandoned, ignore_errors=True)
    draft = folder / f".training-{uuid.uuid4().hex}"
    try:
        private_folder(draft)
        model.save_pretrained(str(draft), create_model_card=False)
        identity = CrossEncoderReranker.load(str(draft), settings.max_tokens).fingerprint
        text = json.dumps({**record, "fingerprint": identity}, indent=1)
        keep_file(draft / RECORD_FILE, text)
        tighten(draft)
        if not (folder / identity).exists():
            draft.replace(folder / identity)
    except OSError as error:
        raise StoreError(f"the reranker in {folder} cannot be written: {error}", "free space") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return TrainedReranker(folder / identity, identity, loss)


@contextmanager
def _quiet() -> Iterator[None]:
    """The libraries warn that the head has no weights yet; here it is what was asked for."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
