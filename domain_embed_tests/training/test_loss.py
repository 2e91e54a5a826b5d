"""The loss against a pencil, and against sentence-transformers where both mean the same."""

import math

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from domain_embed.training.loss import masked_ranking_loss

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
