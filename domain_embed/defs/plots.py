"""Small pictures for the Dagster UI."""

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curve_markdown(points: Sequence[tuple[float, float]], x: str, y: str) -> dg.MetadataValue:
    """A line through (x, y) points as an inline picture; small, because it is kept in the event log."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 2.2), dpi=80, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([point[0] for point in points], [point[1] for point in points], linewidth=1.2, marker=".", markersize=2)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    return _inline(figure, y)


def intervals_markdown(rows: Sequence[tuple[str, float, tuple[float, float]]], x: str) -> dg.MetadataValue:
    """Differences by name with their intervals, and a line at zero, as an inline picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 0.8 + 0.24 * len(rows)), dpi=80, layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows), 0, -1)
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.hlines(places, [low for _, _, (low, _) in rows], [high for _, _, (_, high) in rows], linewidth=1.6)
    axes.plot([delta for _, delta, _ in rows], places, "o", markersize=4)
    axes.set_yticks(places, [name for name, _, _ in rows], fontsize=8)
    axes.set_xlabel(f"difference in {x}, 95 % interval")
    axes.grid(axis="x", alpha=0.3)
    return _inline(figure, f"differences in {x}")


def _inline(figure: "Figure", what: str) -> dg.MetadataValue:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return dg.MetadataValue.md(f"![{what}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")
