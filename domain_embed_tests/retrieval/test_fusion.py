"""Reciprocal rank fusion against a pencil."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.records import Hit
from domain_embed.retrieval.fusion import fuse


def ranking(ids: str) -> list[Hit]:
    return [Hit(one, 1.0) for one in ids]


def fused(rankings: Sequence[str], k: int = 10, rrf_k: int = 60) -> list[tuple[str, float]]:
    return [(hit.passage_id, hit.score) for hit in fuse([ranking(ids) for ids in rankings], k, rrf_k)]


def test_by_hand() -> None:
    found = fused(["abc", "cad"], rrf_k=60)
    assert [key for key, _ in found] == ["a", "c", "b", "d"]
    assert [score for _, score in found] == pytest.approx([1 / 61 + 1 / 62, 1 / 63 + 1 / 61, 1 / 62, 1 / 63])


def test_ties_go_by_passage_id_and_are_cut_there() -> None:
    assert [key for key, _ in fused(["ba", "ab"])] == ["a", "b"]
    assert [key for key, _ in fused(["zy", "xw"])] == ["x", "z", "w", "y"]
    assert [key for key, _ in fused(["zy", "xw"], k=3)] == ["x", "z", "w"]


def test_a_smaller_constant_trusts_the_first_ranks_more() -> None:
    # "t" leads one ranking alone; "m" is fourth and fifth in both.
    rankings = ["tabm", "cdefm"]
    assert fused(rankings, rrf_k=1)[0][0] == "c"
    assert fused(rankings, rrf_k=60)[0][0] == "m"


@pytest.mark.parametrize(
    ("rankings", "expected"), [([], []), (["", ""], []), (["", "ab"], ["a", "b"]), (["ba"], ["b", "a"])]
)
def test_missing_rankings_take_nothing_away(rankings: list[str], expected: list[str]) -> None:
    assert [key for key, _ in fused(rankings)] == expected


def test_the_payload_of_a_hit_is_kept() -> None:
    [hit] = fuse([[Hit("a", 0.9, "Title", "text", {"team": "data"})], [Hit("a", 7.0)]], 1, 60)
    assert (hit.title, hit.text, hit.metadata) == ("Title", "text", {"team": "data"})


IDS = st.permutations("abcdef").map("".join)


@given(one=IDS, other=IDS, k=st.integers(0, 7))
def test_the_order_of_rankings_decides_nothing(one: str, other: str, k: int) -> None:
    assert fused([one, other], k) == fused([other, one], k) == fused([one, other], 10)[:k]
