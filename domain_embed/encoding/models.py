"""Loading a sentence-transformers model and telling which model it is."""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain_embed.contracts.errors import DomainEmbedError, SettingsError
from domain_embed.encoding.inputs import model_tokenizer, on_device
from domain_embed.settings import MODEL_HINT, ModelSettings, effective_prompts, require_prompts

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

UNUSED_WEIGHTS = ("pooler.",)
"""Of BERT's classification head; no embedding reads them, and many models come without."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
SHOWN = 500
"""Characters of another library's message."""


class ModelError(DomainEmbedError):
    """A model cannot be found, loaded or used for retrieval."""

    exit_code = 6


def load_model(name: str, settings: ModelSettings, *, device: str | None = None) -> "SentenceTransformer":
    """The model in fp32, whatever it is stored in, with the prompts in effect, on the GPU when there is one.

    It has the settings' length limit, and its prompts of the names query and document are those that are put before
    queries and passages, also where it is saved.

    Raises:
        ModelError: It cannot be loaded, has no pooling that gives one vector per text, or needs what is not allowed:
            code of its own, or pickled weights.
        SettingsError: The settings ask for more than it has.
    """
    # oneDNN keeps the kernels and buffers of this many batch shapes; its 1024 cost memory and saved no time. It reads
    # the variable when it first multiplies.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")
    from transformers.utils import logging as transformers_logging

    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = _load(name, settings, device).float()
    _require_whole(model, name)
    _require_usable(model, name, settings)
    own = require_prompts(model.prompts, name)
    model.prompts = {**own, **effective_prompts(own, settings)._asdict()}
    if settings.max_tokens is not None:
        _limit_length(model, name, settings.max_tokens)
    return model.eval()


def _limit_length(model: "SentenceTransformer", name: str, max_tokens: int) -> None:
    if model.transformers_model is None:
        raise SettingsError(f"model.max_tokens: model {name!r} has no limit and cannot be given one", "leave it out")
    limit = getattr(model.transformers_model.config, "max_position_embeddings", max_tokens)
    if max_tokens > limit:
        raise SettingsError(f"model.max_tokens: {max_tokens} is more than the model's {limit} positions")
    model.max_seq_length = max_tokens


def _load(name: str, settings: ModelSettings, device: str | None) -> "SentenceTransformer":
    """As sentence-transformers loads it, in the numbers it is stored in."""
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer

    if not settings.allow_pickle:
        _refuse_pickles(name)
    try:
        return SentenceTransformer(
            name, device=device, trust_remote_code=settings.trust_remote_code,
            revision=None if Path(name).is_dir() else settings.revision,
            model_kwargs=None if settings.allow_pickle else {"use_safetensors": True},
        )  # fmt: skip
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ImportError,
        RuntimeError,
        SafetensorError,
    ) as error:
        raise ModelError(f"model {name!r} cannot be loaded: {str(error)[:SHOWN]}", _hint(str(error))) from error


def _hint(problem: str) -> str:
    """What to do about a model that cannot be loaded."""
    if "trust_remote_code" in problem:
        return "it brings code of its own: read it, then set model.trust_remote_code: true, or take another model"
    if "safetensors" in problem:
        return "its weights are pickled: convert them to safetensors, or set model.allow_pickle: true"
    return MODEL_HINT


def _refuse_pickles(name: str) -> None:
    """Of a folder, every part must have its weights as safetensors: some loaders take a pickle without being asked."""
    pickled = (path for path in Path(name).rglob("*") if path.suffix in PICKLES)
    for path in pickled if Path(name).is_dir() else ():
        if not any(path.parent.glob("*.safetensors")):
            raise ModelError(
                f"model {name!r} cannot be loaded: {path.relative_to(name)} is pickled, and reading it can run code",
                "convert it to safetensors, or set model.allow_pickle: true if you trust its author",
            )


def _require_whole(model: "SentenceTransformer", name: str) -> None:
    """transformers fills missing weights with random numbers and a missing vocabulary with nothing, and goes on."""
    transformer = model.transformers_model
    vocabulary = getattr(getattr(transformer, "config", None), "vocab_size", 0) or 0
    if model_tokenizer(model).get_vocab_size() < vocabulary / 2:
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
        features = model.preprocess(["a"], task="query")
        embedding = model.eval()(on_device(features, model.device), task="query").get("sentence_embedding")
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
    digest.update(repr((*effective_prompts(model.prompts, settings), model.max_seq_length)).encode())
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
    config = json.loads(getattr(tokenizer, "backend_tokenizer", tokenizer).to_str())
    return json.dumps({name: value for name, value in config.items() if name not in ("truncation", "padding")})


def _module_config(module: Any) -> str:
    config = module.get_config_dict() if hasattr(module, "get_config_dict") else {}
    return repr(sorted(config.items()))
