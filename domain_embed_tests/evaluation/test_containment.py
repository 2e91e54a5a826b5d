"""Does what was retrieved hold the answer? Counted by hand."""

from collections.abc import Sequence

import pytest

from domain_embed.evaluation import containment
from domain_embed.evaluation.containment import measure_containment

TEXTS = {
    "a": "The limit is 40 requests per second, no more.",
    "b": "Ask the duty lead.",
    "c": "the LIMIT is: 40 Requests",
    "d": "140 requests",
}
ANSWERS = {"q1": ["limit is 40 requests"], "q2": ["the duty lead", "nobody at all"], "q3": ["?"], "q4": ["nothing"]}
QRELS = {"q1": {"c": 1}, "q2": {"x": 1}, "q3": {"a": 1}, "q4": {"d": 1, "a": 0}, "q5": {"a": 1}}
RUNS = {
    "good": {"q1": ["d", "c", "a"], "q2": ["b"], "q4": ["a", "d"]},
    "bad": {"q1": ["d"], "q2": ["a", "c", "d", "x1", "x2", "b"]},
}


def _fetch(passage_ids: Sequence[str]) -> dict[str, str]:
    return {key: TEXTS[key] for key in passage_ids if key in TEXTS}


def test_shares_by_hand() -> None:
    """q1 is answered at rank 2, q2 at rank 1 and at rank 6, q4 by the passage judged relevant, at rank 2 or not."""
    found = measure_containment(RUNS, ANSWERS, QRELS, _fetch, resamples=200, seed=0)
    assert found["good"].queries == found["bad"].queries == 3  # q3 has no word for an answer, q5 none at all
    assert found["good"].shares == pytest.approx({1: 1 / 3, 5: 1.0, 10: 1.0})
    assert found["bad"].shares == pytest.approx({1: 0.0, 5: 0.0, 10: 1 / 3})
    low, high = found["good"].intervals[1]
    assert 0 <= low <= 1 / 3 <= high <= 1


def test_words_count_whole_and_in_their_order() -> None:
    runs = {"s": {"q1": ["d"], "q2": ["b"]}}
    answers = {"q1": ["40 requests"], "q2": ["lead duty"]}
    qrels = {"q1": {"x": 1}, "q2": {"x": 1}}
    assert measure_containment(runs, answers, qrels, _fetch, resamples=100, seed=0)["s"].shares[10] == 0


def test_without_answers_there_is_nothing_to_measure() -> None:
    assert measure_containment(RUNS, {}, QRELS, _fetch, resamples=100, seed=0) == {}


def test_texts_are_fetched_for_a_few_queries_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure_containment(RUNS, ANSWERS, QRELS, _fetch, resamples=100, seed=0)
    asked: list[list[str]] = []

    def fetch(passage_ids: Sequence[str]) -> dict[str, str]:
        asked.append(list(passage_ids))
        return _fetch(passage_ids)

    monkeypatch.setattr(containment, "BATCH_QUERIES", 1)
    assert measure_containment(RUNS, ANSWERS, QRELS, fetch, resamples=100, seed=0) == whole
    assert asked[0] == ["a", "c", "d"]
    assert len(asked) == 3
