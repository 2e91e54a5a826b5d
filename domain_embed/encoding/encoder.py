"""The torch encoder: sentence-transformers' model, length-sorted batches of bounded tokens, bf16 where it pays."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from domain_embed.encoding.models import document_fingerprint, fingerprint, load_model
from domain_embed.settings import ModelSettings, Precision

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from torch import Tensor

TOKENS_PER_BATCH = 1024
"""Per forward pass, padding included: 2048 leave the processor caches and were slower, 512 no faster."""
GPU_TOKENS_PER_BATCH = 32_768
"""A GPU needs more at once to be busy; 128 passages of 256 tokens fit any."""
CHARACTERS_PER_TOKEN = 64
"""No tokenizer here packs more: longer texts are cut before tokenizing, so a million characters cost nothing."""
TEXTS_PER_WINDOW = 4096
"""Tokenized and sorted by length together; bounds memory."""

Task: TypeAlias = Literal["query", "document"]


class TorchEncoder:
    """Encodes with a sentence-transformers model as it was trained to be used; see the Encoder port.

    The fingerprints are taken of the fp32 weights, before any conversion to bf16; `document_fingerprint` is that of the
    passages' vectors alone, by which they are cached. Of a text the model sees `max_tokens` tokens, special ones
    included. Vectors are cut to the settings' dimensions, then scaled to unit length.
    """

    def __init__(self, model: "SentenceTransformer", settings: ModelSettings, *, precision: Precision = "auto") -> None:
        self.fingerprint = fingerprint(model, settings)
        self.document_fingerprint = document_fingerprint(model, settings)
        self.dimensions: int = settings.dimensions or model.get_embedding_dimension()
        self._settings = settings
        self._model = model.to(inference_dtype(model.device.type, precision))
        self.max_tokens: int = model.max_seq_length or 512
        on_cpu = model.device.type == "cpu"
        self._tokens_per_batch = None if on_cpu else GPU_TOKENS_PER_BATCH
        self._workers = _single_threaded_workers() if on_cpu else None

    @classmethod
    def load(
        cls, name: str, settings: ModelSettings, *, device: str | None = None, precision: Precision = "auto"
    ) -> "TorchEncoder":
        """Loads the model by folder or hub id. Raises ModelError when that fails."""
        return cls(load_model(name, settings, device=device), settings, precision=precision)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        return self._encode(self._settings.query_prompt, texts, "query")

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        return self._encode(self._settings.document_prompt, texts, "document")

    @property
    def tokenizer(self) -> "Tokenizer":
        """The model's tokenizer, as the tokenizers library knows it."""
        tokenizer: Tokenizer = self._model.tokenizer.backend_tokenizer
        return tokenizer

    def _encode(self, prompt: str, texts: Sequence[str], task: Task) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), TEXTS_PER_WINDOW):
            window = [prompt + text for text in texts[start : start + TEXTS_PER_WINDOW]]
            tokens = self._tokens_per_batch or TOKENS_PER_BATCH
            batches = length_sorted_batches(self._model, window, self.max_tokens, tokens)
            inputs = [(batch, task) for _, batch in batches]
            for (rows, _), unit in zip(batches, self._forward_all(inputs), strict=True):
                vectors[start + rows] = unit
        return vectors

    def _forward_all(self, work: Sequence[tuple[dict[str, Any], Task]]) -> Iterator[NDArray[np.float32]]:
        return self._workers.map(self._forward, work) if self._workers else map(self._forward, work)

    def _forward(self, work: tuple[dict[str, Any], Task]) -> NDArray[np.float32]:
        import torch

        batch, task = work
        with torch.inference_mode():
            embedding = self._embed(batch, task).float()[:, : self.dimensions]
            unit: NDArray[np.float32] = torch.nn.functional.normalize(embedding, dim=-1).cpu().numpy()
        return unit

    def _embed(self, batch: dict[str, Any], task: Task) -> "Tensor":
        """(n, dim) of a padded batch; called in inference mode, from several threads."""
        features = {name: tensor.to(self._model.device) for name, tensor in batch.items()}
        embedding: Tensor = self._model(features, task=task)["sentence_embedding"]
        return embedding


def length_sorted_batches(
    model: "SentenceTransformer", texts: Sequence[str], max_tokens: int, tokens_per_batch: int
) -> list[tuple[NDArray[np.int64], dict[str, Any]]]:
    """(rows of `texts`, padded model inputs) per batch, longest first, each at most `tokens_per_batch` with padding.

    A text longer than `max_tokens` is cut, and is then alone in its batch if it fills one.
    """
    cut = [text[: max_tokens * CHARACTERS_PER_TOKEN] for text in texts]
    tokenized = model.tokenizer(cut, truncation=True, max_length=max_tokens, return_attention_mask=True)
    return padded_batches(model.tokenizer, tokenized, tokens_per_batch)


def padded_batches(
    tokenizer: Any, tokenized: Mapping[str, Sequence[Any]], tokens_per_batch: int
) -> list[tuple[NDArray[np.int64], dict[str, Any]]]:
    """(rows, padded model inputs) per batch of what a tokenizer gave, longest first; see `length_sorted_batches`."""
    lengths = np.array([len(ids) for ids in tokenized["input_ids"]])
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, tokens_per_batch // int(lengths[order[start]]))
        rows = order[start : start + size]
        inputs = {name: [values[row] for row in rows] for name, values in tokenized.items()}
        batches.append((rows, dict(tokenizer.pad(inputs, return_tensors="pt"))))
        start += size
    return batches


def _single_threaded_workers() -> ThreadPoolExecutor:
    """One worker per core, each with one thread of its own.

    Two batches side by side were 1.2 times faster on two cores than one batch on both: no thread waits for the other
    after every operation.
    """
    import torch

    return ThreadPoolExecutor(torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,))


def inference_dtype(device: str, precision: Precision = "auto") -> Any:
    """By default bf16 where the hardware multiplies it natively, fp16 on an older GPU, else fp32."""
    import torch

    if precision != "auto":
        return torch.bfloat16 if precision == "bf16" else torch.float32
    if has_bf16(device):
        return torch.bfloat16
    return torch.float16 if device == "cuda" else torch.float32


def has_bf16(device: str) -> bool:
    """Whether this device multiplies bf16 natively."""
    import torch

    return torch.cuda.is_bf16_supported() if device == "cuda" else device == "cpu" and cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Whether this processor has bf16 dot products (AVX-512 BF16 or AMX); without them bf16 is emulated and slow."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
