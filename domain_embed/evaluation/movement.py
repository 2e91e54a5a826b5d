"""What changed for each query between two runs: the figures' stories, good and bad."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from domain_embed.contracts.records import Qrels, Run
from domain_embed.contracts.tables import UNDECIDED
from domain_embed.evaluation.measures import ndcg_scores
from domain_embed.evaluation.significance import TIE

TOP = 10
RANKS = ("1", "2–3", "4–10", "11–30", "31–100", "not found")
"""The groups of ranks that shifts are counted in."""
_LAST_RANKS = (1, 3, 10, 30, 100)


@dataclass(frozen=True)
class Movement:
    """What one query's ranking won or lost.

    `before` and `after` are nDCG@10 of the baseline and the challenger. `entered` are the passages that are
    new in the top ten, by their new rank, `left` those that are gone from it, by their old rank, and
    `relevant` those of both that are judged relevant. The ranks are 1-based, of the first relevant passage
    anywhere in the ranking; None when there is none.
    """

    query_id: str
    before: float
    after: float
    entered: tuple[str, ...]
    left: tuple[str, ...]
    relevant: tuple[str, ...]
    best_rank_before: int | None
    best_rank_after: int | None

    @property
    def delta(self) -> float:
        """Change of nDCG@10; positive when the challenger is better."""
        return self.after - self.before


@dataclass(frozen=True)
class Unjudged:
    """A passage among a query's new first ten that nobody has judged: a right answer without a label, or an error.

    `rank` is 1-based, `delta` the query's change of nDCG@10.
    """

    query_id: str
    passage_id: str
    rank: int
    delta: float


def trace_movements(challenger: Run, baseline: Run, qrels: Qrels) -> list[Movement]:
    """One movement per judged query, in the order of the query ids, moved or not.

    Raises:
        ValueError: As `score_run` does.
    """
    after, before = ndcg_scores(challenger, qrels), ndcg_scores(baseline, qrels)
    return [
        _movement(query_id, float(before[query_id]), float(after[query_id]), challenger, baseline, qrels)
        for query_id in sorted(qrels)
    ]


def gained(movements: Iterable[Movement], n: int = 20) -> list[Movement]:
    """The n queries that gained most: largest gain first, then by query id. Unchanged queries never appear."""
    better = (movement for movement in movements if movement.delta > TIE)
    return sorted(better, key=_by_size)[:n]


def lost(movements: Iterable[Movement], n: int = 20) -> list[Movement]:
    """The n queries that lost most: largest loss first, then by query id. Unchanged queries never appear."""
    worse = (movement for movement in movements if movement.delta < -TIE)
    return sorted(worse, key=_by_size)[:n]


def unjudged(challenger: Run, movements: Iterable[Movement], qrels: Qrels, n: int) -> list[Unjudged]:
    """At most n unjudged passages of the new first ten: the highest rank first, where a query lost most first."""
    found = [
        Unjudged(movement.query_id, passage_id, rank, movement.delta)
        for movement in movements
        for rank, passage_id in enumerate(challenger.get(movement.query_id, ())[:TOP], start=1)
        if passage_id not in qrels[movement.query_id]
    ]
    return sorted(found, key=lambda one: (one.rank, one.delta, one.query_id))[:n]


def unjudged_table(questions: Iterable[Unjudged], queries: Mapping[str, str]) -> pa.Table:
    """The questions as an UNDECIDED table, for people to decide; `queries` are texts by id.

    The higher a passage stands, the less its confidence, by which people are asked about the least certain first.
    """
    rows = [
        {
            "query_id": question.query_id,
            "query": queries[question.query_id],
            "passage_id": question.passage_id,
            "grade": 1,
            "source": "evaluation",
            "confidence": question.rank / 100,
            "reason": f"the tuned model puts it at rank {question.rank}, and nobody has judged it",
        }
        for question in questions
    ]
    return pa.Table.from_pylist(rows, schema=UNDECIDED)


def rank_shifts(movements: Iterable[Movement]) -> list[list[int]]:
    """How many queries went from which of `RANKS` (rows) to which (columns), by their first relevant passage."""
    counts = [[0] * len(RANKS) for _ in RANKS]
    for movement in movements:
        counts[_bin(movement.best_rank_before)][_bin(movement.best_rank_after)] += 1
    return counts


def _bin(rank: int | None) -> int:
    if rank is None:
        return len(RANKS) - 1
    return next(place for place, most in enumerate(_LAST_RANKS) if rank <= most)


def named_passages(movements: Iterable[Movement]) -> list[str]:
    """The ids of every passage that a list of movements speaks of, sorted: what a report needs the titles of."""
    return sorted({passage_id for movement in movements for passage_id in (*movement.entered, *movement.left)})


def _movement(query_id: str, before: float, after: float, challenger: Run, baseline: Run, qrels: Qrels) -> Movement:
    old, new = baseline.get(query_id, ()), challenger.get(query_id, ())
    relevant = {passage_id for passage_id, grade in qrels[query_id].items() if grade >= 1}
    entered = _missing_from(old[:TOP], new[:TOP])
    left = _missing_from(new[:TOP], old[:TOP])
    return Movement(
        query_id=query_id,
        before=before,
        after=after,
        entered=entered,
        left=left,
        relevant=tuple(passage_id for passage_id in (*entered, *left) if passage_id in relevant),
        best_rank_before=_first_rank(old, relevant),
        best_rank_after=_first_rank(new, relevant),
    )


def _missing_from(others: Sequence[str], ranking: Sequence[str]) -> tuple[str, ...]:
    known = set(others)
    return tuple(passage_id for passage_id in ranking if passage_id not in known)


def _first_rank(ranking: Sequence[str], relevant: set[str]) -> int | None:
    return next((rank for rank, passage_id in enumerate(ranking, start=1) if passage_id in relevant), None)


def _by_size(movement: Movement) -> tuple[float, str]:
    # Rounded, so that equal changes reached by different sums keep the order of their ids.
    return -round(abs(movement.delta), 9), movement.query_id
