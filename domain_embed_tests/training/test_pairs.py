"""Pairs and batches: every pair is learned once an epoch, and no answer is ever pushed away."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.tables import HARD_NEGATIVES, SPLITS
from domain_embed.training.pairs import Batch, TrainingPairs, epoch_batches, training_pairs
from domain_embed_tests.encoding.fakes import MemoryTable
from domain_embed_tests.scenario import Passage, passages_table


def splits(*rows: tuple[str, str, str]) -> pa.Table:
    """(query id, passage id, split); the query's text is its id in capitals."""
    constant = {"grade": 1, "source": "s", "confidence": 1.0, "created_at": None}
    names = ("query_id", "passage_id", "split")
    dicts = [{**constant, "query": row[0].upper(), **dict(zip(names, row, strict=True))} for row in rows]
    return pa.Table.from_pylist(dicts, schema=SPLITS)


def mined(*rows: tuple[str, str]) -> pa.Table:
    constant = {"score": 0.5, "positive_score": 0.9, "rank": 1, "miner": "m"}
    dicts = [{**constant, "query_id": query_id, "passage_id": passage_id} for query_id, passage_id in rows]
    return pa.Table.from_pylist(dicts, schema=HARD_NEGATIVES)


def passages(**texts: str) -> MemoryTable:
    return MemoryTable(passages_table([Passage(key, "Title", text, "t", 1) for key, text in texts.items()]))


TABLE = passages(p1="one", p2="two", p3="three", p4="four", copy="one", unused="unused")


# --- pairs ----------------------------------------------------------------------------------------------


def test_pairs_of_the_train_split_with_their_texts() -> None:
    train = [("b", "p2", "train"), ("a", "p1", "train"), ("a", "p3", "train")]
    table = splits(*train, ("c", "p4", "test"), ("d", "p4", "validation"))
    pairs = training_pairs(table, mined(("a", "p2"), ("b", "p1"), ("c", "p1")), TABLE)
    assert pairs.queries == ["A", "B"]
    assert pairs.passages == ["Title one", "Title two", "Title three"]
    assert pairs.pairs.tolist() == [[0, 0], [0, 2], [1, 1]]
    assert pairs.positives == [{0, 2}, {1}]
    assert pairs.negatives == [[1], [0]]


def test_equal_texts_are_one_passage_and_no_negative_of_its_query() -> None:
    table = splits(("a", "p1", "train"), ("a", "copy", "train"), ("b", "p2", "train"))
    pairs = training_pairs(table, mined(("a", "copy"), ("a", "p3"), ("b", "copy")), TABLE)
    assert pairs.passages == ["Title one", "Title two", "Title three"]
    assert pairs.pairs.tolist() == [[0, 0], [1, 1]]
    assert pairs.negatives == [[2], [0]]


def test_the_order_of_judgments_decides_nothing() -> None:
    rows = [("b", "p2", "train"), ("a", "p1", "train"), ("a", "p3", "train")]
    one, other = (training_pairs(splits(*order), mined(), TABLE) for order in (rows, rows[::-1]))
    assert one.queries == other.queries
    assert one.pairs.tolist() == other.pairs.tolist()


@pytest.mark.parametrize("rows", [[("a", "p1", "train")], [("a", "p1", "train"), ("b", "copy", "train")]])
def test_one_positive_alone_cannot_be_told_apart(rows: Sequence[tuple[str, str, str]]) -> None:
    with pytest.raises(TrainingError, match=r"[12] training pairs with one positive: nothing to tell apart"):
        training_pairs(splits(*rows), mined(), TABLE)


# --- batches --------------------------------------------------------------------------------------------


@st.composite
def any_pairs(draw: st.DrawFn) -> TrainingPairs:
    n_queries, n_passages = draw(st.integers(1, 8)), draw(st.integers(2, 9))
    indices = st.integers(0, n_passages - 1)
    positives = [draw(st.frozensets(indices, min_size=1, max_size=4)) for _ in range(n_queries)]
    negatives = [sorted(draw(st.frozensets(indices, max_size=5)) - known) for known in positives]
    rows = sorted((query, passage) for query, known in enumerate(positives) for passage in known)
    queries = [f"q{n}" for n in range(n_queries)]
    return TrainingPairs(queries, [f"p{n}" for n in range(n_passages)], np.array(rows), positives, negatives)


def pairs_in(batches: Sequence[Batch]) -> list[tuple[int, int]]:
    return [
        (int(query), int(batch.passages[target]))
        for batch in batches
        for query, target in zip(batch.queries, batch.targets, strict=True)
    ]


def as_lists(batches: Sequence[Batch]) -> list[list[object]]:
    return [[b.queries.tolist(), b.passages.tolist(), b.targets.tolist(), b.masked.tolist()] for b in batches]


