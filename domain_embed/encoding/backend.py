"""Which backend embeds on this machine: torch or OpenVINO, measured once, and only where the vectors are the same."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import StoreError
from domain_embed.encoding import openvino
from domain_embed.encoding.encoder import TorchEncoder, cpu_has_bf16
from domain_embed.encoding.models import ModelError, document_fingerprint, load_model
from domain_embed.files import keep_file
from domain_embed.settings import Backend, ModelSettings, Precision

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

WORTH_MEASURING = 256
"""Texts at once, of the 1024 that a build takes, less those that are known or repeated; and"""
WORTH_AFTER_S = 60.0
"""seconds that such batches have taken: converting and measuring take some twenty, which a small corpus never wins
back."""
FEW_QUERIES = 16
"""Queries at once that somebody waits for; after"""
LOAD_AFTER = 20
"""such calls a process is taken for one that serves, where loading a conversion, half a second, is won back."""
MEASURED_TEXTS = 48
CALIBRATION_TEXTS = 128
MIN_COSINE = 0.999
"""Between a backend's vectors and torch's in fp32, for the worst of the measured texts. bf16 keeps 0.9999; int8 does
not reach it, and is therefore another model (`model.passage_precision`), never a choice of this machine."""
MIN_GAIN = 1.1
"""OpenVINO must be so much faster: below it, the time to convert is not won back, and noise would decide."""

Corpus: TypeAlias = Callable[[], Sequence[str]]
Encode: TypeAlias = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Machine:
    """What the surroundings ask for, and where conversions and measurements are kept."""

    folder: Path
    backend: Backend = "auto"
    precision: Precision = "auto"


@dataclass(frozen=True)
class Choice:
    """The backend taken, and the measurements it was taken by: texts per second, and cosines to torch in fp32."""

    backend: Backend
    torch_per_s: float
    openvino_per_s: float
    lowest_cosine: float
    mean_cosine: float

    def describe(self, processor: str) -> str:
        """In one sentence, for the log."""
        return (
            f"{self.backend} embeds on {processor}: torch {self.torch_per_s:.0f} and OpenVINO "
            f"{self.openvino_per_s:.0f} texts/s, lowest cosine between both {self.lowest_cosine:.5f}"
        )


def load_encoder(name: str, settings: ModelSettings, machine: Machine, corpus: Corpus = list) -> TorchEncoder:
    """The encoder of a model by the backend this machine is to use.

    Args:
        name: Folder or hub id.
        settings: How texts are put to the model.
        machine: What backend and precision are asked for.
        corpus: Passages to calibrate int8 with, asked only when needed.

    Raises:
        ModelError: When the model cannot be loaded, or not converted though OpenVINO was asked for.
        SettingsError: When OpenVINO is needed and not installed.
    """
    if settings.passage_precision == "int8":
        openvino.require_openvino("model.passage_precision: int8")
    if machine.backend == "openvino":
        openvino.require_openvino("DOMAIN_EMBED_BACKEND=openvino")
    model = load_model(name, settings)
    on_cpu = model.device.type == "cpu"
    if settings.passage_precision == "int8":
        return _QuantizedPassagesEncoder(name, model, settings, machine, corpus)
    if machine.backend == "openvino":
        encoder: TorchEncoder = _converted(name, settings, machine, document_fingerprint(model, settings))
    elif machine.backend == "auto" and on_cpu and openvino.has_openvino():
        encoder = _MeasuringEncoder(name, model, settings, machine)
    else:
        encoder = TorchEncoder(model, settings, precision=machine.precision)
    return encoder


class _MeasuringEncoder(TorchEncoder):
    """torch, until embedding passages has taken so long that it pays to find out whether OpenVINO is faster here.

    A process that serves queries measures for them, too, if the model has been converted.
    """

    def __init__(self, name: str, model: "SentenceTransformer", settings: ModelSettings, machine: Machine) -> None:
        architecture = str(model.transformers_model.config) if model.transformers_model is not None else repr(model)
        super().__init__(model, settings, precision=machine.precision)
        self._name, self._machine = name, machine
        self._key = _measurement_key(architecture, machine.precision)
        self._bulk: TorchEncoder | None = None
        self._spent_s = 0.0
        self._few: TorchEncoder | None = None
        self._asked = 0

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        if len(texts) > FEW_QUERIES:
            return super().encode_queries(texts)
        self._asked += 1
        if self._asked == LOAD_AFTER:
            self._few = self._faster_for_few(texts)
        return self._few.encode_queries(texts) if self._few else super().encode_queries(texts)

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        if len(texts) < WORTH_MEASURING:
            return super().encode_documents(texts)
        if self._bulk is None and self._spent_s >= WORTH_AFTER_S:
            self._bulk = self._chosen(texts)
        if self._bulk is not None and self._bulk is not self:
            return self._bulk.encode_documents(texts)
        started = time.monotonic()
        vectors = super().encode_documents(texts)
        self._spent_s += time.monotonic() - started
        return vectors

    def _faster_for_few(self, queries: Sequence[str]) -> TorchEncoder | None:
        """OpenVINO with a stored conversion, where it makes these queries' vectors in less time."""
        if not openvino.is_kept(self._machine.folder / self.document_fingerprint):
            return None
        other = _converted(self._name, self._settings, self._machine, self.document_fingerprint)
        by_torch = super().encode_queries
        cosines = np.sum(by_torch(queries) * other.encode_queries(queries), axis=1)
        faster = _best_seconds(by_torch, queries) >= MIN_GAIN * _best_seconds(other.encode_queries, queries)
        return other if faster and np.min(cosines, initial=1.0) >= MIN_COSINE else None

    def _chosen(self, texts: Sequence[str]) -> TorchEncoder:
        record = self._machine.folder / f"measured-{self._key}.json"
        known = _read_choice(record)
        if known is not None and known.backend == "torch":
            logger.info("%s (measured before)", known.describe(openvino.processor_name()))
            return self
        try:
            other = _converted(self._name, self._settings, self._machine, self.document_fingerprint)
        except ModelError as error:
            logger.info("torch embeds: %s", error)
            return self
        # Speed is known from another model of this shape; whether the vectors are the same, for each model anew.
        found = _measure(super().encode_documents, other, spread(texts, MEASURED_TEXTS), known)
        if known is None:
            keep_file(record, json.dumps(asdict(found), indent=1))
        logger.info(found.describe(openvino.processor_name()))
        return other if found.backend == "openvino" else self


