"""Other base models and a reranker that is there already."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from domain_embed.contracts.records import embedded_text
from domain_embed.diagnosis.candidates import Pool, candidate_levers, neutral_pool
from domain_embed.diagnosis.levers import Yardstick
from domain_embed.diagnosis.rankings import QueryMemory, Rankings, rank_queries
from domain_embed.diagnosis.reranking import measured_reranking
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.models import ModelError, load_model
from domain_embed.settings import DiagnosisSettings, EvaluationSettings, ModelSettings, RetrievalSettings
from domain_embed_tests.diagnosis.faults import PARTS, QRELS, TEXTS, passage_table
from domain_embed_tests.judgments.quality_material import collection_of

TWENTY = dict(sorted(TEXTS.items())[:20])
GRADES = {key: QRELS[key] for key in TWENTY}
TABLE = passage_table(PARTS)


class Ground:
    """Twenty queries of the sound domain, ranked by the real base model."""

    def __init__(self, encoder: TorchEncoder) -> None:
        self.collection, self.memory = collection_of(TABLE, encoder), QueryMemory(encoder)
        self.rankings: Rankings = rank_queries(TWENTY, GRADES, self.collection, self.memory, RetrievalSettings())
        self.dense = self.rankings.scores(self.rankings.run("dense"))
        self.yardstick = Yardstick("dense", self.dense, EvaluationSettings(resamples=300))


@pytest.fixture(scope="module")
def ground(minilm: TorchEncoder) -> Ground:
    return Ground(minilm)


@pytest.fixture(scope="module")
def shallow(minilm_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base model without its upper four layers: another model, and a worse one."""
    model = load_model(minilm_path, ModelSettings())
    layers = model.transformers_model.encoder.layer
    del layers[2:]
    model.transformers_model.config.num_hidden_layers = 2
    folder = tmp_path_factory.mktemp("shallow") / "model"
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


SMALL = DiagnosisSettings(candidate_passages=100)


def test_pool_holds_positives_near_misses_and_a_rest(ground: Ground) -> None:
    pool = neutral_pool(ground.rankings, ground.collection, TABLE, SMALL)
    held = {point.passage_id for point in pool.points}
    assert len(pool.queries) == 10
    assert {one for grades in pool.qrels.values() for one in grades} <= held
    assert len(held) == len(PARTS)  # the corpus is smaller than the pool may be
    again = neutral_pool(ground.rankings, ground.collection, TABLE, SMALL)
    assert list(pool.queries) == list(again.queries)


def test_pool_ranks_as_the_store_does(ground: Ground) -> None:
    points = tuple(sorted(ground.collection.fetch([one.passage_id for one in PARTS]), key=lambda one: one.passage_id))
    pool = Pool(TWENTY, GRADES, points)
    scores = pool.scores(ground.memory.encode_queries(list(TWENTY.values())), np.stack([one.dense for one in points]))
    pd.testing.assert_series_equal(scores, ground.dense)


def test_another_model_is_compared_with_its_price(ground: Ground, shallow: Path) -> None:
    settings = DiagnosisSettings(candidate_passages=200, candidates=("mine",))
    pool = neutral_pool(ground.rankings, ground.collection, TABLE, settings)
    (lever,) = candidate_levers(pool, ground.memory, ground.yardstick, 1000, settings, lambda name: str(shallow))
    assert (lever.name, lever.kind, lever.reembeds) == ("model:mine", "measured", 1000)
    assert lever.gain < 0
    assert lever.ci95[0] <= lever.gain <= lever.ci95[1]
    assert lever.seconds > 0
    assert (lever.facts["dimensions"], lever.facts["tokens"]) == ("384", "256")
    assert 40 < float(lever.facts["megabytes"]) < 91
    assert set(lever.facts) == {"dimensions", "tokens", "megabytes", "languages", "milliseconds a query"}


def test_model_that_is_not_there_is_named(ground: Ground) -> None:
    settings = DiagnosisSettings(candidate_passages=100, candidates=("nowhere",))
    pool = neutral_pool(ground.rankings, ground.collection, TABLE, settings)
    with pytest.raises(ModelError, match="nowhere"):
        candidate_levers(pool, ground.memory, ground.yardstick, 40, settings, str)


class _Knowing:
    """A reranker that knows what is right."""

    fingerprint = "knowing"

    def __init__(self) -> None:
        self.read = 0

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.read += len(pairs)
        title_of = {embedded_text(one.title, one.text): one.passage_id for one in PARTS}
        query_of = {text: key for key, text in TWENTY.items()}
        return np.array([GRADES[query_of[query]].get(title_of[text], 0) for query, text in pairs], dtype=np.float32)


def test_reranker_is_measured_on_a_few_queries(ground: Ground) -> None:
    reranker, run = _Knowing(), ground.rankings.run("dense")
    lever = measured_reranking(ground.rankings, run, ground.collection, reranker, ground.yardstick, queries=8, seed=0)
    assert reranker.read == 8 * 20
    assert lever.kind == "measured"
    assert lever.reaches == pytest.approx(1.0)
    assert lever.comparison is not None
    assert lever.comparison.wins + lever.comparison.ties == 8
    assert lever.gain > 0
