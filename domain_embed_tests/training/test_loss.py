"""The losses against a pencil, and against sentence-transformers where both mean the same."""

import math
from typing import Any

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import (
    DistillKLDivLoss,
    MarginMSELoss,
    MultipleNegativesRankingLoss,
    MultipleNegativesSymmetricRankingLoss,
    TripletDistanceMetric,
    TripletLoss,
)
from sentence_transformers.util import pairwise_cos_sim

from domain_embed.training.loss import (
    distill_kl_loss,
    margin_loss,
    margin_mse_loss,
    masked_ranking_loss,
    triplet_loss,
)

# Cosines of the two queries to the three passages: (1, 0, 0.6) and (0, 1, 0.8); lengths are arbitrary.
QUERIES = torch.tensor([[2.0, 0.0], [0.0, 0.5]])
PASSAGES = torch.tensor([[3.0, 0.0], [0.0, 1.0], [6.0, 8.0]])
TARGETS = torch.tensor([0, 1])
NOTHING = torch.zeros((2, 3), dtype=torch.bool)


def surprise(positive: float, *others: float) -> float:
    return -math.log(math.exp(positive) / sum(math.exp(score) for score in (positive, *others)))


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_by_hand_without_mask(scale: float) -> None:
    expected = (surprise(scale, 0, 0.6 * scale) + surprise(scale, 0, 0.8 * scale)) / 2
    assert masked_ranking_loss(QUERIES, PASSAGES, TARGETS, NOTHING, scale).item() == pytest.approx(expected, rel=1e-5)


def test_by_hand_with_mask() -> None:
    masked = torch.tensor([[False, False, True], [True, False, False]])
    expected = (surprise(2.0, 0) + surprise(2.0, 1.6)) / 2
    assert masked_ranking_loss(QUERIES, PASSAGES, TARGETS, masked, 2.0).item() == pytest.approx(expected, rel=1e-5)


def test_a_masked_passage_gets_no_gradient() -> None:
    passages = PASSAGES.clone().requires_grad_()
    masked = torch.tensor([[False, False, True], [False, False, True]])
    masked_ranking_loss(QUERIES, passages, TARGETS, masked, 2.0).backward()
    assert passages.grad is not None
    assert passages.grad[2].tolist() == [0, 0]
    assert torch.isfinite(passages.grad).all()


def test_a_query_with_nothing_left_but_its_positive_loses_nothing() -> None:
    masked = torch.tensor([[False, True, True], [True, False, True]])
    assert masked_ranking_loss(QUERIES, PASSAGES, TARGETS, masked, 20.0).item() == 0


