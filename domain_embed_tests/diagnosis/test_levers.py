"""Levers on rankings small enough to calculate with a pencil."""

import math

import pandas as pd
import pytest

from domain_embed.contracts.records import Hit
from domain_embed.diagnosis.extrapolation import FASTEST, FLOOR, PER_DOUBLING, extrapolate
from domain_embed.diagnosis.levers import (
    Yardstick,
    bound_levers,
    mode_scores,
    perfect_reranking,
    setting_levers,
    tuned_weight,
    weighted_run,
)
from domain_embed.diagnosis.rankings import Rankings
from domain_embed.diagnosis.unanswered import LabelLosses, Unanswered
from domain_embed.settings import EvaluationSettings

SECOND = 1 / math.log2(3)
"""nDCG@10 of one positive at rank 2."""


def hits(*ids: str) -> list[Hit]:
    return [Hit(one, 0.9 - 0.1 * place) for place, one in enumerate(ids)]


def rankings(dense: dict[str, list[Hit]], sparse: dict[str, list[Hit]]) -> Rankings:
    """The positive of every query is `a`; fusion takes BM25's word."""
    keys = list(dense)
    modes = {"dense": [dense[key] for key in keys], "sparse": [sparse[key] for key in keys]}
    return Rankings(
        dict.fromkeys(keys, "text"),
        {key: {"a": 1} for key in keys},
        {**modes, "hybrid": modes["sparse"]},
        modes,  # type: ignore[dict-item]
    )


TEN = [f"q{number}" for number in range(10)]
DENSE_WRONG = rankings(dict.fromkeys(TEN, hits("b", "a", "c")), dict.fromkeys(TEN, hits("a", "b", "c")))


def yardstick(scores: "pd.Series[float]") -> Yardstick:
    return Yardstick("dense", scores, EvaluationSettings(resamples=500))


def test_settings_are_measured_against_what_serves() -> None:
    by_mode = mode_scores(DENSE_WRONG)
    levers = {one.name: one for one in setting_levers(yardstick(by_mode["dense"]), by_mode, tuned_weight(DENSE_WRONG))}
    assert set(levers) == {"bm25", "hybrid", "weighted"}
    for lever in levers.values():
        assert lever.gain == pytest.approx(1 - SECOND)
        assert lever.ci95 == pytest.approx((1 - SECOND, 1 - SECOND))
        assert (lever.kind, lever.reaches, lever.seconds, lever.reembeds) == ("measured", 1.0, 0.0, 0)
    assert levers["bm25"].comparison is not None
    assert (levers["bm25"].comparison.wins, levers["bm25"].comparison.losses) == (10, 0)


def test_weight_of_a_query_is_tuned_on_other_queries() -> None:
    """BM25 is right for all but one query, whose own vote would not be asked: it is ranked by BM25 all the same."""
    many = [f"q{number}" for number in range(40)]  # so many that their word counts more than the prior
    dense = {key: hits("b", "c", "a") for key in many} | {"q0": hits("a", "b", "c")}
    sparse = {key: hits("a", "c", "b") for key in many} | {"q0": hits("b", "c", "a")}
    run = weighted_run(rankings(dense, sparse))
    assert [run[key][0] for key in many[1:]] == ["a"] * 39
    assert run["q0"][0] == "b"


def test_fixed_weight_is_taken() -> None:
    assert weighted_run(DENSE_WRONG, 1.0)["q3"][0] == "b"
    assert weighted_run(DENSE_WRONG, 0.0)["q3"][0] == "a"


def test_bound_is_a_perfect_answer_to_every_query_with_the_cause() -> None:
    scores = pd.Series(0.0, index=TEN)
    scores["q9"] = 0.4
    lost = (Unanswered("x", "asked", "missing", ""), Unanswered("y", "asked", "split", ""))
    levers = bound_levers({"q0": "cut_off", "q9": "split", "q1": "far"}, LabelLosses(20, lost), yardstick(scores), 1200)
    by_name = {one.name: one for one in levers}
    assert set(by_name) == {"chunking", "documents"}
    assert by_name["chunking"].gain == pytest.approx((1 + 0.6) / 10 + 1 / 20)
    assert by_name["documents"].gain == pytest.approx(1 / 20)
    assert by_name["chunking"].reembeds == 1200
    assert by_name["documents"].ci95[0] == pytest.approx(0.0, abs=0.06)
    assert all(one.kind == "bound" and one.by_hand for one in levers)


def test_no_fault_no_bound() -> None:
    assert bound_levers({"q1": "far"}, LabelLosses(5, ()), yardstick(pd.Series(0.0, index=TEN)), 10) == []


def test_perfect_reranker_puts_what_is_there_on_top() -> None:
    dense = {key: hits("b", "a") for key in TEN} | {"q0": hits("b", "c")}
    found = rankings(dense, dense)
    lever = perfect_reranking(found, found.run("dense"), yardstick(mode_scores(found)["dense"]))
    assert lever.gain == pytest.approx(0.9 * (1 - SECOND))
    assert lever.kind == "bound"


@pytest.mark.parametrize("doublings", [0, 1, 3])
def test_what_is_wrong_shrinks_with_every_doubling(doublings: int) -> None:
    gain, (low, high) = extrapolate(0.04, (0.02, 0.06), 500, 500 * 2**doublings, 0.5)
    assert gain == pytest.approx(0.5 - 0.46 * 0.5 ** (PER_DOUBLING * doublings))
    assert low == pytest.approx(0.02 - FLOOR)
    assert high == pytest.approx(0.5 - 0.44 * 0.5 ** (FASTEST * doublings) + FLOOR)
    assert low < gain < high


def test_extrapolation_never_promises_more_than_there_is() -> None:
    gain, (low, high) = extrapolate(0.3, (0.2, 0.4), 100, 100_000, 0.25)
    assert (gain, high) == (0.25, 0.25)
    assert low == pytest.approx(0.2 - FLOOR)


def test_a_probe_that_lost_leaves_open_what_a_whole_training_does() -> None:
    gain, (low, high) = extrapolate(-0.02, (-0.04, 0.0), 100, 800, 0.5)
    assert low == pytest.approx(-0.04 - FLOOR)
    assert low < gain < high
    assert high == pytest.approx(0.5 - 0.5 * 0.5 ** (3 * FASTEST) + FLOOR)


def test_a_probe_that_gained_nothing_leaves_more_open_the_smaller_it_was() -> None:
    _, (_, small) = extrapolate(0.0, (0.0, 0.0), 300, 12_000, 0.4)
    _, (_, large) = extrapolate(0.0, (0.0, 0.0), 12_000, 12_000, 0.4)
    assert large == pytest.approx(FLOOR)
    assert small > 0.1
