"""From pairs to a checkpoint whose model is the base model with a linear map behind it."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.ports import Collection, Encoder, Tracker, VectorCache
from domain_embed.encoding.models import fingerprint, load_model
from domain_embed.settings import BothAdapter, ModelSettings, QueryAdapter
from domain_embed.training.adapter import (
    LinearAdapter,
    TrainedAdapter,
    Vectors,
    train_both_adapter,
    train_query_adapter,
)
from domain_embed.training.checkpoint import Checkpoint, prepare_folder, publish, save_model
from domain_embed.training.interpolation import MixturePoint, choose
from domain_embed.training.state import History
from domain_embed.training.validation import Measure, ValidationSet, validate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class AdapterTrainer:
    """Trains an adapter on the vectors of the base model's collection; a few seconds, so it is never resumed.

    Args:
        base: Folder or hub id of the base model.
        model_settings: How texts are put to the model.
        method: Which sides the map is for, and the recipe.
        splits: Its train part is what is learned.
        hard_negatives: Of the train queries.
        collection: The base model's.
        encoder: The base model's.
        validation: What chooses the adapter, and whether there is one.
        ndcg: nDCG@10 of a run, by query id.
        cache_of: The vector cache of a fingerprint; gets the passages' vectors where the map is for both sides.
    """

    def __init__(
        self, base: str, model_settings: ModelSettings, method: QueryAdapter | BothAdapter, splits: pa.Table,
        hard_negatives: pa.Table, collection: Collection, encoder: Encoder, validation: ValidationSet, ndcg: Measure,
        cache_of: Callable[[str], VectorCache],
    ) -> None:  # fmt: skip
        if model_settings.dimensions is not None:
            raise SettingsError(
                "model.dimensions: an adapter works on all dimensions", "leave it null, or use training.method: full"
            )
        self._base, self._model_settings, self._method = base, model_settings, method
        self._splits, self._hard_negatives = splits, hard_negatives
        self._collection, self._encoder = collection, encoder
        self._validation, self._ndcg, self._cache_of = validation, ndcg, cache_of

    def train(self, checkpoints: Path, record: Mapping[str, Any], tracker: Tracker) -> Checkpoint:
        """Keeps the base model with the best adapter under `checkpoints/<fingerprint>`; without one if none is better.

        Raises:
            TrainingError: When the pairs hold nothing to tell apart, or the loss stops being a number.
            StoreError: When the checkpoint cannot be written.
        """
        trained = self._train()
        for step, figure in enumerate(trained.figures[_shown(trained)], start=1):
            tracker.log_metrics({"validation_ndcg_at_10": figure}, step=step)
        model = load_model(self._base, self._model_settings)
        if not trained.adapter.is_identity:
            append_adapter(model, trained.adapter, both_sides=self._method.kind == "both_adapter")
        identity = fingerprint(model, self._model_settings)
        # The share of the map: nothing, or all of it. Weights are not mixed; the pull towards nothing was weighed.
        points = [MixturePoint(0.0, trained.base_figure), MixturePoint(1.0, max(map(max, trained.figures.values())))]
        sweep = choose(points, budget=0.0)
        history = History(trained.losses[_shown(trained)], trained.figures[_shown(trained)])
        checkpoint = Checkpoint(
            checkpoints / identity, identity, history, self._method.learning_rate, trained.base_figure, sweep
        )
        workdir = checkpoints / f".adapter-{identity}"
        prepare_folder(workdir)
        save_model(model, workdir / "chosen")
        outcome = {"history": history.to_json(), "trials": []}
        publish(workdir / "chosen", checkpoint.path, {**record, **outcome, **sweep.to_json(), "fingerprint": identity})
        shutil.rmtree(workdir)
        if self._method.kind == "both_adapter" and sweep.chosen.alpha:
            map_vectors(self._collection, trained.adapter, self._cache_of(identity))
        return checkpoint

    def _train(self) -> TrainedAdapter:
        train = self._splits.filter(pa.compute.equal(self._splits["split"], "train"))
        query_ids, passage_ids = train["query_id"].to_pylist(), train["passage_id"].to_pylist()
        negatives = _negatives_of(self._hard_negatives, self._method.hard_negatives)
        vector_of = self._vectors_of({*passage_ids, *(one for found in negatives.values() for one in found)})
        queries = self._encoder.encode_queries(train["query"].to_pylist())
        vector_of |= self._vectors_of(set(self._validation.passage_ids))
        pool = np.stack([vector_of[key] for key in self._validation.passage_ids])
        asked = self._encoder.encode_queries(self._validation.queries)
        both = self._method.kind == "both_adapter"

        def figure(adapter: LinearAdapter) -> float:
            scores = validate(self._validation, adapter(asked), adapter(pool) if both else pool, self._ndcg)
            return float(scores.mean())

        fit = train_both_adapter if both else train_query_adapter
        return fit(
            queries, np.stack([vector_of[key] for key in passage_ids]),
            _padded([negatives.get(key, []) for key in query_ids], vector_of, self._method.hard_negatives),
            figure, self._method,
        )  # fmt: skip

    def _vectors_of(self, passage_ids: set[str]) -> dict[str, Vectors]:
        return {point.passage_id: point.dense for point in self._collection.fetch(sorted(passage_ids))}


def append_adapter(model: "SentenceTransformer", adapter: LinearAdapter, *, both_sides: bool) -> None:
    """Puts the map behind the model, as sentence-transformers' own modules; for queries alone behind a Router.

    `SentenceTransformer(path).encode_query` then goes through it and `encode_document` does not.
    """
    import torch
    from sentence_transformers.base.modules import Dense, Normalize, Router

    dimensions = len(adapter.bias)
    mapped = [
        Normalize(),
        Dense(
            dimensions, dimensions, activation_function=torch.nn.Identity(), use_residual=True,
            init_weight=torch.from_numpy(adapter.weight.T.copy()), init_bias=torch.from_numpy(adapter.bias),
        ),
        Normalize(),
    ]  # fmt: skip
    tail = mapped if both_sides else [Router.for_query_document(query_modules=mapped, document_modules=[Normalize()])]
    for module in tail:
        model.add_module(str(len(list(model.children()))), module.to(model.device))


def map_vectors(collection: Collection, adapter: LinearAdapter, cache: VectorCache) -> None:
    """Fills the cache with a collection's vectors as the adapter maps them: no passage has to be embedded again."""
    hash_of = {content.passage_id: content.content_hash for content in collection.contents()}
    for passage_ids, vectors in collection.dense_vectors():
        cache.put([hash_of[key] for key in passage_ids], adapter(vectors))


def _negatives_of(table: pa.Table, count: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if count:
        for query_id, passage_id in zip(table["query_id"].to_pylist(), table["passage_id"].to_pylist(), strict=True):
            found.setdefault(query_id, []).append(passage_id)
    return {query_id: passage_ids[:count] for query_id, passage_ids in found.items()}


def _padded(passage_ids: Sequence[Sequence[str]], vector_of: Mapping[str, Vectors], count: int) -> Vectors | None:
    """(n, count, dim), zeros where there are fewer."""
    if not count:
        return None
    vectors = np.zeros((len(passage_ids), count, len(next(iter(vector_of.values())))), np.float32)
    for row, found in enumerate(passage_ids):
        for place, key in enumerate(found):
            vectors[row, place] = vector_of[key]
    return vectors


def _shown(trained: TrainedAdapter) -> float:
    """The weight decay whose course is told: the one that won, or the strongest where none did."""
    return trained.weight_decay if trained.weight_decay is not None else max(trained.figures)
