"""Splits: nothing that is learned can be asked, whatever the judgments look like."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import JUDGMENTS, SPLITS, normalized_query
from domain_embed.judgments.splits import Leakage, measure_leakage, split_judgments
from domain_embed.settings import SplitSettings
from domain_embed_tests import scenario

Pair = tuple[str, str]
"""Query text and passage id."""

HALVES = SplitSettings(validation=0.4, test=0.3)
GIVEN = SplitSettings(strategy="given", validation=0.2, test=0.2)
# Judgments of their own, so many that each split gets some.
FILLER = [(f"filler question {n}", f"filler-{n}") for n in range(60)]


def judgments(pairs: Iterable[Pair], splits: Sequence[str | None] | None = None) -> pa.Table:
    rows = [
        {
            "query_id": f"id of {query}", "query": query, "passage_id": passage_id, "grade": 1, "source": "s",
            "confidence": 1.0, "created_at": None, "split": None,
        }
        for query, passage_id in pairs
    ]  # fmt: skip
    if splits is not None:
        rows = [{**row, "split": split} for row, split in zip(rows, splits, strict=True)]
    return pa.Table.from_pylist(rows, schema=JUDGMENTS)


def split_of(splits: pa.Table) -> dict[Pair, str]:
    columns = (splits[name].to_pylist() for name in ("query", "passage_id", "split"))
    return {(query, passage_id): split for query, passage_id, split in zip(*columns, strict=True)}


def groups_of(pairs: Sequence[Pair]) -> list[set[Pair]]:
    """Connected judgments, found the slow way."""
    groups: list[set[Pair]] = []
    for pair in pairs:
        linked = [
            group
            for group in groups
            if any(
                normalized_query(pair[0]) == normalized_query(query) or pair[1] == passage for query, passage in group
            )
        ]
        groups = [group for group in groups if group not in linked] + [{pair}.union(*linked)]
    return groups


# --- by hash --------------------------------------------------------------------------------------------

STYLES = st.sampled_from(["question {}", "QUESTION {}", "Question  {}", " question\t{} "])
QUERIES = st.builds(str.format, STYLES, st.integers(0, 12))
PAIRS = st.lists(st.tuples(QUERIES, st.integers(0, 15).map(str)), min_size=1, max_size=25, unique=True)


@given(pairs=PAIRS)
def test_no_positive_and_no_query_text_is_in_two_splits(pairs: list[Pair]) -> None:
    splits = split_judgments(judgments(pairs + FILLER), HALVES)
    leakage = measure_leakage(splits)
    assert not leakage.shares_queries
    assert not leakage.shares_positives
    assert splits.schema == SPLITS
    assert splits.drop_columns("split") == judgments(pairs + FILLER).drop_columns("split")


@given(pairs=PAIRS)
def test_all_of_a_group_is_in_one_split_and_keeps_it_without_the_others(pairs: list[Pair]) -> None:
    found = split_of(split_judgments(judgments(pairs + FILLER), HALVES))
    alone = split_of(split_judgments(judgments(FILLER), HALVES))
    for group in groups_of(pairs):
        assert len({found[pair] for pair in group}) == 1
        again = split_of(split_judgments(judgments([*group, *FILLER]), HALVES))
        assert all(again[pair] == found[pair] for pair in group)
    assert all(found[pair] == split for pair, split in alone.items())


@given(pairs=PAIRS, seed=st.integers(0, 100))
def test_the_order_of_rows_decides_nothing(pairs: list[Pair], seed: int) -> None:
    shuffled = pairs + FILLER
    random.Random(seed).shuffle(shuffled)
    assert split_of(split_judgments(judgments(shuffled), HALVES)) == split_of(
        split_judgments(judgments(pairs + FILLER), HALVES)
    )


def test_shares_are_met_when_there_are_many_groups() -> None:
    pairs = [(f"question {n}", f"passage {n}") for n in range(5000)]
    counts: dict[str, int] = defaultdict(int)
    for split in split_of(split_judgments(judgments(pairs), SplitSettings(validation=0.1, test=0.2))).values():
        counts[split] += 1
    assert counts["test"] / 5000 == pytest.approx(0.2, abs=0.02)
    assert counts["validation"] / 5000 == pytest.approx(0.1, abs=0.02)


def test_a_larger_test_share_takes_from_the_others_and_gives_nothing_back() -> None:
    small = split_of(split_judgments(judgments(FILLER), SplitSettings(validation=0.2, test=0.2)))
    large = split_of(split_judgments(judgments(FILLER), SplitSettings(validation=0.2, test=0.4)))
    assert all(large[pair] == "test" for pair, split in small.items() if split == "test")


def test_the_splits_of_the_scenario_are_pinned() -> None:
    """Every later test on the scenario counts on them; another hash would silently reshuffle every domain."""
    pairs = [(query.text, passage_id) for query, passage_id, _ in scenario.PAIRS]
    found = split_of(split_judgments(judgments(pairs), scenario.SETTINGS.splits))
    queries = {name: {query for (query, _), split in found.items() if split == name} for name in set(found.values())}
    assert {name: len(texts) for name, texts in queries.items()} == {"train": 36, "validation": 10, "test": 14}
    assert found["who do I wake up", "page-duty"] == found["swap my on-call week", "page-duty"]


def test_given_splits_are_ignored_when_the_hash_decides() -> None:
    with_splits = judgments(FILLER, ["test"] * len(FILLER))
    assert split_judgments(with_splits, HALVES) == split_judgments(judgments(FILLER), HALVES)


# --- as given -------------------------------------------------------------------------------------------


@given(choices=st.lists(st.sampled_from(["train", "validation", "test"]), min_size=3, max_size=20))
def test_given_splits_are_kept_exactly(choices: list[str]) -> None:
    assume({"train", "validation", "test"} <= set(choices))
    table = judgments(((f"q{n % 5}", f"p{n % 7}") for n in range(len(choices))), choices)
    assert split_judgments(table, GIVEN) == table.cast(SPLITS)


def test_a_missing_validation_split_is_taken_out_of_train() -> None:
    pairs = [(f"question {n}", f"passage {n}") for n in range(2000)]
    given_splits = ["test" if n % 4 == 0 else "train" for n in range(2000)]
    found = split_judgments(judgments(pairs, given_splits), GIVEN)["split"].to_pylist()
    assert [split == "test" for split in found] == [split == "test" for split in given_splits]
    carved = found.count("validation")
    assert carved / (carved + found.count("train")) == pytest.approx(0.2 / (1 - 0.2), abs=0.03)


def test_a_carved_validation_split_shares_nothing_with_train() -> None:
    plain = [(f"question {n}", f"p{n // 2}") for n in range(60)]
    shouted = [(f"QUESTION  {n}", f"p{n // 2 + 100}") for n in range(60)]
    given_splits = ["train"] * 120 + ["test"] * len(FILLER)
    splits = split_judgments(judgments([*plain, *shouted, *FILLER], given_splits), GIVEN)
    leakage = measure_leakage(splits)
    assert splits["split"].to_pylist().count("validation") > 0
    assert (leakage.queries["train & validation"], leakage.positives["train & validation"]) == (0, 0)


def test_judgments_without_a_given_split_are_named() -> None:
    table = judgments([("a", "1"), ("b", "2"), ("c", "3")], ["train", None, "test"])
    with pytest.raises(InputError, match="`given`, but these queries have no split: id of b\n"):
        split_judgments(table, GIVEN)


# --- empty splits and leakage ---------------------------------------------------------------------------


def test_an_empty_split_is_an_error_that_counts() -> None:
    with pytest.raises(InputError) as caught:
        split_judgments(judgments([("a", "1")] * 1, ["train"]), GIVEN)
    assert "no judgment is in the" in str(caught.value)
    assert "test" in str(caught.value).partition(" split ")[0]
    assert "add judgments of that split, or set splits.strategy to `hash`" in str(caught.value)


def test_one_group_cannot_be_split() -> None:
    one_group = [(f"question {n}", "the only passage") for n in range(50)]
    with pytest.raises(InputError, match=r"no judgment is in the .* and .* split \(\{"):
        split_judgments(judgments(one_group), HALVES)


def test_leakage_by_hand() -> None:
    rows = [
        ("Make tea", "1", "train"), ("make coffee", "2", "train"), ("boil an egg", "3", "train"),
        ("make  TEA", "4", "test"), ("poach an egg", "3", "test"), ("fry an egg", "2", "test"),
        ("boil an EGG", "5", "validation"), ("scramble", "2", "validation"),
    ]  # fmt: skip
    table = judgments(((query, passage_id) for query, passage_id, _ in rows), [split for _, _, split in rows])
    assert measure_leakage(table) == Leakage(
        queries={"train & test": 1, "train & validation": 1, "validation & test": 0},
        positives={"train & test": 2, "train & validation": 1, "validation & test": 1},
    )


@pytest.mark.parametrize(
    ("leakage", "queries", "positives"),
    [
        (Leakage({"train & test": 0}, {"train & test": 0}), False, False),
        (Leakage({"train & test": 0, "validation & test": 2}, {"train & test": 0}), True, False),
        (Leakage({"train & test": 0}, {"train & test": 1}), False, True),
    ],
)
def test_leakage_is_named_by_what_is_shared(leakage: Leakage, queries: bool, positives: bool) -> None:
    assert (leakage.shares_queries, leakage.shares_positives) == (queries, positives)
