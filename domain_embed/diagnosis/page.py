"""The diagnosis as one HTML file that needs nothing but itself: the recommendation first, then what it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from domain_embed.diagnosis.causes import CAUSES, DEPTH, TOP, About
from domain_embed.diagnosis.diagnose import CauseFound, Diagnosis
from domain_embed.diagnosis.levers import Lever
from domain_embed.evaluation import figures
from domain_embed.evaluation.plots import Axis, Tick

KINDS = {
    "measured": "measured on these queries",
    "estimated": "estimated from a small training",
    "bound": "at most",
}


@dataclass(frozen=True)
class _Cause:
    """One cause as shown: its bar is in percent of the longest."""

    found: CauseFound
    about: About
    width: float


@dataclass(frozen=True)
class _Lever:
    """One lever as shown: its interval and gain in percent of the axis."""

    lever: Lever
    low: float
    middle: float
    high: float


def render_html(found: Diagnosis, about: Mapping[str, str]) -> str:
    """A complete HTML document; every text from outside is escaped, and nothing is loaded from anywhere.

    Args:
        found: What was found out.
        about: `domain`, `created_at` and `base_fingerprint`.
    """
    environment = Environment(
        loader=PackageLoader("domain_embed", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {name: getattr(figures, name) for name in ("plain", "signed", "interval", "count")}
    causes = [one for one in found.causes if one.queries]
    axis = _axis(found.levers)
    return environment.get_template("diagnosis/page.html.j2").render(
        found=found,
        about=about,
        created_at=datetime.fromisoformat(about["created_at"]).strftime("%d %B %Y, %H:%M %Z"),
        chosen=next((lever for lever in found.levers if lever.name == found.recommendation.lever), None),
        causes=_causes(causes),
        absent=[CAUSES[one.cause].title for one in found.causes if not one.queries],
        levers=[
            _Lever(lever, axis.at(lever.ci95[0]), axis.at(lever.gain), axis.at(lever.ci95[1])) for lever in found.levers
        ],
        ticks=_ticks(axis),
        zero=axis.at(0.0),
        kinds=KINDS,
        top=TOP,
        depth=DEPTH,
    )


def _causes(found: Sequence[CauseFound]) -> list[_Cause]:
    """The most frequent first."""
    most = max((one.queries for one in found), default=1)
    ordered = sorted(found, key=lambda one: -one.queries)
    return [_Cause(one, CAUSES[one.cause], round(100 * one.queries / most, 2)) for one in ordered]


def _axis(levers: Sequence[Lever]) -> Axis:
    ends = [end for lever in levers for end in (*lever.ci95, lever.gain)]
    return Axis(min([0.0, *ends]), max([0.01, *ends]))


def _ticks(axis: Axis) -> tuple[Tick, ...]:
    return axis.ticks(sign=True)
