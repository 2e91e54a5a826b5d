"""What the trainer needs of the scenario, made by the stages before it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from domain_embed.contracts.records import Qrels, Run
from domain_embed.contracts.tables import HARD_NEGATIVES
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.measures import HEADLINE, score_run
from domain_embed.indexing.build import build_collection
from domain_embed.judgments.splits import split_judgments
from domain_embed.mining.hard_negatives import MiningReport, mine_hard_negatives
from domain_embed.settings import ModelSettings, SparseSettings, TrainingSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed.stores.tables import TableStore
from domain_embed.training.pairs import TrainingPairs, training_pairs
from domain_embed.training.trainer import Trainer
from domain_embed.training.validation import ValidationSet, validation_set
from domain_embed_tests import scenario
from domain_embed_tests.encoding.fakes import MemoryCache, MemoryTable

MODEL = scenario.SETTINGS.model.model_copy(update={"query_prompt": "question: ", "document_prompt": "runbook: "})
RECORD: Mapping[str, Any] = {"domain": scenario.DOMAIN, "splits": "v1"}


def ndcg_by_query(run: Run, qrels: Qrels) -> "pd.Series[float]":
    """As the product measures it."""
    return score_run(run, qrels)[HEADLINE]


@dataclass(frozen=True)
class Inputs:
    """All that goes into a training; can be sent to another process."""

    base: str
    pairs: TrainingPairs
    validation: ValidationSet
    settings: TrainingSettings = scenario.SETTINGS.training
    model: ModelSettings = MODEL

    def with_settings(self, **changes: Any) -> "Inputs":
        """The same with another recipe."""
        return replace(self, settings=self.settings.model_copy(update=changes))

    def trainer(self) -> Trainer:
        """A trainer on these inputs."""
        return Trainer(self.base, self.model, self.settings, self.pairs, self.validation, ndcg_by_query)


def make_inputs(base: str, folder: Path) -> Inputs:
    """Runs the stages from files to hard negatives with the real base model."""
    splits = split_judgments(scenario.judgments_table(), scenario.SETTINGS.splits).table
    encoder, store = TorchEncoder.load(base, MODEL), QdrantStore.in_memory()
    table = MemoryTable(scenario.passages_table())
    built = build_collection(store, encoder, "base", table, SparseSettings(), MemoryCache())
    collection = store.open(built.info.name)
    mined = mine_hard_negatives(splits, collection, encoder, scenario.SETTINGS.mining, MiningReport())
    negatives = TableStore(folder / "tables").write("negatives", mined, HARD_NEGATIVES).read()
    pairs = training_pairs(splits, negatives, table)
    return Inputs(base, pairs, validation_set(splits, collection, encoder, 20, ndcg_by_query))


class MetricsLog:
    """A tracker that remembers."""

    def __init__(self) -> None:
        self.metrics: list[tuple[int | None, str, float]] = []
        self.trials: list[str] = []

    def log_params(self, params: Mapping[str, object]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.metrics += [(step, name, value) for name, value in metrics.items()]

    @contextmanager
    def nested(self, name: str) -> Iterator["MetricsLog"]:
        self.trials.append(name)
        yield self

    def of(self, name: str) -> list[tuple[int | None, float]]:
        """(step, value) of one metric."""
        return [(step, value) for step, key, value in self.metrics if key == name]


class InterruptingTracker(MetricsLog):
    """Stops the training when it reports a metric at a step."""

    def __init__(self, name: str, step: int) -> None:
        super().__init__()
        self._at = (step, name)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        if self._at in {(step, name) for name in metrics}:
            self.stop()

    def stop(self) -> None:
        raise KeyboardInterrupt


class HangingTracker(InterruptingTracker):
    """Tells a pipe that the step is reached, and waits there to be killed."""

    def __init__(self, name: str, step: int, reached: Any) -> None:
        super().__init__(name, step)
        self._reached = reached

    def stop(self) -> None:
        self._reached.send("reached")
        threading.Event().wait(60)
