"""Every way to a verdict, and that its reasons name the systems and the figures."""

import pytest

from domain_embed.contracts.records import Comparison
from domain_embed.evaluation.slices import SliceEffect
from domain_embed.evaluation.subject import Forgetting, Gate, Serving, TestSetLook
from domain_embed.promotion.verdict import NOTHING_TUNED, decide
from domain_embed.settings import PromotionSettings
from domain_embed_tests.evaluation.scenario import judged

POLICY = PromotionSettings()
MEANS = {"bm25": 0.6, "base/dense": 0.62, "base/hybrid": 0.67, "tuned/dense": 0.83, "tuned/hybrid": 0.8}
GAIN = {
    ("tuned/dense", "base/dense"): (0.18, 0.24),
    ("tuned/dense", "base/hybrid"): (0.13, 0.19),
    ("tuned/hybrid", "base/hybrid"): (0.1, 0.16),
}


def test_promotes_a_clear_gain_and_gives_the_figures() -> None:
    verdict = decide(judged(MEANS, GAIN), POLICY)
    assert verdict.promote
    gain, untuned, other_mode, forgetting = verdict.reasons
    assert gain == (
        "tuned/dense reaches 0.830, base/dense 0.620: a difference of +0.210 "
        "(95 % interval +0.180 to +0.240), all of it above the required 0."
    )
    assert "base/hybrid, the best untuned system, reaches 0.670" in untuned
    assert other_mode == (
        "tuned/hybrid reaches 0.800, base/hybrid 0.670: a difference of +0.130 "
        "(95 % interval +0.100 to +0.160), which is not shown to lose more than the tolerated 0.01."
    )
    assert forgetting == "What the model forgot outside the domain was not measured (0 probes)."


def test_refuses_a_gain_that_may_be_nothing() -> None:
    verdict = decide(judged(MEANS, GAIN | {("tuned/dense", "base/dense"): (-0.01, 0.43)}), POLICY)
    assert not verdict.promote
    assert "−0.010 to +0.430), which is not shown to be above the required 0." in verdict.reasons[0]


def test_interval_that_touches_the_required_gain_is_refused() -> None:
    assert not decide(judged(MEANS, GAIN), PromotionSettings(min_gain=0.18)).promote
    assert decide(judged(MEANS, GAIN), PromotionSettings(min_gain=0.17)).promote


def test_refuses_a_loss_in_the_other_mode() -> None:
    means = MEANS | {"tuned/hybrid": 0.6}
    verdict = decide(judged(means, GAIN | {("tuned/hybrid", "base/hybrid"): (-0.1, -0.02)}), POLICY)
    assert not verdict.promote
    assert verdict.reasons[0] == (
        "tuned/hybrid reaches 0.600, base/hybrid 0.670: a difference of −0.070 (95 % interval −0.100 to −0.020), "
        "a loss beyond the tolerated 0.01 (p = 0.040, corrected for 1 comparison)."
    )


def test_tolerates_a_loss_that_is_small_or_may_be_luck() -> None:
    loses = GAIN | {("tuned/hybrid", "base/hybrid"): (-0.1, -0.01)}
    small = judged(MEANS | {"tuned/hybrid": 0.661}, loses, p=0.0001)
    assert decide(small, POLICY).promote
    assert not decide(small, PromotionSettings(max_loss=0.008)).promote
    assert decide(judged(MEANS | {"tuned/hybrid": 0.6}, loses, p=0.06), POLICY).promote


def test_losses_of_several_variants_are_corrected_for_their_number() -> None:
    """0.04 is a finding alone, and none among three."""
    variants = ("hybrid", "dense+rerank", "hybrid+rerank")
    means = MEANS | {f"{model}/{variant}": {"base": 0.67, "tuned": 0.6}[model] for variant in variants
                     for model in ("base", "tuned")}  # fmt: skip
    intervals = GAIN | {(f"tuned/{variant}", f"base/{variant}"): (-0.1, -0.02) for variant in variants}
    verdict = decide(judged(means, intervals, p=0.04), POLICY)
    assert verdict.promote
    assert "None of 3 other ways to serve is shown to lose more than the tolerated 0.01. The lowest:" in " ".join(
        verdict.reasons
    )
    assert not decide(judged(means, intervals, p=0.01), POLICY).promote


