"""Texts to a model's inputs: as sentence-transformers makes them, in batches of like length."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

CHARACTERS_PER_TOKEN = 64
"""No tokenizer here packs more: longer texts are cut before tokenizing, so a million characters cost nothing."""

Task: TypeAlias = Literal["query", "document"]
Batch: TypeAlias = tuple[NDArray[np.int64], dict[str, Any]]
"""Rows of the texts that went in, and the model's inputs for them."""


def input_batches(
    model: "SentenceTransformer", texts: Sequence[str], task: Task, prompt: str, max_tokens: int, tokens_per_batch: int
) -> list[Batch]:
    """The inputs of texts with a prompt before each, longest first, each batch of bounded size.

    Of a text the model sees `max_tokens` tokens, prompt and special ones included.
    """
    if _is_plain(model, prompt):
        return length_sorted_batches(model, [prompt + text for text in texts], max_tokens, tokens_per_batch)
    order = np.argsort([-len(text) for text in texts], kind="stable")
    size = max(1, tokens_per_batch // min(max_tokens, tokens_per_batch))
    limit = max_tokens if model.max_seq_length not in (None, max_tokens) else None
    shared: dict[str, Any] = {"prompt": prompt or None, "task": task, **({"max_length": limit} if limit else {})}
    return [
        (rows, dict(model.preprocess([texts[row][: max_tokens * CHARACTERS_PER_TOKEN] for row in rows], **shared)))
        for rows in np.split(order, range(size, len(order), size))
        if len(rows)
    ]


def _is_plain(model: "SentenceTransformer", prompt: str) -> bool:
    """Whether prompt, text and tokenizer are all there is to the inputs.

    Not so where texts are put into a chat template, where the tokens of the prompt are left out of the pooling, where
    queries and documents have encoders of their own, and where there is no transformer at all.
    """
    first = model[0]
    if type(first).__name__ != "Transformer" or "message" in first.modality_config or first.query_expansion:
        return False
    return not prompt or all(getattr(module, "include_prompt", True) for module in model)


def length_sorted_batches(
    model: "SentenceTransformer", texts: Sequence[str], max_tokens: int, tokens_per_batch: int
) -> list[Batch]:
    """(rows of `texts`, padded model inputs) per batch, longest first, each at most `tokens_per_batch` with padding.

    A text longer than `max_tokens` is cut, and is then alone in its batch if it fills one.
    """
    cut = [text[: max_tokens * CHARACTERS_PER_TOKEN] for text in texts]
    tokenized = model.tokenizer(cut, truncation=True, max_length=max_tokens, return_attention_mask=True)
    return padded_batches(model.tokenizer, tokenized, tokens_per_batch)


def padded_batches(tokenizer: Any, tokenized: Mapping[str, Sequence[Any]], tokens_per_batch: int) -> list[Batch]:
    """(rows, padded model inputs) per batch of what a tokenizer gave, longest first; see `length_sorted_batches`."""
    lengths = np.array([len(ids) for ids in tokenized["input_ids"]])
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, tokens_per_batch // max(1, int(lengths[order[start]])))
        rows = order[start : start + size]
        inputs = {name: [values[row] for row in rows] for name, values in tokenized.items()}
        batches.append((rows, dict(tokenizer.pad(inputs, return_tensors="pt"))))
        start += size
    return batches


def on_device(inputs: Mapping[str, Any], device: Any) -> dict[str, Any]:
    """The inputs with their tensors on a device."""
    return {name: value.to(device) if hasattr(value, "to") else value for name, value in inputs.items()}


def model_tokenizer(model: "SentenceTransformer") -> Any:
    """The model's tokenizer as the tokenizers library knows it; that of its first encoder where it has several."""
    tokenizer = model.tokenizer
    return getattr(tokenizer, "backend_tokenizer", tokenizer)
