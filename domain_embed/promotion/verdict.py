"""Whether a tuned model may go live: one rule, read from the evidence alone, that gives its reasons in words."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from domain_embed.contracts.records import Comparison, Verdict
from domain_embed.evaluation.evidence import Evidence
from domain_embed.evaluation.figures import count, interval, p_phrase, plain, signed
from domain_embed.evaluation.names import BM25, RERANK, mode_of, model_of, variant_of
from domain_embed.evaluation.significance import LEVEL, holm

FEWEST_QUERIES = 10
"""Below this, a bootstrap interval is narrower than it should be, and one query can tip the decision."""
NOTHING_TUNED = (
    "Training ended with the base model as it is: no share of what was learned ranks the validation queries better and "
    "forgets little enough elsewhere. There is nothing to promote; more or better judgments would have to come first."
)


class Policy(Protocol):
    """What a domain demands of a challenger, in nDCG@10; all at least 0. `PromotionSettings` is one."""

    @property
    def min_gain(self) -> float:
        """The interval of the gain over the incumbent must lie above this."""
        ...

    @property
    def max_loss(self) -> float:
        """No other variant may lose more, when it is shown to lose."""
        ...

    @property
    def max_slice_loss(self) -> float:
        """No slice may lose more, when it is shown to lose."""
        ...

    @property
    def min_slice_queries(self) -> int:
        """Slices of fewer queries decide nothing."""
        ...

    @property
    def max_forgetting(self) -> float | None:
        """Mean loss on probes outside the domain; None is any."""
        ...

    @property
    def max_latency_ms(self) -> float | None:
        """95th percentile of the served system's latency; None is any."""
        ...


class _Finding(NamedTuple):
    """One condition: whether it holds, None where it could not be weighed, and how to say so."""

    holds: bool | None
    sentence: str


def decide(evidence: Evidence, policy: Policy) -> Verdict:
    """Promotes when every condition holds; otherwise refuses, with the failed conditions first.

    Every gate must have passed and at least ten test queries must have been measured. In nDCG@10:

    1. As it would serve, tuned minus incumbent has a 95 % interval above `min_gain`. The incumbent is the champion
       when another tuned model is live, else the base model, each as it serves.
    2. As it would serve, tuned minus the best untuned system (BM25 or any variant of the base model) has an interval
       above 0, so that no model goes live which a setting would have made needless. Where the way to serve is chosen
       for each model, on validation queries, that is the one chosen for the base model: the highest on test queries is
       shown and decides nothing.
    3. Where the settings name the way to serve, no other variant loses more than `max_loss` against its incumbent, of
       those that are shown to lose at all: by the randomization test at the 5 % level, with Holm's correction for their
       number. Where it is chosen, no other variant serves.
    4. No slice of at least `min_slice_queries` loses more than `max_slice_loss`, in the same sense.
    5. When validation queries show a gain, test queries show one, too: otherwise the model was fitted to the former.
    6. On probes outside the domain the tuned model loses at most `max_forgetting`, where that was measured.
    7. The served system's 95th percentile of latency is at most `max_latency_ms`, where one is demanded.
    8. The gain is sure enough for the how-manieth look at this test set it is: its p-value is at most twice the
       one-sided level that is left for it, see `promotion.looks`.

    When the served mode is sparse no model answers queries, and none is promoted; nor is the base model, which training
    ends with when no share of what was learned helps.
    """
    if evidence.served_mode == "sparse":
        return Verdict(promote=False, reasons=(_no_model_serves(evidence),), objections=1)
    if evidence.nothing_tuned:
        return refused(NOTHING_TUNED, evidence)
    findings = list(_findings(evidence, policy))
    failed, held, unknown = ([one.sentence for one in findings if one.holds is holds] for holds in (False, True, None))
    untuned = _untuned_gain(evidence)
    if failed and untuned:
        held.append(untuned)
    return Verdict(not failed, (*failed, *held, *unknown), len(failed), len(unknown), untuned)


def refused(reason: str, evidence: Evidence) -> Verdict:
    """A refusal for one reason, with what is gained all the same."""
    untuned = _untuned_gain(evidence)
    return Verdict(promote=False, reasons=(reason, untuned) if untuned else (reason,), objections=1, untuned=untuned)


def _untuned_gain(evidence: Evidence) -> str:
    """What the way chosen for the base model gains without training; empty where it is plain dense search."""
    comparison = evidence.untuned_gain if evidence.is_chosen else None
    return f"Without training, {_figures(evidence, comparison)}." if comparison else ""


