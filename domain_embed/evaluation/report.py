"""The evidence as one HTML file that needs nothing but itself: no script, no font, no picture, no network."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from domain_embed.contracts.records import Verdict
from domain_embed.evaluation import figures
from domain_embed.evaluation.evidence import Evidence
from domain_embed.evaluation.measures import HEADLINE, MEASURES
from domain_embed.evaluation.movement import TOP, Movement, gained, lost
from domain_embed.evaluation.plots import change_plot, interval_plot, line_plot

_SNIPPET_CHARACTERS = 110
# Of the passages that came or went without being relevant, these suffice to see what kind they are.
_OTHERS_SHOWN = 2


@dataclass(frozen=True)
class PassageText:
    """What a reader needs to recognise a passage; the report shortens the text."""

    title: str
    text: str


@dataclass(frozen=True)
class Curves:
    """How training went: (step, loss) and (epoch, validation nDCG@10), both sorted; either may be empty."""

    loss: Sequence[tuple[float, float]] = ()
    validation: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class _Card:
    """One passage that moved, as shown."""

    title: str
    snippet: str
    relevant: bool


@dataclass(frozen=True)
class _Moves:
    """The passages that went one way: those shown, and how many are not."""

    cards: tuple[_Card, ...]
    hidden: int


@dataclass(frozen=True)
class _Story:
    """One query's movement, as shown."""

    query: str
    movement: Movement
    entered: _Moves
    left: _Moves


def render_html(
    evidence: Evidence,
    verdict: Verdict,
    movements: Sequence[Movement],
    *,
    queries: Mapping[str, str],
    passages: Mapping[str, PassageText],
    curves: Curves | None = None,
) -> str:
    """A complete HTML document; every text from outside is escaped, and nothing is loaded from anywhere.

    Args:
        evidence: The figures.
        verdict: What was decided on them.
        movements: One per test query, from the baseline's run to the challenger's run of `evidence.headline`.
        queries: Text by query id; an unknown query is shown by its id.
        passages: Title and text by passage id, of `named_passages(gained(...) + lost(...))`; an unknown passage is
            shown by its id.
        curves: How training went, when known.
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
    headline = evidence.headline
    return environment.get_template("report.html.j2").render(
        evidence=evidence,
        verdict=verdict,
        headline=headline,
        also=[other for other in evidence.comparisons if other.challenger == headline.challenger and other != headline],
        measures=MEASURES,
        headline_measure=HEADLINE,
        top=TOP,
        best=_best_per_measure(evidence),
        intervals=interval_plot(evidence),
        change=change_plot([movement.delta for movement in movements]) if movements else None,
        training=_training_plots(curves or Curves()),
        gained=[_story(movement, queries, passages) for movement in gained(movements)],
        lost=[_story(movement, queries, passages) for movement in lost(movements)],
    )


def _best_per_measure(evidence: Evidence) -> dict[str, str]:
    """The highest figure of each column as it is printed, so that all who share it are marked."""
    return {measure: figures.plain(max(means[measure] for means in evidence.systems.values())) for measure in MEASURES}


def _training_plots(curves: Curves) -> list[dict[str, object]]:
    """The curves there are: title, name of the x axis and plot of each."""
    plots: list[dict[str, object]] = []
    if curves.loss:
        plots.append({"title": "Training loss", "unit": "step", "plot": line_plot(curves.loss, "Training loss")})
    if curves.validation:
        title = f"Validation {HEADLINE}"
        plots.append({"title": title, "unit": "epoch", "plot": line_plot(curves.validation, title, dots=True)})
    return plots


def _story(movement: Movement, queries: Mapping[str, str], passages: Mapping[str, PassageText]) -> _Story:
    return _Story(
        query=queries.get(movement.query_id, movement.query_id),
        movement=movement,
        entered=_moves(movement.entered, movement.relevant, passages),
        left=_moves(movement.left, movement.relevant, passages),
    )


def _moves(passage_ids: Sequence[str], relevant: Sequence[str], passages: Mapping[str, PassageText]) -> _Moves:
    """Every relevant passage, then a few of the others."""
    others = [passage_id for passage_id in passage_ids if passage_id not in relevant]
    shown = [passage_id for passage_id in passage_ids if passage_id in relevant] + others[:_OTHERS_SHOWN]
    cards = tuple(_card(passage_id, passage_id in relevant, passages) for passage_id in shown)
    return _Moves(cards, hidden=len(passage_ids) - len(cards))


def _card(passage_id: str, relevant: bool, passages: Mapping[str, PassageText]) -> _Card:
    passage = passages.get(passage_id, PassageText("", ""))
    snippet = textwrap.shorten(passage.text, _SNIPPET_CHARACTERS, placeholder=" …")
    return _Card(title=passage.title or passage_id, snippet=snippet, relevant=relevant)