@given(
    data=any_pairs(), size=st.integers(2, 6), hard=st.integers(0, 3), seed=st.integers(0, 9), epoch=st.integers(0, 3)
)
def test_every_pair_once_but_for_those_that_cannot_share_a_batch(
    data: TrainingPairs, size: int, hard: int, seed: int, epoch: int
) -> None:
    batches = epoch_batches(data, size, hard, seed, epoch)
    seen = pairs_in(batches)
    assert len(seen) == len(set(seen))
    left_out = {(int(query), int(passage)) for query, passage in data.pairs} - set(seen)
    for one, other in combinations(left_out, 2):
        assert one[0] == other[0] or one[1] == other[1]
    for query, passage in left_out:
        for batch in batches:
            answers = batch.passages[batch.targets]
            assert query in batch.queries or passage in answers or len(batch.queries) > size


@given(
    data=any_pairs(), size=st.integers(2, 6), hard=st.integers(0, 3), seed=st.integers(0, 9), epoch=st.integers(0, 3)
)
def test_batches_hold_distinct_queries_and_passages_and_mask_exactly_the_other_positives(
    data: TrainingPairs, size: int, hard: int, seed: int, epoch: int
) -> None:
    for batch in epoch_batches(data, size, hard, seed, epoch):
        n = len(batch.queries)
        assert 2 <= n <= size + 1
        assert len(set(batch.queries.tolist())) == n
        assert len(set(batch.passages.tolist())) == len(batch.passages) <= n * (1 + hard)
        assert batch.targets.tolist() == list(range(n))
        drawn = set().union(*(data.negatives[query] for query in batch.queries))
        assert set(batch.passages[n:].tolist()) <= drawn
        for row, query in enumerate(batch.queries):
            assert batch.passages[batch.targets[row]] in data.positives[query]
            for column, passage in enumerate(batch.passages.tolist()):
                assert batch.masked[row, column] == (passage in data.positives[query] and column != batch.targets[row])
                assert not batch.mined[row, column] or passage in data.negatives[query]
        assert (batch.mined.sum(axis=1) == [min(hard, len(data.negatives[query])) for query in batch.queries]).all()


def distinct(n: int, negatives: int = 0) -> TrainingPairs:
    """n queries, each with a positive and hard negatives of its own."""
    own = [list(range(n + query * negatives, n + (query + 1) * negatives)) for query in range(n)]
    texts = [f"p{number}" for number in range(n * (1 + negatives))]
    positives = [frozenset({query}) for query in range(n)]
    return TrainingPairs([f"q{q}" for q in range(n)], texts, np.array([(q, q) for q in range(n)]), positives, own)


@pytest.mark.parametrize(("n", "sizes"), [(8, [4, 4]), (10, [4, 4, 2]), (9, [4, 5]), (3, [3]), (1, [])])
def test_batches_are_full_and_a_single_leftover_joins_the_last(n: int, sizes: list[int]) -> None:
    assert [len(batch.queries) for batch in epoch_batches(distinct(n), 4, 0, 0, 0)] == sizes


def test_seed_and_epoch_decide_order_and_negatives() -> None:
    data = distinct(40, negatives=5)
    reference = as_lists(epoch_batches(data, 8, 1, seed=0, epoch=0))
    assert as_lists(epoch_batches(data, 8, 1, seed=0, epoch=0)) == reference
    assert as_lists(epoch_batches(data, 8, 1, seed=1, epoch=0)) != reference
    assert as_lists(epoch_batches(data, 8, 1, seed=0, epoch=1)) != reference


@pytest.mark.parametrize("hard", [0, 1, 3, 9])
def test_each_query_draws_so_many_negatives_of_its_own(hard: int) -> None:
    data = distinct(4, negatives=5)
    [batch] = epoch_batches(data, 4, hard, 0, 0)
    for query in batch.queries:
        assert len(set(batch.passages.tolist()) & set(data.negatives[query])) == min(hard, 5)


def test_adjacent_questions_of_one_passage_never_meet() -> None:
    """The mistake named in STYLE.md: a passage that is its own negative."""
    pairs = np.array([(query, query // 10) for query in range(40)])
    positives = [frozenset({query // 10}) for query in range(40)]
    data = TrainingPairs([str(q) for q in range(40)], list("abcd"), pairs, positives, [[] for _ in range(40)])
    batches = epoch_batches(data, 16, 0, 0, 0)
    assert max(len(batch.queries) for batch in batches) == 4
    assert not any(batch.masked.any() for batch in batches)


def test_one_text_under_two_ids_is_one_query_with_all_its_positives() -> None:
    table = splits(("a", "p1", "train"), ("A", "p2", "train"), ("b", "p3", "train"))
    pairs = training_pairs(table, mined(("a", "p2"), ("A", "p4")), TABLE)
    assert pairs.queries == ["A", "B"]
    assert pairs.positives == [{0, 1}, {2}]
    assert pairs.negatives == [[3], []]
