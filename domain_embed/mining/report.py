"""What mining saw, and how far its negatives can be trusted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from domain_embed.mining.queries import TrainingQuery
from domain_embed.mining.rows import Row

CLOSE_TO_POSITIVE = 0.9
"""Cosine of a kept negative to a known positive from which it is counted as looking like an answer."""


@dataclass
class MiningReport:
    """What mining saw, filled while the batches are consumed."""

    queries: int = 0
    negatives: int = 0
    without_negative: list[str] = field(default_factory=list)
    too_close: int = 0
    """Candidates left out because they score too close to the positive: possible unlabeled positives."""
    like_positive: int = 0
    """Candidates left out because they are nearly the same text as a positive."""
    vetoed: int = 0
    """Chosen candidates that the cross-encoder then left out."""
    judged: int = 0
    """Of the negatives: judged, not mined."""
    judged_unused: int = 0
    """Judged negatives of training queries that are too uncertain, a positive's double, or one too many."""
    found_by: Counter[str] = field(default_factory=Counter)
    """Negatives by the miners, or the source, that gave them."""
    close_to_positive: int = 0
    """Mined negatives whose cosine to a known positive of the query is CLOSE_TO_POSITIVE or more."""
    hidden_positives: int = 0
    """Known positives that could be hidden: those of queries with at least two."""
    hidden_positives_eligible: int = 0
    """Of those: what a miner would have found and no rule would have left out, had nobody judged it."""

    def count(self, queries: Sequence[TrainingQuery], rows: Sequence[Sequence[Row]]) -> None:
        """Counts what was kept of a block's queries."""
        self.queries += len(queries)
        self.without_negative += [query.query_id for query, of_query in zip(queries, rows, strict=True) if not of_query]
        for row in (row for of_query in rows for row in of_query):
            self.negatives += 1
            self.found_by[row.miner] += 1
            self.judged += row.rank == 0
            self.close_to_positive += row.rank > 0 and row.alike >= CLOSE_TO_POSITIVE

    @property
    def slip_rate(self) -> float | None:
        """How often an unlabeled positive would become a candidate, estimated by hiding one known positive at a time.

        It is the chance that a passage which answers the query is eligible, not the share of negatives that answer: it
        says how well the rules protect, for queries with several answers, and nothing where each has one (None).
        """
        return self.hidden_positives_eligible / self.hidden_positives if self.hidden_positives else None

    @property
    def close_share(self) -> float:
        """Share of the mined negatives that look like an answer: a rough upper hint of false negatives."""
        mined = self.negatives - self.judged
        return self.close_to_positive / mined if mined else 0.0

    def risk(self) -> dict[str, float]:
        """The figures about false negatives by name; a figure that cannot be estimated is absent."""
        figures = {"close_to_positive_share": self.close_share}
        if self.slip_rate is not None:
            figures["hidden_positive_slip_rate"] = self.slip_rate
        agreed = sum(count for found_by, count in self.found_by.items() if "+" in found_by)
        if agreed:
            figures["found_by_several_miners_share"] = agreed / self.negatives
        return figures
