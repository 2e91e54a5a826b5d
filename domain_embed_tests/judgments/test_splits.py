"""Splits: nothing that is learned can be asked, whatever the judgments look like, and what is held out stays so."""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import JUDGMENTS, SPLIT_NAMES, SPLITS, normalized_query
from domain_embed.judgments.leakage import measure_leakage
from domain_embed.judgments.splits import SplitResult, split_judgments
from domain_embed.settings import SplitSettings
from domain_embed_tests import scenario

Pair = tuple[str, str]
"""Query text and passage id. A passage "d/p" is of document d."""

HALVES = SplitSettings(validation=0.4, test=0.3)
GIVEN = SplitSettings(strategy="given", validation=0.2, test=0.2)
BY_TIME = SplitSettings(strategy="time", validation_from=date(2025, 1, 1), test_from=date(2025, 2, 1))
# Judgments of their own, so many that each split gets some.
FILLER = [(f"filler {hashlib.sha256(bytes([n])).hexdigest()[:12]}", f"filler-{n}") for n in range(60)]


def judgments(
    pairs: Iterable[Pair], splits: Sequence[str | None] | None = None, *,
    created_at: Sequence[str | None] | None = None, train_only: bool = False,
) -> pa.Table:  # fmt: skip
    rows = [
        {
            "query_id": f"id of {query}", "query": query, "passage_id": passage_id,
            "doc_id": passage_id.partition("/")[0], "grade": 1, "source": "s", "confidence": 1.0,
            "created_at": created_at[number] if created_at else None, "split": splits[number] if splits else None,
            "train_only": train_only,
        }
        for number, (query, passage_id) in enumerate(pairs)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=JUDGMENTS)


def parted(table: pa.Table, settings: SplitSettings, kept: pa.Table | None = None) -> pa.Table:
    return split_judgments(table, settings, kept).table


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
    splits = parted(judgments(pairs + FILLER), HALVES)
    leakage = measure_leakage(splits)
    assert not leakage.shares_queries
    assert not leakage.shares_positives
    assert splits.schema == SPLITS
    assert splits.drop_columns("split") == judgments(pairs + FILLER).drop_columns("split")


@given(pairs=PAIRS)
def test_all_of_a_group_is_in_one_split_and_keeps_it_without_the_others(pairs: list[Pair]) -> None:
    found = split_of(parted(judgments(pairs + FILLER), HALVES))
    alone = split_of(parted(judgments(FILLER), HALVES))
    for group in groups_of(pairs):
        assert len({found[pair] for pair in group}) == 1
        again = split_of(parted(judgments([*group, *FILLER]), HALVES))
        assert all(again[pair] == found[pair] for pair in group)
    assert all(found[pair] == split for pair, split in alone.items())


@given(pairs=PAIRS, seed=st.integers(0, 100))
def test_the_order_of_rows_decides_nothing(pairs: list[Pair], seed: int) -> None:
    shuffled = pairs + FILLER
    random.Random(seed).shuffle(shuffled)
    assert split_of(parted(judgments(shuffled), HALVES)) == split_of(parted(judgments(pairs + FILLER), HALVES))


def test_shares_are_met_when_there_are_many_groups() -> None:
    pairs = [(f"question {n}", f"passage {n}") for n in range(5000)]
    counts: dict[str, int] = defaultdict(int)
    for split in split_of(parted(judgments(pairs), SplitSettings(validation=0.1, test=0.2))).values():
        counts[split] += 1
    assert counts["test"] / 5000 == pytest.approx(0.2, abs=0.02)
    assert counts["validation"] / 5000 == pytest.approx(0.1, abs=0.02)


def test_a_larger_test_share_takes_from_the_others_and_gives_nothing_back() -> None:
    small = split_of(parted(judgments(FILLER), SplitSettings(validation=0.2, test=0.2)))
    large = split_of(parted(judgments(FILLER), SplitSettings(validation=0.2, test=0.4)))
    assert all(large[pair] == "test" for pair, split in small.items() if split == "test")