def _findings(evidence: Evidence, policy: Policy) -> Iterator[_Finding]:
    yield from _gates(evidence)
    if evidence.test_queries < FEWEST_QUERIES:
        yield _too_few_queries(evidence.test_queries)
    yield _gains_enough(evidence, policy.min_gain)
    yield from _is_not_worn_out(evidence)
    # When the best untuned system is the incumbent itself, the gain has already been weighed.
    if evidence.best_untuned != evidence.replaced:
        yield _beats_untuned(evidence)
    if not evidence.is_chosen:
        yield from _other_variants(evidence, policy.max_loss)
    yield from _slices(evidence, policy.max_slice_loss, policy.min_slice_queries)
    yield from _generalises(evidence)
    yield from _remembers(evidence, policy.max_forgetting)
    yield from _is_fast(evidence, policy.max_latency_ms)


def _no_model_serves(evidence: Evidence) -> str:
    challenger = evidence.headline.challenger
    return (
        f"retrieval.mode is sparse, so {BM25} answers every query, at {plain(evidence.mean(BM25))}, and no model is "
        f"used: promoting {challenger}, at {plain(evidence.mean(challenger))}, would change nothing; "
        "set retrieval.mode to dense or hybrid to serve it."
    )


def _gates(evidence: Evidence) -> Iterator[_Finding]:
    """Failed gates only: that the others passed is what everybody takes for granted."""
    for gate in evidence.gates:
        if not gate.passed:
            yield _Finding(False, f"The check of {gate.name} failed, so no figure can be trusted: {gate.detail}.")


def _too_few_queries(number: int) -> _Finding:
    return _Finding(
        False,
        f"Only {number} test {'query was' if number == 1 else 'queries were'} measured, and below {FEWEST_QUERIES} "
        "the figures are too uncertain to decide by; judge more queries.",
    )


def _gains_enough(evidence: Evidence, min_gain: float) -> _Finding:
    comparison = evidence.gain
    figures = _figures(evidence, comparison)
    if comparison.ci95[0] > min_gain:
        return _Finding(True, f"{figures}, all of it above the required {min_gain:g}.")
    return _Finding(False, f"{figures}, which is not shown to be above the required {min_gain:g}{_limits(evidence)}.")


def _is_not_worn_out(evidence: Evidence) -> Iterator[_Finding]:
    """Nothing to say where a first look is sure enough."""
    look = evidence.look
    if look is None:
        return
    decided = f"This test set has decided on {count(look.number - 1, 'challenger')} before"
    renew = "hold out new test queries: judge more, and run again"
    if look.level is None:
        yield _Finding(False, f"{decided}, of {look.planned} that it may decide on, and can tell no more; {renew}.")
        return
    p, allowed = evidence.gain.p, 2 * look.level
    if p > allowed:
        yield _Finding(False, f"{decided}, so that {p_phrase(p)} is not sure enough: {allowed:.4f} would be; {renew}.")
    elif look.number > 1:
        yield _Finding(True, f"{decided}, and {p_phrase(p)} is sure enough: {allowed:.4f} would be.")


def _limits(evidence: Evidence) -> str:
    """What a test set of this size could have shown; nothing where the gain was large enough to be seen."""
    if evidence.detectable is None or evidence.gain.delta >= evidence.detectable:
        return ""
    return f"; {count(evidence.test_queries, 'query')} cannot show differences below {plain(evidence.detectable)}"


def _beats_untuned(evidence: Evidence) -> _Finding:
    comparison = evidence.comparison(evidence.challenger, evidence.best_untuned)
    best, reached = comparison.baseline, plain(evidence.mean(comparison.baseline))
    tuned = f"{comparison.challenger}, at {plain(evidence.mean(comparison.challenger))},"
    if comparison.ci95[0] > 0:
        return _Finding(
            True,
            f"{best}, the best untuned system, reaches {reached}: {tuned} is better, with a {_difference(comparison)}.",
        )
    return _Finding(
        False,
        f"{best} already reaches {reached}: {tuned} is not shown to be better, with a {_difference(comparison)}; "
        f"{_advice(evidence, best)}.",
    )


def _advice(evidence: Evidence, best: str) -> str:
    """The setting that gets at least as far without this model."""
    variant = variant_of(best)
    if evidence.is_chosen or variant == evidence.variant("tuned"):
        return "the base model serves as well"
    mode, rerank = mode_of(variant)
    setting = f"set retrieval.mode to {mode}" + (" and retrieval.rerank to true" if rerank else "")
    tuned = f"tuned/{variant}"
    reached = f" ({tuned} reaches {plain(evidence.mean(tuned))} there)" if tuned in evidence.systems else ""
    return f"{setting}{reached}"


