"""The measures against a pencil, against a second implementation, and at the edges where queries vanish."""

from collections.abc import Mapping
from math import log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sklearn.metrics import ndcg_score

from domain_embed.contracts.records import Qrels, Run
from domain_embed.evaluation.measures import MEASURES, mean_measures, mean_ndcg, ndcg_scores, score_run


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
    figures["AP@100"] = sum(sum(hits[:rank]) / rank for rank, hit in enumerate(hits[:100], 1) if hit) / len(grades)
    figures["Judged@10"] = sum(hits[:10]) / max(len(hits[:10]), 1)
    successes = {f"Success@{k}": float(any(hits[:k])) for k in (1, 5, 10)}
    return figures | recalls | successes | {f"P@{k}": sum(hits[:k]) / k for k in (5, 10)}


@settings(max_examples=100, deadline=None)
@given(run=_RUNS, qrels=_QRELS)
def test_graded_ndcg_agrees_with_scikit_learn(run: Run, qrels: Qrels) -> None:
    scores = score_run(run, qrels)
    for query_id, grades in qrels.items():
        ranking = list(run.get(query_id, ()))
        everything = [*ranking, *(p for p in (f"p{n}" for n in range(25)) if p not in ranking)]
        if len(ranking) >= 10:  # it has no unranked items: a shorter ranking would be filled up
            gains = [[grades.get(p, 0) for p in everything]]
            descending = [[float(-place) for place in range(len(everything))]]
            expected = ndcg_score(gains, descending, k=10, ignore_ties=True)
            assert scores.loc[query_id, "nDCG@10"] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(run=_RUNS, qrels=_QRELS)
def test_agrees_with_sentence_transformers_evaluator(run: Run, qrels: Qrels) -> None:
    """Its grades are yes or no, and it knows nothing of missing queries: it is given an empty answer for them."""
    queries = sorted(qrels)
    evaluator = InformationRetrievalEvaluator(
        {query_id: query_id for query_id in queries},
        {f"p{n}": "" for n in range(25)},
        {query_id: set(qrels[query_id]) for query_id in queries},
        mrr_at_k=[10], ndcg_at_k=[10], accuracy_at_k=[1, 5, 10], precision_recall_at_k=[1, 5, 10, 100], map_at_k=[100],
    )  # fmt: skip
    answers = [
        [{"corpus_id": p, "score": float(-place)} for place, p in enumerate(run.get(query_id, ()))]
        for query_id in queries
    ]
    theirs = evaluator.compute_metrics(answers)
    ours = mean_measures(score_run(run, {query_id: dict.fromkeys(grades, 1) for query_id, grades in qrels.items()}))
    assert ours["nDCG@10"] == pytest.approx(theirs["ndcg@k"][10])
    assert ours["RR@10"] == pytest.approx(theirs["mrr@k"][10])
    assert ours["AP@100"] == pytest.approx(theirs["map@k"][100])
    assert [ours[f"Success@{k}"] for k in (1, 5, 10)] == pytest.approx([theirs["accuracy@k"][k] for k in (1, 5, 10)])
    assert [ours[f"R@{k}"] for k in (1, 5, 10, 100)] == pytest.approx([theirs["recall@k"][k] for k in (1, 5, 10, 100)])
    assert [ours[f"P@{k}"] for k in (5, 10)] == pytest.approx([theirs["precision@k"][k] for k in (5, 10)])


def test_order_decides_where_scores_would_tie() -> None:
    """A ranking holds no scores, so two passages a store scored alike stand as the store's rule put them."""
    first = score_run({"q": ["b", "a"]}, {"q": {"a": 1}}).loc["q", "RR@10"]
    second = score_run({"q": ["a", "b"]}, {"q": {"a": 1}}).loc["q", "RR@10"]
    assert (first, second) == (0.5, 1.0)


def test_judged_counts_grade_zero_and_short_answers_by_their_length() -> None:
    scores = score_run({"q": ["a", "no", "x", "y"]}, {"q": {"a": 1, "no": 0, "elsewhere": 1}}).loc["q"]
    assert scores["Judged@10"] == pytest.approx(2 / 4)
    assert scores["Success@1"] == 1
    assert scores["AP@100"] == pytest.approx(1 / 2)


def test_ndcg_alone_is_the_ndcg_of_the_table() -> None:
    run: Run = {"q": ["x", "b", "a"], "empty": [], "unjudged": ["a"]}
    qrels: Qrels = {"q": {"a": 2, "b": 1, "c": 1}, "empty": {"a": 1}, "missing": {"b": 1}}
    table = score_run(run, qrels)
    assert ndcg_scores(run, qrels).to_dict() == table["nDCG@10"].to_dict()
    assert mean_ndcg(run, qrels) == mean_measures(table)["nDCG@10"]