def test_what_is_served_is_what_is_judged() -> None:
    """The dense figures are excellent, but the reranked ones are what people get."""
    means = MEANS | {"base/dense+rerank": 0.85, "tuned/dense+rerank": 0.85}
    same = {("tuned/dense+rerank", "base/dense+rerank"): (-0.02, 0.02)}
    evidence = judged(means, GAIN | same, served_rerank=True)
    assert evidence.challenger == "tuned/dense+rerank"
    assert not decide(evidence, POLICY).promote
    assert decide(judged(means, GAIN | same), POLICY).promote  # a reranker for every query is more than a setting
    assert "base/dense+rerank already" not in " ".join(decide(judged(means, GAIN | same), POLICY).reasons)


def test_refuses_what_an_untuned_system_reaches_and_names_the_setting() -> None:
    means = MEANS | {"base/hybrid": 0.716, "tuned/dense": 0.702}
    verdict = decide(judged(means, GAIN | {("tuned/dense", "base/hybrid"): (-0.04, 0.01)}), POLICY)
    assert not verdict.promote
    assert "base/hybrid already reaches 0.716: tuned/dense, at 0.702, is not shown to be better" in verdict.reasons[0]
    assert "set retrieval.mode to hybrid (tuned/hybrid reaches 0.800 there)" in verdict.reasons[0]
    assert "all of it above" in verdict.reasons[1]


def test_refuses_what_bm25_reaches() -> None:
    means = MEANS | {"bm25": 0.82}
    verdict = decide(judged(means, GAIN | {("tuned/dense", "bm25"): (-0.02, 0.04)}), POLICY)
    assert not verdict.promote
    assert verdict.reasons[0].startswith("bm25 already reaches 0.820")
    assert verdict.reasons[0].endswith("set retrieval.mode to sparse.")


def test_champion_is_the_one_to_beat() -> None:
    means = MEANS | {"champion/dense": 0.825, "champion/hybrid": 0.79}
    small = {("tuned/dense", "champion/dense"): (-0.01, 0.02), ("tuned/hybrid", "champion/hybrid"): (-0.01, 0.03)}
    verdict = decide(judged(means, GAIN | small), POLICY)
    assert not verdict.promote
    assert "tuned/dense reaches 0.830, champion/dense 0.825" in verdict.reasons[0]
    clear = small | {("tuned/dense", "champion/dense"): (0.001, 0.01)}
    assert decide(judged(means, GAIN | clear), POLICY).promote


def test_champion_beaten_but_not_the_base_model() -> None:
    means = {"base/dense": 0.62, "tuned/dense": 0.61, "champion/dense": 0.5}
    intervals = {("tuned/dense", "champion/dense"): (0.05, 0.15), ("tuned/dense", "base/dense"): (-0.03, 0.01)}
    verdict = decide(judged(means, intervals), POLICY)
    assert not verdict.promote
    assert verdict.reasons[0].endswith("the base model serves as well.")


def test_gain_over_the_best_untuned_system_is_weighed_once() -> None:
    means = {"base/dense": 0.62, "tuned/dense": 0.83}
    verdict = decide(judged(means, {("tuned/dense", "base/dense"): (0.18, 0.24)}), POLICY)
    assert verdict.promote
    assert len([reason for reason in verdict.reasons if "base/dense" in reason]) == 1


def test_refuses_when_no_model_serves() -> None:
    verdict = decide(judged(MEANS, GAIN, served_mode="sparse"), POLICY)
    assert not verdict.promote
    (reason,) = verdict.reasons
    assert reason.startswith("retrieval.mode is sparse, so bm25 answers every query, at 0.600, and no model is used")


def test_refuses_on_too_few_queries_first() -> None:
    verdict = decide(judged(MEANS, GAIN, test_queries=9), POLICY)
    assert not verdict.promote
    assert verdict.reasons[0].startswith("Only 9 test queries were measured, and below 10")
    assert decide(judged(MEANS, GAIN, test_queries=10), POLICY).promote


