"""One fit of the real model: what changes, what is kept, and that every objective and method trains it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from domain_embed.contracts.ports import NullTracker, Tracker
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import CachedRankingObjective, DistillKlObjective, LoraTuning, MarginMseObjective
from domain_embed.training import fit as fit_module
from domain_embed.training.teacher import taught_pairs
from domain_embed_tests import scenario
from domain_embed_tests.training.scenario import MODEL, Inputs, InterruptingTracker

TEXTS = [passage.text for passage in scenario.CORPUS[:6]]


def fit(inputs: Inputs, folder: Path, tracker: Tracker | None = None) -> Path:
    """Trains as the settings say; the folder of the best epoch's model."""
    folder.mkdir(exist_ok=True)
    return inputs.trainer()._fit(inputs.settings.learning_rate).run(folder, tracker or NullTracker()).folder


def three_steps(inputs: Inputs, **settings: Any) -> Inputs:
    return inputs.with_settings(epochs=1, batch_size=12, save_every_steps=1, **settings)


def weights(folder: Path | str) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def distance(one: Path | str, other: Path | str) -> float:
    """Euclidean, over all weights; older files also hold position ids, which are none."""
    first, second = weights(one), weights(other)
    names = (first.keys() | second.keys()) - {"embeddings.position_ids"}
    return float(sum(((first[name] - second[name]) ** 2).sum() for name in names)) ** 0.5


def test_frozen_layers_and_unfrozen_embeddings(inputs: Inputs, tmp_path: Path) -> None:
    base = weights(inputs.base)
    frozen = weights(fit(inputs.with_settings(epochs=1, batch_size=64, frozen_layers=4), tmp_path / "frozen"))
    changed = {name for name in frozen if not torch.equal(base[name], frozen[name])}
    assert {name.split(".")[2] for name in changed if name.startswith("encoder")} == {"4", "5"}
    assert not [name for name in changed if name.startswith("embeddings")]
    recipe = inputs.with_settings(epochs=1, batch_size=64, freeze_embeddings=False, precision="fp32")
    free = weights(fit(recipe, tmp_path / "free"))
    assert not torch.equal(base["embeddings.word_embeddings.weight"], free["embeddings.word_embeddings.weight"])


def test_lora_gives_a_plain_model_and_the_same_one_every_time_also_after_a_kill(inputs: Inputs, tmp_path: Path) -> None:
    lora = three_steps(inputs, method=LoraTuning(rank=4), learning_rate=1e-3)
    one, other = fit(lora, tmp_path / "one"), fit(lora, tmp_path / "other")
    assert not (one / "adapter_config.json").exists()
    assert distance(one, inputs.base) > 1e-2
    assert distance(one, other) == 0
    with pytest.raises(KeyboardInterrupt):
        fit(lora, tmp_path / "killed", InterruptingTracker("loss", 2))
    assert distance(one, fit(lora, tmp_path / "killed")) < 1e-3 * distance(one, inputs.base)
    vectors = SentenceTransformer(str(one)).encode(TEXTS, normalize_embeddings=True, prompt_name="document")
    ours = TorchEncoder.load(str(one), MODEL).encode_documents(TEXTS)
    assert np.min(np.sum(vectors * ours, axis=1)) > 0.999


def test_cached_ranking_trains_the_same_model_as_ranking(inputs: Inputs, tmp_path: Path) -> None:
    whole = fit(three_steps(inputs), tmp_path / "whole")
    cached = fit(three_steps(inputs, objective=CachedRankingObjective()), tmp_path / "cached")
    assert distance(whole, cached) < 0.05 * distance(whole, inputs.base)


def test_an_objective_trains_on_a_rerankers_scores(inputs: Inputs, tmp_path: Path) -> None:
    class WordsInCommon:
        fingerprint = "words"

        def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
            shared = [len(set(query.split()) & set(passage.split())) for query, passage in pairs]
            return np.array(shared, dtype=np.float32)

    taught = replace(inputs, pairs=taught_pairs(inputs.pairs, WordsInCommon()))
    plain = fit(three_steps(inputs), tmp_path / "plain")
    for objective in (MarginMseObjective(), DistillKlObjective(temperature=2.0)):
        model = fit(three_steps(taught, objective=objective), tmp_path / objective.kind)
        assert distance(model, plain) > 0.1 * distance(plain, inputs.base)


@pytest.mark.parametrize(
    ("figures", "patience", "epochs_run", "kept"),
    [
        ([0.5, 0.4, 0.6], 2, 3, 3),
        ([0.5, 0.4, 0.6], 1, 2, 1),
        ([0.5, 0.5, 0.6], 1, 2, 1),
        ([0.4, 0.5, 0.6], 1, 3, 3),
        ([0.5, 0.4, 0.4], 2, 3, 1),
    ],
)
def test_the_best_epoch_is_kept_and_training_ends_when_patience_does(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figures: list[float], patience: int,
    epochs_run: int, kept: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(fit_module.Fit, "_step", lambda *_: 1.0)
    remaining = list(figures)
    monkeypatch.setattr(fit_module, "measure", lambda *_: (np.array([remaining.pop(0)]), np.zeros((1, 1), np.float32)))
    saved: list[int] = []
    save_model = fit_module.save_model

    def counting(model: Any, folder: Path) -> None:
        saved.append(len(figures) - len(remaining))
        save_model(model, folder)

    monkeypatch.setattr(fit_module, "save_model", counting)
    fit = inputs.with_settings(epochs=3, patience=patience).trainer()._fit(5e-5)
    fitted = fit.run(tmp_path, NullTracker())
    assert fitted.history.validation == figures[:epochs_run]
    assert (fitted.history.best_epoch, saved[-1]) == (kept, kept)


# --- schedule -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        (0.0, [1, 1, 8 / 9, 7 / 9, 6 / 9, 5 / 9, 4 / 9, 3 / 9, 2 / 9, 1 / 9]),
        (0.1, [1, 1, 8 / 9, 7 / 9, 6 / 9, 5 / 9, 4 / 9, 3 / 9, 2 / 9, 1 / 9]),
        (0.4, [0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
    ],
)
def test_the_learning_rate_rises_to_its_peak_and_falls_to_almost_nothing(
    inputs: Inputs, warmup: float, expected: list[float]
) -> None:
    fit = inputs.with_settings(warmup=warmup).trainer()._fit(5e-5)
    found = [fit._course.rate(step) for step in range(10)]
    assert found == pytest.approx(expected)
