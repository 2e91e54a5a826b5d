"""The contrastive objective."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def masked_ranking_loss(
    queries: "Tensor", passages: "Tensor", targets: "Tensor", masked: "Tensor", scale: float
) -> "Tensor":
    """Multiple negatives ranking loss in which further known positives of a query are no negatives.

    Cross-entropy of scale · cosine over all passages of the batch (Henderson et al. 2017; InfoNCE), averaged over
    queries. sentence-transformers' MultipleNegativesRankingLoss would count a second positive as a negative.

    Args:
        queries: (n, dim), any length.
        passages: (m, dim), any length.
        targets: (n,) int64, the column of each query's positive.
        masked: (n, m) bool, columns left out of a query's softmax.
        scale: Inverse temperature.
    """
    from torch.nn.functional import cross_entropy, normalize

    scores = scale * normalize(queries.float(), dim=-1) @ normalize(passages.float(), dim=-1).T
    return cross_entropy(scores.masked_fill(masked, float("-inf")), targets)
