"""A simulator of search logs, for demonstrations and tests: it makes up clicks on real results of real queries.

The users it simulates follow the position-based model exactly, so that what is learned from a log can be compared with
what went into it. No log of real users is so obedient: figures on simulated logs show that a method is right, not how
well it does for people.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

# Readers stay about a minute on what helps them and leave the rest after some seconds; both vary widely.
MEDIAN_DWELL_S = {True: 60.0, False: 8.0}
DWELL_SPREAD = 0.8
SECONDS_BETWEEN_SEARCHES = 90.0
FIRST_SEARCH = datetime(2026, 1, 1, tzinfo=UTC)


def simulate_clicks(
    rankings: Mapping[str, Sequence[str]],
    queries: Mapping[str, str],
    relevant: Mapping[str, Mapping[str, int]],
    *,
    searches: int,
    seed: int,
    depth: int = 10,
    examination_exponent: float = 1.0,
    click_noise: float = 0.05,
    swapped: float = 0.5,
    popularity_exponent: float = 0.5,
    first_search: datetime = FIRST_SEARCH,
) -> Iterator[dict[str, Any]]:
    """Yields one row for each result shown, in the shape of a `clicks` source; the same seed gives the same rows.

    Args:
        rankings: Passage ids by query id, best first, as a search engine ranks them.
        queries: Texts by query id, of all queries in `rankings`.
        relevant: Grades (>= 1) by query id and passage id; everything else is not relevant.
        searches: How many searches to simulate.
        seed: Seed of all draws.
        depth: Results shown for a search.
        examination_exponent: See `examination`.
        click_noise: See `attraction`.
        swapped: Share of searches in which two results, drawn at random, change places. Engines change over time; and
            if none ever moves a result, nothing in a log tells its position from its relevance.
        popularity_exponent: The n-th query of `rankings` is asked proportionally to 1 / n ** popularity_exponent.
        first_search: When the log begins.

    Raises:
        ValueError: When there is nothing to search for, or a query has no text.
    """
    asked = [query_id for query_id, ranking in rankings.items() if ranking]
    if missing := [query_id for query_id in asked if query_id not in queries]:
        raise ValueError(f"no text for the queries {', '.join(missing[:5])}")
    if not asked:
        raise ValueError("no query has a ranking")
    rng = np.random.default_rng(seed)
    largest = max((grade for grades in relevant.values() for grade in grades.values()), default=1)
    looks = np.array([examination(position, examination_exponent) for position in range(1, depth + 1)])
    popularity = np.arange(1, len(asked) + 1) ** -popularity_exponent
    time = first_search
    for number, query in enumerate(rng.choice(len(asked), size=searches, p=popularity / popularity.sum()), start=1):
        query_id = asked[query]
        time += timedelta(seconds=float(rng.exponential(SECONDS_BETWEEN_SEARCHES)))
        shown = _shown(rankings[query_id][:depth], rng, swapped)
        grades = [relevant.get(query_id, {}).get(passage_id, 0) for passage_id in shown]
        attracted = rng.random(len(shown)) < [attraction(grade, largest, click_noise) for grade in grades]
        clicked = attracted & (rng.random(len(shown)) < looks[: len(shown)])
        for position, (passage_id, grade) in enumerate(zip(shown, grades, strict=True), start=1):
            yield {
                "search_id": f"s{number:08}",
                "query": queries[query_id],
                "passage_id": passage_id,
                "position": position,
                "clicked": bool(clicked[position - 1]),
                "dwell_s": _dwell_s(grade > 0, rng) if clicked[position - 1] else None,
                "time": time.isoformat(timespec="seconds"),
            }


def examination(position: int, exponent: float = 1.0) -> float:
    """Probability that a simulated user looks at a position: 1 / position ** exponent."""
    return float(position**-exponent)


def attraction(grade: int, largest: int, noise: float = 0.05) -> float:
    """Probability that a simulated user clicks what they look at: `noise` at grade 0, 1 - `noise` at the largest.

    In between it grows with 2 ** grade - 1: the gain of nDCG.
    """
    return noise + (1 - 2 * noise) * float(2**grade - 1) / float(2**largest - 1)


def write_clicks(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows as lines of JSON, whole or not at all; returns how many."""
    count = 0
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with unfinished.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    unfinished.replace(path)
    return count


def _shown(ranking: Sequence[str], rng: np.random.Generator, swapped: float) -> list[str]:
    shown = list(ranking)
    if len(shown) > 1 and rng.random() < swapped:
        first, second = rng.choice(len(shown), size=2, replace=False)
        shown[first], shown[second] = shown[second], shown[first]
    return shown


def _dwell_s(relevant: bool, rng: np.random.Generator) -> float:
    return round(float(rng.lognormal(np.log(MEDIAN_DWELL_S[relevant]), DWELL_SPREAD)), 1)
