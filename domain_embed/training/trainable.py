"""The base model made ready for training: which of its weights may change."""

import copy
from typing import TYPE_CHECKING, Any

from domain_embed.contracts.errors import TrainingError
from domain_embed.encoding.models import load_model
from domain_embed.settings import LoraTuning, ModelSettings, TrainingSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def trainable_model(base: str, model_settings: ModelSettings, settings: TrainingSettings) -> "SentenceTransformer":
    """The base model, in evaluation mode so that dropout is off; what the settings freeze needs no gradient.

    A static model, of word vectors alone, is trained whole.

    Raises TrainingError when the settings ask for what the model does not have.
    """
    model = load_model(base, model_settings)
    transformers = [module.model for module in model.modules() if type(module).__name__ == "Transformer"]
    if not transformers:
        _require_word_vectors(model, base, settings)
    dimensions = model.get_embedding_dimension()
    if max(settings.matryoshka, default=0) > dimensions:
        raise TrainingError(
            f"training.matryoshka: {max(settings.matryoshka)} dimensions asked for, the model has {dimensions}"
        )
    if isinstance(settings.method, LoraTuning):
        model.requires_grad_(False)
    for transformer in transformers:  # one, but where queries and documents have each their own
        _prepare(transformer, settings, on_cpu=model.device.type == "cpu")
    return model


def _require_word_vectors(model: "SentenceTransformer", base: str, settings: TrainingSettings) -> None:
    """Of a model without a transformer, its word vectors are trained: they are all there is, frozen or not."""
    if not any(type(module).__name__ == "StaticEmbedding" for module in model.modules()):
        raise TrainingError(f"model {base!r} has nothing that could be trained", "choose another model.base")
    if isinstance(settings.method, LoraTuning) or settings.frozen_layers:
        raise TrainingError(
            f"model {base!r} has word vectors alone: no layers to freeze, none for LoRA",
            "set training.method: full and training.frozen_layers: 0",
        )


def _prepare(transformer: Any, settings: TrainingSettings, *, on_cpu: bool) -> None:
    if on_cpu:  # the backward pass of fused attention is slow there
        transformer.set_attn_implementation("eager")
    if isinstance(settings.method, LoraTuning):
        _add_lora(transformer, settings.method, settings.frozen_layers, settings.seed)
        return
    if settings.freeze_embeddings:
        transformer.get_input_embeddings().requires_grad_(False)
    for module in _lowest(transformer, settings.frozen_layers):
        module.requires_grad_(False)


def plain_copy(model: "SentenceTransformer") -> "SentenceTransformer":
    """A copy in which LoRA's matrices are added into the weights they stand beside; anybody can load it."""
    copied = copy.deepcopy(model)
    adapted = [(name, module) for name, module in copied.named_modules() if hasattr(module, "lora_A")]
    for name, module in adapted:
        module.merge()
        copied.set_submodule(name, module.get_base_layer())
    copied.requires_grad_(True)
    return copied


def _add_lora(transformer: Any, method: LoraTuning, frozen_layers: int, seed: int) -> None:
    """Freezes all weights and puts trainable matrices beside the chosen layers, but for the lowest ones.

    Their first values are drawn by the seed alone, and the random state of others stays as it was.
    """
    import torch

    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise TrainingError("training.method: lora needs peft", 'pip install "domain-embed[lora]"') from error
    below = {id(module) for frozen in _lowest(transformer, frozen_layers) for module in frozen.modules()}
    linear = [
        name
        for name, module in transformer.named_modules()
        if isinstance(module, torch.nn.Linear)
        and id(module) not in below
        and (not method.target or name.rsplit(".", 1)[-1] in method.target)
    ]
    if not linear:
        raise TrainingError(
            f"training.method.target: no linear layer of this model is named {', '.join(method.target)}",
            "leave it empty to take all",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LoraConfig(r=method.rank, lora_alpha=method.alpha, target_modules=linear, lora_dropout=0.0)
        inject_adapter_in_model(config, transformer)


def _lowest(transformer: Any, count: int) -> list[Any]:
    """The embeddings and the lowest `count` layers: nothing below a trained layer needs a gradient."""
    from torch.nn import ModuleList

    if count == 0:
        return []
    depth = transformer.config.num_hidden_layers
    stacks = [module for module in transformer.modules() if isinstance(module, ModuleList) and len(module) == depth]
    if not stacks or count >= depth:
        raise TrainingError(f"training.frozen_layers: {count} of this model's {depth} layers cannot be frozen")
    return [getattr(transformer, "embeddings", transformer.get_input_embeddings()), *stacks[0][:count]]
