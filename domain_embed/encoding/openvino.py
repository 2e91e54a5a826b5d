"""OpenVINO: the transformer compiled for this processor; pooling and what follows are the model's own."""

import importlib.util
import inspect
import logging
import shutil
import sys
import threading
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import SettingsError, StoreError
from domain_embed.encoding.encoder import TorchEncoder, cpu_has_bf16
from domain_embed.encoding.inputs import Task, length_sorted_batches
from domain_embed.encoding.models import ModelError
from domain_embed.files import private_folder, tighten
from domain_embed.settings import ModelSettings, Precision

if TYPE_CHECKING:
    import openvino
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

logger = logging.getLogger(__name__)

CALIBRATION_TOKENS = 512
"""Of one calibration batch; small ones show the quantization more different ranges."""
IR_FILE = "model.xml"


def has_openvino() -> bool:
    """Whether the optional packages are installed."""
    return all(importlib.util.find_spec(package) is not None for package in ("openvino", "nncf"))


def require_openvino(wanted_by: str) -> None:
    """Raises SettingsError that names what asked for it when OpenVINO is not installed."""
    if not has_openvino():
        raise SettingsError(f"{wanted_by} needs OpenVINO", 'pip install "domain-embed[openvino]"')


class OpenVinoEncoder(TorchEncoder):
    """A TorchEncoder whose transformer runs in OpenVINO, one stream per core; see the Encoder port.

    Args:
        model: In fp32, for its tokenizer and its pooling.
        settings: Those the model was loaded with.
        converted: Its transformer, from `convert`, `quantize` or `load`.
        precision: What floating-point products are computed in; bf16 by default where the processor has it.
    """

    def __init__(
        self, model: "SentenceTransformer", settings: ModelSettings, converted: "openvino.Model",
        *, precision: Precision = "auto",
    ) -> None:  # fmt: skip
        import torch

        super().__init__(model, settings, precision="fp32")
        self._bf16 = precision == "bf16" or (precision == "auto" and cpu_has_bf16())
        self._inputs = [port.get_any_name() for port in converted.inputs]
        self._compiled = _compile(converted, self._bf16, torch.get_num_threads())
        self._own = threading.local()

    @property
    def number_format(self) -> str:
        """What passages are computed in."""
        return "bfloat16" if self._bf16 else "float32"

    def reference(self) -> TorchEncoder:
        """The same model by torch in fp32, to compare with."""
        return TorchEncoder(self._model, self._settings, precision="fp32")

    def _forward_all(self, work: Sequence[tuple[dict[str, Any], Task]]) -> Iterator[NDArray[np.float32]]:
        # For a single query another thread, with cold caches, was 1.7 ms of 10.8 slower.
        return map(self._forward, work) if len(work) == 1 else super()._forward_all(work)

    def _embed(self, batch: dict[str, Any], task: Task) -> "Tensor":
        import torch

        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        inputs = {name: batch[name].numpy() for name in self._inputs}
        tokens = self._own.request.infer(inputs, share_inputs=True, share_outputs=True)[0]
        features = {**batch, "token_embeddings": torch.from_numpy(tokens)}
        for module in list(self._model.children())[1:]:
            routed = "task" in getattr(module, "forward_kwargs", ())
            features = module(features, task=task) if routed else module(features)
        embedding: Tensor = features["sentence_embedding"]
        return embedding


