"""Adapters on vectors made by hand: they learn a map that is there, and change nothing where there is none."""

import numpy as np
import pytest
from numpy.typing import NDArray

from domain_embed.contracts.errors import TrainingError
from domain_embed.settings import AdapterSettings
from domain_embed.training.adapter import (
    LinearAdapter,
    VectorPairs,
    train_both_adapter,
    train_query_adapter,
)

DIMENSIONS = 16
QUICK = AdapterSettings(epochs=40, batch_size=64, learning_rate=3e-2, weight_decay=(0.1,))
Vectors = NDArray[np.float32]


def unit(vectors: NDArray[np.floating]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture
def turned() -> tuple[Vectors, Vectors]:
    """Queries that are their passages, turned by one rotation of the whole space."""
    generator = np.random.default_rng(0)
    passages = unit(generator.normal(size=(256, DIMENSIONS)))
    rotation, _ = np.linalg.qr(generator.normal(size=(DIMENSIONS, DIMENSIONS)))
    return unit(passages @ rotation), passages


def found_first(queries: Vectors, passages: Vectors) -> float:
    return float(np.mean(np.argmax(queries @ passages.T, axis=1) == np.arange(len(queries))))


def test_the_map_that_changes_nothing_changes_nothing() -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(5, DIMENSIONS)))
    identity = LinearAdapter.identity(DIMENSIONS)
    assert identity.is_identity
    assert identity(vectors) == pytest.approx(vectors, abs=1e-7)


def test_an_adapter_by_hand() -> None:
    adapter = LinearAdapter(np.array([[0, 1], [0, 0]], np.float32), np.array([0, 1], np.float32))
    # (1, 0) + (0, 1) + (0, 1) = (1, 2); (0, 1) + 0 + (0, 1) = (0, 2)
    expected = [[1 / np.sqrt(5), 2 / np.sqrt(5)], [0, 1]]
    assert adapter(np.eye(2, dtype=np.float32)) == pytest.approx(np.array(expected))
    assert not adapter.is_identity


def test_a_query_adapter_learns_a_rotation_from_some_pairs_and_finds_the_others(
    turned: tuple[Vectors, Vectors],
) -> None:
    queries, passages = turned
    assert found_first(queries[192:], passages[192:]) < 0.2
    trained = train_query_adapter(
        queries[:192], passages[:192], None, lambda adapter: found_first(adapter(queries[192:]), passages[192:]), QUICK
    )
    assert trained.base_figure < 0.2
    assert trained.figure > 0.9
    assert trained.figure == max(trained.figures[0.1])
    assert trained.weight_decay == 0.1
    assert found_first(trained.adapter(queries), passages) > 0.8


def test_both_sides_share_one_map(turned: tuple[Vectors, Vectors]) -> None:
    """Noise that hides the signal on both sides is what one shared map can take away."""
    generator = np.random.default_rng(3)
    signal = generator.normal(size=(256, DIMENSIONS // 2))
    noisy = [unit(np.hstack([signal, 2 * generator.normal(size=signal.shape)])) for _ in range(2)]

    def figure(adapter: LinearAdapter) -> float:
        return found_first(adapter(noisy[0][192:]), adapter(noisy[1][192:]))

    trained = train_both_adapter(noisy[0][:192], noisy[1][:192], None, figure, QUICK)
    assert trained.figure > 0.9 > 0.5 > trained.base_figure


def test_what_is_not_better_on_validation_is_not_taken(turned: tuple[Vectors, Vectors]) -> None:
    queries, passages = turned
    trained = train_query_adapter(queries, passages, None, lambda adapter: 1.0 if adapter.is_identity else 0.99, QUICK)
    assert trained.adapter.is_identity
    assert (trained.figure, trained.base_figure, trained.weight_decay) == (1.0, 1.0, None)
    assert trained.figures == {0.1: [0.99] * QUICK.epochs}


def test_a_strong_pull_keeps_the_map_near_nothing(turned: tuple[Vectors, Vectors]) -> None:
    queries, passages = turned

    def moved(weight_decay: float) -> float:
        settings = QUICK.model_copy(update={"weight_decay": (weight_decay,)})
        seen: list[LinearAdapter] = []
        train_query_adapter(queries, passages, None, lambda adapter: float(len(seen.append(adapter) or seen)), settings)
        return float(np.linalg.norm(seen[-1].weight))

    assert moved(20.0) < moved(0.1) / 2


def test_the_same_seed_gives_the_same_adapter(turned: tuple[Vectors, Vectors]) -> None:
    queries, passages = turned
    one, other = (
        train_query_adapter(queries, passages, None, lambda adapter: float(not adapter.is_identity), QUICK)
        for _ in range(2)
    )
    assert np.array_equal(one.adapter.weight, other.adapter.weight)


def test_candidates_by_hand() -> None:
    """Rows 0 and 1 ask the same query, rows 1 and 2 have the same positive; row 2 has one hard negative, not two."""
    a, b, c, d = np.eye(4, dtype=np.float32)
    nothing = np.zeros(4, np.float32)
    pairs = VectorPairs(np.stack([a, a, b]), np.stack([c, d, d]), np.stack([[b, c], [a, nothing], [b, nothing]]))
    chosen, targets, masked = pairs.candidates(np.array([0, 1, 2]))
    assert pairs.passages[chosen].tolist() == np.stack([c, d, b, a]).tolist()
    assert targets.tolist() == [0, 1, 1]
    assert masked.tolist() == [
        [False, True, False, False],  # d answers the same query in another row
        [True, False, False, False],
        [False, False, False, False],
    ]
    chosen, targets, masked = pairs.candidates(np.array([2]))
    assert pairs.passages[chosen].tolist() == [d.tolist(), b.tolist()]
    assert (targets.tolist(), masked.tolist()) == ([0], [[False, False]])


def test_pairs_with_one_positive_are_refused() -> None:
    one = np.eye(4, dtype=np.float32)
    with pytest.raises(TrainingError, match="4 training pairs with one positive: nothing to tell apart"):
        train_query_adapter(one, np.stack([one[0]] * 4), None, lambda adapter: 0.0)


def test_a_loss_that_is_no_number_is_an_error() -> None:
    queries = np.full((2, 2), np.nan, np.float32)
    with pytest.raises(TrainingError, match="the adapter's loss is nan"):
        train_query_adapter(queries, np.eye(2, dtype=np.float32), None, lambda adapter: 0.0)
