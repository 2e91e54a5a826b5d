"""Bulk inference on CPUs: a sentence-transformers model, traced once and compiled by OpenVINO."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Batch = tuple[NDArray[np.int64], dict[str, Any]]
"""Rows of the texts, and their padded model inputs as torch tensors."""
Embedded = Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]
"""The rows of each batch, and their (n, dim) vectors of unit length."""
LOWEST_COSINE = 0.999
"""Between the vectors of the converted and the original model; rounding to bf16 alone leaves 0.9999."""
KERNELS_KEPT = 32
"""Of past batch shapes. Nearly every batch has its own: OpenVINO's default of 5000 was no faster."""
_CHATTY_LOGGERS = ("sentence_transformers", "transformers")


class ConversionError(Exception):
    """OpenVINO cannot run this model, or gives other vectors than torch does."""


class OpenVinoEngine:
    """Runs a model on all cores, one batch per core at a time; safe for concurrent callers.

    Args:
        model: On the CPU, in fp32. Its weights are shared, and must stay as they are.
        example: Inputs of two texts of different length.
        cores: How many batches run side by side.
        bf16: Whether to multiply in bf16; it pays only where the processor has it.

    Raises:
        ConversionError: When the model cannot be traced, converted or compiled.
    """

    def __init__(self, model: "SentenceTransformer", example: dict[str, Any], cores: int, *, bf16: bool) -> None:
        import openvino
        from openvino import frontend

        self._names = list(example)
        try:
            graph = _convert(model, example)
            self._compiled = openvino.Core().compile_model(
                graph,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
                    "PERFORMANCE_HINT": "THROUGHPUT",
                    "NUM_STREAMS": str(cores),
                    "INFERENCE_NUM_THREADS": cores,
                    "CPU_RUNTIME_CACHE_CAPACITY": KERNELS_KEPT,
                },
            )
        except (
            RuntimeError,  # the tracer's only one, and the compiler's
            frontend.GeneralFailure,
            frontend.InitializationFailure,
            frontend.NotImplementedFailure,
            frontend.OpConversionFailure,
            frontend.OpValidationFailure,
        ) as error:
            raise ConversionError(str(error).strip()) from error
        if len(self._compiled.inputs) != len(example):
            raise ConversionError(f"of the inputs {', '.join(example)} it uses {len(self._compiled.inputs)}")
        self._workers = ThreadPoolExecutor(cores)

    def embed(self, batches: Sequence[Batch]) -> Embedded:
        """Vectors batch by batch, in the order of `batches`."""
        units = self._workers.map(self._forward, [inputs for _, inputs in batches])
        return zip((rows for rows, _ in batches), units, strict=True)

    def prove(self, batches: Sequence[Batch], reference: Embedded) -> None:
        """Raises ConversionError unless every vector agrees with torch's `reference` on the same batches."""
        try:
            pairs = list(zip(self.embed(batches), reference, strict=True))
        except RuntimeError as error:
            raise ConversionError(str(error).strip()) from error
        for (_, ours), (_, theirs) in pairs:
            lowest = float(np.min(np.sum(ours * theirs, axis=1))) if ours.shape == theirs.shape else float("nan")
            if not lowest > LOWEST_COSINE:  # not a number counts as different
                raise ConversionError(f"a vector's cosine to torch's is {lowest:.4f}, not above {LOWEST_COSINE}")

    def _forward(self, inputs: dict[str, Any]) -> NDArray[np.float32]:
        request = self._compiled.create_infer_request()
        embedding = request.infer([inputs[name].numpy() for name in self._names])[0]
        unit: NDArray[np.float32] = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
        return unit


def _convert(model: "SentenceTransformer", example: dict[str, Any]) -> Any:
    """The model as an OpenVINO graph of dynamic shapes, inputs in the order of `example`.

    By the front end itself: `openvino.convert_model` reports its use over the network and sets the root logger's level.
    """
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    names = list(example)

    class Sentence(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            embedding: torch.Tensor = self.model(dict(zip(names, inputs, strict=True)))["sentence_embedding"]
            return embedding

    with _silence(), torch.no_grad():
        traced = TorchScriptPythonDecoder(Sentence(), example_input=tuple(example.values()))
        front_end = FrontEndManager().load_by_framework("pytorch")
        return front_end.convert(front_end.load(traced))


@contextmanager
def _silence() -> Iterator[None]:
    """Without the tracer's remarks on what it cannot follow: the proof shows whether they matter."""
    loggers = [logging.getLogger(name) for name in _CHATTY_LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
