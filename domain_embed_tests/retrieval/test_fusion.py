"""Fusion against a pencil."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.records import Hit, Run
from domain_embed.retrieval.fusion import PRIOR_WEIGHT, best_weight, fuse, shrunk_weight, tune_weight, weigh


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


# --- weighted scores ------------------------------------------------------------------------------------


def scored(**scores: float) -> list[Hit]:
    return [Hit(passage_id, score) for passage_id, score in scores.items()]


def weighed(dense: list[Hit], sparse: list[Hit], weight: float, k: int = 10) -> dict[str, float]:
    return {hit.passage_id: hit.score for hit in weigh(dense, sparse, k, weight)}


DENSE = scored(a=0.8, b=0.35, c=-0.1)
SPARSE = scored(b=8.0, d=2.0)


def test_weighted_scores_by_hand() -> None:
    # dense, scaled between -1 and 0.8: a 1, b 1.35 / 1.8 = 0.75, c 0.5, and d as the lowest, 0.5.
    # sparse, scaled between 0 and 8: b 1, d 0.25, a and c 0.
    found = weighed(DENSE, SPARSE, 0.6)
    assert found == pytest.approx({"b": 0.45 + 0.4, "a": 0.6, "d": 0.3 + 0.1, "c": 0.3})
    assert list(found) == ["b", "a", "d", "c"]


def test_a_weight_of_one_or_none_is_one_ranking_and_then_the_other() -> None:
    assert list(weighed(DENSE, SPARSE, 1.0)) == ["a", "b", "c", "d"]
    assert list(weighed(DENSE, SPARSE, 0.0)) == ["b", "d", "a", "c"]


def test_equal_weighted_scores_go_by_passage_id_and_are_cut_there() -> None:
    assert list(weighed(scored(z=0.5, y=0.5, x=0.5), [], 0.5, k=2)) == ["x", "y"]


@pytest.mark.parametrize(
    ("dense", "sparse", "expected"),
    [([], [], {}), (scored(a=-1.0), [], {"a": 0.0}), ([], scored(a=3.0), {"a": 0.5}), (scored(a=0.2), [], {"a": 0.5})],
)
def test_a_ranking_without_hits_adds_nothing(dense: list[Hit], sparse: list[Hit], expected: dict[str, float]) -> None:
    assert weighed(dense, sparse, 0.5) == pytest.approx(expected)


def right_first(run: Run) -> float:
    """The share of queries whose first passage bears their name."""
    return sum(ranking[0] == query_id for query_id, ranking in run.items()) / len(run)


def test_the_weight_that_measures_best_is_found_and_then_drawn_toward_the_prior() -> None:
    # p is best where the dense score counts, q where BM25 does: p leads q by 0.5 of dense, trails by 0.75 of sparse.
    dense = {"p": scored(p=1.0, q=0.0), "q": scored(p=1.0, q=0.0)}
    sparse = {"p": scored(q=4.0, p=1.0), "q": scored(q=4.0, p=1.0)}
    only_p = tune_weight({"p": dense["p"]}, {"p": sparse["p"]}, right_first)
    only_q = tune_weight({"q": dense["q"]}, {"q": sparse["q"]}, right_first)
    # 0.5 w > 0.75 (1 - w) from 0.6 on; at 0.6 both are equal, and p comes first by its name.
    assert (only_p, only_q) == (shrunk_weight(0.8, 1), shrunk_weight(0.25, 1))
    assert tune_weight(dense, sparse, right_first) == shrunk_weight(0.5, 2)


def test_of_equally_good_weights_the_middle_is_found() -> None:
    assert best_weight({0.0: 0.1, 0.2: 0.3, 0.4: 0.3, 0.6: 0.3, 0.8: 0.3, 1.0: 0.2}) == 0.4


def test_a_shrunk_weight_by_hand() -> None:
    assert shrunk_weight(1.0, 0, prior=0.5, strength=20) == 0.5
    assert shrunk_weight(1.0, 0, prior=0.5, strength=0) == 0.5
    assert shrunk_weight(1.0, 20, prior=0.5, strength=20) == pytest.approx(0.75)
    assert shrunk_weight(0.0, 60, prior=0.8, strength=20) == pytest.approx(0.2)
    assert shrunk_weight(0.9, 7, prior=0.5, strength=0) == pytest.approx(0.9)


def test_the_more_queries_the_nearer_to_what_they_say() -> None:
    for found in (0.0, 0.4, 1.0):
        distances = [abs(shrunk_weight(found, queries) - found) for queries in (0, 1, 10, 30, 100, 1000, 10**6)]
        assert distances == sorted(distances, reverse=True)
        assert distances[0] == pytest.approx(abs(PRIOR_WEIGHT - found))
        assert distances[-1] < 1e-4
