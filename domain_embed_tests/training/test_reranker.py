"""Training of a cross-encoder: lists, losses by hand, equal results, and what stops it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.ports import NullTracker
from domain_embed.encoding.models import ModelError
from domain_embed.encoding.reranker import CrossEncoderReranker
from domain_embed.settings import RerankerSettings
from domain_embed.training.pairs import TrainingPairs
from domain_embed.training.reranker import MAX_PASSES, list_loss, plan_steps, train_reranker
from domain_embed_tests.encoding.tiny_models import tiny_cross_encoder

COLORS = ("red", "green", "blue", "black")
SETTINGS = RerankerSettings(
    source="train", negatives=2, batch_size=4, max_steps=60, learning_rate=0.05, max_tokens=32, freeze_embeddings=False
)


def pairs_of(count: int = 12, negatives: int = 1) -> TrainingPairs:
    """Query n asks for a colour; passage n names it, and hard negative n + 1 another."""
    queries = [f"show me {COLORS[n % 4]} number {n}" for n in range(count)]
    passages = [f"number {n} is {COLORS[n % 4]}" for n in range(count)]
    mined = [[(n + 1 + step) % count for step in range(negatives)] for n in range(count)]
    return TrainingPairs(
        queries, passages, np.array([(n, n) for n in range(count)]), [frozenset({n}) for n in range(count)], mined
    )


def test_each_pass_takes_every_pair_once_with_its_hard_negatives_first() -> None:
    pairs = pairs_of()
    steps = plan_steps(pairs, SETTINGS)
    assert [len(step) for step in steps] == [4] * 3 * MAX_PASSES
    for number in range(MAX_PASSES):
        lists = [example for step in steps[3 * number : 3 * number + 3] for example in step]
        assert sorted(example.query for example in lists) == list(range(12))
        for example in lists:
            assert example.positive == example.query
            assert example.negatives[0] == (example.query + 1) % 12
            assert len({example.positive, *example.negatives}) == 3
    assert plan_steps(pairs, SETTINGS) == steps
    assert plan_steps(pairs, SETTINGS.model_copy(update={"seed": 1})) != steps


def test_steps_are_bounded() -> None:
    assert len(plan_steps(pairs_of(), SETTINGS.model_copy(update={"max_steps": 2}))) == 2


def test_known_positives_never_fill_a_list() -> None:
    pairs = TrainingPairs(
        ["a", "b"], ["p", "q", "r"], np.array([(0, 0), (0, 1), (1, 2)]), [frozenset({0, 1}), frozenset({2})], [[], []]
    )
    lists = {
        (example.query, tuple(sorted(example.negatives))) for step in plan_steps(pairs, SETTINGS) for example in step
    }
    assert lists == {(0, (2,)), (1, (0, 1))}


def test_a_query_that_everything_answers_cannot_be_learned() -> None:
    pairs = TrainingPairs(["ask"], ["p", "q"], np.array([(0, 0), (0, 1)]), [frozenset({0, 1})], [[]])
    with pytest.raises(TrainingError, match="query 'ask' has no passage that does not answer it"):
        plan_steps(pairs, SETTINGS)


def test_losses_by_hand() -> None:
    scores = [torch.tensor([1.0, 0.0, -1.0]), torch.tensor([0.0, 2.0])]
    listwise = -math.log(math.e / (math.e + 1 + 1 / math.e)) - math.log(1 / (1 + math.e**2))
    assert list_loss(scores, "listwise").item() == pytest.approx(listwise)

    def log_sigmoid(x: float) -> float:
        return -math.log(1 + math.exp(-x))

    first = (log_sigmoid(1) + (log_sigmoid(0) + log_sigmoid(1)) / 2) / 2
    second = (log_sigmoid(0) + log_sigmoid(-2)) / 2
    assert list_loss(scores, "binary").item() == pytest.approx(-(first + second))


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory, minilm_path: str) -> str:
    return tiny_cross_encoder(tmp_path_factory.mktemp("tiny"), minilm_path)


def trained(start: str, folder: Path, **values: Any) -> Any:
    settings = SETTINGS.model_copy(update=values)
    return train_reranker(start, settings, pairs_of(), folder, {"domain": "colours"}, NullTracker())


@pytest.mark.parametrize("objective", ["listwise", "binary"])
def test_it_learns_and_is_loaded_as_it_was_saved(objective: str, start: str, tmp_path: Path) -> None:
    count = 40
    passages = [f"{word} answer {n}" for word in ("right", "wrong") for n in range(count)]
    pairs = TrainingPairs(
        [f"question {n}" for n in range(count)], passages, np.array([(n, n) for n in range(count)]),
        [frozenset({n}) for n in range(count)], [[n + count, (n + 1) % count + count] for n in range(count)],
    )  # fmt: skip
    settings = SETTINGS.model_copy(update={"objective": objective, "batch_size": 2, "learning_rate": 0.01})
    found = train_reranker(start, settings, pairs, tmp_path, {"domain": "answers"}, NullTracker())
    assert len(found.loss) == 40
    assert np.mean(found.loss[-5:]) < 0.5 * found.loss[0]
    assert found.path == tmp_path / found.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == [found.fingerprint]
    reranker = CrossEncoderReranker.load(str(found.path), SETTINGS.max_tokens)
    assert reranker.fingerprint == found.fingerprint
    right, wrong = reranker.score([("question 99", "right answer 99"), ("question 99", "wrong answer 99")])
    assert right > wrong
    assert '"domain": "answers"' in (found.path / "domain_embed.json").read_text(encoding="utf-8")


def test_equal_inputs_give_equal_models(start: str, tmp_path: Path) -> None:
    (tmp_path / ".training-of-a-killed-process").mkdir()
    first, again = (trained(start, tmp_path, max_steps=3) for _ in range(2))
    assert first == again
    assert trained(start, tmp_path, max_steps=3, seed=1).fingerprint != first.fingerprint
    assert not list(tmp_path.glob(".*"))


def test_frozen_word_embeddings_stay(start: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    name = "bert.embeddings.word_embeddings.weight"
    before = load_file(f"{start}/model.safetensors")[name]
    frozen, free = (trained(start, tmp_path, max_steps=2, freeze_embeddings=freeze) for freeze in (True, False))
    assert torch.equal(load_file(frozen.path / "model.safetensors")[name], before)
    assert not torch.equal(load_file(free.path / "model.safetensors")[name], before)


def test_a_loss_that_is_no_number_stops_and_leaves_nothing(start: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="loss is nan at step"):
        trained(start, tmp_path, learning_rate=1e20)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_become_a_cross_encoder_is_refused(tmp_path: Path, minilm_path: str) -> None:
    classifier = tiny_cross_encoder(tmp_path / "three", minilm_path, labels=3)
    for start, error in ((classifier, "cannot become"), (str(tmp_path / "missing"), "cannot become")):
        with pytest.raises(ModelError, match=error):
            trained(start, tmp_path / "rerankers")
    tiny = tiny_cross_encoder(tmp_path / "tiny", minilm_path)
    with pytest.raises(ModelError, match="65 is more than the model's 64 positions"):
        trained(tiny, tmp_path / "rerankers", max_tokens=65)


def test_the_base_encoder_becomes_a_cross_encoder(minilm_path: str, tmp_path: Path) -> None:
    found = trained(minilm_path, tmp_path, max_steps=2, learning_rate=1e-4, freeze_embeddings=True)
    scores = CrossEncoderReranker.load(str(found.path), 32).score([("red", "it is red"), ("red", "it is blue")])
    assert np.isfinite(scores).all()
