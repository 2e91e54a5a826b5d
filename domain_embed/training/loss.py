"""Losses on embeddings, as pure functions of tensors.

Cosine similarities throughout, since vectors are served at unit length; everything in fp32, whatever the embeddings'
format. All take queries (n, dim) and passages (m, dim) of any length, `targets` (n,) int64, the column of each query's
positive, and a bool (n, m) that says which passages of the batch are whose negatives. sentence-transformers' losses
take columns of texts instead (a positive and a fixed number of negatives a row), which cannot express that a passage
is a further positive of some queries, nor that queries have different numbers of negatives.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def masked_ranking_loss(
    queries: "Tensor", passages: "Tensor", targets: "Tensor", masked: "Tensor", scale: float, *, symmetric: bool = False
) -> "Tensor":
    """Multiple negatives ranking loss in which further known positives of a query are no negatives.

    Cross-entropy of scale · cosine over all passages of the batch (Henderson et al. 2017; InfoNCE), averaged over
    queries; symmetric, the mean of that and of the cross-entropy of each positive over all queries of the batch.
    sentence-transformers' MultipleNegativesRankingLoss would count a second positive as a negative.

    Args:
        queries: (n, dim), any length.
        passages: (m, dim), any length.
        targets: (n,) int64, the column of each query's positive; all different.
        masked: (n, m) bool, further positives of each query, left out of its softmax.
        scale: Inverse temperature.
        symmetric: Whether positives rank queries, too.
    """
    import torch
    from torch.nn.functional import cross_entropy

    scores = (scale * cosines(queries, passages)).masked_fill(masked, float("-inf"))
    forward = cross_entropy(scores, targets)
    if not symmetric:
        return forward
    backward = cross_entropy(scores[:, targets].T, torch.arange(len(targets), device=targets.device))
    return (forward + backward) / 2


def triplet_loss(
    queries: "Tensor", passages: "Tensor", targets: "Tensor", negatives: "Tensor", margin: float
) -> "Tensor":
    """Mean over all (query, positive, negative) of max(0, margin − cosine to the positive + cosine to the negative).

    TripletLoss of sentence-transformers with cosine distance, for any number of negatives a query. 0 without negatives.
    """
    violations = _violations(queries, passages, targets, negatives, margin)
    return violations.sum() / max(1, violations.numel())


def margin_loss(
    queries: "Tensor", passages: "Tensor", targets: "Tensor", negatives: "Tensor", margin: float
) -> "Tensor":
    """The same, averaged over the triples that violate the margin (Hermans et al. 2017, "batch all").

    Of all passages of a batch most are far from a query; counted in, they would make the loss vanish early.
    """
    violations = _violations(queries, passages, targets, negatives, margin)
    return violations.sum() / (violations > 0).sum().clamp(min=1)


def margin_mse_loss(
    queries: "Tensor", passages: "Tensor", targets: "Tensor", negatives: "Tensor", teacher: "Tensor", scale: float
) -> "Tensor":
    """Mean squared difference between the student's and the teacher's margin of positive over negative.

    Hofstätter et al. (2020), "Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge
    Distillation"; the student's scores are scale · cosine, since unit vectors cannot reach the margins of a reranker.

    Args:
        queries: (n, dim).
        passages: (m, dim).
        targets: (n,) int64.
        negatives: (n, m) bool; where true, and at the targets, `teacher` is a number.
        teacher: (n, m) the teacher's scores.
        scale: Of the cosines.
    """
    student = _margins(scale * cosines(queries, passages), targets)[negatives]
    wanted = _margins(teacher.float(), targets)[negatives]
    return ((student - wanted) ** 2).sum() / max(1, student.numel())


def distill_kl_loss(
    queries: "Tensor", passages: "Tensor", targets: "Tensor", negatives: "Tensor", teacher: "Tensor", scale: float,
    temperature: float,
) -> "Tensor":  # fmt: skip
    """Kullback-Leibler divergence from the teacher's to the student's distribution over positive and negatives.

    Averaged over the queries that have negatives, times temperature² so that gradients keep their size (Hinton et al.
    2015). DistillKLDivLoss of sentence-transformers on scale · cosine, for any number of negatives a query.
    """
    import torch
    from torch.nn.functional import log_softmax

    rows = negatives.any(dim=1)
    if not rows.any():
        return (queries.float() * 0).sum()
    candidates = negatives.scatter(1, targets[:, None], True)[rows]
    student = (scale / temperature * cosines(queries, passages))[rows]
    wanted = teacher.float()[rows] / temperature
    ours = log_softmax(student.masked_fill(~candidates, float("-inf")), dim=1)
    theirs = log_softmax(wanted.masked_fill(~candidates, float("-inf")), dim=1)
    divergence = theirs.exp() * torch.where(candidates, theirs - ours, 0.0)
    return divergence.sum(dim=1).mean() * temperature**2


def cosines(queries: "Tensor", passages: "Tensor") -> "Tensor":
    """(n, m) cosine similarities in fp32."""
    from torch.nn.functional import normalize

    return normalize(queries.float(), dim=-1) @ normalize(passages.float(), dim=-1).T


def _violations(
    queries: "Tensor", passages: "Tensor", targets: "Tensor", negatives: "Tensor", margin: float
) -> "Tensor":
    """(k,) by how much each of the k triples misses the margin, 0 where it does not."""
    return (margin - _margins(cosines(queries, passages), targets)[negatives]).clamp(min=0)


def _margins(scores: "Tensor", targets: "Tensor") -> "Tensor":
    """(n, m) how much higher than each passage the positive scores."""
    return scores.gather(1, targets[:, None]) - scores
