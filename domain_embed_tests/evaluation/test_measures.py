"""The measures against a pencil, against a second implementation, and at the edges where queries vanish."""

from collections.abc import Mapping
from math import log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain_embed.contracts.records import Qrels, Run
from domain_embed.evaluation.measures import MEASURES, mean_measures, score_run


def test_graded_measures_by_hand() -> None:
    scores = score_run({"q": ["x", "b", "a"]}, {"q": {"a": 2, "b": 1, "c": 1}}).loc["q"]
    assert scores["nDCG@10"] == pytest.approx((1 / log2(3) + 2 / log2(4)) / (2 / log2(2) + 1 / log2(3) + 1 / log2(4)))
    assert scores["RR@10"] == pytest.approx(1 / 2)
    assert scores[["R@1", "R@5", "R@10", "R@100"]].tolist() == pytest.approx([0, 2 / 3, 2 / 3, 2 / 3])
    assert scores[["P@5", "P@10"]].tolist() == pytest.approx([2 / 5, 2 / 10])


def test_gain_is_the_grade_itself_not_exponential() -> None:
    scores = score_run({"q": ["b", "a"]}, {"q": {"a": 3, "b": 1}})
    assert scores.loc["q", "nDCG@10"] == pytest.approx((1 + 3 / log2(3)) / (3 + 1 / log2(3)))


def test_cutoffs_hold_at_their_edge() -> None:
    ranking = [f"x{n}" for n in range(9)] + ["tenth"]
    at_ten = score_run({"q": ranking}, {"q": {"tenth": 1}}).loc["q"]
    at_eleven = score_run({"q": ["y", *ranking]}, {"q": {"tenth": 1}}).loc["q"]
    assert at_ten[["RR@10", "R@10", "P@10"]].tolist() == pytest.approx([0.1, 1, 0.1])
    assert at_eleven[["nDCG@10", "RR@10", "R@10", "P@10", "R@100"]].tolist() == [0, 0, 0, 0, 1]


def test_missing_and_empty_answers_score_zero_and_stay() -> None:
    scores = score_run({"answered": ["a"], "empty": []}, {"missing": {"a": 1}, "empty": {"a": 1}, "answered": {"a": 1}})
    assert scores.index.tolist() == ["answered", "empty", "missing"]
    assert scores.index.name == "query_id"
    assert scores.columns.tolist() == list(MEASURES)
    assert (scores.loc[["empty", "missing"]] == 0).all(axis=None)
    assert mean_measures(scores)["nDCG@10"] == pytest.approx(1 / 3)


def test_unjudged_queries_and_grade_zero_do_not_count() -> None:
    scores = score_run({"q": ["zero", "a"], "unjudged": ["a"]}, {"q": {"a": 1, "zero": 0}})
    assert scores.index.tolist() == ["q"]
    assert scores.loc["q", "RR@10"] == pytest.approx(0.5)


def test_passage_named_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="'q7' names a passage twice"):
        score_run({"q7": ["a", "b", "a"]}, {"q7": {"a": 1}})


@pytest.mark.parametrize("grades", [{}, {"a": 0}])
def test_query_without_relevant_passage_is_an_error(grades: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="'q7' has no relevant passage"):
        score_run({}, {"q7": grades})


def test_no_query_is_an_error() -> None:
    with pytest.raises(ValueError, match="no judged query"):
        score_run({"q": ["a"]}, {})


_PASSAGES = st.sampled_from([f"p{n}" for n in range(25)])
_QUERIES = st.sampled_from(["q1", "q2", "q3", "q 4", "ü"])
_QRELS = st.dictionaries(_QUERIES, st.dictionaries(_PASSAGES, st.integers(1, 4), min_size=1), min_size=1)
_RUNS = st.dictionaries(_QUERIES, st.lists(_PASSAGES, unique=True))


@settings(max_examples=100, deadline=None)
@given(run=_RUNS, qrels=_QRELS)
def test_agrees_with_a_second_implementation(run: Run, qrels: Qrels) -> None:
    scores = score_run(run, qrels)
    for query_id, grades in qrels.items():
        expected = _by_definition(list(run.get(query_id, ())), grades)
        assert scores.loc[query_id].to_dict() == pytest.approx(expected)


def _by_definition(ranking: list[str], grades: Mapping[str, int]) -> dict[str, float]:
    def dcg(gains: list[int]) -> float:
        return sum(gain / log2(rank + 1) for rank, gain in enumerate(gains[:10], start=1))

    hits = [passage_id in grades for passage_id in ranking]
    figures = {
        "nDCG@10": dcg([grades.get(p, 0) for p in ranking]) / dcg(sorted(grades.values(), reverse=True)),
        "RR@10": max((1 / rank for rank, hit in enumerate(hits[:10], start=1) if hit), default=0.0),
    }
    recalls = {f"R@{k}": sum(hits[:k]) / len(grades) for k in (1, 5, 10, 100)}
    return figures | recalls | {f"P@{k}": sum(hits[:k]) / k for k in (5, 10)}
