"""Training the real model on the scenario: what comes out, and that neither another run nor a kill changes it."""

import json
import multiprocessing as mp
import os
import shutil
import signal
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from domain_embed.contracts.errors import StoreError, TrainingError
from domain_embed.contracts.ports import NullTracker, Tracker
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.models import fingerprint
from domain_embed.files import RECORD_FILE
from domain_embed.settings import (
    SearchSettings,
    TripletObjective,
)
from domain_embed.training import fit as fit_module
from domain_embed.training import objectives
from domain_embed.training import trainer as trainer_module
from domain_embed.training.checkpoint import Checkpoint
from domain_embed.training.probes import Probe
from domain_embed.training.state import History, load_state, save_state
from domain_embed.training.trainer import Trainer
from domain_embed_tests import scenario
from domain_embed_tests.training.scenario import (
    MODEL,
    RECORD,
    HangingTracker,
    Inputs,
    InterruptingTracker,
    MetricsLog,
    ndcg_by_query,
)

SPAWN = mp.get_context("spawn")
TEXTS = [passage.text for passage in scenario.CORPUS[:6]]


@pytest.fixture(scope="module")
def log() -> MetricsLog:
    return MetricsLog()


@pytest.fixture(scope="module")
def trained(inputs: Inputs, log: MetricsLog, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """One training without interruption, that others are compared with."""
    return train(inputs, tmp_path_factory.mktemp("checkpoints"), log)


@pytest.fixture
def no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training that leaves the model as it is, where only the course of events counts."""
    monkeypatch.setattr(fit_module.Fit, "_step", lambda *_: 1.0)


def train(inputs: Inputs, checkpoints: Path, tracker: Tracker | None = None) -> Checkpoint:
    return inputs.trainer().train(checkpoints, RECORD, tracker or NullTracker())


def weights(checkpoint: Checkpoint | Path | str) -> dict[str, torch.Tensor]:
    folder = checkpoint.path if isinstance(checkpoint, Checkpoint) else Path(checkpoint)
    return load_file(folder / "model.safetensors")


def greatest_difference(one: Checkpoint | str, other: Checkpoint | str) -> float:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def visible(checkpoints: Path) -> list[str]:
    return sorted(path.name for path in checkpoints.iterdir() if not path.name.startswith("."))


# --- what comes out -------------------------------------------------------------------------------------


def test_the_loss_falls_and_every_figure_is_recorded(trained: Checkpoint, inputs: Inputs, log: MetricsLog) -> None:
    history = trained.history
    half = history.steps // 2
    assert history.steps == 2 * half == 10
    assert np.mean(history.loss[half:]) < np.mean(history.loss[:half])
    assert len(history.validation) == 2
    assert log.of("loss") == list(enumerate(history.loss, start=1))
    assert log.of("validation_ndcg_at_10") == [
        (0, inputs.validation.base_ndcg),
        (half, history.validation[0]),
        (2 * half, history.validation[1]),
    ]
    assert trained.base_ndcg == inputs.validation.base_ndcg
    assert all(0 < figure <= 1 for figure in history.validation)


def test_the_checkpoint_lies_under_its_fingerprint_and_nothing_else_is_left(trained: Checkpoint) -> None:
    assert [path.name for path in trained.path.parent.iterdir()] == [trained.fingerprint]
    record = json.loads((trained.path / RECORD_FILE).read_text())
    history = {
        "loss": trained.history.loss, "validation": trained.history.validation, "epochs": [1.0, 2.0],
        "ended": "epochs", "seconds": trained.history.seconds, "best": trained.history.best,
    }  # fmt: skip
    trials = [{"learning_rate": 5e-5, "validation": trained.history.validation}]
    outcome = {"trials": trials, **trained.sweep.to_json(), "fingerprint": trained.fingerprint}
    assert record == {**RECORD, "history": history, **outcome}


def test_sentence_transformers_loads_the_checkpoint_as_the_same_model(trained: Checkpoint) -> None:
    model = SentenceTransformer(str(trained.path))
    encoder = TorchEncoder.load(str(trained.path), MODEL)
    assert fingerprint(model, MODEL) == encoder.fingerprint == trained.fingerprint
    assert model.max_seq_length == 64
    assert model.prompts == {"query": "question: ", "document": "runbook: "}
    queries = model.encode_query(TEXTS, normalize_embeddings=True)
    documents = model.encode_document(TEXTS, normalize_embeddings=True)
    assert np.min(np.sum(queries * encoder.encode_queries(TEXTS), axis=1)) > 0.999
    assert np.min(np.sum(documents * encoder.encode_documents(TEXTS), axis=1)) > 0.999


def test_the_model_has_changed_but_its_word_embeddings_have_not(trained: Checkpoint, inputs: Inputs) -> None:
    base, tuned = weights(inputs.base), weights(trained)
    changed = {name for name in tuned if not torch.equal(base[name], tuned[name])}
    assert "embeddings.word_embeddings.weight" not in changed
    assert "encoder.layer.0.attention.self.query.weight" in changed
    assert "encoder.layer.5.output.dense.weight" in changed


def test_the_same_inputs_give_the_same_model_and_one_that_is_there_is_kept(
    trained: Checkpoint, inputs: Inputs, tmp_path: Path
) -> None:
    shutil.copytree(trained.path, tmp_path / trained.fingerprint)
    (tmp_path / trained.fingerprint / "note").write_text("mine")
    again = train(inputs, tmp_path)
    assert (again.fingerprint, again.path) == (trained.fingerprint, tmp_path / trained.fingerprint)
    assert again.history == trained.history
    assert (again.path / "note").read_text() == "mine"


# --- interruptions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("save_every", "metric", "step"),
    [
        (1, "loss", 1),
        (2, "validation_ndcg_at_10", 5),
        (3, "loss", 8),
    ],
)
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    trained: Checkpoint, inputs: Inputs, tmp_path: Path, save_every: int, metric: str, step: int
) -> None:
    often = inputs.with_settings(save_every_steps=save_every)
    with pytest.raises(KeyboardInterrupt):
        train(often, tmp_path, InterruptingTracker(metric, step))
    assert visible(tmp_path) == []
    resumed = train(often, tmp_path, log := MetricsLog())
    assert len(log.of("loss")) < 10 or step == 1
    assert resumed.history.steps == trained.history.steps
    assert resumed.history.loss == pytest.approx(trained.history.loss, abs=1e-4)
    assert resumed.history.validation == pytest.approx(trained.history.validation)
    assert greatest_difference(resumed, trained) < 1e-4
    assert [path.name for path in tmp_path.iterdir()] == [resumed.fingerprint]


def train_and_hang(inputs: Inputs, checkpoints: Path, step: int, reached: Connection) -> None:
    train(inputs, checkpoints, HangingTracker("loss", step, reached))


def test_a_killed_training_ends_as_if_it_had_not_been(trained: Checkpoint, inputs: Inputs, tmp_path: Path) -> None:
    reached, sender = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=train_and_hang, args=(inputs, tmp_path, 7, sender))
    process.start()
    assert reached.poll(120)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    assert visible(tmp_path) == []

    resumed = train(inputs, tmp_path, log := MetricsLog())
    assert [step for step, _ in log.of("loss")] == [7, 8, 9, 10]
    assert resumed.history.steps == trained.history.steps
    assert greatest_difference(resumed, trained) < 1e-4


@pytest.mark.usefixtures("no_steps")
def test_a_kill_while_the_model_is_replaced_is_made_good(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_saved(model: Any, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "save_model", half_saved)
        with pytest.raises(KeyboardInterrupt):
            train(inputs, tmp_path)
    resumed = train(inputs, tmp_path, log := MetricsLog())
    assert [step for step, _ in log.of("loss")] == [6, 7, 8, 9, 10]
    assert [step for step, _ in log.of("validation_ndcg_at_10")] == [0, 5, 10]
    assert visible(tmp_path) == [resumed.fingerprint]


@pytest.mark.usefixtures("no_steps")
def test_a_kill_after_the_model_is_in_place_is_made_good(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path, ignore_errors: bool = False) -> None:
        if folder.name.startswith(".discarded"):
            raise KeyboardInterrupt
        shutil.rmtree(folder, ignore_errors=ignore_errors)

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "shutil", SimpleNamespace(rmtree=killed))
        with pytest.raises(KeyboardInterrupt):
            train(inputs, tmp_path)
    [fingerprint_of_first] = visible(tmp_path)
    again = train(inputs, tmp_path)
    assert again.fingerprint == fingerprint_of_first
    assert [path.name for path in tmp_path.iterdir()] == [again.fingerprint]


@pytest.mark.usefixtures("no_steps")
def test_a_kill_while_mixtures_are_weighed_repeats_no_step(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module.Mixer, "sweep", killed)
        with pytest.raises(KeyboardInterrupt):
            train(inputs, tmp_path)
    assert visible(tmp_path) == []
    again = train(inputs, tmp_path, log := MetricsLog())
    assert log.of("loss") == []
    assert visible(tmp_path) == [again.fingerprint]


@pytest.mark.usefixtures("no_steps")
def test_a_search_is_recorded_trial_by_trial(inputs: Inputs, tmp_path: Path) -> None:
    """Nothing is learned here, so that the lower rate is taken, and of it the base model."""
    searching = inputs.with_settings(epochs=1, search=SearchSettings(learning_rates=(1e-3, 1e-4)), interpolation=())
    checkpoint = train(searching, tmp_path, log := MetricsLog())
    record = json.loads((checkpoint.path / RECORD_FILE).read_text())
    assert [trial["learning_rate"] for trial in record["trials"]] == [1e-4, 1e-3]
    assert [len(trial["validation"]) for trial in record["trials"]] == [1, 1]
    assert (checkpoint.learning_rate, record["alpha"]) == (1e-4, 0)
    assert log.trials == ["learning rate 0.0001", "learning rate 0.001"]
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.fingerprint]


def test_another_record_starts_from_the_beginning(inputs: Inputs, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(inputs, tmp_path, InterruptingTracker("loss", 5))
    other = InterruptingTracker("loss", 2)
    with pytest.raises(KeyboardInterrupt):
        inputs.trainer().train(tmp_path, {**RECORD, "splits": "v2"}, other)
    assert [step for step, _ in other.of("loss")] == [1, 2]


# --- what cannot be trained -----------------------------------------------------------------------------


def test_a_loss_that_is_no_number_ends_the_training_without_a_checkpoint(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[None] = []
    loss = objectives.masked_ranking_loss

    def breaks_at_third(*arguments: Any, **options: Any) -> torch.Tensor:
        calls.append(None)
        return loss(*arguments, **options) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr(objectives, "masked_ranking_loss", breaks_at_third)
    with pytest.raises(TrainingError, match=r"the loss is nan at step 3\n.*lower training.learning_rate"):
        train(inputs, tmp_path)
    assert visible(tmp_path) == []


@pytest.mark.parametrize("batch_size", [8, 64])
def test_a_model_that_blew_up_is_never_kept(inputs: Inputs, tmp_path: Path, batch_size: int) -> None:
    """With one batch an epoch there is no further loss to notice it."""
    wild = inputs.with_settings(epochs=1, learning_rate=1e30, batch_size=batch_size)
    with pytest.raises(TrainingError, match=r"lower training.learning_rate"):
        train(wild, tmp_path)
    assert visible(tmp_path) == []


@pytest.mark.parametrize(
    ("settings", "objective"), [({"objective": TripletObjective()}, "triplet"), ({"hard_negatives": 0}, None)]
)
def test_without_any_negative_there_is_nothing_to_train(
    inputs: Inputs, settings: dict[str, Any], objective: str | None
) -> None:
    nobody = replace(inputs, pairs=replace(inputs.pairs, negatives=[[] for _ in inputs.pairs.queries]))
    if objective is None:  # ranking finds them in the batch
        assert nobody.with_settings(**settings).trainer()
        return
    with pytest.raises(TrainingError, match=f"no batch with a negative for {objective}"):
        nobody.with_settings(**settings).trainer()


def test_a_probe_of_the_domain_itself_is_refused(inputs: Inputs) -> None:
    same = Probe("runbooks", ["q"], [inputs.pairs.queries[0]], ["p"], ["text"], {"q": {"p": 1}})
    with pytest.raises(TrainingError, match="100% of the queries of probe 'runbooks' are training queries"):
        Trainer(inputs.base, MODEL, inputs.settings, inputs.pairs, inputs.validation, ndcg_by_query, [same])


def test_a_folder_that_cannot_be_written_is_named(inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"/file/.training-\w+ cannot be written"):
        train(inputs, tmp_path / "file")


# --- the saved state ------------------------------------------------------------------------------------


def tiny() -> tuple[Any, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def step(model: Any, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()


def test_a_saved_state_goes_on_exactly_where_it_was(tmp_path: Path) -> None:
    model, optimizer = tiny()
    step(model, optimizer)
    save_state(tmp_path, model, optimizer, History([0.5, 0.25], [0.75]))
    step(model, optimizer)
    resumed, its_optimizer = tiny()
    assert load_state(tmp_path, resumed, its_optimizer) == History([0.5, 0.25], [0.75])
    step(resumed, its_optimizer)
    assert torch.equal(resumed.weight, model.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_without_a_state_nothing_has_happened(tmp_path: Path) -> None:
    assert load_state(tmp_path, *tiny()) == History()


@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated", "other keys", "other shapes", "other history"])
def test_a_damaged_state_is_named(tmp_path: Path, damage: str) -> None:
    model, optimizer = tiny()
    save_state(tmp_path, model, optimizer, History())
    path = tmp_path / "state.pt"
    good = torch.load(path, weights_only=True)
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "garbage":
        path.write_bytes(b"no state at all")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "other keys":
        torch.save({"weights": {}}, path)
    elif damage == "other shapes":
        torch.save({**good, "model": {"weight": torch.ones(9, 9)}}, path)
    else:
        torch.save({**good, "history": {"losses": []}}, path)
    with pytest.raises(
        StoreError, match=rf"{path} is damaged: .*\n(.*\n)*.*delete {tmp_path} to train from the beginning"
    ):
        load_state(tmp_path, *tiny())


def test_a_state_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"training state in .*/file cannot be written"):
        save_state(tmp_path / "file", *tiny(), History())


@pytest.mark.parametrize(("figures", "best"), [([0.1], 1), ([0.1, 0.3, 0.2], 2), ([0.3, 0.3], 1)])
def test_the_best_epoch_is_the_earliest_of_the_highest(figures: list[float], best: int) -> None:
    assert History(validation=figures).best_epoch == best
