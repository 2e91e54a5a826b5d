"""Wrong promotions in synthetic years of weekly looks at one test set, with and without a budget over the looks.

A query's difference is 0 with probability 0.6, else normal, scaled to a standard deviation of 0.2. An interval here is
Student's, not the product's bootstrap. Usage: python -m benchmarks.looks
"""

import json

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from domain_embed.promotion.looks import BUDGET, levels

YEARS, WEEKS, QUERIES, MOVED, DEVIATION, PLANNED = 1000, 52, 200, 0.4, 0.2, 20


def p_values(rng: np.random.Generator, shared: float, years: int = YEARS) -> NDArray[np.float64]:
    """One-sided p (years, weeks) where nothing is gained; `shared` is the correlation of a year's challengers."""
    found = np.empty((years, WEEKS))
    scale = DEVIATION / np.sqrt(MOVED)
    for year in range(years):
        common = rng.normal(size=QUERIES) * np.sqrt(shared)
        own = rng.normal(size=(WEEKS, QUERIES)) * np.sqrt(1 - shared)
        values = (common + own) * scale * (rng.random((WEEKS, QUERIES)) < MOVED)
        score = values.mean(axis=1) / (values.std(axis=1, ddof=1) / np.sqrt(QUERIES))
        found[year] = t.sf(score, QUERIES - 1)
    return found


def power(gain: float, level: float) -> float:
    """How often a true gain is shown at this one-sided level (normal approximation)."""
    return float(norm.sf(norm.isf(level) - gain * np.sqrt(QUERIES) / DEVIATION))


def measure(seed: int = 7) -> dict[str, object]:
    """Shares of years with a wrong promotion, and the power at some looks; equal seeds give equal figures."""
    rng, steps = np.random.default_rng(seed), levels(PLANNED)
    wrong = {}
    for shared in (0.0, 0.5):
        p = p_values(rng, shared)
        wrong[f"correlation {shared:g}"] = {
            "every look at 2.5 %": float((p < BUDGET).any(axis=1).mean()),
            "one budget": float((p[:, :PLANNED] < steps).any(axis=1).mean()),
        }
    gains = (0.02, 0.03, 0.05)
    shown = {f"look {k}": {f"{gain:g}": round(power(gain, steps[k - 1]), 3) for gain in gains} for k in (1, 10, 20)}
    today = {f"{gain:g}": round(power(gain, BUDGET), 3) for gain in gains}
    return {"wrong": wrong, "power": {"every look at 2.5 %": today, **shown}}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
