"""Mining on a collection whose every cosine is known: which candidates stay, in which order, and why others go."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest

from domain_embed.contracts.ports import Collection
from domain_embed.contracts.tables import HARD_NEGATIVES
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.indexing.build import build_collection
from domain_embed.mining import hard_negatives
from domain_embed.mining.hard_negatives import MiningReport, mine_hard_negatives
from domain_embed.settings import MiningSettings, SparseSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.encoding.fakes import FakeEncoder, MemoryCache, MemoryTable
from domain_embed_tests.mining.scenario import collection_of, splits
from domain_embed_tests.scenario import QUERIES, passages_table

COSINES = {"positive": 0.9, "twin": 0.9, "near": 0.88, "mid": 0.8, "half": 0.5, "low": 0.1, "far": -0.5}
"""To the query "ask", whose vector is the first axis. `twin` has the content of `positive`."""
CONTENT = {"twin": "hash of positive"}
ENCODER = FakeEncoder(dimensions=2, vectors={"ask": (1, 0), "ask too": (1, 0), "turned": (-1, 0)})


def settings_of(**values: Any) -> MiningSettings:
    """Only equal content counts as a positive's double, unless a test says otherwise."""
    return MiningSettings(**{"near_duplicate": 1.0, **values})


EVERYTHING = settings_of(depth=50, max_relative_score=0.95, per_query=50)


@pytest.fixture(scope="module")
def collection() -> Collection:
    return collection_of(COSINES, CONTENT)


def mine(
    table: pa.Table, collection: Collection, settings: MiningSettings = EVERYTHING, encoder: Any = ENCODER
) -> tuple[list[dict[str, Any]], MiningReport]:
    report = MiningReport()
    batches: Iterable[pa.RecordBatch] = mine_hard_negatives(table, collection, encoder, settings, report)
    return pa.Table.from_batches(batches, schema=HARD_NEGATIVES).to_pylist(), report


def mined(rows: Sequence[Mapping[str, Any]], query_id: str = "a") -> list[str]:
    return [row["passage_id"] for row in rows if row["query_id"] == query_id]


ONE = splits(("a", "ask", ["positive"]))


def test_negatives_stand_in_rank_order_with_their_scores(collection: Collection) -> None:
    rows, report = mine(ONE, collection)
    assert mined(rows) == ["mid", "half", "low", "far"]
    assert [row["rank"] for row in rows] == [4, 5, 6, 7]
    assert [row["score"] for row in rows] == pytest.approx([0.8, 0.5, 0.1, -0.5])
    assert [row["positive_score"] for row in rows] == pytest.approx([0.9] * 4)
    assert {(row["query_id"], row["miner"]) for row in rows} == {("a", "base/dense")}
    assert (report.queries, report.negatives, report.without_negative, report.too_close) == (1, 4, [], 1)


def test_known_positives_and_copies_of_them_are_never_negatives(collection: Collection) -> None:
    for positives in (["positive"], ["twin"], ["positive", "mid"], ["twin", "mid", "low", "far"]):
        rows, _ = mine(splits(("a", "ask", positives)), collection, settings_of(max_relative_score=1, per_query=50))
        assert not {"positive", "twin", *positives} & set(mined(rows))


def test_the_threshold_is_a_share_of_the_lowest_positive(collection: Collection) -> None:
    rows, report = mine(splits(("a", "ask", ["positive", "half"])), collection)
    assert mined(rows) == ["low", "far"]
    assert {round(row["positive_score"], 5) for row in rows} == {0.5}
    assert report.too_close == 2


@pytest.mark.parametrize(
    ("share", "expected"),
    [(1.0, ["near", "mid", "half", "low", "far"]), (0.98, ["near", "mid", "half", "low", "far"]),
     (0.97, ["mid", "half", "low", "far"]), (0.6, ["half", "low", "far"]), (0.1, ["far"])],
)  # fmt: skip
def test_the_threshold_is_respected(collection: Collection, share: float, expected: list[str]) -> None:
    rows, report = mine(ONE, collection, settings_of(max_relative_score=share, per_query=50))
    assert mined(rows) == expected
    assert report.too_close == 5 - len(expected)


@pytest.mark.parametrize(
    ("depth", "expected"), [(1, []), (2, ["mid"]), (3, ["mid", "half"]), (5, ["mid", "half", "low", "far"])]
)
def test_the_depth_counts_candidates_not_positives(collection: Collection, depth: int, expected: list[str]) -> None:
    rows, _ = mine(ONE, collection, settings_of(depth=depth, per_query=50))
    assert mined(rows) == expected


