"""The encoder: a sentence-transformers model on length-sorted batches of bounded tokens, run by torch or OpenVINO."""

import copy
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain_embed.encoding.models import fingerprint, load_model
from domain_embed.encoding.openvino_engine import Batch, ConversionError, Embedded, OpenVinoEngine
from domain_embed.settings import ModelSettings

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

logger = logging.getLogger(__name__)

TOKENS_PER_BATCH = 1024
"""Per forward pass, padding included: 2048 leave the processor caches and were slower, 512 no faster."""
CHARACTERS_PER_TOKEN = 64
"""No tokenizer here packs more: longer texts are cut before tokenizing, so a million characters cost nothing."""
TEXTS_PER_WINDOW = 4096
"""Tokenized and sorted by length together; bounds memory."""
TEXTS_WORTH_CONVERSION = 512
"""In one call: the conversion takes seconds, which fewer texts would not earn back."""
TEXTS_PROVEN = 8
"""Encoded by torch as well, to compare."""


class TorchEncoder:
    """Encodes with a sentence-transformers model as it was trained to be used; see the Encoder port.

    The fingerprint is taken of the fp32 weights, before any conversion. Of a text the model sees `max_tokens` tokens,
    special ones included. On a CPU the first call with many texts converts the model to OpenVINO, and all later calls
    use that. Safe for concurrent callers.
    """

    def __init__(self, model: "SentenceTransformer", settings: ModelSettings) -> None:
        self.fingerprint = fingerprint(model, settings)
        self.dimensions: int = model.get_embedding_dimension()
        self.max_tokens: int = model.max_seq_length or 512
        self._settings = settings
        self._model = model
        self._engine: TorchEngine | OpenVinoEngine | None = None
        self._convertible = model.device.type == "cpu"
        self._lock = Lock()

    @classmethod
    def load(cls, name: str, settings: ModelSettings, *, device: str | None = None) -> "TorchEncoder":
        """Loads the model by folder or hub id. Raises ModelError when that fails."""
        return cls(load_model(name, settings, device=device), settings)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        return self._encode(self._settings.query_prompt, texts)

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        return self._encode(self._settings.document_prompt, texts)

    @property
    def tokenizer(self) -> "Tokenizer":
        """The model's tokenizer, as the tokenizers library knows it."""
        tokenizer: Tokenizer = self._model.tokenizer.backend_tokenizer
        return tokenizer

    def _encode(self, prompt: str, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), TEXTS_PER_WINDOW):
            window = [prompt + text for text in texts[start : start + TEXTS_PER_WINDOW]]
            engine = self._engine_for(window)
            for rows, units in engine.embed(self._batches(window)):
                vectors[start + rows] = units
        return vectors

    def _batches(self, texts: Sequence[str]) -> list[Batch]:
        return length_sorted_batches(self._model, texts, self.max_tokens, TOKENS_PER_BATCH)

    def _engine_for(self, texts: Sequence[str]) -> "TorchEngine | OpenVinoEngine":
        with self._lock:
            if self._convertible and len(texts) >= TEXTS_WORTH_CONVERSION:
                self._convertible = False
                try:
                    self._engine = self._converted(texts)
                except ConversionError as error:
                    self._engine = None
                    name = self._model.transformers_model.name_or_path
                    logger.warning("model %s stays with torch, which is slower: OpenVINO: %s", name, error)
            if self._engine is None:
                # OpenVINO will want the weights in fp32.
                keep = self._convertible and cpu_has_bf16()
                self._engine = TorchEngine(copy.deepcopy(self._model) if keep else self._model)
            return self._engine

    def _converted(self, texts: Sequence[str]) -> OpenVinoEngine:
        """An engine that agrees with torch on some of `texts`, spread evenly. Raises ConversionError."""
        import torch

        _, example = self._batches(["two texts", "of different length, so that one of them is padded"])[0]
        engine = OpenVinoEngine(self._model, example, torch.get_num_threads(), bf16=cpu_has_bf16())
        batches = self._batches(texts[:: max(1, len(texts) // TEXTS_PROVEN)][:TEXTS_PROVEN])
        engine.prove(batches, TorchEngine(self._model, torch.float32).embed(batches))
        return engine


class TorchEngine:
    """Runs a model by torch; on a CPU one batch per core at a time, each on a thread of its own.

    Two batches side by side were 1.2 times faster on two cores than one batch on both: no thread waits for the other
    after every operation.

    Args:
        model: Is converted in place to `dtype`.
        dtype: When None, what is fastest on the model's device.
    """

    def __init__(self, model: "SentenceTransformer", dtype: "torch.dtype | None" = None) -> None:
        import torch

        self._model = model.to(dtype or _inference_dtype(model.device.type))
        self._workers = None
        if model.device.type == "cpu":
            threads = torch.get_num_threads()
            self._workers = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def embed(self, batches: Sequence[Batch]) -> Embedded:
        """Vectors batch by batch, in the order of `batches`."""
        inputs = [batch for _, batch in batches]
        units = self._workers.map(self._forward, inputs) if self._workers else map(self._forward, inputs)
        return zip((rows for rows, _ in batches), units, strict=True)

    def _forward(self, batch: dict[str, Any]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            features = {name: tensor.to(self._model.device) for name, tensor in batch.items()}
            embedding = self._model(features)["sentence_embedding"].float()
            unit: NDArray[np.float32] = torch.nn.functional.normalize(embedding, dim=-1).cpu().numpy()
        return unit


def length_sorted_batches(
    model: "SentenceTransformer", texts: Sequence[str], max_tokens: int, tokens_per_batch: int
) -> list[Batch]:
    """(rows of `texts`, padded model inputs) per batch, longest first, each at most `tokens_per_batch` with padding.

    A text longer than `max_tokens` is cut, and is then alone in its batch if it fills one.
    """
    cut = [text[: max_tokens * CHARACTERS_PER_TOKEN] for text in texts]
    tokenized = model.tokenizer(cut, truncation=True, max_length=max_tokens, return_attention_mask=True)
    lengths = np.array([len(ids) for ids in tokenized["input_ids"]])
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, tokens_per_batch // int(lengths[order[start]]))
        rows = order[start : start + size]
        inputs = {name: [values[row] for row in rows] for name, values in tokenized.items()}
        batches.append((rows, dict(model.tokenizer.pad(inputs, return_tensors="pt"))))
        start += size
    return batches


def _inference_dtype(device: str) -> Any:
    """bf16 where the hardware multiplies it natively, else fp32."""
    import torch

    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if device == "cpu" and cpu_has_bf16() else torch.float32


def cpu_has_bf16() -> bool:
    """Whether this processor has bf16 dot products (AVX-512 BF16 or AMX); without them bf16 is emulated and slow."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
