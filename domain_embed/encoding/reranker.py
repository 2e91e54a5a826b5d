"""Cross-encoders: query and passage read together, one score a pair."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.progress import progress_bar
from domain_embed.encoding.encoder import TOKENS_PER_BATCH, inference_dtype
from domain_embed.encoding.inputs import CHARACTERS_PER_TOKEN, padded_batches
from domain_embed.encoding.models import ModelError, tokenizer_config, weights_digest
from domain_embed.settings import Precision

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

PAIRS_PER_WINDOW = 2048
"""Tokenized and sorted by length together; bounds memory."""
_HINT = "a reranker must be a sequence-classification model with one label: a hub id, a folder, or package:NAME/FOLDER"


class CrossEncoderReranker:
    """Scores pairs with one cross-encoder, whose raw output is the score; see the Reranker port.

    Pairs are scored in batches of like length: many times fewer padding tokens than in the order given.
    """

    def __init__(self, model: "CrossEncoder", max_tokens: int, *, precision: Precision = "auto") -> None:
        self.max_tokens = max_tokens
        self.fingerprint = reranker_fingerprint(model, max_tokens)
        self._model = model.to(inference_dtype(model.device.type, precision)).eval()

    @classmethod
    def load(
        cls, name: str, max_tokens: int | None = None, *, device: str | None = None, precision: Precision = "auto"
    ) -> "CrossEncoderReranker":
        """Loads a cross-encoder by folder or hub id; `max_tokens` can only lower the model's own limit.

        Raises ModelError when it is unusable.
        """
        model = load_cross_encoder(name, device=device)
        limits = (max_tokens, getattr(model.config, "max_position_embeddings", None), model.max_seq_length)
        return cls(model, min(limit for limit in limits if limit is not None), precision=precision)

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """(n,) float32 in the order of `pairs`; the longer text of a pair that is too long is cut."""
        import torch

        scores = np.empty(len(pairs), dtype=np.float32)
        with progress_bar("score pairs", len(pairs), "pairs") as progress, torch.inference_mode():
            for start in range(0, len(pairs), PAIRS_PER_WINDOW):
                window = pairs[start : start + PAIRS_PER_WINDOW]
                for rows, inputs in pair_batches(self._model, window, self.max_tokens, TOKENS_PER_BATCH):
                    scores[start + rows] = pair_logits(self._model, inputs).float().cpu().numpy()
                    progress.update(len(rows))
        return scores


def load_cross_encoder(name: str, *, device: str | None = None) -> "CrossEncoder":
    """A finished cross-encoder in fp32. Raises ModelError when it is none, or cannot be used to rank."""
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder
    from transformers import AutoConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        config = AutoConfig.from_pretrained(name)
        architectures = config.architectures or ["a model without a head"]
        # transformers would give an encoder a head of random weights, and only say so in the log.
        if not str(architectures[0]).endswith("ForSequenceClassification"):
            raise ModelError(f"reranker {name!r} is {architectures[0]}, no cross-encoder", _HINT)
        if config.num_labels != 1:
            raise ModelError(f"reranker {name!r} has {config.num_labels} labels: it classifies, not ranks", _HINT)
        model = CrossEncoder(name, device=device)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        raise ModelError(f"reranker {name!r} cannot be loaded: {error}", _HINT) from error
    require_own_tokenizer(model, name)
    return model.eval()


def require_own_tokenizer(model: "CrossEncoder", name: str) -> None:
    """Raises ModelError when the tokenizer is missing, cannot pad, or numbers more tokens than the model knows."""
    tokenizer = model.tokenizer
    # Without files, transformers makes a tokenizer of special tokens only: every word would be the same unknown one.
    if getattr(tokenizer, "backend_tokenizer", None) is None or len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ModelError(f"reranker {name!r} has no tokenizer.json", "save the model together with its fast tokenizer")
    known = model.transformers_model.get_input_embeddings().num_embeddings
    if len(tokenizer) > known:
        raise ModelError(
            f"reranker {name!r}: its tokenizer has {len(tokenizer)} tokens, the model knows {known}",
            "put the tokenizer the model was trained with into its folder",
        )
    if tokenizer.pad_token_id is None:
        raise ModelError(f"reranker {name!r}: its tokenizer has no padding token", "set pad_token in its tokenizer")


def reranker_fingerprint(model: "CrossEncoder", max_tokens: int) -> str:
    """Identity of the scores a cross-encoder gives: 16 hex digits over weights, tokenizer and length limit.

    Not over device, number format or library versions, which change scores by rounding only.
    """
    digest = weights_digest(model.state_dict())
    digest.update(tokenizer_config(model.tokenizer).encode())
    digest.update(str(max_tokens).encode())
    return digest.hexdigest()[:16]


def pair_batches(
    model: "CrossEncoder", pairs: Sequence[tuple[str, str]], max_tokens: int, tokens_per_batch: int
) -> list[tuple[NDArray[np.int64], dict[str, Any]]]:
    """(rows of `pairs`, padded model inputs) per batch, longest first, each at most `tokens_per_batch` with padding."""
    if not pairs:
        return []
    characters = max_tokens * CHARACTERS_PER_TOKEN
    queries, passages = ([text[:characters] for text in column] for column in zip(*pairs, strict=True))
    tokenized = model.tokenizer(queries, passages, truncation="longest_first", max_length=max_tokens)
    return padded_batches(model.tokenizer, tokenized, tokens_per_batch)


def pair_logits(model: "CrossEncoder", inputs: dict[str, Any]) -> Any:
    """(n,) tensor: the raw output for one padded batch, before any activation."""
    features = {name: tensor.to(model.device) for name, tensor in inputs.items()}
    return model.transformers_model(**features).logits[:, 0]
