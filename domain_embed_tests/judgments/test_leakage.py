"""Leakage: what splits share is counted from the table alone."""

import pyarrow as pa
import pytest

from domain_embed.contracts.tables import SPLITS
from domain_embed.judgments.leakage import Leakage, measure_leakage

NOTHING = {"train & test": 0, "train & validation": 0, "validation & test": 0}


def splits(*rows: tuple[str, str, str]) -> pa.Table:
    """(query, passage id, split); a passage "d/p" is of document d."""
    return pa.Table.from_pylist(
        [
            {
                "query_id": query, "query": query, "passage_id": passage_id, "doc_id": passage_id.partition("/")[0],
                "grade": 1, "source": "s", "confidence": 1.0, "created_at": None, "split": split, "train_only": False,
            }
            for query, passage_id, split in rows
        ],
        schema=SPLITS,
    )  # fmt: skip


def test_leakage_by_hand() -> None:
    table = splits(
        ("Make tea", "1", "train"), ("make coffee", "2", "train"), ("boil an egg", "3", "train"),
        ("make  TEA", "4", "test"), ("poach an egg", "3", "test"), ("fry an egg", "2", "test"),
        ("boil an EGG", "5", "validation"), ("scramble", "2", "validation"),
    )  # fmt: skip
    shared = {"train & test": 2, "train & validation": 1, "validation & test": 1}
    assert measure_leakage(table) == Leakage(
        queries={"train & test": 1, "train & validation": 1, "validation & test": 0},
        positives=shared, near_queries=NOTHING, documents=shared,
    )  # fmt: skip


def test_the_same_question_in_other_punctuation_is_a_near_duplicate() -> None:
    table = splits(
        ("how to make tea", "a/1", "train"), ("How to make tea?", "b/1", "test"), ("coffee", "c", "validation")
    )
    assert measure_leakage(table) == Leakage(NOTHING, NOTHING, {**NOTHING, "train & test": 1}, NOTHING)
    assert measure_leakage(table, near_duplicates=None).near_queries == {}


def test_documents_are_shared_where_passages_are_not() -> None:
    leakage = measure_leakage(splits(("one", "a/1", "train"), ("two", "a/2", "test"), ("three", "b/1", "validation")))
    assert leakage == Leakage(NOTHING, NOTHING, NOTHING, {**NOTHING, "train & test": 1})


@pytest.mark.parametrize(
    ("leakage", "shares"),
    [
        (Leakage({"train & test": 0}, {"train & test": 0}), (False, False, False)),
        (Leakage({"train & test": 0, "validation & test": 2}, {"train & test": 0}), (True, False, False)),
        (Leakage({"train & test": 0}, {"train & test": 1}), (False, True, False)),
        (Leakage({"train & test": 0}, {"train & test": 0}, {"train & test": 1}), (False, False, True)),
    ],
)
def test_leakage_is_named_by_what_is_shared(leakage: Leakage, shares: tuple[bool, bool, bool]) -> None:
    assert (leakage.shares_queries, leakage.shares_positives, leakage.shares_near_queries) == shares
