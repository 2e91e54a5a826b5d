"""The torch encoder: sentence-transformers' model, length-sorted batches of bounded tokens, bf16 where it pays."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain_embed.encoding.inputs import Task, input_batches, model_tokenizer, on_device
from domain_embed.encoding.models import document_fingerprint, fingerprint, load_model
from domain_embed.settings import ModelSettings, Precision, effective_prompts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from torch import Tensor

TOKENS_PER_BATCH = 1024
"""Per forward pass, padding included: 2048 leave the processor caches and were slower, 512 no faster."""
GPU_TOKENS_PER_BATCH = 32_768
"""A GPU needs more at once to be busy; 128 passages of 256 tokens fit any."""
UNLIMITED_TOKENS = 32_768
"""For models without a limit, such as static embeddings, and for those that say none."""
TEXTS_PER_WINDOW = 4096
"""Tokenized and sorted by length together; bounds memory."""


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
        self.prompts = effective_prompts(model.prompts, settings)
        self._settings = settings
        self._model = model.to(inference_dtype(model.device.type, precision))
        self.max_tokens = token_limit(model)
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
        return self._encode(self.prompts.query, texts, "query")

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        return self._encode(self.prompts.document, texts, "document")

    @property
    def tokenizer(self) -> "Tokenizer":
        """The model's tokenizer, as the tokenizers library knows it."""
        tokenizer: Tokenizer = model_tokenizer(self._model)
        return tokenizer

    @property
    def device(self) -> str:
        """Where it computes: cpu, cuda."""
        return str(self._model.device.type)

    @property
    def number_format(self) -> str:
        """What passages are computed in: float32, bfloat16, float16 or int8."""
        return str(self._model.dtype).removeprefix("torch.")

    def _encode(self, prompt: str, texts: Sequence[str], task: Task) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), TEXTS_PER_WINDOW):
            window = texts[start : start + TEXTS_PER_WINDOW]
            tokens = self._tokens_per_batch or TOKENS_PER_BATCH
            batches = input_batches(self._model, window, task, prompt, self.max_tokens, tokens)
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
        embedding: Tensor = self._model(on_device(batch, self._model.device), task=task)["sentence_embedding"]
        return embedding


def _single_threaded_workers() -> ThreadPoolExecutor:
    """One worker per core, each with one thread of its own.

    Two batches side by side were 1.2 times faster on two cores than one batch on both: no thread waits for the other
    after every operation.
    """
    import torch

    return ThreadPoolExecutor(torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,))


def token_limit(model: "SentenceTransformer") -> int:
    """How many tokens of a text the model sees; a number beyond any text for one that sees all of them."""
    limit = model.max_seq_length or UNLIMITED_TOKENS
    return int(min(limit, UNLIMITED_TOKENS))


def on_cosine(model: "SentenceTransformer") -> bool:
    """Whether the model's own similarity ranks as cosine does; the dot product does where vectors have unit length."""
    if model.similarity_fn_name == "cosine":
        return True
    return model.similarity_fn_name in ("dot", "euclidean") and type(model[-1]).__name__ == "Normalize"


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

    if device == "cuda":  # a GPU before Ampere emulates it, which is slower than fp32
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Whether this processor has bf16 dot products (AVX-512 BF16 or AMX); without them bf16 is emulated and slow."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
