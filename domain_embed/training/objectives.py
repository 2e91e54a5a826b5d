"""From the objective's settings to the loss of a batch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import numpy as np
from numpy.typing import NDArray

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
from domain_embed.training.loss import (
    distill_kl_loss,
    margin_loss,
    margin_mse_loss,
    masked_ranking_loss,
    triplet_loss,
)
from domain_embed.training.pairs import Batch

if TYPE_CHECKING:
    from torch import Tensor


def negatives_of(batch: Batch, objective: Objective) -> NDArray[np.bool_]:
    """(n, m) bool: the passages that this objective pushes away from each query, or compares the positive with."""
    match objective:
        case TripletObjective():
            return batch.mined
        case MarginMseObjective() | DistillKlObjective():
            known = np.isfinite(_taught(batch))
            return batch.mined & known & known[np.arange(len(batch.targets)), batch.targets][:, None]
        case _:
            others = ~batch.masked
            others[np.arange(len(batch.targets)), batch.targets] = False
            return others


@dataclass(frozen=True)
class BatchLoss:
    """The loss of one batch as a function of its embeddings."""

    batch: Batch
    settings: TrainingSettings

    def __call__(self, queries: "Tensor", passages: "Tensor") -> "Tensor":
        """A scalar; with `matryoshka`, the mean over all sizes: losses of different lists of sizes then compare.

        Args:
            queries: (n, dim), in the order of the batch.
            passages: (m, dim), likewise.
        """
        import torch

        sizes = {*self.settings.matryoshka, queries.shape[1]}
        losses = [self._of_size(queries[:, :size], passages[:, :size]) for size in sorted(sizes)]
        return torch.stack(losses).mean()

    def _of_size(self, queries: "Tensor", passages: "Tensor") -> "Tensor":
        import torch

        objective, device = self.settings.objective, queries.device
        targets, masked, negatives = (
            torch.from_numpy(array).to(device)
            for array in (self.batch.targets, self.batch.masked, negatives_of(self.batch, objective))
        )
        match objective:
            case RankingObjective() | CachedRankingObjective():
                scale, both_ways = objective.scale, objective.symmetric
                return masked_ranking_loss(queries, passages, targets, masked, scale, symmetric=both_ways)
            case TripletObjective():
                return triplet_loss(queries, passages, targets, negatives, objective.margin)
            case MarginObjective():
                return margin_loss(queries, passages, targets, negatives, objective.margin)
            case MarginMseObjective() | DistillKlObjective():
                taught = self._distillation(queries, passages, targets, negatives, objective)
                if objective.ranking_weight == 0:
                    return taught
                ranking = masked_ranking_loss(queries, passages, targets, masked, objective.scale)
                return taught + objective.ranking_weight * ranking
            case _:
                assert_never(objective)

    def _distillation(
        self, queries: "Tensor", passages: "Tensor", targets: "Tensor", negatives: "Tensor",
        objective: MarginMseObjective | DistillKlObjective,
    ) -> "Tensor":  # fmt: skip
        import torch

        teacher = torch.from_numpy(_taught(self.batch)).to(queries.device)
        if isinstance(objective, MarginMseObjective):
            return margin_mse_loss(queries, passages, targets, negatives, teacher, objective.scale)
        return distill_kl_loss(queries, passages, targets, negatives, teacher, objective.scale, objective.temperature)


def _taught(batch: Batch) -> NDArray[np.float32]:
    if batch.teacher is None:
        raise TrainingError(
            "this objective learns from a reranker's scores, and there are none",
            "set reranker.source, or another training.objective",
        )
    return batch.teacher
