"""Which systems are compared, and that stored evidence comes back as it was."""

import json
from math import log2

import pandas as pd
import pytest

from domain_embed.evaluation.evidence import Evidence, gather_evidence
from domain_embed.evaluation.measures import MEASURES
from domain_embed.evaluation.significance import holm
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


def test_what_is_served_decides_what_is_compared_first() -> None:
    runs = RUNS | {"base/dense+rerank": BASE, "tuned/dense+rerank": TUNED, "bm25+rerank": TUNED}
    reranked, _ = gather_evidence(runs, QRELS, subject(served_rerank=True), resamples=100)
    assert reranked.variant("tuned") == "dense+rerank"
    assert _pairs(reranked)[:2] == [("tuned/dense+rerank", "base/dense+rerank"), ("tuned/dense+rerank", "bm25+rerank")]
    plain, _ = gather_evidence(runs, QRELS, subject(), resamples=100)
    assert plain.best_untuned != "bm25+rerank"  # a reranker is no mere setting
    assert plain.gain.challenger == "tuned/dense"
    with pytest.raises(ValueError, match=r"no run of base/dense\+rerank and tuned/dense\+rerank"):
        gather_evidence(RUNS, QRELS, subject(served_rerank=True), resamples=100)


def test_where_the_way_is_chosen_each_model_is_compared_as_it_would_serve() -> None:
    runs = RUNS | {"champion/dense": BASE, "champion/hybrid": TUNED, "bm25": TUNED}
    ways = {"base": "sparse", "tuned": "hybrid", "champion": "dense"}
    evidence, _ = gather_evidence(runs, QRELS, subject(served_mode="auto", serves=ways), resamples=100)
    assert (evidence.challenger, evidence.replaced) == ("tuned/hybrid", "champion/dense")
    assert (evidence.gain.challenger, evidence.gain.baseline) == ("tuned/hybrid", "champion/dense")
    assert (evidence.headline.challenger, evidence.headline.baseline) == ("tuned/hybrid", "bm25")
    assert evidence.best_untuned == "bm25"
    assert _pairs(evidence)[:2] == [("tuned/hybrid", "champion/dense"), ("tuned/hybrid", "bm25")]
    assert evidence.untuned_gain == evidence.comparison("bm25", "base/dense")


def test_the_highest_on_test_queries_decides_nothing_where_another_was_chosen() -> None:
    runs = RUNS | {"base/weighted": TUNED}
    ways = {"base": "dense", "tuned": "dense"}
    evidence, _ = gather_evidence(runs, QRELS, subject(served_mode="auto", serves=ways), resamples=100)
    assert evidence.mean("base/weighted") > evidence.mean("base/dense")
    assert (evidence.best_untuned, evidence.untuned_gain) == ("base/dense", None)


@pytest.mark.parametrize("missing", ["tuned/hybrid", "base/dense"])
def test_what_was_chosen_must_be_run(missing: str) -> None:
    runs = {system: run for system, run in RUNS.items() if system != missing}
    about = subject(served_mode="auto", serves={"base": "hybrid", "tuned": "hybrid"})
    with pytest.raises(ValueError, match=f"no run of {missing}"):
        gather_evidence(runs, QRELS, about, resamples=100)


def test_slices_and_what_can_be_seen_are_about_the_gain() -> None:
    ids = [f"q{n:02}" for n in range(24)]
    qrels = {query_id: {"a": 1} for query_id in ids}
    base = {query_id: ["x", "a"] for query_id in ids}
    tuned = {query_id: ["a"] if n % 2 else ["x", "x2", "a"] for n, query_id in enumerate(ids)}
    labels = pd.DataFrame({"lang": ["de" if n % 2 else "en" for n in range(24)]}, index=ids)
    runs = {"base/dense": base, "tuned/dense": tuned, "champion/dense": tuned}
    evidence, _ = gather_evidence(runs, qrels, subject(), None, labels, resamples=100)
    assert evidence.gain.baseline == "champion/dense"
    assert [(one.value, one.queries, one.delta) for one in evidence.slices] == [("de", 12, 0.0), ("en", 12, 0.0)]
    assert evidence.detectable == 0.0
    runs.pop("champion/dense")
    worst, best = gather_evidence(runs, qrels, subject(), None, labels, resamples=100)[0].slices
    assert (worst.value, worst.losses, worst.wins) == ("en", 12, 0)
    assert best.delta == pytest.approx(1 - 1 / log2(3))


def test_comparisons_are_corrected_for_each_other() -> None:
    evidence, _ = gather_evidence(RUNS, QRELS, subject(), resamples=100)
    assert [one.p_adjusted for one in evidence.comparisons] == holm([one.p for one in evidence.comparisons])


def test_older_evidence_can_still_be_read() -> None:
    stored = gather_evidence(RUNS, QRELS, subject(), resamples=100)[0].to_json()
    for key in ("detectable", "slices", "gates", "validation", "forgetting", "containment", "answers", "serving",
                "dense_weights", "served_rerank"):  # fmt: skip
        del stored[key]
    for comparison in stored["comparisons"]:
        del comparison["p_adjusted"]
    assert Evidence.from_json(stored).headline.baseline == "base/dense"


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