def test_the_splits_of_the_scenario_are_pinned() -> None:
    """Every later test on the scenario counts on them; another hash would silently reshuffle every domain."""
    pairs = [(query.text, passage_id) for query, passage_id, _ in scenario.PAIRS]
    found = split_of(parted(judgments(pairs), scenario.SETTINGS.splits))
    queries = {name: {query for (query, _), split in found.items() if split == name} for name in set(found.values())}
    assert {name: len(texts) for name, texts in queries.items()} == {"train": 36, "validation": 10, "test": 14}
    assert found["who do I wake up", "page-duty"] == found["swap my on-call week", "page-duty"]


def test_given_splits_are_ignored_when_the_hash_decides() -> None:
    with_splits = judgments(FILLER, ["test"] * len(FILLER))
    assert parted(with_splits, HALVES) == parted(judgments(FILLER), HALVES)


# --- as given -------------------------------------------------------------------------------------------


@given(choices=st.lists(st.sampled_from(["train", "validation", "test"]), min_size=3, max_size=20))
def test_given_splits_are_kept_exactly(choices: list[str]) -> None:
    assume({"train", "validation", "test"} <= set(choices))
    table = judgments(((f"q{n % 5}", f"p{n % 7}") for n in range(len(choices))), choices)
    assert parted(table, GIVEN) == table.cast(SPLITS)


def test_a_missing_validation_split_is_taken_out_of_train() -> None:
    pairs = [(f"question {n}", f"passage {n}") for n in range(2000)]
    given_splits = ["test" if n % 4 == 0 else "train" for n in range(2000)]
    found = parted(judgments(pairs, given_splits), GIVEN)["split"].to_pylist()
    assert [split == "test" for split in found] == [split == "test" for split in given_splits]
    carved = found.count("validation")
    assert carved / (carved + found.count("train")) == pytest.approx(0.2 / (1 - 0.2), abs=0.03)


def test_a_carved_validation_split_shares_nothing_with_train() -> None:
    plain = [(f"question {n}", f"p{n // 2}") for n in range(60)]
    shouted = [(f"QUESTION  {n}", f"p{n // 2 + 100}") for n in range(60)]
    given_splits = ["train"] * 120 + ["test"] * len(FILLER)
    splits = parted(judgments([*plain, *shouted, *FILLER], given_splits), GIVEN)
    leakage = measure_leakage(splits)
    assert splits["split"].to_pylist().count("validation") > 0
    assert (leakage.queries["train & validation"], leakage.positives["train & validation"]) == (0, 0)


def test_a_judgment_without_a_given_split_trains_unless_its_query_is_held_out() -> None:
    long = "how do I open the lock of a bicycle that was returned too late"
    pairs = [("a", "1"), ("b", "2"), ("c", "3"), ("C ", "4"), ("d", "5"), (long, "6"), (f"{long}?", "7"), ("e", "3")]
    given_splits = ["train", None, "test", None, "validation", "test", None, None]
    found = parted(judgments(pairs, given_splits), GIVEN)["split"].to_pylist()
    assert found == ["train", "train", "test", "test", "validation", "test", "test", "train"]


def test_given_needs_a_split_somewhere() -> None:
    with pytest.raises(InputError, match="`given`, but no judgment has a split\n"):
        parted(judgments([("a", "1"), ("b", "2")], [None, None]), GIVEN)


def test_a_missing_test_split_is_taken_out_of_train_and_stays() -> None:
    pairs = [(f"question {n}", f"passage {n}") for n in range(2000)]
    given_splits = ["validation" if n % 4 == 0 else "train" for n in range(2000)]
    before = parted(judgments(pairs, given_splits), GIVEN)
    found = before["split"].to_pylist()
    assert [split == "validation" for split in found] == [split == "validation" for split in given_splits]
    assert found.count("test") / 1500 == pytest.approx(0.2, abs=0.03)

    smaller = GIVEN.model_copy(update={"test": 0.05})
    after = parted(judgments(pairs, given_splits), smaller, before)["split"].to_pylist()
    assert [split == "test" for split in after] == [split == "test" for split in found]


def test_validation_and_test_are_both_taken_out_of_train() -> None:
    pairs = [(f"question {n}", f"passage {n}") for n in range(2000)]
    found = parted(judgments(pairs, ["train"] * 2000), GIVEN)["split"].to_pylist()
    shares = [found.count(name) / 2000 for name in ("train", "validation", "test")]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.03)


