"""The evidence as one HTML file that needs nothing but itself: no script, no font, no picture, no network."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from domain_embed.contracts.records import Comparison, Verdict
from domain_embed.evaluation import figures
from domain_embed.evaluation.containment import CUTOFFS
from domain_embed.evaluation.evidence import PLAIN, Evidence
from domain_embed.evaluation.measures import HEADLINE, MEASURES
from domain_embed.evaluation.movement import RANKS, TOP, Movement, Unjudged, gained, lost, rank_shifts
from domain_embed.evaluation.plots import DifferencePlot, change_plot, difference_plot, interval_plot, line_plot
from domain_embed.evaluation.stories import PassageText, Question, question, story
from domain_embed.evaluation.subject import ANSWER_FIGURES, AnswerFigure, AnswerOutcome
from domain_embed.evaluation.training_record import TrainingRecord

__all__ = ["PassageText", "render_html", "report_content"]

MOST_SLICES_DRAWN = 24
"""More of them are in the table only."""
STORIES_OPEN = 8
"""More of them are folded away."""
MOST_QUESTIONS = 15
"""More of them are in the review sheet only."""

ANSWER_TITLES = dict(zip(ANSWER_FIGURES, ("Exact match", "Token F1", "Supported", "Complete"), strict=True))
OUTCOMES: dict[AnswerOutcome, str] = {
    "judged": "answers judged",
    "declined": "without an answer in the passages",
    "unjudged": "without a judgment that can be read",
    "empty": "empty",
    "refused": "refused by the endpoint",
}


class AnswerRow(NamedTuple):
    """One figure of the answers from one system's passages, and what the tuned model gains over it."""

    title: str
    system: str
    figure: AnswerFigure
    gain: Comparison | None


def report_content(
    evidence: Evidence, verdict: Verdict, movements: Sequence[Movement], questions: Sequence[Unjudged]
) -> dict[str, Any]:
    """What the report says, as JSON values."""
    return {
        "evidence": evidence.to_json(),
        "verdict": asdict(verdict),
        "moved": {
            name: [asdict(one) for one in told(movements)] for name, told in (("gained", gained), ("lost", lost))
        },
        "rank_shifts": {"ranks": list(RANKS), "queries": rank_shifts(movements)},
        "please_judge": [asdict(one) for one in questions],
    }


def render_html(
    evidence: Evidence,
    verdict: Verdict,
    movements: Sequence[Movement],
    questions: Sequence[Unjudged] = (),
    *,
    queries: Mapping[str, str],
    passages: Mapping[str, PassageText],
    record: TrainingRecord | None = None,
) -> str:
    """A complete HTML document; every text from outside is escaped, and nothing is loaded from anywhere.

    Args:
        evidence: The figures.
        verdict: What was decided on them.
        movements: One per test query, from the baseline's run to the challenger's run of `evidence.gain`.
        questions: Unjudged passages that people are asked about, the most urgent first.
        queries: Text by query id; an unknown query is shown by its id.
        passages: Title and text by passage id, of `named_passages(gained(...) + lost(...))` and of the questions; an
            unknown passage is shown by its id.
        record: How training went, when known.
    """
    environment = Environment(
        loader=PackageLoader("domain_embed", "evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        name: getattr(figures, name) for name in ("plain", "signed", "interval", "p_value", "count")
    }
    gain: Comparison | None = evidence.gain
    if evidence.nothing_tuned:
        evidence, movements, questions = evidence.without_tuned(), (), ()
        pair = (evidence.best_untuned, PLAIN if evidence.is_chosen else evidence.as_served("base"))
        gain = evidence.comparison(*pair) if pair[0] != pair[1] else None
    return environment.get_template("report.html.j2").render(
        evidence=evidence,
        verdict=verdict,
        gain=gain,
        also=[one for one in evidence.comparisons if gain and one.challenger == gain.challenger and one != gain],
        measures=MEASURES,
        headline_measure=HEADLINE,
        top=TOP,
        stories_open=STORIES_OPEN,
        best=_best_per_measure(evidence),
        intervals=interval_plot(evidence),
        differences=_difference_plot(evidence),
        slices=_slice_plot(evidence),
        change=change_plot([movement.delta for movement in movements]) if movements else None,
        ranks=RANKS,
        shifts=rank_shifts(movements) if movements else None,
        cutoffs=CUTOFFS,
        answers=_answer_rows(evidence),
        outcomes=OUTCOMES,
        training=_training_plots(record or TrainingRecord()),
        record=record or TrainingRecord(),
        gained=[story(movement, queries, passages) for movement in gained(movements)],
        lost=[story(movement, queries, passages) for movement in lost(movements)],
        questions=_questions(questions, queries, passages),
        more_questions=max(0, len(questions) - MOST_QUESTIONS),
    )


def _best_per_measure(evidence: Evidence) -> dict[str, str]:
    """The highest figure of each column as it is printed, so that all who share it are marked."""
    return {measure: figures.plain(max(means[measure] for means in evidence.systems.values())) for measure in MEASURES}


def _difference_plot(evidence: Evidence) -> DifferencePlot:
    return difference_plot(
        [(one.challenger, f"against {one.baseline}", one.delta, one.ci95) for one in evidence.comparisons]
    )


def _slice_plot(evidence: Evidence) -> DifferencePlot | None:
    shown = evidence.slices[:MOST_SLICES_DRAWN]
    rows = [
        (f"{one.dimension}: {one.value}", figures.count(one.queries, "query"), one.delta, one.ci95) for one in shown
    ]
    return difference_plot(rows) if rows else None


def _answer_rows(evidence: Evidence) -> list[AnswerRow]:
    """Figure by figure, so that systems stand below each other."""
    found = evidence.answers
    if found is None:
        return []
    gains = {(one.metric, one.baseline): one for one in found.differences}
    return [
        AnswerRow(ANSWER_TITLES[name], system, answers.figures[name], gains.get((name, system)))
        for name in ANSWER_FIGURES
        for system, answers in found.systems.items()
        if name in answers.figures
    ]


def _training_plots(record: TrainingRecord) -> list[dict[str, object]]:
    """The curves there are: title, name of the x axis and plot of each."""
    plots: list[dict[str, object]] = []

    def draw(title: str, unit: str, points: Sequence[tuple[float, float]], *, whole: bool, dots: bool = True) -> None:
        if points:
            plots.append({"title": title, "unit": unit, "plot": line_plot(points, title, dots=dots, whole=whole)})

    draw("Training loss", "step", list(enumerate(record.history.loss, start=1)), whole=True, dots=False)
    draw(f"Validation {HEADLINE}", "epoch", record.history.curve, whole=True)
    mixtures = sorted(record.interpolation, key=lambda mixture: mixture.alpha)
    if len(mixtures) > 1:
        unit = "share of the tuned weights"
        draw(f"Validation {HEADLINE}", unit, [(one.alpha, one.validation) for one in mixtures], whole=False)
        if all(one.probes for one in mixtures):
            means = [(one.alpha, sum(one.probes.values()) / len(one.probes)) for one in mixtures]
            draw(f"{HEADLINE} on probes outside the domain", unit, means, whole=False)
    draw(f"Validation {HEADLINE}", "training pairs", [(one.pairs, one.ndcg) for one in record.points], whole=True)
    return plots


def _questions(
    asked: Sequence[Unjudged], queries: Mapping[str, str], passages: Mapping[str, PassageText]
) -> list[Question]:
    return [question(one, queries, passages) for one in asked[:MOST_QUESTIONS]]