def test_bf16_embeddings_are_compared_in_fp32() -> None:
    loss = masked_ranking_loss(QUERIES.bfloat16(), PASSAGES.bfloat16(), TARGETS, NOTHING, 20.0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(masked_ranking_loss(QUERIES, PASSAGES, TARGETS, NOTHING, 20.0).item(), rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_equal_to_sentence_transformers_where_nothing_is_masked(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, positives, negatives = (torch.randn(5, 7, generator=generator) for _ in range(3))
    reference = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=scale)  # type: ignore[arg-type]
    expected = reference.compute_loss_from_embeddings([queries, positives, negatives], torch.empty(0))
    passages = torch.cat([positives, negatives])
    nothing = torch.zeros((5, 10), dtype=torch.bool)
    loss = masked_ranking_loss(queries, passages, torch.arange(5), nothing, scale)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


# --- symmetric ------------------------------------------------------------------------------------------


def test_symmetric_by_hand_with_mask() -> None:
    # Query 1 is answered by the second query's passage, too: neither is the other's negative in that direction.
    masked = torch.tensor([[False, True, False], [False, False, False]])
    loss = masked_ranking_loss(QUERIES, PASSAGES, TARGETS, masked, 2.0, symmetric=True)
    forward = (surprise(2.0, 1.2) + surprise(2.0, 0, 1.6)) / 2
    backward = (surprise(2.0, 0) + 0) / 2
    assert loss.item() == pytest.approx((forward + backward) / 2, rel=1e-5)


def columns(*sizes: int) -> list[torch.Tensor]:
    """Random embeddings, (size, 7) each."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(size, 7, generator=generator) for size in sizes]


def test_symmetric_is_sentence_transformers_where_nothing_is_masked() -> None:
    queries, positives, negatives = columns(5, 5, 5)
    reference = MultipleNegativesSymmetricRankingLoss(torch.nn.Identity(), scale=20.0)  # type: ignore[arg-type]
    expected = reference.compute_loss_from_embeddings([queries, positives, negatives], torch.empty(0))
    nothing = torch.zeros((5, 10), dtype=torch.bool)
    passages = torch.cat([positives, negatives])
    loss = masked_ranking_loss(queries, passages, torch.arange(5), nothing, 20.0, symmetric=True)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


# --- margins --------------------------------------------------------------------------------------------


def own(n: int, each: int = 1) -> torch.Tensor:
    """Which of `n` positives and then `n * each` negatives are whose own negatives."""
    return torch.cat([torch.zeros(n, n, dtype=torch.bool), *[torch.eye(n, dtype=torch.bool)] * each], dim=1)


@pytest.mark.parametrize("loss", [triplet_loss, margin_loss])
def test_margins_by_hand(loss: Any) -> None:
    # Query 1: 1 − 0.6 to the third passage; query 2: 1 − 0.8. Of a margin of 0.3 the first misses nothing, the
    # second 0.1.
    negatives = torch.tensor([[False, False, True], [False, False, True]])
    expected = 0.1 / 2 if loss is triplet_loss else 0.1
    assert loss(QUERIES, PASSAGES, TARGETS, negatives, 0.3).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss", [triplet_loss, margin_loss])
def test_without_negatives_or_violations_nothing_is_lost(loss: Any) -> None:
    queries = QUERIES.clone().requires_grad_()
    for negatives, margin in ((NOTHING, 1.0), (torch.tensor([[False, True, False], [True, False, False]]), 0.9)):
        value = loss(queries, PASSAGES, TARGETS, negatives, margin)
        value.backward()
        assert value.item() == 0
    assert queries.grad is not None
    assert queries.grad.abs().max() == 0


def test_triplet_is_sentence_transformers() -> None:
    queries, positives, negatives = columns(5, 5, 5)
    metric = TripletDistanceMetric.COSINE
    reference = TripletLoss(torch.nn.Identity(), distance_metric=metric, triplet_margin=0.7)  # type: ignore[arg-type]
    expected = reference.compute_loss_from_embeddings([queries, positives, negatives], torch.empty(0))
    loss = triplet_loss(queries, torch.cat([positives, negatives]), torch.arange(5), own(5), 0.7)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_margin_is_sentence_transformers_triplets_of_the_whole_batch_that_violate_it() -> None:
    positives, noise = columns(5, 5)
    queries = positives + noise
    metric = TripletDistanceMetric.COSINE
    triples = [(i, j) for i in range(5) for j in range(5) if i != j]
    single = TripletLoss(torch.nn.Identity(), distance_metric=metric, triplet_margin=0.7)  # type: ignore[arg-type]
    losses = [
        single.compute_loss_from_embeddings([queries[[i]], positives[[i]], positives[[j]]], torch.empty(0)).item()
        for i, j in triples
    ]
    violated = [value for value in losses if value > 0]
    assert len(violated) < len(losses)
    loss = margin_loss(queries, positives, torch.arange(5), ~torch.eye(5, dtype=torch.bool), 0.7)
    assert loss.item() == pytest.approx(sum(violated) / len(violated), rel=1e-5)


# --- distillation ---------------------------------------------------------------------------------------


def taught(labels: torch.Tensor) -> torch.Tensor:
    """(n, 1 + k) scores of positive and k negatives as (n, n + n·k), NaN where nothing was asked."""
    n, width = labels.shape
    teacher = torch.full((n, n * width), float("nan"))
    for row in range(n):
        for place in range(width):
            teacher[row, place * n + row] = labels[row, place]
    return teacher


LABELS = 4 * torch.randn(5, 3, generator=torch.Generator().manual_seed(1))


def test_margin_mse_by_hand() -> None:
    negatives = torch.tensor([[False, False, True], [False, False, False]])
    teacher = torch.tensor([[5.0, float("nan"), 2.0], [float("nan"), float("nan"), float("nan")]])
    # The student's margin is 10 · (1 − 0.6), the teacher's 3.
    loss = margin_mse_loss(QUERIES, PASSAGES, TARGETS, negatives, teacher, 10.0)
    assert loss.item() == pytest.approx(1.0, rel=1e-5)


def test_margin_mse_is_sentence_transformers() -> None:
    queries, positives, first, second = columns(5, 5, 5, 5)

    def similarity(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return 20 * pairwise_cos_sim(one, other)

    reference = MarginMSELoss(torch.nn.Identity(), similarity_fct=similarity)  # type: ignore[arg-type]
    expected = reference.compute_loss_from_embeddings([queries, positives, first, second], LABELS)
    passages = torch.cat([positives, first, second])
    loss = margin_mse_loss(queries, passages, torch.arange(5), own(5, 2), taught(LABELS), 20.0)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_distill_kl_by_hand() -> None:
    negatives = torch.tensor([[False, False, True], [False, False, False]])
    teacher = torch.tensor([[math.log(3), float("nan"), 0.0], [float("nan")] * 3])
    # Teacher (3/4, 1/4); the student's difference is 2 · (1 − 0.6).
    student = 1 / (1 + math.exp(-0.8))
    expected = 0.75 * math.log(0.75 / student) + 0.25 * math.log(0.25 / (1 - student))
    loss = distill_kl_loss(QUERIES, PASSAGES, TARGETS, negatives, teacher, 2.0, 1.0)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_distill_kl_is_sentence_transformers(temperature: float) -> None:
    queries, positives, first, second = columns(5, 5, 5, 5)

    def similarity(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return 20 * pairwise_cos_sim(one, other)

    reference = DistillKLDivLoss(torch.nn.Identity(), similarity_fct=similarity, temperature=temperature)  # type: ignore[arg-type]
    expected = reference.compute_loss_from_embeddings([queries, positives, first, second], LABELS)
    passages = torch.cat([positives, first, second])
    loss = distill_kl_loss(queries, passages, torch.arange(5), own(5, 2), taught(LABELS), 20.0, temperature)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn() -> None:
    queries, positives, negatives = (column.requires_grad_() for column in columns(5, 5, 5))
    passages = torch.cat([positives, negatives])
    teacher = (20 * pairwise_cosines(queries, passages)).detach()
    targets, whose = torch.arange(5), own(5)
    mse = margin_mse_loss(queries, passages, targets, whose, teacher, 20.0)
    kl = distill_kl_loss(queries, passages, targets, whose, teacher, 20.0, 2.0)
    (mse + kl).backward()
    assert mse.item() == pytest.approx(0, abs=1e-9)
    assert kl.item() == pytest.approx(0, abs=1e-5)
    assert queries.grad is not None
    assert queries.grad.abs().max() < 1e-4


def test_what_was_not_asked_of_the_teacher_gives_no_gradient_and_no_nan() -> None:
    queries, positives, negatives = (column.requires_grad_() for column in columns(5, 5, 5))
    passages = torch.cat([positives, negatives])
    whose = own(5)
    whose[3:] = False
    targets = torch.arange(5)
    mse = margin_mse_loss(queries, passages, targets, whose, taught(LABELS[:, :2]), 20.0)
    kl = distill_kl_loss(queries, passages, targets, whose, taught(LABELS[:, :2]), 20.0, 1.0)
    (mse + kl).backward()
    assert queries.grad is not None
    assert torch.isfinite(queries.grad).all()
    assert queries.grad[3:].abs().max() == 0
    assert queries.grad[:3].abs().max() > 0
    nobody = torch.zeros_like(whose)
    assert distill_kl_loss(queries, passages, targets, nobody, taught(LABELS[:, :2]), 20.0, 1.0).item() == 0
    assert margin_mse_loss(queries, passages, targets, nobody, taught(LABELS[:, :2]), 20.0).item() == 0


def pairwise_cosines(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(one, dim=1) @ torch.nn.functional.normalize(other, dim=1).T
