"""Every way to a verdict, and that its reasons name the systems and the figures."""

from domain_embed.promotion.verdict import decide
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
    gain, untuned, other_mode = verdict.reasons
    assert gain == (
        "tuned/dense reaches 0.830, base/dense 0.620: a difference of +0.210 "
        "(95 % interval +0.180 to +0.240), all of it above the required 0."
    )
    assert "base/hybrid, the best untuned system, reaches 0.670" in untuned
    assert "does not show a loss beyond the tolerated 0.01" in other_mode


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
    assert "tuned/hybrid reaches 0.600, base/hybrid 0.670" in verdict.reasons[0]
    assert "all of it a loss beyond the tolerated 0.01" in verdict.reasons[0]


def test_tolerates_a_small_loss_in_the_other_mode() -> None:
    verdict = decide(judged(MEANS, GAIN | {("tuned/hybrid", "base/hybrid"): (-0.1, -0.01)}), POLICY)
    assert verdict.promote


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
    assert len(verdict.reasons) == 1


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


def test_every_reason_is_a_sentence() -> None:
    for reason in decide(judged(MEANS, GAIN, test_queries=1), POLICY).reasons:
        assert reason.endswith(".")
        assert any(character.isdigit() for character in reason)
