"""How good each ranking is: the measures of the field, per query, computed by ir_measures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import ir_measures
import pandas as pd
from ir_measures import AP, RR, Judged, P, R, Success, nDCG

from domain_embed.contracts.records import Qrels, Run

HEADLINE = "nDCG@10"
"""The measure that comparisons and verdicts are made in."""

# pytrec_eval has neither a reciprocal rank with a cutoff nor the share of judged passages; other providers do.
_PROVIDERS = (
    (ir_measures.pytrec_eval, (nDCG @ 10, R @ 1, R @ 5, R @ 10, R @ 100, P @ 5, P @ 10, AP @ 100,
                               Success @ 1, Success @ 5, Success @ 10)),
    (ir_measures.msmarco, (RR @ 10,)),
    (ir_measures.judged, (Judged @ 10,)),
)  # fmt: skip

MEASURES = (
    HEADLINE, "RR@10", "AP@100", "R@1", "R@5", "R@10", "R@100", "P@5", "P@10", "Success@1", "Success@5", "Success@10",
    "Judged@10",
)  # fmt: skip
"""The columns of a score table, in order."""


def score_run(run: Run, qrels: Qrels) -> pd.DataFrame:
    """One row of measures for each judged query, whatever the run did with it.

    A query that the run does not hold, or answers with nothing, scores 0; queries without judgments are
    ignored. nDCG takes the grade itself as gain, not 2^grade - 1: trec_eval's choice and therefore BEIR's.
    Every grade >= 1 counts as relevant in the other measures; Judged@10 is the share of the first ten with any
    grade. The order of a ranking is taken as it is, so no rule for equal scores can change a figure.

    Args:
        run: Ranked passage ids per query id.
        qrels: Grades per query and passage; each query needs at least one grade >= 1.

    Returns:
        Index `query_id`, sorted; columns MEASURES, float64 in [0, 1].

    Raises:
        ValueError: There are no queries, a query has no relevant passage, or a ranking names a passage twice.
    """
    return _score(run, qrels, _PROVIDERS, MEASURES)


def ndcg_scores(run: Run, qrels: Qrels) -> "pd.Series[float]":
    """The nDCG@10 that `score_run` gives, by query id, at a fraction of its time: only the first ten are looked at."""
    first_ten = {query_id: ranking[:10] for query_id, ranking in run.items()}
    return _score(first_ten, qrels, ((ir_measures.pytrec_eval, (nDCG @ 10,)),), (HEADLINE,))[HEADLINE]


def mean_measures(scores: pd.DataFrame) -> dict[str, float]:
    """The mean of each column of a score table: every query counts the same."""
    return {str(measure): float(mean) for measure, mean in scores.mean().items()}


def mean_ndcg(run: Run, qrels: Qrels) -> float:
    """The mean nDCG@10 of a run: what models, epochs and weights are chosen by."""
    return float(ndcg_scores(run, qrels).mean())


def _score(
    run: Run, qrels: Qrels, providers: Sequence[tuple[Any, Sequence[Any]]], columns: Sequence[str]
) -> pd.DataFrame:
    relevance = {query_id: _checked_grades(query_id, grades) for query_id, grades in qrels.items()}
    if not relevance:
        raise ValueError("there is no judged query to score a run on")
    # Empty answers are left to the evaluators' rule for missing queries, 0: one of them divides by their length.
    ranked = {query_id: _scored(query_id, run[query_id]) for query_id in relevance if run.get(query_id)}
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    for provider, measures in providers:
        for metric in provider.evaluator(measures, relevance).iter_calc(ranked):
            rows[metric.query_id][str(metric.measure)] = float(metric.value)
    index = pd.Index(sorted(relevance), name="query_id")
    return pd.DataFrame([rows[query_id] for query_id in index], index=index, columns=list(columns))


def _checked_grades(query_id: str, grades: Mapping[str, int]) -> dict[str, int]:
    """Plain ints, as pytrec_eval demands them."""
    if not any(grade >= 1 for grade in grades.values()):
        raise ValueError(f"query {query_id!r} has no relevant passage, so no ranking of it can be scored")
    return {passage_id: int(grade) for passage_id, grade in grades.items()}


def _scored(query_id: str, ranking: Sequence[str]) -> dict[str, float]:
    """Strictly decreasing scores, which say nothing but the order."""
    scores = {passage_id: float(len(ranking) - place) for place, passage_id in enumerate(ranking)}
    if len(scores) != len(ranking):
        raise ValueError(f"the ranking of query {query_id!r} names a passage twice")
    return scores
