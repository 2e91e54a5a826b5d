"""Wrong promotions in synthetic years of weekly looks at one test set, with and without a budget over the looks.

No challenger is any better or worse: it differs from what is live by luck with the test queries alone. A query's
difference is 0 with probability 0.6, else normal, scaled to a standard deviation of 0.2. An interval here is Student's,
not the product's bootstrap. What is promoted is what the next challengers are compared to. Where test queries are
renewed, the oldest of them give way before each look.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from benchmarks.provenance import add_files, commit, keep_figures, machine, show_page
from domain_embed.promotion.looks import BUDGET, Look, level, levels

YEARS, WEEKS, QUERIES, MOVED, DEVIATION, PLANNED = 1000, 52, 200, 0.4, 0.2, 20
SHARED = (0.0, 0.5)
"""How far the differences of one year go along with each other because they are all from the same live model: 0.5 where
live models and challengers vary alike, 0 where every week is a draw of its own."""
RENEWED = (0, 2, 5, 10)
"""Of the 200 test queries, how many are new before each look."""
GAINS, LOOKS = (0.02, 0.03, 0.05), (1, 10, 20)


@dataclass(frozen=True)
class Promotions:
    """What came of the looks: `made` (years, weeks) says which promoted, and `judged` how many looks could decide."""

    made: NDArray[np.bool_]
    judged: int

    def figures(self) -> dict[str, float]:
        """The share of years with a wrong promotion, how many there were in a year, and looks that could decide."""
        return {
            "years": round(float(self.made.any(axis=1).mean()), 4),
            "promotions": round(float(self.made.sum(axis=1).mean()), 4),
            "judged": self.judged,
        }


def simulate(
    rng: np.random.Generator, shared: float, allowed: Sequence[float | None], renewed: int = 0, years: int = YEARS
) -> Promotions:
    """Years in which nothing is gained.

    Args:
        rng: Where luck comes from.
        shared: The correlation of differences to the same live model.
        allowed: The one-sided level of each look; None where it cannot decide.
        renewed: Test queries that are new before each look but the first.
        years: How many are simulated, at once.
    """
    scale, live = DEVIATION / np.sqrt(MOVED), rng.normal(size=(years, QUERIES))
    made = np.zeros((years, len(allowed)), dtype=np.bool_)
    for week, risk in enumerate(allowed):
        new = renewed_places(week, renewed)
        live[:, new] = rng.normal(size=(years, len(new)))
        challenger = rng.normal(size=(years, QUERIES))
        values = np.sqrt(1 - shared) * challenger - np.sqrt(shared) * live
        values *= scale * (rng.random((years, QUERIES)) < MOVED)
        score = values.mean(axis=1) / (values.std(axis=1, ddof=1) / np.sqrt(QUERIES))
        if risk is not None:
            made[:, week] = t.sf(score, QUERIES - 1) < risk
        live = np.where(made[:, week, None], challenger, live)
    return Promotions(made, sum(risk is not None for risk in allowed))


def renewed_places(week: int, renewed: int) -> list[int]:
    """Which queries give way before a look: the oldest, one after the other; none before the first look."""
    return [place % QUERIES for place in range((week - 1) * renewed, week * renewed)] if week else []


def spent(renewed: int) -> list[float | None]:
    """What each look of a year may risk, as the product says."""
    looks: list[Look] = []
    queries = [str(place) for place in range(QUERIES)]
    for week in range(WEEKS):
        for place in renewed_places(week, renewed):
            queries[place] = f"{week}/{place}"
        allowed = level(looks, queries, PLANNED)
        looks.append(Look(f"challenger {week}", "", tuple(sorted(queries)), allowed, ""))
    return [look.level for look in looks]


def power(gain: float, risk: float) -> float:
    """How often a true gain is shown at this one-sided level (normal approximation)."""
    return float(norm.sf(norm.isf(risk) - gain * np.sqrt(QUERIES) / DEVIATION))


def measure(seed: int = 7, years: int = YEARS) -> dict[str, Any]:
    """Wrong promotions by rule, and the power at some looks; equal arguments give equal figures."""
    rules: dict[str, tuple[Sequence[float | None], int]] = {
        "every look at 2.5 %": ([BUDGET] * WEEKS, 0),
        **{renewing(renewed): (spent(renewed), renewed) for renewed in RENEWED},
    }
    wrong = {
        name: {
            f"{shared:g}": simulate(np.random.default_rng(seed), shared, allowed, renewed, years).figures()
            for shared in SHARED
        } | {"last": allowed[-1], "in all": sum(risk or 0.0 for risk in allowed)}
        for name, (allowed, renewed) in rules.items()
    }  # fmt: skip
    risks = {"every look at 2.5 %": BUDGET, **{f"look {number}": levels(PLANNED)[number - 1] for number in LOOKS}}
    shown = {name: {f"{gain:g}": round(power(gain, risk), 3) for gain in GAINS} for name, risk in risks.items()}
    return {"years": years, "seed": seed, "wrong": wrong, "power": shown}


def renewing(renewed: int) -> str:
    """What the rule with one budget is called."""
    return f"one budget, {renewed} queries new each week" if renewed else "one budget"


def page(found: Mapping[str, Any]) -> str:
    """What was simulated, and two tables, in Markdown."""
    columns = ("looks", "years with a wrong promotion", "wrong promotions a year", "looks that decide", "risk of all",
               "of the last")  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, row in found["wrong"].items():
        independent, alike = (row[f"{shared:g}"] for shared in SHARED)
        last = "none" if row["last"] is None else f"{row['last']:.5f}"
        cells = [
            name, f"{independent['years']:.1%}, {alike['years']:.1%}",
            f"{independent['promotions']:.3f}, {alike['promotions']:.3f}", f"{alike['judged']} of {WEEKS}",
            f"{row['in all']:.3f}", last,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    powers = [f"| gain | {' | '.join(found['power'])} |", "|---" * (len(found["power"]) + 1) + "|"]
    powers += [
        f"| {gain:g} | " + " | ".join(f"{row[f'{gain:g}']:.2f}" for row in found["power"].values()) + " |"
        for gain in GAINS
    ]
    return "\n".join([heading(found), "", *lines, "", OF_POWER, "", *powers, ""])


OF_POWER = "How often a true gain in nDCG@10 is shown, by the one-sided level of a look (normal approximation):"


def heading(found: Mapping[str, Any]) -> str:
    """What the tables are, and of what they were made."""
    return (
        f"{found['years']:,} synthetic years of {WEEKS} weekly looks at {QUERIES} test queries, in which no challenger "
        f"gains anything; a query's difference has a standard deviation of {DEVIATION:g} and is 0 with probability "
        f"{1 - MOVED:g}. A promoted challenger is what the next ones are compared to. The first figure is for "
        "differences that are drawn anew each week, the second for differences to the same live model (correlation "
        f"{SHARED[1]:g} where a query moves in both). `one budget` is the product's: {PLANNED} looks. Made by "
        f"`python -m benchmarks.looks` at commit {found['commit']} on {found['machine']}."
    )


def main() -> None:
    """The tables; figures and tables are kept where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=YEARS)
    add_files(parser)
    arguments = parser.parse_args()
    found = {"commit": commit(), "machine": machine(), **measure(years=arguments.years)}
    keep_figures(arguments.json, found)
    show_page(page(found), arguments.table)


if __name__ == "__main__":
    main()
