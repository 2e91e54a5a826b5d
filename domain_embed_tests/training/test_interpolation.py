"""Between base and tuned: what is chosen, by pencil, and that the mixture is what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.ports import NullTracker
from domain_embed.encoding.models import fingerprint
from domain_embed.training import interpolation
from domain_embed.training.interpolation import Mixer, MixturePoint, choose, interpolated
from domain_embed.training.probes import Probe
from domain_embed.training.trainable import prompted_model
from domain_embed.training.validation import ValidationSet
from domain_embed_tests.training.scenario import MODEL, MetricsLog, mean_ndcg

BASE = MixturePoint(0.0, 0.5, {"law": 0.8, "medicine": 0.6})
HALF = MixturePoint(0.5, 0.7, {"law": 0.79, "medicine": 0.6})
TUNED = MixturePoint(1.0, 0.9, {"law": 0.7, "medicine": 0.58})
SET = ValidationSet(["q1", "q2"], ["ask", "why"], ["a", "b"], ["text a", "text b"], ["ha", "hb"],
                    {"q1": {"a": 1}, "q2": {"b": 1}}, 0.25)  # fmt: skip
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
        "50% tuned weights, the rest the base model's: the best mixture within the forgetting budget of 0.01 "
        "(validation nDCG@10 0.7000, base 0.5000)"
    )
    assert choose([BASE, HALF, TUNED], 0.1).sentence.startswith("the tuned weights as they are: ")


def test_the_record_holds_curve_and_forgetting() -> None:
    assert choose([BASE, HALF], 0.01).to_json() == {
        "alpha": 0.5,
        "interpolation": [
            {"alpha": 0.0, "validation": 0.5, "probes": {"law": 0.8, "medicine": 0.6}},
            {"alpha": 0.5, "validation": 0.7, "probes": {"law": 0.79, "medicine": 0.6}},
        ],
        "forgetting": {"base": {"law": 0.8, "medicine": 0.6}, "tuned": {"law": 0.79, "medicine": 0.6}},
    }


# --- weights --------------------------------------------------------------------------------------------


def test_mixed_weights_by_hand_and_both_ends_exactly(minilm_path: str) -> None:
    base, tuned = prompted_model(minilm_path, MODEL), prompted_model(minilm_path, MODEL)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.mul_(2)
    before = fingerprint(base, MODEL)
    quarter = interpolated(base, tuned, 0.25).state_dict()
    for name, value in base.named_parameters():
        torch.testing.assert_close(quarter[name], 1.25 * value)
    assert fingerprint(interpolated(base, tuned, 0.0), MODEL) == fingerprint(base, MODEL) == before
    assert fingerprint(interpolated(base, tuned, 1.0), MODEL) == fingerprint(tuned, MODEL)


def encoded(monkeypatch: pytest.MonkeyPatch, figures: Mapping[tuple[float, str], float]) -> list[tuple[float, str]]:
    """Stands in for encoding: every mixture's figure on validation ("") and on each probe; gives what was asked."""
    asked: list[tuple[float, str]] = []

    def measured(encoder: float, pool: ValidationSet | Probe, _: object) -> tuple[float, float]:
        asked.append((encoder, getattr(pool, "name", "")))
        return figures[asked[-1]], encoder

    monkeypatch.setattr(Mixer, "_encoder", lambda self, alpha: alpha)
    monkeypatch.setattr(interpolation, "measure", measured)
    return asked


MIXER = Mixer(None, None, MODEL, SET, (), mean_ndcg)  # type: ignore[arg-type]


def test_only_what_is_not_known_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = encoded(monkeypatch, {(0.5, ""): 0.75})
    sweep, vectors = MIXER.sweep([0.5], 0.5, 0.01, log := MetricsLog())
    assert asked == [(0.5, "")]
    assert vectors == {0.5: 0.5}
    assert [(point.alpha, point.validation) for point in sweep.points] == [(0.0, 0.25), (0.5, 0.75), (1.0, 0.5)]
    assert sweep.chosen.alpha == 0.5
    assert log.of("interpolation/validation") == [(0, 0.25), (50, 0.75), (100, 0.5)]


def test_probes_are_asked_of_every_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {(0.5, ""): 0.75, (0.0, "law"): 0.6, (0.5, "law"): 0.55, (1.0, "law"): 0.595}
    asked = encoded(monkeypatch, figures)
    sweep, _ = replace(MIXER, probes=[PROBE]).sweep([0.5], 0.5, 0.01, NullTracker())
    assert sorted(asked) == sorted(figures)
    assert sweep.chosen == MixturePoint(1.0, 0.5, {"law": 0.595})