def _other_variants(evidence: Evidence, max_loss: float) -> Iterator[_Finding]:
    others = [
        comparison
        for comparison in evidence.comparisons
        if model_of(comparison.challenger) == "tuned"
        and variant_of(comparison.challenger) != evidence.variant("tuned")
        and comparison.baseline == evidence.incumbent(variant_of(comparison.challenger))
    ]
    adjusted = holm([comparison.p for comparison in others])
    harmed = [pair for pair in zip(others, adjusted, strict=True) if pair[0].delta < -max_loss and pair[1] < LEVEL]
    for comparison, p in harmed:
        yield _Finding(
            False,
            f"{_figures(evidence, comparison)}, a loss beyond the tolerated {max_loss:g} "
            f"({p_phrase(p)}, corrected for {count(len(others), 'comparison')}).",
        )
    if others and not harmed:
        worst = min(others, key=lambda comparison: comparison.delta)
        told = f"shown to lose more than the tolerated {max_loss:g}"
        if len(others) == 1:
            yield _Finding(True, f"{_figures(evidence, worst)}, which is not {told}.")
        else:
            yield _Finding(
                True, f"None of {len(others)} other ways to serve is {told}. The lowest: {_figures(evidence, worst)}."
            )


def _slices(evidence: Evidence, max_loss: float, min_queries: int) -> Iterator[_Finding]:
    weighed = [effect for effect in evidence.slices if effect.queries >= min_queries]
    harmed = [
        (effect, p)
        for effect, p in zip(weighed, holm([effect.p for effect in weighed]), strict=True)
        if effect.delta < -max_loss and p < LEVEL
    ]
    for effect, p in harmed:
        yield _Finding(
            False,
            f"Where {effect.dimension} is {effect.value} ({count(effect.queries, 'query')}), nDCG@10 falls from "
            f"{plain(effect.before)} to {plain(effect.after)}, a loss beyond the tolerated {max_loss:g} "
            f"({p_phrase(p)}, corrected for {count(len(weighed), 'group')}).",
        )
    if weighed and not harmed:
        worst = weighed[0]
        yield _Finding(
            True,
            f"None of {count(len(weighed), 'group')} of at least {min_queries} queries is shown to lose more than the "
            f"tolerated {max_loss:g}; lowest is {worst.dimension} {worst.value}, at {signed(worst.delta)}.",
        )


def _generalises(evidence: Evidence) -> Iterator[_Finding]:
    validation, test = evidence.validation, evidence.headline
    if validation is not None and validation.ci95[0] > 0 and test.ci95[0] <= 0:
        yield _Finding(
            False,
            f"On the validation queries {test.challenger} gains {signed(validation.delta)} over {test.baseline}, on "
            f"the test queries {signed(test.delta)}, which may be nothing: the model fits the queries it was chosen "
            "by; train less, or hold out more validation queries.",
        )


def _remembers(evidence: Evidence, max_forgetting: float | None) -> Iterator[_Finding]:
    if max_forgetting is None:
        return
    if evidence.forgetting is None:
        yield _Finding(None, "What the model forgot outside the domain was not measured (0 probes).")
        return
    loss, probes = evidence.forgetting.loss, len(evidence.forgetting.tuned)
    figures = f"On {count(probes, 'probe')} outside the domain the tuned model changes nDCG@10 by {signed(-loss)}"
    if loss > max_forgetting:
        yield _Finding(False, f"{figures}: it forgets more than the tolerated {max_forgetting:g}.")
    else:
        yield _Finding(True, f"{figures}, within the tolerated loss of {max_forgetting:g}.")


def _is_fast(evidence: Evidence, max_latency_ms: float | None) -> Iterator[_Finding]:
    if max_latency_ms is None:
        return
    served = evidence.challenger
    timed = next((serving for serving in evidence.serving if serving.system == served), None)
    if timed is None:
        yield _Finding(False, f"promotion.max_latency_ms is {max_latency_ms:g}, but the latency was not measured.")
        return
    figures = f"{served} answers 19 of 20 queries within {timed.p95_ms:.1f} ms"
    if timed.p95_ms > max_latency_ms:
        slow = "; set retrieval.rerank_depth lower" if served.endswith(RERANK) else ""
        yield _Finding(False, f"{figures}, slower than the demanded {max_latency_ms:g} ms{slow}.")
    else:
        yield _Finding(True, f"{figures}, within the demanded {max_latency_ms:g} ms.")


def _figures(evidence: Evidence, comparison: Comparison) -> str:
    before, after = evidence.mean(comparison.baseline), evidence.mean(comparison.challenger)
    return (
        f"{comparison.challenger} reaches {plain(after)}, {comparison.baseline} {plain(before)}: "
        f"a {_difference(comparison)}"
    )


def _difference(comparison: Comparison) -> str:
    return f"difference of {signed(comparison.delta)} (95 % interval {interval(comparison.ci95)})"
