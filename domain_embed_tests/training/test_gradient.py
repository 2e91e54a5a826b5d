"""Whatever is kept of the graph: the same gradient of the real model, in memory that does not grow with the batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from domain_embed.settings import ModelSettings, TrainingSettings
from domain_embed.training import forward
from domain_embed.training.gradient import Gradient, graph_bytes
from domain_embed.training.loss import masked_ranking_loss
from domain_embed.training.trainable import trainable_model
from domain_embed_tests import scenario
from domain_embed_tests.encoding.tiny_models import tiny_encoder
from domain_embed_tests.training.scenario import MODEL

SETTINGS = TrainingSettings(frozen_layers=4, precision="fp32")
ALL = 10**12


@pytest.fixture(scope="module")
def model(minilm_path: str) -> Any:
    """Only two layers learn: quick, and the same code."""
    return trainable_model(minilm_path, MODEL, SETTINGS)


@pytest.fixture(autouse=True)
def small_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "TOKENS_PER_FORWARD", 128)


def texts(n: int) -> tuple[list[str], list[str]]:
    return [query.text for query in scenario.QUERIES[:n]], [passage.text for passage in scenario.CORPUS[:n]]


def loss(queries: torch.Tensor, passages: torch.Tensor) -> torch.Tensor:
    n = len(queries)
    return masked_ranking_loss(queries, passages, torch.arange(n), torch.zeros((n, n), dtype=torch.bool), 20.0)


def gradients(
    model: Any, queries: list[str], passages: list[str], *, kept_bytes: int
) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    value = Gradient(64, "fp32", kept_bytes).add(model, queries, passages, loss)
    return value, {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("kept_tokens", [0, 300])
def test_the_gradient_is_the_same_whatever_is_kept(model: Any, kept_tokens: int) -> None:
    whole_loss, whole = gradients(model, *texts(12), kept_bytes=ALL)
    cached_loss, cached = gradients(model, *texts(12), kept_bytes=graph_bytes(model, 1, kept_tokens))
    assert cached_loss == pytest.approx(whole_loss, rel=1e-5)
    assert cached.keys() == whole.keys() != set()
    for name, gradient in whole.items():
        torch.testing.assert_close(cached[name], gradient, rtol=1e-3, atol=1e-5)
    assert max(float(gradient.abs().max()) for gradient in whole.values()) > 1e-3


class Held:
    """Counts the bytes that graphs hold for their backward pass, and the most at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def pack(self, tensor: torch.Tensor) -> "Kept":
        return Kept(self, tensor.detach())  # with its graph it would keep itself


class Kept:
    def __init__(self, held: Held, tensor: torch.Tensor) -> None:
        self.held, self.tensor = held, tensor
        self.size = tensor.numel() * tensor.element_size()
        held.now += self.size
        held.most = max(held.most, held.now)

    def __del__(self) -> None:
        self.held.now -= self.size


def most_held(model: Any, n: int, *, kept_bytes: int) -> int:
    """In a batch of n equal pairs, so that all forward passes are alike."""
    held, ([query], [passage]) = Held(), texts(1)
    with saved_tensors_hooks(held.pack, lambda kept: kept.tensor):
        gradients(model, n * [query], n * [passage], kept_bytes=kept_bytes)
    assert held.now == 0
    return held.most


def test_memory_of_the_cached_gradient_does_not_grow_with_the_batch(model: Any) -> None:
    small, large = (most_held(model, n, kept_bytes=0) for n in (8, 32))
    assert large < 1.05 * small
    assert most_held(model, 32, kept_bytes=ALL) > 3 * large


def test_no_more_is_held_than_is_to_be_kept(model: Any) -> None:
    """Six passes' tokens: of eight, twenty or forty pairs, the graph of no more."""
    medium, large = (most_held(model, n, kept_bytes=6 * graph_bytes(model, 1, 128)) for n in (20, 40))
    assert large < 1.05 * medium
    assert medium > 3 * most_held(model, 20, kept_bytes=0)


def test_of_a_deeper_model_the_graph_of_fewer_tokens_is_kept(minilm_path: str, tmp_path: Path) -> None:
    """The same limit in bytes holds of eight layers what it holds of two, though the whole graph is larger."""
    models = [tiny_encoder(tmp_path / str(layers), minilm_path, layers=layers) for layers in (2, 8)]
    kept_bytes = graph_bytes(models[0], 48, 32)
    whole = [most_held(model, 40, kept_bytes=ALL) for model in models]
    shallow, deep = (most_held(model, 40, kept_bytes=kept_bytes) for model in models)
    assert whole[1] > 3 * whole[0]
    assert shallow < whole[0]
    assert 0.5 * shallow < deep < 1.2 * shallow


@pytest.mark.parametrize("tokens", [64, 256])
def test_what_a_graph_holds_is_known_before(minilm_path: str, tokens: int) -> None:
    """Within a twentieth, for short texts and for long ones, whose attention weighs more."""
    model: Any = trainable_model(minilm_path, ModelSettings(), TrainingSettings(precision="fp32"))
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    [(_, inputs)] = forward.passes(model, [" ".join(300 * ["word"])], "document", tokens)
    with saved_tensors_hooks(pack, lambda kept: kept):
        kept_alive = model(inputs)["sentence_embedding"]
    assert kept_alive.requires_grad
    assert sum(storages.values()) == pytest.approx(graph_bytes(model, 1, tokens), rel=0.05)