def test_many_copies_of_a_positive_take_no_candidates_place() -> None:
    copies = {f"copy {n}": 0.9 for n in range(20)}
    collection = collection_of({**COSINES, **copies}, dict.fromkeys(["twin", *copies], "hash of positive"))
    rows, _ = mine(ONE, collection, settings_of(depth=3, per_query=50))
    assert mined(rows) == ["mid", "half"]


@pytest.mark.parametrize("per_query", [1, 2, 3])
def test_so_many_are_drawn_in_rank_order(collection: Collection, per_query: int) -> None:
    drawn = [mine(ONE, collection, settings_of(per_query=per_query, seed=seed))[0] for seed in range(30)]
    for rows in drawn:
        assert len(rows) == per_query
        assert [row["rank"] for row in rows] == sorted({row["rank"] for row in rows})
        assert set(mined(rows)) <= {"mid", "half", "low", "far"}
    assert {key for rows in drawn for key in mined(rows)} == {"mid", "half", "low", "far"}


def test_mining_again_draws_the_same(collection: Collection) -> None:
    settings = settings_of(per_query=2, seed=5)
    assert mine(ONE, collection, settings) == mine(ONE, collection, settings)


@pytest.mark.parametrize("block", [1, 2, 4096])
def test_a_query_keeps_its_negatives_when_others_come_or_go(
    collection: Collection, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(depth=2, per_query=1)
    alone, _ = mine(splits(("b", "ask", ["positive"])), collection, settings)
    monkeypatch.setattr(hard_negatives, "BLOCK_QUERIES", block)
    others = ("a", "turned", ["low"]), ("b", "ask", ["positive"]), ("c", "ask too", ["near", "mid", "half", "low"])
    rows, report = mine(splits(*others), collection, settings)
    assert [row for row in rows if row["query_id"] == "b"] == alone
    assert [row["query_id"] for row in rows] == sorted(row["query_id"] for row in rows)
    assert report.queries == 3


def test_queries_draw_for_themselves(collection: Collection) -> None:
    many = splits(*((f"q{n:02}", "ask", ["positive"]) for n in range(40)))
    rows, report = mine(many, collection, settings_of(per_query=1))
    assert {row["passage_id"] for row in rows} == {"mid", "half", "low", "far"}
    assert report.negatives == 40


def test_only_training_queries_are_mined(collection: Collection) -> None:
    table = splits(("a", "ask", ["positive"]), ("b", "ask", ["near"], "validation"), ("c", "ask", ["near"], "test"))
    rows, report = mine(table, collection)
    assert {row["query_id"] for row in rows} == {"a"}
    assert report.queries == 1


def test_a_query_without_negative_is_reported(collection: Collection) -> None:
    rows, report = mine(splits(("a", "ask", ["far"]), ("b", "ask too", ["positive"])), collection)
    assert mined(rows, "a") == []
    assert mined(rows, "b") == ["mid", "half", "low", "far"]
    assert (report.queries, report.negatives, report.without_negative, report.too_close) == (2, 4, ["a"], 7)


def test_when_no_query_has_a_negative_the_table_is_empty(collection: Collection) -> None:
    rows, report = mine(splits(("a", "ask", ["far"])), collection)
    assert rows == []
    assert report.without_negative == ["a"]


def test_ties_stand_in_order_of_passage_id() -> None:
    rows, _ = mine(ONE, collection_of({"positive": 0.9, "z": 0.5, "m": 0.5, "a": 0.5}))
    assert mined(rows) == ["a", "m", "z"]


def test_the_real_model_finds_near_misses_of_the_same_topic(minilm: TorchEncoder) -> None:
    store = QdrantStore.in_memory()
    table = MemoryTable(passages_table())
    report = build_collection(store, minilm, "base", table, SparseSettings(), MemoryCache())
    asked = splits(*((query.query_id, query.text, list(query.grades)) for query in QUERIES))
    rows, mining = mine(asked, store.open(report.info.name), MiningSettings(depth=5), minilm)
    positives = {query.query_id: set(query.grades) for query in QUERIES}
    assert not [row for row in rows if row["passage_id"] in positives[row["query_id"]]]
    assert all(row["score"] <= 0.95 * row["positive_score"] + 1e-6 for row in rows)
    assert mining.queries == 60
    found = mined(rows, "q28")
    assert found[:3] == ["cert-revoke", "cert-clock", "cert-client"]
    assert set(found[3:]) == {"dns-servfail", "cert-chain"}  # they score the same up to rounding


def test_the_same_text_under_another_id_shares_its_positives(collection: Collection) -> None:
    rows, _ = mine(splits(("a", "ask", ["positive"]), ("b", "ask", ["mid"])), collection)
    assert not {"positive", "twin", "mid"} & {*mined(rows, "a"), *mined(rows, "b")}
    assert mined(rows, "a") == mined(rows, "b") == ["half", "low", "far"]