def _slice(delta: float, p: float, queries: int = 40, value: str = "de") -> SliceEffect:
    return SliceEffect("language", value, queries, 0.6, 0.6 + delta, delta, (delta - 0.02, delta + 0.02), p, p)


def test_refuses_a_slice_that_is_shown_to_lose_too_much() -> None:
    slices = (_slice(-0.1, 0.001), _slice(0.2, 0.001, value="en"))
    verdict = decide(judged(MEANS, GAIN, slices=slices), POLICY)
    assert not verdict.promote
    assert verdict.reasons[0] == (
        "Where language is de (40 queries), nDCG@10 falls from 0.600 to 0.500, a loss beyond the tolerated 0.03 "
        "(p = 0.002, corrected for 2 groups)."
    )
    assert decide(judged(MEANS, GAIN, slices=slices), PromotionSettings(max_slice_loss=0.1)).promote
    assert decide(judged(MEANS, GAIN, slices=slices), PromotionSettings(min_slice_queries=41)).promote


def test_slices_are_corrected_for_those_that_are_weighed() -> None:
    small = tuple(_slice(-0.2, 0.0001, queries=12, value=f"small {n}") for n in range(3))
    lucky = tuple(_slice(-0.1, 0.03, value=f"large {n}") for n in range(2))
    verdict = decide(judged(MEANS, GAIN, slices=(*small, *lucky)), POLICY)
    assert verdict.promote  # 2 × 0.03 is above the level, and the small ones do not count
    assert "None of 2 groups of at least 30 queries is shown to lose" in " ".join(verdict.reasons)
    assert not decide(judged(MEANS, GAIN, slices=(*small, lucky[0])), POLICY).promote


def test_failed_gate_comes_first() -> None:
    gates = (Gate(name="leakage", passed=True, detail="none"), Gate(name="parity", passed=False, detail="3 missing"))
    verdict = decide(judged(MEANS, GAIN, gates=gates), POLICY)
    assert not verdict.promote
    assert verdict.reasons[0] == "The check of parity failed, so no figure can be trusted: 3 missing."
    assert "leakage" not in " ".join(verdict.reasons)


def test_gain_on_validation_queries_only_is_an_alarm() -> None:
    validation = Comparison("tuned/dense", "base/dense", "nDCG@10", 0.1, (0.05, 0.15), 0.001, 30, 5, 5)
    fitted = GAIN | {("tuned/dense", "base/dense"): (-0.03, 0.05)}
    verdict = decide(judged(MEANS, fitted, validation=validation), POLICY)
    assert not verdict.promote
    assert "On the validation queries tuned/dense gains +0.100 over base/dense" in verdict.reasons[1]
    assert decide(judged(MEANS, GAIN, validation=validation), POLICY).promote


def test_forgetting_has_a_budget() -> None:
    forgetting = Forgetting(base={"faq": 0.7, "news": 0.5, "old": 0.9}, tuned={"faq": 0.6, "news": 0.46})
    assert forgetting.loss == pytest.approx(0.07)
    verdict = decide(judged(MEANS, GAIN, forgetting=forgetting), POLICY)
    assert not verdict.promote
    assert verdict.reasons[0] == (
        "On 2 probes outside the domain the tuned model changes nDCG@10 by −0.070: "
        "it forgets more than the tolerated 0.05."
    )
    assert decide(judged(MEANS, GAIN, forgetting=forgetting), PromotionSettings(max_forgetting=0.08)).promote
    assert decide(judged(MEANS, GAIN, forgetting=forgetting), PromotionSettings(max_forgetting=None)).promote


def test_latency_has_a_budget_where_one_is_demanded() -> None:
    timed = Serving(system="tuned/dense", queries=100, p50_ms=8, p95_ms=21.25, p99_ms=40, ann_recall=0.98)
    evidence = judged(MEANS, GAIN, serving=(timed,))
    assert decide(evidence, POLICY).promote
    assert decide(evidence, PromotionSettings(max_latency_ms=30)).promote
    verdict = decide(evidence, PromotionSettings(max_latency_ms=20))
    assert verdict.reasons[0] == (
        "tuned/dense answers 19 of 20 queries within 21.2 ms, slower than the demanded 20 ms."
    )
    assert "was not measured" in decide(judged(MEANS, GAIN), PromotionSettings(max_latency_ms=20)).reasons[0]


