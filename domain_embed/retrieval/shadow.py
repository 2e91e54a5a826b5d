"""Challenger beside champion on real queries, before anything changes: how different, and how fast."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from domain_embed.contracts.records import Hit
from domain_embed.retrieval.searcher import Searcher

TOP = 10
QUERIES = 100
"""Enough to see a difference, few enough to take seconds."""


@dataclass(frozen=True)
class Shadow:
    """What changes for the people who search: `overlap` is the mean share of the top ten that stays, `same_first` the
    share of queries whose first passage stays; times are medians per query, encoding included.
    """

    queries: int
    overlap: float
    same_first: float
    live_ms: float
    challenger_ms: float


def compare(live: Searcher, challenger: Searcher, queries: Sequence[str]) -> Shadow | None:
    """Asks both the first hundred queries, as they would be served; None without queries."""
    asked = list(dict.fromkeys(queries))[:QUERIES]
    if not asked:
        return None
    before, after = [_timed(live, query) for query in asked], [_timed(challenger, query) for query in asked]
    pairs = [(_ids(old), _ids(new)) for (old, _), (new, _) in zip(before, after, strict=True)]
    return Shadow(
        queries=len(asked),
        overlap=statistics.fmean(_overlap(old, new) for old, new in pairs),
        same_first=statistics.fmean(old[:1] == new[:1] for old, new in pairs),
        live_ms=statistics.median(ms for _, ms in before),
        challenger_ms=statistics.median(ms for _, ms in after),
    )


def _timed(searcher: Searcher, query: str) -> tuple[list[Hit], float]:
    started = time.perf_counter()
    hits = searcher.search(query, TOP)
    return hits, (time.perf_counter() - started) * 1000


def _ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.passage_id for hit in hits]


def _overlap(old: Sequence[str], new: Sequence[str]) -> float:
    """Of the longer ranking's passages; two empty ones are the same."""
    return len(set(old) & set(new)) / max(len(old), len(new)) if old or new else 1.0
