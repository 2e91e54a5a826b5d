"""The gradient of a batch's loss, in memory that has a limit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from domain_embed.encoding.inputs import Task
from domain_embed.training.forward import autocast, passes

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

Loss = Callable[["Tensor", "Tensor"], "Tensor"]
"""Of the embeddings of queries (n, dim) and passages (m, dim)."""

KEPT_BYTES = 2_250_000_000
"""64 queries with two passages of 90 tokens each fit for six layers of 384 dimensions."""
KEPT_NUMBERS = 16.4
"""What the graph of a BERT holds for each token, layer and dimension, counted; attention's weights come on top."""


@dataclass(frozen=True)
class Gradient:
    """Adds the gradient of a loss to a model's parameters, and gives the loss.

    Attributes:
        max_tokens: Where texts are cut.
        precision: As in the settings.
        kept_bytes: About how much of the graph is kept from the forward to the backward pass. What is beyond goes
            forward once more: with 0 all of it does, and one forward pass at a time is in memory.
    """

    max_tokens: int
    precision: str
    kept_bytes: int

    def add(self, model: "SentenceTransformer", queries: Sequence[str], passages: Sequence[str], loss: Loss) -> float:
        """The same gradient whatever is kept, up to rounding. The model's own prompts stand before the texts.

        Gao et al. (2021), "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup": the loss gives the
        gradient of the embeddings, and each forward pass carries its part of it to the weights, repeated with a graph
        where it was made without. Nothing random happens in the model (dropout is off), so that both are the same.
        """
        import torch

        sides, leaves, held = [], [], 0
        tasks: tuple[tuple[Task, Sequence[str]], ...] = (("query", queries), ("document", passages))
        for task, texts in tasks:
            made = []
            for rows, inputs in passes(model, texts, task, self.max_tokens):
                held += graph_bytes(model, *inputs["input_ids"].shape) if model.transformers_model is not None else 0
                with torch.set_grad_enabled(held <= self.kept_bytes):
                    made.append((rows, inputs, self._forward(model, inputs, task)))
            order = np.argsort(np.concatenate([rows for rows, _, _ in made]))
            embeddings = torch.cat([embedding.detach() for _, _, embedding in made])
            leaves.append(embeddings[torch.from_numpy(order)].requires_grad_())
            sides.append(made)
        value = loss(*leaves)
        gradients = torch.autograd.grad(value, leaves)
        for (task, _), made, gradient in zip(tasks, sides, gradients, strict=True):
            for rows, inputs, embedding in made:
                graph = embedding if embedding.requires_grad else self._forward(model, inputs, task)
                graph.backward(gradient[torch.from_numpy(rows)])  # type: ignore[no-untyped-call]
        return value.item()

    def _forward(self, model: "SentenceTransformer", inputs: Mapping[str, "Tensor"], task: Task) -> "Tensor":
        with autocast(model.device.type, self.precision):
            embedding: Tensor = model(dict(inputs), task=task)[
                "sentence_embedding"
            ]  # the model adds to what it is given
        return embedding


def graph_bytes(model: "SentenceTransformer", texts: int, tokens: int) -> int:
    """About what the graph of a forward pass in fp32 holds, when every layer is trained.

    Args:
        model: It tells its layers, dimensions and attention heads.
        texts: How many.
        tokens: Of each, padding included; each head of each layer weighs every token for every token.
    """
    config: Any = model.transformers_model.config
    numbers = KEPT_NUMBERS * int(config.hidden_size) + int(config.num_attention_heads) * tokens
    return round(4 * texts * tokens * int(config.num_hidden_layers) * numbers)