def convert(model: "SentenceTransformer") -> "openvino.Model":
    """The transformer of an fp32 model for any batch size and length: token ids and masks to token embeddings.

    Raises ModelError when the model has no transformer that OpenVINO can take.
    """
    import openvino
    import torch

    transformer = model.transformers_model
    if transformer is None or getattr(model[0], "module_output_name", None) != "token_embeddings":
        raise ModelError("only models that begin with a transformer can be converted to OpenVINO", "use torch")
    known = inspect.signature(transformer.forward).parameters
    # Two texts of different length, so that neither a length nor a full mask is taken for a constant.
    example = model.tokenizer(["one example of several words", "a"], padding=True, return_tensors="pt")
    names = [name for name in example if name in known]

    class TokenEmbeddings(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.transformer(**dict(zip(names, inputs, strict=True))).last_hidden_state
            return hidden

    with warnings.catch_warnings(), torch.no_grad(), _without_nan_of_padding(model):
        warnings.simplefilter("ignore")  # tracing warns of every Python value; parity is checked instead
        try:
            converted = openvino.convert_model(TokenEmbeddings(), example_input=tuple(example[name] for name in names))
        except Exception as error:  # of many kinds, where it does not know an operation
            why = " ".join(str(error).split())[:200]
            raise ModelError(f"OpenVINO cannot convert this model: {why}", "use torch") from error
    for port, name in zip(converted.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    converted.outputs[0].get_tensor().set_names({"last_hidden_state"})
    converted.validate_nodes_and_infer_types()
    return converted


@contextmanager
def _without_nan_of_padding(model: "SentenceTransformer") -> Iterator[None]:
    """Padding on the left sees nothing of its text: fused attention makes NaN of that in OpenVINO, and spreads it."""
    transformer: Any = model.transformers_model
    before = transformer.config._attn_implementation
    if model.tokenizer.padding_side == "left":
        transformer.set_attn_implementation("eager")
    try:
        yield
    finally:
        transformer.set_attn_implementation(before)


def quantize(
    model: "SentenceTransformer", converted: "openvino.Model", calibration: Sequence[str], max_tokens: int
) -> "openvino.Model":
    """`converted` with weights and activations in int8, their ranges as they occur in the `calibration` texts."""
    import nncf

    nncf.set_log_level(logging.ERROR)
    names = [port.get_any_name() for port in converted.inputs]
    batches = [
        {name: inputs[name].numpy() for name in names}
        for _, inputs in length_sorted_batches(model, calibration, max_tokens, CALIBRATION_TOKENS)
    ]
    with redirect_stdout(sys.stderr):  # its progress bars
        return nncf.quantize(
            converted, nncf.Dataset(batches), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches)
        )


def load(folder: Path) -> "openvino.Model | None":
    """What `save` kept, or None when there is nothing for this version of OpenVINO."""
    import openvino

    return openvino.Core().read_model(_versioned(folder) / IR_FILE) if is_kept(folder) else None


def is_kept(folder: Path) -> bool:
    """Whether `save` kept a model for this version of OpenVINO."""
    return (_versioned(folder) / IR_FILE).exists()


def save(converted: "openvino.Model", folder: Path) -> None:
    """Keeps a converted model, visible when complete. Raises StoreError when it cannot be written."""
    target = _versioned(folder)
    draft = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    try:
        private_folder(draft)
        write_ir(converted, draft / IR_FILE)
        tighten(draft)
        with suppress(OSError):  # another process was first: its model is the same
            draft.replace(target)
    except (OSError, RuntimeError) as error:
        raise StoreError(f"{target} cannot be written: {error}", "free space or fix permissions") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_ir(converted: "openvino.Model", path: Path) -> None:
    """Writes OpenVINO's own two files, `path` and the weights beside it, in the number format they have."""
    import openvino

    openvino.save_model(converted, path, compress_to_fp16=False)


def processor_name() -> str:
    """The processor as OpenVINO calls it."""
    import openvino

    return str(openvino.Core().get_property("CPU", "FULL_DEVICE_NAME"))


def _versioned(folder: Path) -> Path:
    return folder / f"openvino-{package_version('openvino')}"


def _compile(converted: "openvino.Model", bf16: bool, threads: int) -> "openvino.CompiledModel":
    import openvino

    hints = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": threads}
    precise = {"INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32"}
    return openvino.Core().compile_model(converted, "CPU", hints | precise)
