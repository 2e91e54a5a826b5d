"""One lever, argued: on made-up findings, each rule of the recommendation."""

import pytest

from domain_embed.diagnosis.causes import Cause
from domain_embed.diagnosis.levers import Kind, Lever
from domain_embed.diagnosis.recommendation import FINE_TUNING, Answer, Findings, Recommendation, recommend


def lever(name: str, gain: float, low: float, high: float, kind: Kind = "measured", **facts: object) -> Lever:
    return Lever(name, name.capitalize(), kind, gain, (low, high), 0.5 + gain, "`pull it`", **facts)  # type: ignore[arg-type]


def tuning(gain: float, low: float, high: float) -> Lever:
    facts = {"seconds": 600.0, "reembeds": 1200}
    return Lever(FINE_TUNING, "Fine-tuning", "estimated", gain, (low, high), 0.5 + gain, "`run`", **facts)  # type: ignore[arg-type]


def advise(
    *levers: Lever, queries: int = 300, failures: dict[Cause, int] | None = None, served: str = "base/dense"
) -> Recommendation:
    found = failures if failures is not None else {"far": 60, "misranked": 40}
    return recommend(Findings(queries, found, served, 0.5, levers, min_gain=0.01))


HYBRID = lever("hybrid", 0.07, 0.04, 0.10)


@pytest.mark.parametrize(
    ("levers", "expected", "answer"),
    [
        pytest.param((HYBRID, tuning(0.2, 0.12, 0.28)), FINE_TUNING, "yes", id="above every setting"),
        pytest.param((HYBRID, tuning(0.1, 0.02, 0.18)), "hybrid", "open", id="overlaps the setting"),
        pytest.param((HYBRID, tuning(0.02, -0.03, 0.06)), "hybrid", "no", id="below the setting"),
        pytest.param((lever("bm25", -0.1, -0.2, -0.05), tuning(0.2, 0.1, 0.3)), FINE_TUNING, "yes", id="nothing else"),
        pytest.param((tuning(0.05, -0.02, 0.12),), FINE_TUNING, "open", id="worth a try"),
        pytest.param((tuning(0.002, -0.004, 0.008),), None, "no", id="nothing to gain"),
        pytest.param((HYBRID,), "hybrid", "open", id="not estimated"),
        pytest.param((lever("hybrid", 0.02, -0.01, 0.05),), None, "open", id="not shown"),
        pytest.param((lever("hybrid", 0.005, 0.001, 0.009),), None, "open", id="too little"),
        pytest.param((HYBRID, lever("weighted", 0.09, 0.06, 0.12)), "weighted", "open", id="the better setting"),
    ],
)  # fmt: skip
def test_lever_and_answer(levers: tuple[Lever, ...], expected: str | None, answer: Answer) -> None:
    found = advise(*levers)
    assert (found.lever, found.fine_tune) == (expected, answer)


def test_few_queries_decide_nothing() -> None:
    found = advise(HYBRID, tuning(0.2, 0.15, 0.25), queries=29)
    assert (found.lever, found.fine_tune) == (None, "open")
    assert found.reasons[0] == "Only 29 queries could be looked at; below 30 nothing is decided."


def test_faults_of_the_data_come_first() -> None:
    failures: dict[Cause, int] = {"cut_off": 50, "suspect_label": 20, "far": 60}
    chunking = lever("chunking", 0.15, 0.1, 0.2, "bound", by_hand=True)
    found = advise(HYBRID, chunking, tuning(0.05, 0.0, 0.1), failures=failures)
    assert (found.lever, found.fine_tune) == ("chunking", "open")  # at most 0.15: nobody has measured it
    assert found.headline == "Chunking first"
    assert "can gain at most +0.150" in found.reasons[0]
    assert found.reasons[0].endswith("It costs the work of people.")


def test_faults_that_explain_less_than_half_do_not() -> None:
    failures: dict[Cause, int] = {"cut_off": 50, "far": 60}
    found = advise(HYBRID, lever("chunking", 0.15, 0.1, 0.2, "bound", by_hand=True), failures=failures)
    assert found.lever == "hybrid"


def test_a_reranker_that_nobody_measured_is_not_recommended() -> None:
    found = advise(HYBRID, lever("reranker", 0.4, 0.35, 0.45, "bound"))
    assert found.lever == "hybrid"
    assert "Reranker: +0.400 nDCG@10 (95 % interval +0.350 to +0.450) at most; none was measured." in found.reasons


def test_bm25_leaves_no_model_to_tune() -> None:
    found = advise(tuning(0.2, 0.1, 0.3), served="base/sparse", failures={})
    assert found.fine_tune == "no"
    assert "BM25 answers every query, so no model serves that could be fine-tuned." in found.reasons


def test_reasons_are_sentences_a_person_can_read() -> None:
    found = advise(
        HYBRID, lever("bm25", -0.1, -0.2, -0.05), lever("adapter", 0.01, -0.01, 0.03), tuning(0.1, 0.02, 0.18),
        failures={"far": 60, "bm25": 40},
    )  # fmt: skip
    assert found.headline == "Hybrid first"
    assert found.reasons == (
        "Hybrid gains +0.070 nDCG@10 (95 % interval +0.040 to +0.100) over base/dense, which reaches 0.500: `pull it`. "
        "It costs nothing but the setting.",
        "Fine-tuning is estimated to gain +0.100 nDCG@10 (95 % interval +0.020 to +0.180): whether it would gain more "
        "is open. It takes about 10 minutes of computing and embedding 1,200 passages again.",
        "Of 300 queries 100 fail: 60 × far away, 40 × found by BM25.",
        "Bm25: −0.100 nDCG@10 (95 % interval −0.200 to −0.050), worse than what serves.",
        "Adapter: +0.010 nDCG@10 (95 % interval −0.010 to +0.030), not shown to help.",
    )