# --- empty splits ------------------------------------------------------------------------------------------


def test_an_empty_split_is_an_error_that_counts() -> None:
    with pytest.raises(InputError) as caught:
        parted(judgments([("a", "1")] * 1, ["train"]), GIVEN)
    assert "no judgment is in the" in str(caught.value)
    assert "test" in str(caught.value).partition(" split ")[0]
    assert "add judgments of that split, or set splits.strategy to `hash`" in str(caught.value)


def test_one_group_cannot_be_split() -> None:
    one_group = [(f"question {n}", "the only passage") for n in range(50)]
    with pytest.raises(InputError, match=r"no judgment is in the .* and .* split \(\{"):
        parted(judgments(one_group), HALVES)


# --- what was split before ------------------------------------------------------------------------------


def grown(batches: Sequence[Sequence[Pair]], settings: SplitSettings) -> list[SplitResult]:
    """One split after another, each knowing the last, of ever more judgments."""
    results: list[SplitResult] = []
    pairs = list(FILLER)
    for batch in batches:
        pairs = list(dict.fromkeys([*pairs, *batch]))
        results.append(split_judgments(judgments(pairs), settings, results[-1].table if results else None))
    return results


@given(batches=st.lists(PAIRS, min_size=2, max_size=5))
def test_nothing_ever_becomes_less_held_out(batches: list[list[Pair]]) -> None:
    held: dict[str, int] = {}
    for result in grown(batches, HALVES):
        for (query, passage_id), name in split_of(result.table).items():
            for item in (normalized_query(query), f"passage {passage_id}"):
                assert SPLIT_NAMES.index(name) >= held.get(item, 0)
                held[item] = SPLIT_NAMES.index(name)


@given(batches=st.lists(PAIRS, min_size=2, max_size=4))
def test_what_moved_is_counted(batches: list[list[Pair]]) -> None:
    results = grown(batches, HALVES)
    for before, after in pairwise(results):
        was, now = split_of(before.table), split_of(after.table)
        moved = {(normalized_query(q), p) for (q, p), name in was.items() if now[q, p] != name}
        assert sum(after.moved.values()) == len(moved)
        assert {(normalized_query(q), p) for q, p, _ in after.moved_samples} <= moved


@given(pairs=PAIRS, gone=st.integers(0, 25))
def test_judgments_that_go_move_no_other(pairs: list[Pair], gone: int) -> None:
    before = parted(judgments(pairs + FILLER), HALVES)
    after = split_judgments(judgments(pairs[gone:] + FILLER), HALVES, before)
    was = split_of(before)
    assert all(was[pair] == name for pair, name in split_of(after.table).items())
    assert after.moved == {}


def test_a_training_query_that_gets_tied_to_a_test_query_moves_to_test_and_is_named() -> None:
    before = parted(judgments(FILLER), HALVES)
    found = split_of(before)
    asked, learned = (next(pair for pair in FILLER if found[pair] == name) for name in ("test", "train"))
    after = split_judgments(judgments([*FILLER, (learned[0], asked[1])]), HALVES, before)
    assert split_of(after.table)[learned] == split_of(after.table)[learned[0], asked[1]] == "test"
    assert after.moved == {"train → test": 1}
    assert after.moved_samples == ((*learned, "train → test"),)


def test_changed_shares_hold_for_new_groups_only() -> None:
    before = parted(judgments(FILLER), HALVES)
    after = split_judgments(judgments(FILLER), SplitSettings(validation=0.1, test=0.1), before)
    assert after.table == before
    assert after.moved == {}


# --- near-duplicates and documents ----------------------------------------------------------------------

ASKED = "how do I get a new certificate for the host {} of the second data centre, please?"
LOOSE = SplitSettings(validation=0.4, test=0.3, near_duplicates=0.7)


@given(hosts=st.lists(st.sampled_from(["a1", "a2", "b1", "mail", "MAIL"]), min_size=2, max_size=10))
def test_near_duplicates_are_in_one_split(hosts: list[str]) -> None:
    alike = [(ASKED.format(host), f"passage {n}") for n, host in enumerate(hosts)]
    splits = parted(judgments([*alike, *FILLER]), LOOSE)
    assert len({split_of(splits)[pair] for pair in alike}) == 1


