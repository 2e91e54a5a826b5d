"""Which systems are compared, and that stored evidence comes back as it was."""

import json

import pytest

from domain_embed.evaluation.evidence import Evidence, gather_evidence
from domain_embed.evaluation.measures import MEASURES
from domain_embed_tests.evaluation.scenario import BASE, QRELS, RUNS, TUNED, subject


def _pairs(evidence: Evidence) -> list[tuple[str, str]]:
    return [(comparison.challenger, comparison.baseline) for comparison in evidence.comparisons]


def test_systems_are_measured_in_a_fixed_order() -> None:
    evidence, scores = gather_evidence(RUNS, QRELS, subject(), resamples=100)
    assert list(evidence.systems) == ["bm25", "base/dense", "base/hybrid", "tuned/dense", "tuned/hybrid"]
    assert evidence.test_queries == 3
    assert evidence.systems["bm25"] == dict.fromkeys(MEASURES, 0.0)
    low, high = evidence.intervals["tuned/dense"]
    assert low <= evidence.mean("tuned/dense") <= high
    assert scores.columns.tolist() == ["system", "query_id", *MEASURES]
    assert len(scores) == 5 * 3


def test_tuned_is_compared_to_base_and_to_the_best_untuned_system() -> None:
    evidence, _ = gather_evidence(RUNS | {"bm25": TUNED}, QRELS, subject(), resamples=100)
    assert evidence.best_untuned == "bm25"
    assert _pairs(evidence) == [("tuned/dense", "base/dense"), ("tuned/dense", "bm25"), ("tuned/hybrid", "base/hybrid")]
    assert evidence.headline == evidence.comparison("tuned/dense", "base/dense")
    assert evidence.incumbent("dense") == "base/dense"


def test_a_pair_is_compared_once() -> None:
    runs = {"base/dense": BASE, "tuned/dense": TUNED}
    assert _pairs(gather_evidence(runs, QRELS, subject(), resamples=100)[0]) == [("tuned/dense", "base/dense")]


def test_champion_is_the_incumbent_where_it_was_run() -> None:
    runs = RUNS | {"champion/dense": BASE, "champion/hybrid": BASE}
    evidence, _ = gather_evidence(runs, QRELS, subject(served_mode="hybrid"), resamples=100)
    assert {("tuned/dense", "champion/dense"), ("tuned/hybrid", "champion/hybrid")} < set(_pairs(evidence))
    assert evidence.incumbent("hybrid") == "champion/hybrid"
    assert evidence.headline.baseline == "base/hybrid"


@pytest.mark.parametrize(
    ("missing", "served_mode"), [("tuned/hybrid", "hybrid"), ("base/dense", "dense"), ("bm25", "sparse")]
)
def test_system_the_decision_rests_on_must_be_run(missing: str, served_mode: str) -> None:
    runs = {system: run for system, run in RUNS.items() if system != missing}
    with pytest.raises(ValueError, match=f"no run of {missing}"):
        gather_evidence(runs, QRELS, subject(served_mode=served_mode), resamples=100)


def test_champion_in_another_mode_only_is_no_incumbent() -> None:
    with pytest.raises(ValueError, match="no run of champion/dense"):
        gather_evidence(RUNS | {"champion/hybrid": BASE}, QRELS, subject(), resamples=100)


def test_stored_evidence_comes_back_equal() -> None:
    evidence, _ = gather_evidence(RUNS, QRELS, subject(champion_fingerprint="old"), resamples=100)
    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


def test_unknown_field_is_an_error() -> None:
    evidence, _ = gather_evidence(RUNS, QRELS, subject(), resamples=100)
    with pytest.raises(ValueError, match="surprise"):
        Evidence.from_json(evidence.to_json() | {"surprise": 1})


def test_pair_that_was_not_compared_is_an_error() -> None:
    evidence, _ = gather_evidence(RUNS, QRELS, subject(), resamples=100)
    with pytest.raises(ValueError, match="does not compare tuned/dense to champion/dense"):
        evidence.comparison("tuned/dense", "champion/dense")
