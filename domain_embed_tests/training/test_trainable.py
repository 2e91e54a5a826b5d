"""What of the real model changes, and what it cannot be asked."""

import copy
import sys
from typing import Any

import numpy as np
import pytest
import torch

from domain_embed.contracts.errors import TrainingError
from domain_embed.encoding.models import fingerprint, load_model
from domain_embed.settings import LoraTuning, TrainingSettings
from domain_embed.training.forward import passes
from domain_embed.training.trainable import plain_copy, trainable_model
from domain_embed_tests.training.scenario import MODEL

TEXTS = ["the broker blocks publishers", "renew a certificate"]


def lora(**values: Any) -> TrainingSettings:
    return TrainingSettings(method=LoraTuning(**values))


def embed(model: Any) -> torch.Tensor:
    [(rows, inputs)] = passes(model, TEXTS, "document", 32)
    embedding: torch.Tensor = model(inputs, task="document")["sentence_embedding"][torch.from_numpy(np.argsort(rows))]
    return embedding


def trainable(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_lora_trains_only_its_matrices_and_changes_nothing_yet(minilm_path: str) -> None:
    plain, model = load_model(minilm_path, MODEL), trainable_model(minilm_path, MODEL, lora(rank=4))
    names = trainable(model)
    assert names
    assert all("lora_" in name for name in names)
    assert {name.split(".layer.")[1].split(".")[0] for name in names if ".layer." in name} == set("012345")
    with torch.no_grad():
        torch.testing.assert_close(embed(model), embed(plain), atol=1e-6, rtol=0)
    assert fingerprint(plain_copy(model), MODEL) == fingerprint(plain, MODEL)


def test_lora_merged_into_the_weights_gives_the_same_vectors_in_a_plain_model(minilm_path: str) -> None:
    model = trainable_model(minilm_path, MODEL, lora(rank=4))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    merged, base = plain_copy(model), load_model(minilm_path, MODEL)
    assert merged.state_dict().keys() == base.state_dict().keys()
    with torch.no_grad():
        ours, untouched = embed(merged), embed(base)
        torch.testing.assert_close(ours, embed(model), atol=1e-5, rtol=0)
    assert not torch.allclose(ours, untouched, atol=1e-3)
    assert any("lora_" in name for name in trainable(model))


@pytest.mark.parametrize(
    ("settings", "layers", "kinds"),
    [
        (TrainingSettings(method=LoraTuning(target=("query", "value"))), "012345", {"query", "value"}),
        (TrainingSettings(method=LoraTuning(target=("key",)), frozen_layers=4), "45", {"key"}),
    ],
)
def test_lora_stands_beside_the_chosen_layers(
    minilm_path: str, settings: TrainingSettings, layers: str, kinds: set[str]
) -> None:
    names = trainable(trainable_model(minilm_path, MODEL, settings))
    assert {name.split(".layer.")[1].split(".")[0] for name in names} == set(layers)
    assert {name.split(".lora_")[0].rsplit(".", 1)[1] for name in names} == kinds


def test_the_seed_alone_draws_the_matrices(minilm_path: str) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one = trainable_model(minilm_path, MODEL, lora(target=("query",)))
    assert torch.equal(torch.rand(1), expected)
    same = trainable_model(minilm_path, MODEL, lora(target=("query",)))
    other = trainable_model(minilm_path, MODEL, TrainingSettings(method=LoraTuning(target=("query",)), seed=1))
    first, second, third = (dict(model.named_parameters()) for model in (one, same, other))
    drawn = [name for name in first if "lora_A" in name]
    assert all(torch.equal(first[name], second[name]) for name in drawn)
    assert not any(torch.equal(first[name], third[name]) for name in drawn)


def test_layers_that_are_not_there_are_named(minilm_path: str) -> None:
    with pytest.raises(TrainingError, match=r"training\.method\.target: no linear layer of this model is named q_proj"):
        trainable_model(minilm_path, MODEL, lora(target=("q_proj",)))


def test_without_peft_it_is_said_how_to_get_it(minilm_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(TrainingError, match=r'lora needs peft\n.*pip install "domain-embed\[lora\]"'):
        trainable_model(minilm_path, MODEL, lora())


@pytest.mark.parametrize("settings", [{}, {"method": LoraTuning()}])
def test_too_many_frozen_layers_are_refused(minilm_path: str, settings: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=r"frozen_layers: 6 of this model's 6 layers cannot be frozen"):
        trainable_model(minilm_path, MODEL, TrainingSettings(frozen_layers=6, **settings))


def test_more_dimensions_than_the_model_has_are_refused(minilm_path: str) -> None:
    with pytest.raises(TrainingError, match=r"training\.matryoshka: 512 dimensions asked for, the model has 384"):
        trainable_model(minilm_path, MODEL, TrainingSettings(matryoshka=(128, 512)))


def test_a_plain_copy_is_independent(minilm_path: str) -> None:
    model = trainable_model(minilm_path, MODEL, TrainingSettings())
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        next(plain_copy(model).parameters()).zero_()
    assert np.all([torch.equal(before[name], value) for name, value in model.state_dict().items()])