def test_without_near_duplicates_only_equal_text_ties() -> None:
    alike = [(ASKED.format(f"h{n}"), f"passage {n}") for n in range(60)]
    off = SplitSettings(validation=0.4, test=0.3, near_duplicates=None)
    assert set(split_of(parted(judgments(alike), off)).values()) == set(SPLIT_NAMES)
    with pytest.raises(InputError, match="no judgment is in the"):
        parted(judgments(alike), LOOSE)


def test_documents_stay_together_when_asked_to() -> None:
    pairs = [(f"question {n}", f"doc-{n // 4}/part-{n % 4}") for n in range(200)]
    together = parted(judgments(pairs), HALVES.model_copy(update={"by_document": True}))
    assert not any(measure_leakage(together).documents.values())
    apart = parted(judgments(pairs), HALVES)
    assert any(measure_leakage(apart).documents.values())


# --- made-up queries ------------------------------------------------------------------------------------


def test_made_up_queries_are_in_train_or_nowhere() -> None:
    real = parted(judgments(FILLER), HALVES)
    invented = [(f"made up {n}", passage_id) for n, (_, passage_id) in enumerate(FILLER)]
    invented += [(FILLER[n][0].upper(), f"other-{n}") for n in range(60)] + [("free", "nobody's")]
    both = pa.concat_tables([judgments(FILLER), judgments(invented, train_only=True)])
    result = split_judgments(both, HALVES)
    found = split_of(result.table)
    assert {pair: found[pair] for pair in FILLER} == split_of(real)
    kept = {pair for pair in invented if pair in found}
    assert kept == {("free", "nobody's")} | {
        pair for n, filler in enumerate(FILLER) if found[filler] == "train" for pair in (invented[n], invented[60 + n])
    }
    assert {found[pair] for pair in kept} == {"train"}
    assert result.dropped_train_only == len(invented) - len(kept)


def test_made_up_queries_tie_no_others_together() -> None:
    bridge = [("bridge", passage_id) for _, passage_id in FILLER]
    both = pa.concat_tables([judgments(bridge, train_only=True), judgments(FILLER)])
    found = split_of(parted(both, HALVES))
    assert {pair: name for pair, name in found.items() if pair in FILLER} == split_of(parted(judgments(FILLER), HALVES))


def test_a_made_up_query_does_not_keep_its_passage_in_train() -> None:
    held_out = next(pair for pair, name in split_of(parted(judgments(FILLER), HALVES)).items() if name == "test")
    rest = [pair for pair in FILLER if pair != held_out]
    invented = judgments([("made up", held_out[1])], train_only=True)
    before = parted(pa.concat_tables([judgments(rest), invented]), HALVES)
    after = split_judgments(pa.concat_tables([judgments(FILLER), invented]), HALVES, before)
    assert split_of(after.table)[held_out] == "test"
    assert after.dropped_train_only == 1


# --- by time --------------------------------------------------------------------------------------------


def test_a_group_goes_by_its_newest_judgment() -> None:
    pairs = [("old", "1"), ("middle", "2"), ("new", "3"), ("tied", "1"), ("border", "4"), ("late evening", "5")]
    days = ["2024-12-31", "2025-01-01", "2025-03-01T10:00:00Z", "2025-01-15", "2025-02-01", "2025-01-31T23:30:00-01:00"]
    found = split_of(parted(judgments([*pairs, ("older", "6")], created_at=[*days, "2020-05-05"]), BY_TIME))
    assert [found[pair] for pair in pairs] == ["validation", "validation", "test", "validation", "test", "test"]
    assert found["older", "6"] == "train"


def test_judgments_without_a_day_are_named() -> None:
    table = judgments([("a", "1"), ("b", "2"), ("c", "3")], created_at=["2024-01-01", None, "soon"])
    with pytest.raises(InputError, match="have no readable created_at: id of b, id of c\n"):
        parted(table, BY_TIME)


def test_days_that_leave_a_split_empty_are_an_error_that_says_what_to_change() -> None:
    table = judgments([("a", "1"), ("b", "2")], created_at=["2024-01-01", "2024-01-02"])
    with pytest.raises(InputError, match=r"change splits\.validation_from and splits\.test_from"):
        parted(table, BY_TIME)