class _QuantizedPassagesEncoder(TorchEncoder):
    """Passages by the model in int8; queries, which are few and cost nothing, in full precision."""

    def __init__(
        self, name: str, model: "SentenceTransformer", settings: ModelSettings, machine: Machine, corpus: Corpus
    ) -> None:
        super().__init__(model, settings, precision=machine.precision)
        self._name, self._machine, self._corpus = name, machine, corpus

    @property
    def number_format(self) -> str:
        """What passages are computed in."""
        return "int8"

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        return self._quantized.encode_documents(texts) if len(texts) else super().encode_documents(texts)

    @cached_property
    def _quantized(self) -> TorchEncoder:
        model = load_model(self._name, self._settings, device="cpu")
        folder = self._machine.folder / self.document_fingerprint
        stored = openvino.load(folder)
        if stored is None:
            sample = spread(self._corpus(), CALIBRATION_TEXTS)
            if not sample:
                raise ModelError("int8 is calibrated with passages, and there are none yet", "make `passages` first")
            logger.info("calibrating int8 with %d passages", len(sample))
            prompted = [self.prompts.document + text for text in sample]
            stored = openvino.quantize(model, openvino.convert(model), prompted, self.max_tokens)
            openvino.save(stored, folder)
        return openvino.OpenVinoEncoder(model, self._settings, stored, precision=self._machine.precision)


def spread(texts: Sequence[str], count: int) -> list[str]:
    """At most `count` of the texts, evenly spread."""
    step = max(1, len(texts) // count)
    return list(texts[::step][:count])


def _converted(name: str, settings: ModelSettings, machine: Machine, identity: str) -> openvino.OpenVinoEncoder:
    """An OpenVINO encoder from the stored conversion, or from one made and stored now."""
    model = load_model(name, settings, device="cpu")
    stored = openvino.load(machine.folder / identity)
    if stored is None:
        stored = openvino.convert(model)
        openvino.save(stored, machine.folder / identity)
    return openvino.OpenVinoEncoder(model, settings, stored, precision=machine.precision)


def _measure(by_torch: Encode, other: openvino.OpenVinoEncoder, sample: Sequence[str], known: Choice | None) -> Choice:
    expected, vectors = other.reference().encode_documents(sample), other.encode_documents(sample)
    cosines = np.sum(expected * vectors, axis=1)
    if known is None:
        torch_s, other_s = _best_seconds(by_torch, sample), _best_seconds(other.encode_documents, sample)
        rates = len(sample) / torch_s, len(sample) / other_s
    else:
        rates = known.torch_per_s, known.openvino_per_s
    lowest = float(np.min(cosines)) if np.isfinite(cosines).all() else -1.0
    taken = rates[1] >= MIN_GAIN * rates[0] and lowest >= MIN_COSINE
    return Choice("openvino" if taken else "torch", *rates, lowest, float(np.mean(cosines)))


def _best_seconds(encode: Encode, sample: Sequence[str], rounds: int = 2) -> float:
    seconds = []
    for _ in range(rounds + 1):  # the first warms up
        started = time.perf_counter()
        encode(sample)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def _measurement_key(architecture: str, precision: Precision) -> str:
    import torch

    versions = [package_version(name) for name in ("openvino", "torch", "transformers")]
    parts = [openvino.processor_name(), str(torch.get_num_threads()), str(cpu_has_bf16()), precision, architecture]
    return hashlib.sha256("\x00".join(parts + versions).encode()).hexdigest()[:16]


def _read_choice(path: Path) -> Choice | None:
    try:
        return Choice(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path} is damaged: {error}", "delete it: it is measured again") from error
