"""The gradient of a batch's loss, in memory that has a limit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from domain_embed.training.forward import autocast, passes

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""Of the embeddings of queries (n, dim) and passages (m, dim)."""

KEPT_TOKENS = 12_288
"""Some 3 GB of graph for six layers of 384 dimensions in fp32; 64 queries with two passages of 90 tokens each fit."""


@dataclass(frozen=True)
class Gradient:
    """Adds the gradient of a loss to a model's parameters, and gives the loss.

    Attributes:
        max_tokens: Where texts are cut.
        precision: As in the settings.
        kept_tokens: How many tokens' graph is kept from the forward to the backward pass, padding included. What is
            beyond goes forward once more: with 0 all of it does, and one forward pass at a time is in memory.
    """

    max_tokens: int
    precision: str
    kept_tokens: int

    def add(self, model: "SentenceTransformer", queries: Sequence[str], passages: Sequence[str], loss: Loss) -> float:
        """The same gradient whatever is kept, up to rounding.

        Gao et al. (2021), "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup": the loss gives the
        gradient of the embeddings, and each forward pass carries its part of it to the weights, repeated with a graph
        where it was made without. Nothing random happens in the model (dropout is off), so that both are the same.
        """
        import torch

        sides, leaves, tokens = [], [], 0
        for texts in (queries, passages):
            made = []
            for rows, inputs in passes(model, texts, self.max_tokens):
                tokens += inputs["input_ids"].numel()
                with torch.set_grad_enabled(tokens <= self.kept_tokens):
                    made.append((rows, inputs, self._forward(model, inputs)))
            order = np.argsort(np.concatenate([rows for rows, _, _ in made]))
            embeddings = torch.cat([embedding.detach() for _, _, embedding in made])
            leaves.append(embeddings[torch.from_numpy(order)].requires_grad_())
            sides.append(made)
        value = loss(*leaves)
        for made, gradient in zip(sides, torch.autograd.grad(value, leaves), strict=True):
            for rows, inputs, embedding in made:
                graph = embedding if embedding.requires_grad else self._forward(model, inputs)
                graph.backward(gradient[torch.from_numpy(rows)])  # type: ignore[no-untyped-call]
        return value.item()

    def _forward(self, model: "SentenceTransformer", inputs: Mapping[str, "Tensor"]) -> "Tensor":
        with autocast(model.device.type, self.precision):
            embedding: Tensor = model(dict(inputs))["sentence_embedding"]  # the model adds to what it is given
        return embedding
