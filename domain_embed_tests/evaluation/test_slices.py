"""Which groups the test queries fall into, and what a change did to each."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from domain_embed.contracts.tables import PASSAGES, SPLITS
from domain_embed.evaluation.slices import FILTERED, LENGTH, OVERLAP, SEEN, SOURCE, label_queries, slice_effects
from domain_embed.stores.tables import TableStore


def _passage(passage_id: str, text: str, **metadata: Any) -> dict[str, Any]:
    return {
        "passage_id": passage_id, "doc_id": passage_id[:2], "title": "", "text": text, "metadata": json.dumps(metadata),
        "content_hash": passage_id, "heading": "", "start": 0, "end": len(text),
    }  # fmt: skip


def _judgment(query_id: str, query: str, passage_id: str, split: str = "test", grade: int = 1) -> dict[str, Any]:
    return {
        "query_id": query_id, "query": query, "passage_id": passage_id, "doc_id": passage_id[:2], "grade": grade,
        "source": "log" if query_id < "q3" else "tickets", "confidence": 1.0, "created_at": None, "split": split,
        "train_only": False,
    }  # fmt: skip


PASSAGE_ROWS = [
    _passage("d1-a", "How to renew a certificate", lang="en", product="api", id=1, live=True, tags=["x"]),
    _passage("d1-b", "Another part", lang="en", product="api", id=2, live=False),
    _passage("d2-a", "Wie man ein Zertifikat erneuert", lang="de", id=3, live=True),
]
JUDGMENT_ROWS = [
    _judgment("q1", "renew certificate", "d1-a"),
    _judgment("q2", "what must be done about the other part of it all", "d1-b"),
    _judgment("q2", "what must be done about the other part of it all", "d2-a", grade=2),
    _judgment("q3", "ein Zertifikat bitte erneuert zurück", "d2-a"),
    _judgment("t1", "trained on this", "d1-b", split="train"),
    _judgment("v1", "chosen by this", "d2-a", split="validation"),
]


@pytest.fixture
def labels(tmp_path: Path) -> pd.DataFrame:
    passages = TableStore(tmp_path).write_table("passages", pa.Table.from_pylist(PASSAGE_ROWS, schema=PASSAGES))
    return label_queries(pa.Table.from_pylist(JUDGMENT_ROWS, schema=SPLITS), passages)


def test_test_queries_are_described_by_their_best_positive(labels: pd.DataFrame) -> None:
    assert labels.index.tolist() == ["q1", "q2", "q3"]
    assert labels[LENGTH].tolist() == ["1 to 3 words", "8 to 15 words", "4 to 7 words"]
    assert labels[OVERLAP].tolist() == ["more than two thirds", "up to a third", "up to two thirds"]
    assert labels[SEEN].tolist() == ["seen in training", "not seen in training", "not seen in training"]
    assert labels[SOURCE].tolist() == ["log", "log", "tickets"]


def test_metadata_that_divides_the_queries_is_a_dimension(labels: pd.DataFrame) -> None:
    """`live` is true of both positives, `product` known of one, and lists make no groups."""
    assert labels["lang"].tolist() == ["en", "de", "de"]
    assert labels["id"].tolist() == ["1", "3", "3"]
    assert "live" not in labels
    assert "product" not in labels
    assert "tags" not in labels


def test_metadata_with_many_values_makes_no_slices(tmp_path: Path) -> None:
    passages = [_passage(f"d{n:02}", "text", serial=n, kind="ab"[n % 2]) for n in range(30)]
    table = TableStore(tmp_path).write_table("passages", pa.Table.from_pylist(passages, schema=PASSAGES))
    rows = [_judgment(f"q{n}", "text", f"d{n:02}") for n in range(30)]
    labels = label_queries(pa.Table.from_pylist(rows, schema=SPLITS), table)
    assert set(labels.columns) == {LENGTH, OVERLAP, SEEN, SOURCE, FILTERED, "kind"}


def test_queries_with_a_filter_are_a_slice(tmp_path: Path) -> None:
    table = TableStore(tmp_path).write_table("passages", pa.Table.from_pylist(PASSAGE_ROWS, schema=PASSAGES))
    rows = [_judgment("q1", "text", "d1-a") | {"filters": '{"lang":"en"}'}, _judgment("q2", "text", "d2-a")]
    labels = label_queries(pa.Table.from_pylist(rows, schema=SPLITS), table)
    assert labels[FILTERED].to_dict() == {"q1": "with a filter", "q2": "without a filter"}


def _scores(values: "np.ndarray[Any, Any]") -> "pd.Series[float]":
    return pd.Series(values, index=[f"q{n:02}" for n in range(len(values))])


def test_effect_of_a_slice_by_hand() -> None:
    before = _scores(np.array([0.5] * 24))
    after = before + np.array([0.25] * 12 + [-0.125] * 12)
    labels = pd.DataFrame({"lang": ["en"] * 12 + ["de"] * 12}, index=before.index)
    worst, best = slice_effects(labels, after, before, resamples=1000, seed=0)
    assert (worst.dimension, worst.value, worst.queries) == ("lang", "de", 12)
    assert (worst.before, worst.after, worst.delta, worst.ci95) == (0.5, 0.375, -0.125, (-0.125, -0.125))
    assert (best.value, best.delta) == ("en", 0.25)
    assert worst.p_adjusted == pytest.approx(2 * worst.p)


def test_small_groups_and_undivided_dimensions_are_not_listed() -> None:
    before = _scores(np.zeros(25))
    labels = pd.DataFrame({"team": ["a"] * 11 + ["b"] * 9 + [None] * 5, "source": ["log"] * 25}, index=before.index)
    effects = slice_effects(labels, before, before, resamples=100, seed=0)
    assert [(effect.dimension, effect.value, effect.queries, effect.p) for effect in effects] == [
        ("team", "a", 11, 1.0)
    ]


def test_one_harmed_group_is_found_among_many() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{n}" for n in range(10) for _ in range(40)]
    before = pd.Series(rng.random(400), index=[f"q{n:03}" for n in range(400)])
    after = before + rng.normal(0.05, 0.1, 400) - np.array([0.2 if group == "g7" else 0.0 for group in groups])
    effects = slice_effects(pd.DataFrame({"group": groups}, index=before.index), after, before, resamples=2000, seed=0)
    assert [effect.value for effect in effects if effect.delta < 0 and effect.p_adjusted < 0.05] == ["g7"]
    assert effects[0].value == "g7"
