"""The teacher: asked about every pair once, and only believed when it knows better."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from domain_embed.contracts.errors import TrainingError
from domain_embed.training import teacher as teacher_module
from domain_embed.training.pairs import TrainingPairs, epoch_batches
from domain_embed.training.teacher import require_better_teacher, taught_pairs

PAIRS = TrainingPairs(
    ["q0", "q1"], ["p0", "p1", "p2"], np.array([[0, 0], [1, 1]]), [frozenset({0}), frozenset({1})], [[2, 1], []]
)


class Lengths:
    """Scores a pair by its numbers, and remembers what it was asked."""

    fingerprint = "lengths"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.asked += pairs
        return np.array([10 * int(query[1]) + int(passage[1]) for query, passage in pairs], dtype=np.float32)


def test_every_positive_and_hard_negative_is_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_module, "PAIRS_PER_CALL", 3)
    taught = taught_pairs(PAIRS, reranker := Lengths())
    assert reranker.asked == [("q0", "p0"), ("q0", "p1"), ("q0", "p2"), ("q1", "p1")]
    assert taught == replace(PAIRS, teacher_scores={(0, 0): 0.0, (0, 1): 1.0, (0, 2): 2.0, (1, 1): 11.0})


def test_scores_reach_the_batch_where_they_belong() -> None:
    [batch] = epoch_batches(taught_pairs(PAIRS, Lengths()), 4, 2, 0, 0)
    assert batch.teacher is not None
    for row, query in enumerate(batch.queries):
        for column, passage in enumerate(batch.passages):
            score = batch.teacher[row, column]
            known = {(0, 0): 0.0, (0, 1): 1.0, (0, 2): 2.0, (1, 1): 11.0}.get((int(query), int(passage)))
            assert np.isnan(score) if known is None else score == known


def test_scores_that_are_no_numbers_are_refused() -> None:
    class Broken(Lengths):
        def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
            return np.full(len(pairs), np.nan, dtype=np.float32)

    with pytest.raises(TrainingError, match="scores that are not numbers"):
        taught_pairs(PAIRS, Broken())


@pytest.mark.parametrize("teacher", [0.5, 0.4, float("nan")])
def test_a_teacher_that_knows_no_better_is_refused_with_the_figures(teacher: float) -> None:
    with pytest.raises(TrainingError, match=rf"reaches nDCG@10 {teacher:.4f} on validation, the base model 0\.5000"):
        require_better_teacher(teacher, 0.5)
    require_better_teacher(0.51, 0.5)