def test_a_small_test_set_is_told_what_it_cannot_show() -> None:
    unclear = GAIN | {("tuned/dense", "base/dense"): (-0.01, 0.43)}
    told = decide(judged(MEANS, unclear, detectable=0.25), POLICY).reasons[0]
    assert told.endswith("above the required 0; 100 queries cannot show differences below 0.250.")
    assert "cannot show" not in decide(judged(MEANS, unclear, detectable=0.05), POLICY).reasons[0]


def test_every_reason_is_a_sentence() -> None:
    for reason in decide(judged(MEANS, GAIN, test_queries=1), POLICY).reasons:
        assert reason.endswith(".")
        assert any(character.isdigit() for character in reason)


def test_a_training_that_ended_with_the_base_model_is_called_so() -> None:
    evidence = judged(MEANS, GAIN).model_copy(update={"challenger_fingerprint": "base-fingerprint"})
    verdict = decide(evidence, POLICY)
    assert (verdict.promote, verdict.reasons) == (False, (NOTHING_TUNED,))


WAYS = {"base": "hybrid", "tuned": "dense"}
CHOSEN = {
    ("tuned/dense", "base/hybrid"): (0.13, 0.19),
    ("base/hybrid", "base/dense"): (0.02, 0.08),
    ("tuned/hybrid", "base/hybrid"): (-0.1, -0.02),
}


def test_where_the_way_is_chosen_no_other_way_is_weighed() -> None:
    means = MEANS | {"tuned/hybrid": 0.6, "base/weighted": 0.9}
    verdict = decide(judged(means, CHOSEN, served_mode="auto", serves=WAYS), POLICY)
    assert verdict.promote
    assert len(verdict.reasons) == 2
    assert verdict.reasons[0].startswith("tuned/dense reaches 0.830, base/hybrid 0.670: a difference of +0.160")


def test_a_refusal_says_what_is_gained_without_training() -> None:
    evidence = judged(MEANS, CHOSEN | {("tuned/dense", "base/hybrid"): (-0.01, 0.19)}, served_mode="auto", serves=WAYS)
    verdict = decide(evidence, POLICY)
    assert (verdict.promote, verdict.objections) == (False, 1)
    told = "base/hybrid reaches 0.670, base/dense 0.620: a difference of +0.050 (95 % interval +0.020 to +0.080)"
    assert told in verdict.untuned
    assert verdict.untuned in verdict.reasons[1:]


def test_a_champion_is_replaced_only_by_what_beats_it_as_it_serves() -> None:
    means = MEANS | {"champion/weighted": 0.82, "champion/dense": 0.7}
    ways = WAYS | {"champion": "weighted"}
    intervals = CHOSEN | {("tuned/dense", "champion/weighted"): (-0.01, 0.03)}
    verdict = decide(judged(means, intervals, served_mode="auto", serves=ways), POLICY)
    assert not verdict.promote
    assert "champion/weighted 0.820" in verdict.reasons[0]
    assert decide(judged(means, intervals | {("tuned/dense", "champion/weighted"): (0.001, 0.03)},
                         served_mode="auto", serves=ways), POLICY).promote  # fmt: skip


@pytest.mark.parametrize(
    ("number", "level", "p", "promote", "reasons"),
    [
        (1, 0.0125, 0.02, True, 0),
        (1, 0.0125, 0.03, False, 1),
        (15, 0.0007, 0.0010, True, 1),
        (15, 0.0007, 0.0020, False, 1),
        (21, None, 0.0001, False, 1),
    ],
)
def test_a_gain_must_be_the_surer_the_more_a_test_set_has_decided(
    number: int, level: float | None, p: float, promote: bool, reasons: int
) -> None:
    look = TestSetLook(number=number, planned=20, level=level, fresh=0)
    verdict = decide(judged(MEANS, GAIN, p=p, look=look), POLICY)
    assert verdict.promote is promote
    assert sum("This test set has decided on" in reason for reason in verdict.reasons) == reasons
    assert verdict.objections == (0 if promote else 1)
