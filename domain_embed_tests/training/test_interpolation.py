"""Between base and tuned: what is chosen, by pencil, and that the mixture is what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.ports import NullTracker
from domain_embed.encoding.models import fingerprint, load_model
from domain_embed.training import interpolation
from domain_embed.training.interpolation import Mixer, MixturePoint, choose, interpolated
from domain_embed.training.probes import Probe
from domain_embed.training.validation import ValidationSet
from domain_embed_tests.training.scenario import MODEL, MetricsLog, ndcg_by_query

BASE = MixturePoint(0.0, 0.5, {"law": 0.8, "medicine": 0.6})
HALF = MixturePoint(0.5, 0.7, {"law": 0.79, "medicine": 0.6})
TUNED = MixturePoint(1.0, 0.9, {"law": 0.7, "medicine": 0.58})
SET = ValidationSet(["q1", "q2"], ["ask", "why"], ["a", "b"], ["text a", "text b"], ["ha", "hb"],
                    {"q1": {"a": 1}, "q2": {"b": 1}}, {"q1": 0.5, "q2": 0.0})  # fmt: skip
PROBE = Probe("law", ["p"], ["who"], ["a", "b"], ["text a", "text b"], {"p": {"b": 1}})


def test_loss_is_the_mean_over_the_probes() -> None:
    assert BASE.loss(BASE) == 0
    assert HALF.loss(BASE) == pytest.approx(0.005)
    assert TUNED.loss(BASE) == pytest.approx(0.06)


@pytest.mark.parametrize(("budget", "alpha"), [(0.1, 1.0), (0.061, 1.0), (0.059, 0.5), (0.004, 0.0), (0.0, 0.0)])
def test_the_best_within_the_budget_is_taken(budget: float, alpha: float) -> None:
    sweep = choose([TUNED, BASE, HALF], budget)
    assert sweep.chosen.alpha == alpha
    assert [point.alpha for point in sweep.points] == [0.0, 0.5, 1.0]


def points(*figures: tuple[float, float]) -> list[MixturePoint]:
    return [MixturePoint(alpha, figure) for alpha, figure in figures]


@pytest.mark.parametrize(
    ("figures", "alpha"),
    [
        ([(0.0, 0.5), (0.5, 0.6), (1.0, 0.6)], 0.5),
        ([(0.0, 0.5), (0.5, 0.5), (1.0, 0.5)], 0.0),
        ([(0.0, 0.5), (0.5, 0.4), (1.0, 0.3)], 0.0),
        ([(0.0, 0.5), (0.5, 0.4), (1.0, 0.51)], 1.0),
    ],
)
def test_without_probes_validation_decides_and_ties_go_to_the_smaller_share(
    figures: Sequence[tuple[float, float]], alpha: float
) -> None:
    assert choose(points(*figures), 0.0).chosen.alpha == alpha


@pytest.mark.parametrize(
    ("base", "half", "tuned", "alpha"),
    [
        ((0.5, 0.05), (0.62, 0.03), 0.6, 1.0),
        ((0.5, 0.052), (0.62, 0.03), 0.6, 0.5),
        ((0.5, 0.05), (0.62, 0.02), 0.6, 0.5),
        ((0.5, 0.05), (0.62, 0.01), 0.6, 0.5),
        ((0.5, 0.05), (0.59, 0.03), 0.6, 1.0),
        ((0.5, 0.052), (0.59, 0.03), 0.6, 0.5),
        ((0.5, 0.052), (0.49, 0.03), 0.6, 0.0),
        ((0.61, 0.05), (0.62, 0.03), 0.6, 0.5),
    ],
)
def test_tuned_weights_are_taken_where_their_gain_is_sure_and_no_mixture_is_ahead_by_more_than_chance(
    base: tuple[float, float], half: tuple[float, float], tuned: float, alpha: float
) -> None:
    points = [MixturePoint(share, figure, error=error) for share, (figure, error) in ((0.0, base), (0.5, half))]
    assert choose([*points, MixturePoint(1.0, tuned)], 0.0).chosen.alpha == alpha


def test_tuned_weights_over_the_budget_are_not_taken_for_luck_of_the_mixture() -> None:
    within = replace(HALF, validation=0.91, error=0.5)
    assert choose([BASE, within, TUNED], 0.01).chosen == within
    assert choose([BASE, within, TUNED], 0.1).chosen == TUNED


FIGURES = st.floats(0, 1)


@given(rows=st.lists(st.tuples(FIGURES, FIGURES, FIGURES), min_size=2, max_size=6), budget=st.floats(0, 0.2))
def test_the_choice_is_never_worse_than_the_base_and_never_over_the_budget(
    rows: list[tuple[float, float, float]], budget: float
) -> None:
    made = [MixturePoint(n / (len(rows) - 1), v, {"a": a, "b": b}) for n, (v, a, b) in enumerate(rows)]
    chosen = choose(made, budget).chosen
    assert chosen.validation >= made[0].validation
    assert chosen.loss(made[0]) <= budget
    for better in (point for point in made if point.validation > chosen.validation):
        assert better.loss(made[0]) > budget


def test_the_choice_is_said_in_words() -> None:
    assert choose(points((0.0, 0.5), (1.0, 0.4)), 0.01).sentence == (
        "the base model as it is: no share of the tuned weights ranks better (validation nDCG@10 0.5000, base 0.5000)"
    )
    assert choose([BASE, HALF, TUNED], 0.01).sentence == (
        "50% tuned weights, the rest the base model's, for 50% of their gain: the best mixture within the forgetting "
        "budget of 0.01 (validation nDCG@10 0.7000, base 0.5000)"
    )
    assert choose(points((0.0, 0.5), (0.5, 0.6), (1.0, 0.5)), 0.0).sentence == (
        "50% tuned weights, the rest the base model's: the best mixture (validation nDCG@10 0.6000, base 0.5000)"
    )
    assert choose([BASE, HALF, TUNED], 0.1).sentence.startswith("the tuned weights as they are: ")
    doubt = "; that anything was learned is not sure"
    unsure = MixturePoint(0.0, 0.5, error=0.1)
    assert choose([unsure, *points((0.5, 0.575), (1.0, 0.6))], 0.0).sentence == (
        f"50% tuned weights, the rest the base model's, for 75% of their gain: the best mixture{doubt} (validation "
        "nDCG@10 0.5750, base 0.5000)"
    )
    assert choose([unsure, *points((0.5, 0.5), (1.0, 0.6))], 0.0).sentence == (
        f"the base model as it is: no mixture ranks better{doubt} (validation nDCG@10 0.5000, base 0.5000)"
    )


def test_the_record_holds_curve_and_forgetting() -> None:
    assert choose([BASE, HALF], 0.01).to_json() == {
        "alpha": 0.5,
        "interpolation": [
            {"alpha": 0.0, "validation": 0.5, "probes": {"law": 0.8, "medicine": 0.6}, "error": 0.0},
            {"alpha": 0.5, "validation": 0.7, "probes": {"law": 0.79, "medicine": 0.6}, "error": 0.0},
        ],
        "forgetting": {"base": {"law": 0.8, "medicine": 0.6}, "tuned": {"law": 0.79, "medicine": 0.6}},
    }


# --- weights --------------------------------------------------------------------------------------------


def test_mixed_weights_by_hand_and_both_ends_exactly(minilm_path: str) -> None:
    base, tuned = load_model(minilm_path, MODEL), load_model(minilm_path, MODEL)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.mul_(2)
    before = fingerprint(base, MODEL)
    quarter = interpolated(base, tuned, 0.25).state_dict()
    for name, value in base.named_parameters():
        torch.testing.assert_close(quarter[name], 1.25 * value)
    assert fingerprint(interpolated(base, tuned, 0.0), MODEL) == fingerprint(base, MODEL) == before
    assert fingerprint(interpolated(base, tuned, 1.0), MODEL) == fingerprint(tuned, MODEL)


Asked = tuple[float, str]


def encoded(monkeypatch: pytest.MonkeyPatch, scores: Mapping[Asked, Sequence[float]]) -> list[Asked]:
    """Stands in for encoding: every mixture's scores on validation ("") and on each probe; gives what was asked.

    A mixture's vectors are its alpha; of the validation pool they are passed on where they are known.
    """
    asked: list[Asked] = []

    def measured(
        encoder: float, pool: ValidationSet | Probe, _: object, vectors: float | None = None
    ) -> tuple["pd.Series[float]", float]:
        asked.append((encoder, getattr(pool, "name", "")))
        assert vectors is None or vectors == encoder
        found = scores[asked[-1]]
        return pd.Series(found, pool.query_ids[: len(found)]), encoder

    monkeypatch.setattr(Mixer, "_encoder", lambda self, alpha: alpha)
    monkeypatch.setattr(interpolation, "measure", measured)
    return asked


MIXER = Mixer(None, None, MODEL, SET, (), ndcg_by_query)  # type: ignore[arg-type]
TUNED_VECTORS: Any = 1.0


def test_only_tuned_weights_and_mixtures_are_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = encoded(monkeypatch, {(0.5, ""): [0.5, 1.0], (1.0, ""): [0.5, 0.5]})
    sweep, vectors = MIXER.sweep([0.5], 0.5, TUNED_VECTORS, 0.01, log := MetricsLog())
    assert asked == [(1.0, ""), (0.5, "")]
    assert vectors == {0.5: 0.5}
    assert [(point.alpha, point.validation) for point in sweep.points] == [(0.0, 0.25), (0.5, 0.75), (1.0, 0.5)]
    assert log.of("interpolation/validation") == [(0, 0.25), (100, 0.5), (50, 0.75)]
    # The mixture's differences to the tuned weights are 0 and 0.5: their mean is 0.25, its standard error 0.25 / √2.
    # Those of the base model are 0 and -0.5.
    assert [point.error for point in sweep.points] == pytest.approx([0.25 / 2**0.5, 0.25 / 2**0.5, 0.0])
    assert sweep.chosen.alpha == 0.5


def test_without_mixtures_and_probes_nothing_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = encoded(monkeypatch, {})
    sweep, vectors = MIXER.sweep([], 0.5, TUNED_VECTORS, 0.01, NullTracker())
    assert (asked, vectors, sweep.chosen) == ([], {}, MixturePoint(1.0, 0.5))


def test_probes_are_asked_of_every_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {(0.5, ""): [0.75], (1.0, ""): [0.5], (0.0, "law"): [0.6], (0.5, "law"): [0.55], (1.0, "law"): [0.595]}
    asked = encoded(monkeypatch, scores)
    sweep, _ = replace(MIXER, probes=[PROBE]).sweep([0.5], 0.5, None, 0.01, NullTracker())
    assert sorted(asked) == sorted(scores)
    assert sweep.chosen == MixturePoint(1.0, 0.5, {"law": 0.595})
