"""The geometry of the report's plots, in percent of the plot area; the template draws them.

Lines are stretched to the area while text stays HTML beside it, so a plot is readable at any width, takes the
page's colours in light, dark and print, and needs no plotting library.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from domain_embed.evaluation.evidence import Evidence
from domain_embed.evaluation.figures import interval, plain, signed

T = TypeVar("T")

# More points than pixels only make the file larger.
_MOST_POINTS = 800
_MOST_STEPS = 5


@dataclass(frozen=True)
class Tick:
    """A labelled grid line: its place in percent of an axis, or of the plot area from the left or the top."""

    at: float
    label: str


@dataclass(frozen=True)
class Path:
    """SVG path data in a viewBox of 100 by 100, and the CSS class that paints it."""

    data: str
    kind: str


@dataclass(frozen=True)
class Plot:
    """A plot area with its grid, and one sentence for those who do not see it."""

    summary: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class IntervalRow:
    """One system's mean and interval, in figures and in percent of the axis."""

    system: str
    mean: str
    interval: str
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class IntervalPlot:
    """Systems with their intervals on one common axis."""

    rows: tuple[IntervalRow, ...]
    x: tuple[Tick, ...]


@dataclass(frozen=True)
class DifferenceRow:
    """One difference with its interval, in figures and in percent of the axis; `kind` is gain, loss or empty."""

    name: str
    detail: str
    delta: str
    interval: str
    low: float
    middle: float
    high: float
    kind: str


@dataclass(frozen=True)
class DifferencePlot:
    """Differences on one common axis; `zero` is where nothing changes, in percent."""

    rows: tuple[DifferenceRow, ...]
    x: tuple[Tick, ...]
    zero: float


class Axis:
    """A linear axis with ticks at round numbers.

    It reaches from round number to round number, or exactly from `low` to `high` when `tight`; `whole` keeps
    ticks to integers.
    """

    def __init__(self, low: float, high: float, *, tight: bool = False, whole: bool = False) -> None:
        span = (high - low) or abs(high) or 1.0
        magnitude = 10.0 ** math.floor(math.log10(span / _MOST_STEPS))
        step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude * _MOST_STEPS >= span * (1 - 1e-9))
        self.step = max(step, 1.0) if whole else step
        if not tight or low == high:
            low = math.floor(low / self.step + 1e-9) * self.step
            high = max(math.ceil(high / self.step - 1e-9) * self.step, low + self.step)
        self.low, self.high = low, high

    def at(self, value: float) -> float:
        """Percent of the way from the lower to the upper end."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    def ticks(self, *, sign: bool = False) -> tuple[Tick, ...]:
        """Every round number on the axis, `at` percent from the lower end."""
        digits = max(0, -math.floor(math.log10(self.step) + 1e-9))
        numbers = range(math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9) + 1)
        return tuple(
            Tick(self.at(n * self.step), f"{n * self.step:{'+' if sign and n else ''}.{digits}f}".replace("-", "−"))
            for n in numbers
        )


def interval_plot(evidence: Evidence) -> IntervalPlot:
    """Mean nDCG@10 of every system with its 95 % interval, in the order of the evidence."""
    bounds = evidence.intervals.values()
    axis = Axis(min(low for low, _ in bounds), max(high for _, high in bounds))
    rows = tuple(
        IntervalRow(
            system=system,
            mean=plain(evidence.mean(system)),
            interval=f"{plain(low)} to {plain(high)}",
            low=axis.at(low),
            middle=axis.at(evidence.mean(system)),
            high=axis.at(high),
        )
        for system, (low, high) in evidence.intervals.items()
    )
    return IntervalPlot(rows, axis.ticks())


def difference_plot(found: Sequence[tuple[str, str, float, tuple[float, float]]]) -> DifferencePlot:
    """A forest plot of (name, detail, difference, interval), at least one, in this order."""
    axis = Axis(min(0.0, *(low for *_, (low, _) in found)), max(0.0, *(high for *_, (_, high) in found)))
    rows = tuple(
        DifferenceRow(
            name=name,
            detail=detail,
            delta=signed(delta),
            interval=interval((low, high)),
            low=axis.at(low),
            middle=axis.at(delta),
            high=axis.at(high),
            kind="gain" if low > 0 else "loss" if high < 0 else "",
        )
        for name, detail, delta, (low, high) in found
    )
    return DifferencePlot(rows, axis.ticks(sign=True), axis.at(0.0))


def change_plot(deltas: Sequence[float]) -> Plot:
    """The change of each query as a step curve, from the largest gain on the left to the largest loss."""
    falling = _thinned(sorted(deltas, reverse=True))
    axis = Axis(min(0.0, falling[-1]), max(0.0, falling[0]), tight=True)
    zero = _y(axis, 0.0)
    width = 100 / len(falling)

    def steps(heights: Sequence[float]) -> str:
        drawn = "".join(f"V{_y(axis, height):g}H{width * n:.2f}" for n, height in enumerate(heights, start=1))
        return f"M0,{zero:g}{drawn}V{zero:g}Z"

    return Plot(
        summary=f"Change of nDCG@10 per query, sorted: from {signed(falling[0])} to {signed(falling[-1])}.",
        x=(),
        y=_downwards(axis.ticks(sign=True)),
        paths=(
            Path(steps([max(delta, 0.0) for delta in falling]), "gain"),
            Path(steps([min(delta, 0.0) for delta in falling]), "loss"),
            Path(f"M0,{zero:g}H100", "zero"),
        ),
    )


def line_plot(points: Sequence[tuple[float, float]], what: str, *, dots: bool = False, whole: bool = True) -> Plot:
    """A curve through at least one (x, y), sorted by x; `what` begins the sentence on it.

    With `whole`, x is a step or an epoch and is labelled at integers only.
    """
    shown = _thinned(points)
    across = Axis(shown[0][0], shown[-1][0], tight=True, whole=whole)
    up = Axis(min(y for _, y in shown), max(y for _, y in shown))
    places = [(across.at(x), _y(up, y)) for x, y in shown]
    paths = [Path("M" + "L".join(f"{x:g},{y:g}" for x, y in places), "line")]
    if dots:
        # A round cap on a line of no length: the only dot that stays round in a stretched viewBox.
        paths.append(Path("".join(f"M{x:g},{y:g}h0" for x, y in places), "dots"))
    return Plot(
        summary=f"{what}: from {plain(shown[0][1])} to {plain(shown[-1][1])}.",
        x=across.ticks(),
        y=_downwards(up.ticks()),
        paths=tuple(paths),
    )


def _y(axis: Axis, value: float) -> float:
    """SVG counts from the top."""
    return round(100 - axis.at(value), 2)


def _downwards(ticks: tuple[Tick, ...]) -> tuple[Tick, ...]:
    return tuple(Tick(round(100 - tick.at, 2), tick.label) for tick in ticks)


def _thinned(points: Sequence[T]) -> list[T]:
    """Evenly chosen members, first and last included."""
    if len(points) <= _MOST_POINTS:
        return list(points)
    return [points[round(n * (len(points) - 1) / (_MOST_POINTS - 1))] for n in range(_MOST_POINTS)]
