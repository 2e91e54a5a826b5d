"""Small pictures for the Dagster UI."""

import base64
import io
from collections.abc import Sequence

import dagster as dg


def curve_markdown(points: Sequence[tuple[float, float]], x: str, y: str) -> dg.MetadataValue:
    """A line through (x, y) points as an inline picture; small, because it is kept in the event log."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 2.2), dpi=80, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([point[0] for point in points], [point[1] for point in points], linewidth=1.2, marker=".", markersize=2)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return dg.MetadataValue.md(f"![{y}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")
