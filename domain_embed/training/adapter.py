"""Adapters: a linear map behind a model, trained on vectors that exist already, so that seconds are enough.

A query-side adapter leaves the passages' vectors as they are: nothing has to be embedded again to use it. One for both
sides maps the passages' vectors too, which takes a matrix product, not the model.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import TrainingError
from domain_embed.settings import AdapterSettings
from domain_embed.training.loss import masked_ranking_loss

if TYPE_CHECKING:
    import torch

Vectors: TypeAlias = NDArray[np.float32]
Side: TypeAlias = Literal["query", "both"]


@dataclass(frozen=True)
class LinearAdapter:
    """v → v + v·weight + bias, scaled to unit length; weight (dim, dim) and bias (dim,) float32 are zero at first."""

    weight: Vectors
    bias: Vectors

    @classmethod
    def identity(cls, dimensions: int) -> "LinearAdapter":
        """The map that changes nothing."""
        return cls(np.zeros((dimensions, dimensions), np.float32), np.zeros(dimensions, np.float32))

    def __call__(self, vectors: Vectors) -> Vectors:
        """(n, dim) float32 of unit length, for `vectors` (n, dim) of unit length."""
        moved = vectors + vectors @ self.weight + self.bias
        unit: Vectors = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
        return unit

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return not (self.weight.any() or self.bias.any())


@dataclass(frozen=True)
class TrainedAdapter:
    """The best adapter found, its validation figure, and that of the map that changes nothing.

    `figures` holds the validation figure after each epoch by weight decay, `losses` that of each step, `weight_decay`
    the one that won; None where nothing was better than no adapter.
    """

    adapter: LinearAdapter
    figure: float
    base_figure: float
    weight_decay: float | None
    figures: dict[float, list[float]]
    losses: dict[float, list[float]] = field(default_factory=dict)


Figure: TypeAlias = Callable[[LinearAdapter], float]
"""How well an adapter ranks on validation; higher is better, and the map that changes nothing is asked first."""


def train_query_adapter(
    query_vectors: Vectors, positive_vectors: Vectors, negative_vectors: Vectors | None, figure: Figure,
    settings: AdapterSettings | None = None,
) -> TrainedAdapter:  # fmt: skip
    """The linear map of the queries that ranks best on validation; never worse there than no map.

    Equal rows are one query or one passage: what answers a query in one row is no negative for it in another.

    Args:
        query_vectors: (n, dim) float32 of unit length, a row per training pair.
        positive_vectors: (n, dim), what answers the query of that row.
        negative_vectors: (n, k, dim), the row's hard negatives; zeros where it has fewer. None for none.
        figure: Validation, called with an adapter after every epoch, and first with one that changes nothing.
        settings: The recipe; its defaults when None.

    Raises:
        TrainingError: When there are fewer than two different positives, or the loss stops being a number.
    """
    return _train("query", query_vectors, positive_vectors, negative_vectors, figure, settings or AdapterSettings())


def train_both_adapter(
    query_vectors: Vectors, positive_vectors: Vectors, negative_vectors: Vectors | None, figure: Figure,
    settings: AdapterSettings | None = None,
) -> TrainedAdapter:  # fmt: skip
    """The one linear map of queries and passages alike that ranks best on validation; see `train_query_adapter`."""
    return _train("both", query_vectors, positive_vectors, negative_vectors, figure, settings or AdapterSettings())


def _train(
    side: Side, queries: Vectors, positives: Vectors, negatives: Vectors | None, figure: Figure,
    settings: AdapterSettings,
) -> TrainedAdapter:  # fmt: skip
    pairs = VectorPairs(queries, positives, negatives)
    best = LinearAdapter.identity(queries.shape[1])
    base_figure = best_figure = figure(best)
    figures: dict[float, list[float]] = {}
    losses: dict[float, list[float]] = {}
    chosen = None
    for weight_decay in settings.weight_decay:
        figures[weight_decay], losses[weight_decay] = [], []
        for adapter in _epochs(side, pairs, settings, weight_decay, losses[weight_decay]):
            figures[weight_decay].append(figure(adapter))
            if figures[weight_decay][-1] > best_figure:
                best, best_figure, chosen = adapter, figures[weight_decay][-1], weight_decay
    return TrainedAdapter(best, best_figure, base_figure, chosen, figures, losses)


class VectorPairs:
    """Training pairs as rows of distinct passages, and which passages answer which row's query."""

    def __init__(self, queries: Vectors, positives: Vectors, negatives: Vectors | None) -> None:
        self.queries = np.ascontiguousarray(queries, dtype=np.float32)
        known = _Rows()
        self.positive_of = known.numbers(positives)
        if len(set(self.positive_of.tolist())) < 2:
            raise TrainingError(
                f"{len(queries)} training pairs with one positive: nothing to tell apart", "add judgments"
            )
        given = negatives if negatives is not None else queries[:, None, :][:, :0]
        flat = given.reshape(-1, queries.shape[1])
        self.negatives_of = np.where(flat.any(axis=1), known.numbers(flat), -1).reshape(given.shape[:2])
        self.passages = known.stacked()
        self._query_of = _Rows().numbers(queries)
        self._answers: list[set[int]] = [set() for _ in range(self._query_of.max() + 1)]
        for query, passage in zip(self._query_of.tolist(), self.positive_of.tolist(), strict=True):
            self._answers[query].add(passage)

    def candidates(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """(m,) passages, (n,) each row's own positive among them, and (n, m) which others answer the row's query."""
        negatives = self.negatives_of[rows]
        chosen, places = np.unique(
            np.concatenate([self.positive_of[rows], negatives[negatives >= 0]]), return_inverse=True
        )
        targets = places[: len(rows)]
        masked = np.zeros((len(rows), len(chosen)), bool)
        for row, query in enumerate(self._query_of[rows].tolist()):
            answers = np.fromiter(self._answers[query], np.int64)
            masked[row, np.searchsorted(chosen, answers[np.isin(answers, chosen)])] = True
        masked[np.arange(len(rows)), targets] = False
        return chosen, targets, masked


class _Rows:
    """Numbers for distinct vectors."""

    def __init__(self) -> None:
        self._number: dict[bytes, int] = {}
        self._vectors: list[Vectors] = []

    def numbers(self, vectors: Vectors) -> NDArray[np.int64]:
        found = []
        for vector in np.ascontiguousarray(vectors, dtype=np.float32):
            key = vector.tobytes()
            if key not in self._number:
                self._number[key] = len(self._vectors)
                self._vectors.append(vector)
            found.append(self._number[key])
        return np.array(found, dtype=np.int64)

    def stacked(self) -> Vectors:
        return np.stack(self._vectors)


def _epochs(
    side: Side, pairs: VectorPairs, settings: AdapterSettings, weight_decay: float, losses: list[float]
) -> Iterator[LinearAdapter]:
    """The adapter after each epoch; `losses` gets that of every step."""
    import torch

    dimensions = pairs.queries.shape[1]
    weight = torch.zeros((dimensions, dimensions), requires_grad=True)
    bias = torch.zeros(dimensions, requires_grad=True)
    optimizer = torch.optim.AdamW([weight, bias], lr=settings.learning_rate, weight_decay=weight_decay)
    queries, passages = torch.from_numpy(pairs.queries), torch.from_numpy(pairs.passages)
    generator = np.random.default_rng(settings.seed)
    steps = settings.epochs * math.ceil(len(queries) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(settings.epochs):
        for rows in _batches(generator.permutation(len(queries)), settings.batch_size):
            chosen, targets, masked = pairs.candidates(rows)
            asked, offered = queries[rows], passages[chosen]
            offered = offered + offered @ weight + bias if side == "both" else offered
            loss = masked_ranking_loss(
                asked + asked @ weight + bias, offered, torch.from_numpy(targets), torch.from_numpy(masked),
                settings.scale,
            )  # fmt: skip
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise TrainingError(f"the adapter's loss is {losses[-1]}", "lower the adapter's learning_rate")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        yield LinearAdapter(_copy(weight), _copy(bias))


def _batches(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _copy(parameter: "torch.Tensor") -> Vectors:
    copied: Vectors = parameter.detach().numpy().copy()
    return copied
