"""Whether a tuned model may go live: one rule, read from the evidence alone, that gives its reasons in words."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from domain_embed.contracts.records import Comparison, Mode, Verdict
from domain_embed.evaluation.evidence import BM25, Evidence
from domain_embed.evaluation.figures import interval, plain, signed

FEWEST_QUERIES = 10
"""Below this, a percentile interval is narrower than it should be, and one query can tip the decision."""

_MODES: tuple[Mode, ...] = ("dense", "hybrid")


class Policy(Protocol):
    """What a domain demands of a challenger, in nDCG@10; both at least 0. `PromotionSettings` is one."""

    @property
    def min_gain(self) -> float:
        """The interval of the gain over the incumbent must lie above this."""
        ...

    @property
    def max_loss(self) -> float:
        """No other mode's interval may lie wholly below minus this."""
        ...


class _Finding(NamedTuple):
    """One condition that was weighed: whether it speaks for the challenger, and how to say so."""

    holds: bool
    sentence: str


def decide(evidence: Evidence, policy: Policy) -> Verdict:
    """Promotes when every condition holds; otherwise refuses, with the failed conditions first.

    At least ten test queries must have been measured, and on 95 % intervals of nDCG@10:

    1. In the served mode, tuned minus incumbent lies above `min_gain`. The incumbent is the champion when
       another tuned model is live, else the base model.
    2. In the other mode that uses the model, tuned minus incumbent does not lie wholly below `-max_loss`.
    3. In the served mode, tuned minus the best untuned system (BM25 or any mode of the base model) lies above 0,
       so that no model goes live which a setting would have made needless.

    When the served mode is sparse no model answers queries, and none is promoted.
    """
    if evidence.served_mode == "sparse":
        return Verdict(promote=False, reasons=(_no_model_serves(evidence),))
    findings = sorted(_findings(evidence, policy), key=lambda finding: finding.holds)
    return Verdict(
        promote=all(finding.holds for finding in findings),
        reasons=tuple(finding.sentence for finding in findings),
    )


def _findings(evidence: Evidence, policy: Policy) -> Iterator[_Finding]:
    served = evidence.served_mode
    if evidence.test_queries < FEWEST_QUERIES:
        yield _too_few_queries(evidence.test_queries)
    yield _gains_enough(evidence, policy.min_gain)
    # When the best untuned system is the incumbent itself, the gain has already been weighed.
    if evidence.best_untuned != evidence.incumbent(served):
        yield _beats_untuned(evidence)
    for mode in _MODES:
        if mode != served and f"tuned/{mode}" in evidence.systems and evidence.incumbent(mode) in evidence.systems:
            yield _loses_little(evidence, mode, policy.max_loss)


def _no_model_serves(evidence: Evidence) -> str:
    challenger = evidence.headline.challenger
    return (
        f"retrieval.mode is sparse, so {BM25} answers every query, at {plain(evidence.mean(BM25))}, and no model is "
        f"used: promoting {challenger}, at {plain(evidence.mean(challenger))}, would change nothing; "
        "set retrieval.mode to dense or hybrid to serve it."
    )


def _too_few_queries(number: int) -> _Finding:
    return _Finding(
        False,
        f"Only {number} test {'query was' if number == 1 else 'queries were'} measured, and below {FEWEST_QUERIES} "
        "the figures are too uncertain to decide by; judge more queries.",
    )


def _gains_enough(evidence: Evidence, min_gain: float) -> _Finding:
    comparison = evidence.comparison(f"tuned/{evidence.served_mode}", evidence.incumbent(evidence.served_mode))
    figures = _figures(evidence, comparison)
    if comparison.ci95[0] > min_gain:
        return _Finding(True, f"{figures}, all of it above the required {min_gain:g}.")
    return _Finding(False, f"{figures}, which is not shown to be above the required {min_gain:g}.")


def _loses_little(evidence: Evidence, mode: Mode, max_loss: float) -> _Finding:
    comparison = evidence.comparison(f"tuned/{mode}", evidence.incumbent(mode))
    figures = _figures(evidence, comparison)
    if comparison.ci95[1] < -max_loss:
        return _Finding(False, f"{figures}, all of it a loss beyond the tolerated {max_loss:g}.")
    return _Finding(True, f"{figures}, which does not show a loss beyond the tolerated {max_loss:g}.")


def _beats_untuned(evidence: Evidence) -> _Finding:
    comparison = evidence.comparison(f"tuned/{evidence.served_mode}", evidence.best_untuned)
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
    mode = "sparse" if best == BM25 else best.removeprefix("base/")
    if mode == evidence.served_mode:
        return "the base model serves as well"
    tuned = f"tuned/{mode}"
    reached = f" ({tuned} reaches {plain(evidence.mean(tuned))} there)" if tuned in evidence.systems else ""
    return f"set retrieval.mode to {mode}{reached}"


def _figures(evidence: Evidence, comparison: Comparison) -> str:
    before, after = evidence.mean(comparison.baseline), evidence.mean(comparison.challenger)
    return (
        f"{comparison.challenger} reaches {plain(after)}, {comparison.baseline} {plain(before)}: "
        f"a {_difference(comparison)}"
    )


def _difference(comparison: Comparison) -> str:
    return f"difference of {signed(comparison.delta)} (95 % interval {interval(comparison.ci95)})"
