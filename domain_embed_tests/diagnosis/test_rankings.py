"""Which queries are looked at: validation's first, then training's, never test's, and none that was made up."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.diagnosis.rankings import QueryMemory, development_queries, drawn, rank_queries
from domain_embed.judgments.graded import graded_queries
from domain_embed.settings import RetrievalSettings
from domain_embed_tests.diagnosis.faults import Part, passage_table
from domain_embed_tests.encoding.fakes import FakeEncoder
from domain_embed_tests.judgments.quality_material import collection_of, judgment_table

SPLITS = ["validation"] * 10 + ["train"] * 20 + ["test"] * 10
ROWS = [(f"q{number:02}", f"text {number}", "p", 1) for number in range(40)]


def table(made_up: range = range(0)) -> pa.Table:
    rows = judgment_table(ROWS, SPLITS).read()
    flags = pa.array([number in made_up for number in range(40)])
    return rows.set_column(rows.schema.get_field_index("train_only"), "train_only", flags)


@given(st.integers(min_value=1, max_value=50), st.integers(min_value=0, max_value=5))
def test_validation_comes_first_and_test_never(limit: int, seed: int) -> None:
    found = development_queries(table(), limit, seed).to_pylist()
    counts = {split: sum(row["split"] == split for row in found) for split in ("validation", "train", "test")}
    assert counts == {"validation": min(10, limit), "train": min(20, max(0, limit - 10)), "test": 0}
    assert found == development_queries(table(), limit, seed).to_pylist()


def test_made_up_queries_are_not_asked() -> None:
    found = development_queries(table(made_up=range(10, 28)), 40, 0).to_pylist()
    assert [row["query_id"] for row in found if row["split"] == "train"] == ["q28", "q29"]


def test_a_drawn_query_keeps_all_its_rows() -> None:
    rows = judgment_table([("q", "text", "a", 1), ("q", "text", "b", 2), ("r", "other", "c", 1)], ["train"] * 3).read()
    for seed in range(4):
        assert drawn(rows, "train", 1, seed).num_rows in (1, 2)
        assert len(set(drawn(rows, "train", 1, seed)["query_id"].to_pylist())) == 1
    assert graded_queries(rows) == ({"q": "text", "r": "other"}, {"q": {"a": 1, "b": 2}, "r": {"c": 1}})


@pytest.mark.parametrize(("depth", "kept"), [(10, 10), (150, 150)])
def test_a_fusion_is_made_of_as_many_passages_as_when_it_serves(depth: int, kept: int) -> None:
    encoder = FakeEncoder()
    passages = passage_table([Part(f"p{number:03}", "d", "", f"word {number}", number) for number in range(160)])
    collection = collection_of(passages, encoder)
    settings = RetrievalSettings(depth=depth)
    found = rank_queries({"q": "word"}, {"q": {"p001": 1}}, collection, encoder, settings)
    assert {mode: len(hits[0]) for mode, hits in found.hits.items()} == {"dense": 100, "sparse": 100, "hybrid": 100}
    assert {mode: len(hits[0]) for mode, hits in found.fused.items()} == {"dense": kept, "sparse": kept}


def test_every_query_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, asked = FakeEncoder(), []
    encode = encoder.encode_queries
    monkeypatch.setattr(encoder, "encode_queries", lambda texts: (asked.extend(texts), encode(texts))[1])
    memory = QueryMemory(encoder)
    first = memory.encode_queries(["a", "b", "a"])
    again = memory.encode_queries(["b", "c"])
    assert asked == ["a", "b", "c"]
    assert (first[0] == first[2]).all()
    assert (again[0] == first[1]).all()
