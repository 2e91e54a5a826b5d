"""Does what was retrieved hold the answer? For queries whose answer is known as text, without any model."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from domain_embed.contracts.records import Qrels, Run
from domain_embed.encoding.words import words
from domain_embed.evaluation.significance import bca_intervals
from domain_embed.evaluation.subject import Containment

CUTOFFS = (1, 5, 10)
BATCH_QUERIES = 256

Fetch = Callable[[Sequence[str]], Mapping[str, str]]
"""Texts of passages, by id."""


def measure_containment(
    runs: Mapping[str, Run], answers: Mapping[str, Sequence[str]], qrels: Qrels, fetch: Fetch, *,
    resamples: int, seed: int,
) -> dict[str, Containment]:  # fmt: skip
    """By system: the share of queries with an answer among whose first 1, 5 and 10 passages one holds it.

    A passage holds an answer when its words stand in it one after the other, whatever their case and punctuation, or
    when it was judged relevant for the query: that is where the answer was found, word for word or nearly. Texts are
    fetched for some queries at a time, so memory does not grow with their number.

    Args:
        runs: Ranked passage ids per query, by system.
        answers: Texts by query id; any of them will do.
        qrels: The test judgments; queries without are left out.
        fetch: Texts of at most a few thousand passages.
        resamples: Of each interval.
        seed: Of each interval.
    """
    asked = [query_id for query_id in qrels if any(words(answer) for answer in answers.get(query_id, ()))]
    if not asked:
        return {}
    found = np.zeros((len(asked), len(runs), len(CUTOFFS)))
    for start in range(0, len(asked), BATCH_QUERIES):
        batch = asked[start : start + BATCH_QUERIES]
        texts = fetch(sorted({key for run in runs.values() for query_id in batch for key in _top(run, query_id)}))
        for row, query_id in enumerate(batch, start=start):
            holders = _holders(query_id, runs, answers[query_id], qrels[query_id], texts)
            for column, run in enumerate(runs.values()):
                ranks = [rank for rank, key in enumerate(_top(run, query_id), start=1) if key in holders]
                found[row, column] = [bool(ranks) and ranks[0] <= k for k in CUTOFFS]
    flat = found.reshape(len(asked), -1)
    bounds = bca_intervals(flat, resamples=resamples, seed=seed).reshape(len(runs), len(CUTOFFS), 2)
    return {
        system: Containment(
            queries=len(asked),
            shares={k: float(found[:, column, place].mean()) for place, k in enumerate(CUTOFFS)},
            intervals={k: (float(low), float(high)) for k, (low, high) in zip(CUTOFFS, bounds[column], strict=True)},
        )
        for column, system in enumerate(runs)
    }


def _top(run: Run, query_id: str) -> Sequence[str]:
    return run.get(query_id, ())[: CUTOFFS[-1]]


def _holders(
    query_id: str, runs: Mapping[str, Run], answers: Sequence[str], grades: Mapping[str, int], texts: Mapping[str, str]
) -> set[str]:
    """The passages of any system that hold one of the answers."""
    wanted = [_folded(answer) for answer in answers if words(answer)]
    ranked = {key for run in runs.values() for key in _top(run, query_id)}
    return {
        key
        for key in ranked
        if grades.get(key, 0) >= 1 or any(answer in _folded(texts.get(key, "")) for answer in wanted)
    }


def _folded(text: str) -> str:
    return f" {' '.join(words(text))} "
