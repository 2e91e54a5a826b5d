"""Loading a sentence-transformers model and telling which model it is."""

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain_embed.contracts.errors import DomainEmbedError, SettingsError
from domain_embed.settings import ModelSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

PACKAGE_PREFIX = "package:"
UNUSED_WEIGHTS = ("pooler.",)
"""Of BERT's classification head; no embedding reads them, and many models come without."""


class ModelError(DomainEmbedError):
    """A model cannot be found, loaded or used for retrieval."""

    exit_code = 6


def resolve_model(base: str, folder: Path) -> str:
    """The folder or hub id behind `model.base`; relative folders count from the domain's.

    Raises SettingsError when a package or its folder is not installed.
    """
    if base.startswith(PACKAGE_PREFIX):
        package, _, inside = base.removeprefix(PACKAGE_PREFIX).partition("/")
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):  # a dotted name without its parent, or no name
            spec = None
        if spec is None or spec.origin is None:
            raise SettingsError(f"model.base: package {package!r} is not installed", 'pip install "domain-embed[demo]"')
        path = Path(spec.origin).parent / inside
        if not path.is_dir():
            raise SettingsError(f"model.base: package {package!r} has no folder {inside!r}")
        return str(path)
    local = (folder / base).resolve()
    return str(local) if local.is_dir() else base


def load_model(name: str, settings: ModelSettings, *, device: str | None = None) -> "SentenceTransformer":
    """The model in fp32 with the settings' length limit, on the GPU when there is one.

    Raises:
        ModelError: When it cannot be loaded, or has no pooling that gives one vector per text.
    """
    # oneDNN keeps the kernels and buffers of this many batch shapes; its 1024 cost memory and saved no time. It reads
    # the variable when it first multiplies.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = SentenceTransformer(name, device=device)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"model {name!r} cannot be loaded: {error}",
            "model.base must be a sentence-transformers model: a hub id, a folder, or package:NAME/FOLDER",
        ) from error
    _require_whole(model, name)
    _require_usable(model, name, settings)
    if settings.max_tokens is not None:
        limit = getattr(model.transformers_model.config, "max_position_embeddings", settings.max_tokens)
        if settings.max_tokens > limit:
            raise SettingsError(f"model.max_tokens: {settings.max_tokens} is more than the model's {limit} positions")
        model.max_seq_length = settings.max_tokens
    return model.eval()


def _require_whole(model: "SentenceTransformer", name: str) -> None:
    """transformers fills missing weights with random numbers and a missing vocabulary with nothing, and goes on."""
    transformer = model.transformers_model
    vocabulary = getattr(getattr(transformer, "config", None), "vocab_size", 0) or 0
    if len(model.tokenizer) < vocabulary / 2:
        raise ModelError(f"model {name!r} has no tokenizer of its {vocabulary} tokens", "its files are not complete")
    files = (Path(name) / part / "model.safetensors" for part in ("", "0_Transformer"))
    weights = next((path for path in files if path.is_file()), None)
    if transformer is None or weights is None:
        return
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        stored = set(file.keys())
    prefix = f"{transformer.base_model_prefix}."
    wanted = [key for key, _ in transformer.named_parameters() if not key.startswith(UNUSED_WEIGHTS)]
    missing = [key for key in wanted if key not in stored and prefix + key not in stored]
    if len(stored) > 1 and missing:
        raise ModelError(f"model {name!r} lacks weights: {missing[0]} and {len(missing) - 1} more", "fetch it again")


def _require_usable(model: "SentenceTransformer", name: str, settings: ModelSettings) -> None:
    """One vector per text, from weights that were all there, of as many dimensions as asked for."""
    import torch

    with torch.inference_mode():
        features = model.tokenizer(["a"], return_tensors="pt").to(model.device)
        embedding = model.eval()(dict(features)).get("sentence_embedding")
    dimensions = model.get_embedding_dimension()
    if embedding is None or dimensions is None or embedding.shape != (1, dimensions):
        raise ModelError(
            f"model {name!r} has no pooling: it gives vectors of tokens, not one per text",
            "take a sentence-transformers model, whose modules.json names a Pooling module",
        )
    if not torch.isfinite(embedding).all():
        raise ModelError(f"model {name!r} gives vectors that are not numbers", "its weights are damaged")
    if settings.dimensions is not None and settings.dimensions > dimensions:
        raise SettingsError(f"model.dimensions: {settings.dimensions} is more than the {dimensions} of model {name!r}")


def fingerprint(model: "SentenceTransformer", settings: ModelSettings) -> str:
    """Identity of the vectors a model makes: 16 hex digits over all that decides them.

    Covers weights, tokenizer, module configuration (pooling, normalisation), prompts, length limit, dimensions kept
    and quantization; not the device, backend, floating-point format or library versions, which change vectors by
    rounding only. Vectors are always unit length.
    """
    return _fingerprint(model, settings, dict(model.named_children()))


def document_fingerprint(model: "SentenceTransformer", settings: ModelSettings) -> str:
    """Identity of the passages' vectors: the fingerprint, without a last part that only queries go through.

    Two models that differ in their query adapter alone have it in common, with each other and with their base model.
    """
    children = dict(model.named_children())
    name, last = list(children.items())[-1]
    if type(last).__name__ == "Router" and "document" in last.sub_modules:
        unchanged = all(type(module).__name__ == "Normalize" for module in last.sub_modules["document"])
        if unchanged and last.default_route == "document":
            del children[name]
    return _fingerprint(model, settings, children)


def _fingerprint(model: "SentenceTransformer", settings: ModelSettings, children: dict[str, Any]) -> str:
    weights = {name: tensor for name, tensor in model.state_dict().items() if name.split(".")[0] in children}
    digest = weights_digest(weights)
    digest.update(tokenizer_config(model.tokenizer).encode())
    for module in list(children.values())[1:]:
        digest.update(f"{type(module).__name__} {_module_config(module)}".encode())
    digest.update(repr((settings.query_prompt, settings.document_prompt, model.max_seq_length)).encode())
    if settings.dimensions is not None:
        digest.update(f"dimensions {settings.dimensions}".encode())
    if settings.passage_precision != "full":
        digest.update(f"passages {settings.passage_precision}".encode())
    return digest.hexdigest()[:16]


def weights_digest(weights: Mapping[str, "Tensor"]) -> "hashlib._Hash":
    """A SHA-256 of names, shapes and values, in fp32, to which more can be added."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().data)
    return digest


def tokenizer_config(tokenizer: Any) -> str:
    """All of a tokenizer but truncation and padding, which every call sets anew and saving keeps."""
    config = json.loads(tokenizer.backend_tokenizer.to_str())
    return json.dumps({name: value for name, value in config.items() if name not in ("truncation", "padding")})


def _module_config(module: Any) -> str:
    config = module.get_config_dict() if hasattr(module, "get_config_dict") else {}
    return repr(sorted(config.items()))
