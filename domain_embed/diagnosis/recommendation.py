"""What to do first, and whether to fine-tune: a pure function of causes and levers, in plain sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from domain_embed.diagnosis.causes import CAUSES, Cause
from domain_embed.diagnosis.levers import BOUNDS, Lever
from domain_embed.evaluation.figures import count, interval, plain, signed

FEWEST_QUERIES = 30
"""With fewer, nothing is decided: a single query moves every figure."""
MOST = 0.5
"""Faults of the data come first when they explain so much of the failures."""

FINE_TUNING = "fine_tuning"
Answer: TypeAlias = Literal["yes", "no", "open"]


@dataclass(frozen=True)
class Findings:
    """What is decided on.

    Attributes:
        queries: How many were looked at.
        failures: How many of them failed, by cause.
        served: Name of what serves.
        mean: Its nDCG@10.
        levers: All of them.
        min_gain: Less is not worth pulling a lever.
    """

    queries: int
    failures: Mapping[Cause, int]
    served: str
    mean: float
    levers: Sequence[Lever]
    min_gain: float

    def lever(self, name: str) -> Lever | None:
        """One by name."""
        return next((lever for lever in self.levers if lever.name == name), None)


@dataclass(frozen=True)
class Recommendation:
    """One lever, or None to leave all as it is; whether fine-tuning is it; and why, the decisive reason first."""

    lever: str | None
    fine_tune: Answer
    headline: str
    reasons: tuple[str, ...]


def recommend(found: Findings) -> Recommendation:
    """The lever to pull first.

    1. With fewer than 30 queries nothing is said.
    2. Fine-tuning, when the whole interval of its estimated gain lies above what every setting gains, and above
       `min_gain`. It is not it, when the whole interval lies below one of these; else that is open.
    3. Where it is not shown to be it: the data, when faults of the data explain half of the failures or more and
       mending the largest could gain more than any setting does.
    4. Else the setting with the largest gain, of those whose interval lies above zero and whose gain reaches
       `min_gain`; else fine-tuning, if that is open and expected to reach it; else nothing.
    """
    if found.queries < FEWEST_QUERIES:
        told = f"Only {count(found.queries, 'query')} could be looked at; below {FEWEST_QUERIES} nothing is decided."
        return Recommendation(None, "open", "Too few queries to tell", (told, _failures(found)))
    data, setting, tuning = _data(found), _setting(found), found.lever(FINE_TUNING)
    answer = _fine_tune(found, tuning, setting)
    chosen = _chosen(found, answer, data, setting, tuning)
    reasons = [_why(chosen, found), _about_tuning(tuning, answer, chosen, found), _failures(found)]
    reasons += [_why_not(lever, chosen) for lever in found.levers if lever not in (chosen, tuning)]
    return Recommendation(
        chosen.name if chosen else None, answer, _headline(chosen, answer), tuple(filter(None, reasons))
    )


def _data(found: Findings) -> Lever | None:
    """The fault of the data that costs most, when such faults explain most failures."""
    total = sum(found.failures.values())
    faults = sum(found.failures.get(cause, 0) for _, causes, _ in BOUNDS.values() for cause in causes)
    bounds = [lever for lever in found.levers if lever.name in BOUNDS and lever.gain >= found.min_gain]
    return max(bounds, key=lambda lever: lever.gain) if bounds and faults >= MOST * total else None


def _setting(found: Findings) -> Lever | None:
    """The measured lever that gains most, if it surely gains."""
    sure = [
        lever
        for lever in found.levers
        if lever.kind == "measured" and lever.ci95[0] > 0 and lever.gain >= found.min_gain
    ]  # fmt: skip
    return max(sure, key=lambda lever: lever.gain) if sure else None


def _fine_tune(found: Findings, tuning: Lever | None, setting: Lever | None) -> Answer:
    if found.served.endswith("/sparse"):
        return "no"
    if tuning is None:
        return "open"
    needed = max(found.min_gain, setting.gain if setting else 0.0)
    if tuning.ci95[0] > needed:
        return "yes"
    return "no" if tuning.ci95[1] < needed else "open"


def _chosen(
    found: Findings, answer: Answer, data: Lever | None, setting: Lever | None, tuning: Lever | None
) -> Lever | None:
    if answer == "yes":
        return tuning
    if data and (setting is None or data.gain > setting.gain):
        return data
    if setting:
        return setting
    return tuning if answer == "open" and tuning and tuning.gain >= found.min_gain else None


def _headline(chosen: Lever | None, answer: Answer) -> str:
    if chosen is None:
        return "Do not fine-tune: leave it as it is" if answer == "no" else "Nothing here is shown to help"
    if chosen.name == FINE_TUNING:
        return "Fine-tune" if answer == "yes" else "Fine-tuning is worth a try"
    ending = {"no": ", do not fine-tune", "open": " first", "yes": ""}[answer]
    return f"{chosen.title}{ending}"


def _why(chosen: Lever | None, found: Findings) -> str:
    if chosen is None:
        return f"{found.served} reaches {plain(found.mean)}, and no lever is shown to gain {found.min_gain:g} or more."
    verb = {"measured": "gains", "estimated": "is estimated to gain", "bound": "can gain at most"}[chosen.kind]
    return (
        f"{chosen.title} {verb} {_figure(chosen)} over {found.served}, which reaches {plain(found.mean)}: "
        f"{chosen.how}. It costs {_work(chosen)}."
    )


def _about_tuning(tuning: Lever | None, answer: Answer, chosen: Lever | None, found: Findings) -> str:
    if found.served.endswith("/sparse"):
        return "BM25 answers every query, so no model serves that could be fine-tuned."
    if tuning is None:
        return "What fine-tuning would gain was not estimated (`diagnosis.probe_pairs`, or too few training pairs)."
    if tuning is chosen:
        rest = "the interval lies above every cheaper lever" if answer == "yes" else "no cheaper lever is shown to help"
        return f"It was estimated from a small training; {rest}."
    told = f"Fine-tuning is estimated to gain {_figure(tuning)}"
    if answer == "no":
        return f"{told}, all of it below that or below what is worth it, and takes {_work(tuning)}."
    return f"{told}: whether it would gain more is open. It takes {_work(tuning)}."


def _why_not(lever: Lever, chosen: Lever | None) -> str:
    told = f"{lever.title}: {_figure(lever)}"
    if lever.kind == "bound":
        return f"{told} at most." if lever.by_hand else f"{told} at most; none was measured."
    if lever.ci95[1] < 0:
        return f"{told}, worse than what serves."
    if lever.ci95[0] <= 0:
        return f"{told}, not shown to help."
    if chosen and lever.gain <= chosen.gain:
        return f"{told}, less."
    return f"{told}."


def _failures(found: Findings) -> str:
    total = sum(found.failures.values())
    if not total:
        return f"Of {count(found.queries, 'query')} none fails."
    named = sorted(found.failures.items(), key=lambda item: (-item[1], list(CAUSES).index(item[0])))[:3]
    causes = ", ".join(f"{number:,} × {_inside(CAUSES[cause].title)}" for cause, number in named)
    return f"Of {count(found.queries, 'query')} {total:,} fail: {causes}."


def _inside(title: str) -> str:
    """A title in the middle of a sentence."""
    return title[0].lower() + title[1:]


def _figure(lever: Lever) -> str:
    return f"{signed(lever.gain)} nDCG@10 (95 % interval {interval(lever.ci95)})"


def _work(lever: Lever) -> str:
    parts = []
    if lever.seconds >= 1:
        parts.append(f"about {_duration(lever.seconds)} of computing")
    if lever.reembeds:
        parts.append(f"embedding {count(lever.reembeds, 'passage')} again")
    if lever.by_hand:
        parts.append("the work of people")
    return " and ".join(parts) or "nothing but the setting"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
