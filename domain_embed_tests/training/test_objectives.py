"""From settings to the loss of a batch: what counts as a negative, and how sizes and losses are put together."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss

from domain_embed.contracts.errors import TrainingError
from domain_embed.settings import (
    CachedRankingObjective,
    DistillKlObjective,
    MarginMseObjective,
    MarginObjective,
    Objective,
    RankingObjective,
    TrainingSettings,
    TripletObjective,
)
from domain_embed.training.loss import distill_kl_loss, margin_mse_loss, masked_ranking_loss
from domain_embed.training.objectives import BatchLoss, negatives_of
from domain_embed.training.pairs import Batch

NAN = float("nan")
# Passages 0 and 1 are the positives; 1 also answers query 0; 2 was mined for query 0, 3 for both.
BATCH = Batch(
    queries=np.array([4, 7]),
    passages=np.array([1, 2, 3, 5]),
    targets=np.array([0, 1]),
    masked=np.array([[False, True, False, False], [False, False, False, False]]),
    mined=np.array([[False, False, True, True], [False, False, False, True]]),
    teacher=np.array([[3.0, NAN, 1.0, NAN], [NAN, 2.0, NAN, -1.0]], dtype=np.float32),
)
QUERIES, PASSAGES = (torch.randn(n, 8, generator=torch.Generator().manual_seed(n)) for n in (2, 4))


def loss(objective: Objective, batch: Batch = BATCH, **settings: Any) -> float:
    value = BatchLoss(batch, TrainingSettings(objective=objective, **settings))(QUERIES, PASSAGES)
    return float(value)


def ranking(scale: float = 20.0, size: int = 8) -> float:
    arrays = torch.from_numpy(BATCH.targets), torch.from_numpy(BATCH.masked)
    return float(masked_ranking_loss(QUERIES[:, :size], PASSAGES[:, :size], *arrays, scale))


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (RankingObjective(), [[0, 0, 1, 1], [1, 0, 1, 1]]),
        (CachedRankingObjective(), [[0, 0, 1, 1], [1, 0, 1, 1]]),
        (MarginObjective(), [[0, 0, 1, 1], [1, 0, 1, 1]]),
        (TripletObjective(), [[0, 0, 1, 1], [0, 0, 0, 1]]),
        (MarginMseObjective(), [[0, 0, 1, 0], [0, 0, 0, 1]]),
        (DistillKlObjective(), [[0, 0, 1, 0], [0, 0, 0, 1]]),
    ],
)
def test_which_passages_are_negatives(objective: Objective, expected: list[list[int]]) -> None:
    assert negatives_of(BATCH, objective).astype(int).tolist() == expected


def test_without_a_score_of_the_positive_there_is_no_margin_to_learn() -> None:
    teacher = np.array([[NAN, NAN, 1.0, 1.0], [NAN, 2.0, NAN, -1.0]], dtype=np.float32)
    found = negatives_of(replace(BATCH, teacher=teacher), MarginMseObjective())
    assert found.astype(int).tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize("objective", [MarginMseObjective(), DistillKlObjective()])
def test_a_distilling_objective_without_a_teacher_is_refused(objective: Objective) -> None:
    with pytest.raises(TrainingError, match="learns from a reranker's scores, and there are none"):
        negatives_of(replace(BATCH, teacher=None), objective)


def test_ranking_is_the_masked_loss_and_the_default() -> None:
    assert loss(RankingObjective()) == loss(CachedRankingObjective()) == pytest.approx(ranking())
    assert float(BatchLoss(BATCH, TrainingSettings())(QUERIES, PASSAGES)) == pytest.approx(ranking())
    assert loss(RankingObjective(scale=5.0)) == pytest.approx(ranking(5.0))
    assert loss(RankingObjective(symmetric=True)) != pytest.approx(ranking())


@pytest.mark.parametrize("kind", [MarginMseObjective, DistillKlObjective])
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_distillation_and_ranking_are_added(kind: Any, weight: float) -> None:
    objective = kind(ranking_weight=weight)
    tensors = [torch.from_numpy(array) for array in (BATCH.targets, negatives_of(BATCH, objective), BATCH.teacher)]
    alone = (
        margin_mse_loss(QUERIES, PASSAGES, *tensors, 20.0)
        if kind is MarginMseObjective
        else distill_kl_loss(QUERIES, PASSAGES, *tensors, 20.0, 1.0)
    )
    assert loss(objective) == pytest.approx(float(alone) + weight * ranking(), rel=1e-5)


def test_matryoshka_is_the_mean_over_all_sizes_the_full_one_included() -> None:
    assert loss(RankingObjective(), matryoshka=(4, 2)) == pytest.approx(
        (ranking(size=2) + ranking(size=4) + ranking()) / 3
    )
    assert loss(RankingObjective(), matryoshka=(8,)) == pytest.approx(ranking())


def test_matryoshka_is_sentence_transformers_but_for_the_mean() -> None:
    class Vectors(torch.nn.Module):
        """What a model gives for "texts" that are vectors already."""

        def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"sentence_embedding": features["vectors"]}

        def get_embedding_dimension(self) -> int:
            return 8

    queries, positives, model = QUERIES, PASSAGES[:2], Vectors()
    reference = MatryoshkaLoss(model, MultipleNegativesRankingLoss(model, scale=20.0), [8, 4, 2])  # type: ignore[arg-type]
    expected = reference([{"vectors": queries}, {"vectors": positives}], torch.empty(0))
    batch = Batch(*(np.arange(2) for _ in range(3)), *(np.zeros((2, 2), dtype=np.bool_) for _ in range(2)))
    ours = BatchLoss(batch, TrainingSettings(matryoshka=(4, 2)))(queries, positives)
    assert float(ours) == pytest.approx(float(expected) / 3, rel=1e-5)
