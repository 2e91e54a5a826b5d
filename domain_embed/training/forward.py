"""Texts through a model in training: length-sorted passes, in the number format that is fast here."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from domain_embed.encoding.encoder import has_bf16, length_sorted_batches

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

TOKENS_PER_FORWARD = 1024
"""Of one forward pass, padding included: larger ones are no faster on two cores, and hold more memory."""


def passes(
    model: "SentenceTransformer", texts: Sequence[str], max_tokens: int
) -> list[tuple[NDArray[np.int64], dict[str, "torch.Tensor"]]]:
    """(rows of `texts`, the model's inputs on its device) of bounded forward passes, longest texts first."""
    limit = min(max_tokens, model.max_seq_length or max_tokens)
    return [
        (rows, {name: tensor.to(model.device) for name, tensor in inputs.items()})
        for rows, inputs in length_sorted_batches(model, texts, limit, TOKENS_PER_FORWARD)
    ]


@contextmanager
def autocast(device: str, precision: str) -> Iterator[None]:
    """bf16 where the settings ask for it; `auto` asks for it where the hardware multiplies it natively."""
    import torch

    wanted = precision == "bf16" or (precision == "auto" and has_bf16(device))
    with torch.autocast(device, torch.bfloat16, enabled=wanted):
        yield
