"""The gradient of a batch's loss: with all of the batch's graph in memory, or with one forward pass of it at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain_embed.training.forward import autocast, embed, passes

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""Of the embeddings of queries (n, dim) and passages (m, dim)."""


@dataclass(frozen=True)
class Gradient:
    """Adds the gradient of a loss to a model's parameters, and gives the loss.

    Attributes:
        max_tokens: Where texts are cut.
        precision: As in the settings.
        cached: One forward pass in memory at a time.
    """

    max_tokens: int
    precision: str
    cached: bool

    def add(self, model: "SentenceTransformer", queries: Sequence[str], passages: Sequence[str], loss: Loss) -> float:
        """The same gradient either way, up to rounding."""
        return (self._cached if self.cached else self._whole)(model, queries, passages, loss)

    def _whole(
        self, model: "SentenceTransformer", queries: Sequence[str], passages: Sequence[str], loss: Loss
    ) -> float:
        with autocast(model.device.type, self.precision):
            embeddings = [embed(model, texts, self.max_tokens) for texts in (queries, passages)]
        value = loss(*embeddings)
        value.backward()  # type: ignore[no-untyped-call]
        return value.item()

    def _cached(
        self, model: "SentenceTransformer", queries: Sequence[str], passages: Sequence[str], loss: Loss
    ) -> float:
        """Gao et al. (2021), "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup".

        The embeddings are made without a graph, the loss gives their gradient, and each forward pass is then repeated
        with a graph to carry its part of it to the weights. What stays in memory for the whole batch is embeddings and
        scores. Nothing random happens in the model (dropout is off), so that both passes are the same.
        """
        import torch

        with torch.no_grad(), autocast(model.device.type, self.precision):
            embeddings = [embed(model, texts, self.max_tokens) for texts in (queries, passages)]
        leaves = [embedding.requires_grad_() for embedding in embeddings]
        value = loss(*leaves)
        gradients = torch.autograd.grad(value, leaves)
        for texts, gradient in zip((queries, passages), gradients, strict=True):
            with autocast(model.device.type, self.precision):
                for rows, part in passes(model, texts, self.max_tokens):
                    part.backward(gradient[torch.from_numpy(rows)])  # type: ignore[no-untyped-call]
        return value.item()
