"""Validation: the figure that chooses the epoch, on vectors made by hand."""

from math import log2

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.records import CollectionInfo, Point, Qrels, Run, SparseVector
from domain_embed.contracts.tables import SPLITS
from domain_embed.stores.qdrant import QdrantStore
from domain_embed.training import validation
from domain_embed.training.validation import ValidationSet, validate, validation_set
from domain_embed_tests.encoding.fakes import FakeEncoder
from domain_embed_tests.training.scenario import ndcg_by_query

X, Y, DIAGONAL = (1.0, 0.0), (0.0, 1.0), (0.6, 0.8)
SET = ValidationSet(
    query_ids=["q1", "q2"],
    queries=["x", "y"],
    passage_ids=["c", "a", "b"],
    passages=["text c", "text a", "text b"],
    content_hashes=["hash c", "hash a", "hash b"],
    qrels={"q1": {"a": 1}, "q2": {"c": 1, "b": 1}},
    base_scores={"q1": 0.5, "q2": 0.5},
)


def encoder(passages: dict[str, tuple[float, float]]) -> FakeEncoder:
    return FakeEncoder(dimensions=2, vectors={"x": X, "y": Y, **passages})


def scores(data: ValidationSet, encoder: FakeEncoder, ndcg: validation.Measure) -> "pd.Series[float]":
    return validate(data, encoder.encode_queries(data.queries), encoder.encode_documents(data.passages), ndcg)


def run_of(passages: dict[str, tuple[float, float]]) -> Run:
    seen: list[Run] = []

    def keep(run: Run, qrels: Qrels) -> "pd.Series[float]":
        assert qrels == SET.qrels
        seen.append(run)
        return pd.Series({"q1": 0.25, "q2": 0.75})

    assert scores(SET, encoder(passages), keep).to_dict() == {"q1": 0.25, "q2": 0.75}
    return seen[0]


def test_passages_are_ranked_by_cosine() -> None:
    run = run_of({"text a": X, "text b": DIAGONAL, "text c": Y})
    assert run == {"q1": ["a", "b", "c"], "q2": ["c", "b", "a"]}


def test_ties_stand_in_order_of_passage_id() -> None:
    assert run_of({"text a": X, "text b": X, "text c": X})["q1"] == ["a", "b", "c"]


def test_the_figure_by_hand() -> None:
    # q1: a first. q2: c first, a second, b third.
    passages = {"text a": (0.8, 0.6), "text b": (0.0, -1.0), "text c": Y}
    expected = {"q1": 1.0, "q2": (1 + 1 / log2(4)) / (1 + 1 / log2(3))}
    assert scores(SET, encoder(passages), ndcg_by_query).to_dict() == pytest.approx(expected)


def test_a_model_that_gives_no_numbers_is_an_error() -> None:
    with pytest.raises(TrainingError, match="not numbers"):
        scores(SET, encoder({"text a": X, "text b": Y, "text c": (float("nan"), 0.0)}), ndcg_by_query)


def test_no_more_than_ten_are_ranked_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    many = ValidationSet(
        [f"q{n}" for n in range(5)], [f"q{n}" for n in range(5)], [f"p{n:02}" for n in range(30)],
        [f"p{n:02}" for n in range(30)], [f"h{n}" for n in range(30)], {f"q{n}": {"p00": 1} for n in range(5)}, {},
    )  # fmt: skip
    runs: list[Run] = []

    def keep(run: Run, _: Qrels) -> "pd.Series[float]":
        runs.append(run)
        return pd.Series(dtype=float)

    for block in (512, 2):
        monkeypatch.setattr(validation, "BATCH_QUERIES", block)
        scores(many, FakeEncoder(), keep)
    assert runs[0] == runs[1]
    assert {len(ranking) for ranking in runs[0].values()} == {10}


def test_the_pool_is_every_positive_and_every_near_passage_of_validation_queries() -> None:
    angles = {"near 1": 0.1, "near 2": 0.2, "other": 1.0, "positive": 2.0, "far": 3.0}
    nothing = SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))
    points = [
        Point(key, key, "Title", key, {}, key, np.array([np.cos(angle), np.sin(angle)], np.float32), nothing)
        for key, angle in angles.items()
    ]
    store = QdrantStore.in_memory()
    store.build(CollectionInfo("c", "f" * 16, "base", 2, "v1", 5, "english", {}, "2026"), [points])
    rows = [("v", "positive", 2, "validation"), ("v", "near 2", 1, "validation"), ("t", "far", 1, "test")]
    table = pa.Table.from_pylist(
        [
            {"query_id": i, "query": "ask", "passage_id": p, "grade": g, "source": "s", "confidence": 1.0, "split": s}
            for i, p, g, s in rows
        ],
        schema=SPLITS,
    )
    made = validation_set(table, store.open("c"), FakeEncoder(dimensions=2, vectors={"ask": X}), 2, ndcg_by_query)
    assert sorted(made.passage_ids) == ["near 1", "near 2", "positive"]
    assert made.content_hashes == made.passage_ids
    assert sorted(made.passages) == ["Title near 1", "Title near 2", "Title positive"]
    assert (made.query_ids, made.queries) == (["v"], ["ask"])
    assert made.qrels == {"v": {"positive": 2, "near 2": 1}}
    ranked = 1 / log2(3) + 2 / log2(4)
    assert made.base_ndcg == pytest.approx(ranked / (2 + 1 / log2(3)))
