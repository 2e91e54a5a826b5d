"""Texts through a model in training: length-sorted passes, in the number format that is fast here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from domain_embed.encoding.encoder import has_bf16, token_limit
from domain_embed.encoding.inputs import Batch, Task, input_batches, on_device

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TOKENS_PER_FORWARD = 1024
"""Of one forward pass, padding included: larger ones are no faster on two cores, and hold more memory."""


def passes(model: "SentenceTransformer", texts: Sequence[str], task: Task, max_tokens: int) -> list[Batch]:
    """(rows of `texts`, the model's inputs on its device) of bounded forward passes, longest texts first.

    The model's own prompt of the task stands before each text.
    """
    limit = min(max_tokens, token_limit(model))
    batches = input_batches(model, texts, task, model.prompts[task], limit, TOKENS_PER_FORWARD)
    return [(rows, on_device(inputs, model.device)) for rows, inputs in batches]


@contextmanager
def autocast(device: str, precision: str) -> Iterator[None]:
    """bf16 where the settings ask for it; `auto` asks for it where the hardware multiplies it natively."""
    import torch

    wanted = precision == "bf16" or (precision == "auto" and has_bf16(device))
    with torch.autocast(device, torch.bfloat16, enabled=wanted):
        yield
