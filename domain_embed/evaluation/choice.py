"""Which way to ask a model serves, chosen on validation queries: the simplest that is as good as the best."""

import math
from collections.abc import Mapping
from typing import Final, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from domain_embed.evaluation.figures import count, plain
from domain_embed.evaluation.names import mode_of

FEW_QUERIES = 30
"""With fewer, one standard error is so wide that it would take in every simpler way, better or not: after training on
47 queries dense search was kept at 0.602 where hybrid reached 0.746."""
CLEARLY = 2
"""Standard errors by which another way must be ahead of the robust one to replace it, with few queries."""
ROBUST: Final = "hybrid"
"""Reciprocal rank fusion tunes nothing, and is good where either ranking is."""
SIMPLEST_FIRST = ("sparse", "dense", "hybrid", "weighted")

Reason = Literal["within one standard error", "few queries", "clearly better", "no validation queries"]


class Choice(BaseModel):
    """The variant that would serve and why, with nDCG@10 of every variant on the validation queries.

    `errors` is the standard error of each variant's paired difference from the best one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: str
    reason: Reason
    queries: int
    means: dict[str, float] = {}
    errors: dict[str, float] = {}

    @property
    def sentence(self) -> str:
        """The choice in words."""
        if self.reason == "no validation queries":
            return f"{self.variant}: there are no validation queries to choose by"
        best = max(self.means, key=lambda variant: self.means[variant])
        asked = count(self.queries, "validation query")
        reached = f"{plain(self.means[self.variant])} on {asked}"
        others = "" if best == self.variant else f"; {best}, the highest, {plain(self.means[best])}"
        told = {
            "within one standard error": "the simplest within one standard error of the best",
            "few queries": f"the robust way: fewer than {FEW_QUERIES} queries show nothing clearly better",
            "clearly better": f"clearly better than {ROBUST}, though on few queries",
        }[self.reason]
        return f"{self.variant} ({reached}{others}): {told}"


def choose(scores: Mapping[str, "pd.Series[float]"]) -> Choice:
    """Chooses among the variants of one model.

    Args:
        scores: nDCG@10 by query id, all of the same queries, by variant: "dense", "hybrid+rerank" and so on; hybrid is
            among them. Empty where there are no queries.

    Returns:
        The simplest variant whose mean lies within one standard error, of the paired difference, of the best mean
        (Breiman et al. 1984, "Classification and Regression Trees": the one standard error rule). With fewer than
        FEW_QUERIES queries hybrid, unless the best is ahead of it by more than CLEARLY standard errors.
    """
    if not scores:
        return Choice(variant=ROBUST, reason="no validation queries", queries=0)
    figures = pd.DataFrame({variant: scores[variant] for variant in sorted(scores, key=_simplicity)})
    queries = len(figures)
    means = figures.mean()
    best = str(means.idxmax())
    errors = {str(variant): _error(figures[best] - figures[variant]) for variant in figures}
    variant, reason = _chosen({str(name): float(mean) for name, mean in means.items()}, errors, best, queries)
    return Choice(
        variant=variant, reason=reason, queries=queries,
        means={str(name): float(mean) for name, mean in means.items()},
        errors={name: error for name, error in errors.items() if math.isfinite(error)},
    )  # fmt: skip


def _chosen(means: Mapping[str, float], errors: Mapping[str, float], best: str, queries: int) -> tuple[str, Reason]:
    if queries >= FEW_QUERIES:
        near = next(name for name in means if means[best] - means[name] <= errors[name])
        return near, "within one standard error"
    if means[best] - means[ROBUST] > CLEARLY * errors[ROBUST]:
        return best, "clearly better"
    return ROBUST, "few queries"


def _error(differences: "pd.Series[float]") -> float:
    """Of the mean; 0 where all queries agree, and infinite of one query, which shows nothing."""
    return float(differences.std(ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else math.inf


def _simplicity(variant: str) -> tuple[bool, int]:
    mode, rerank = mode_of(variant)
    return rerank, SIMPLEST_FIRST.index(mode)
