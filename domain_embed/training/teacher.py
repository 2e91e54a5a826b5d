"""A reranker as teacher: it is asked about every pair that is learned, and only if it knows better than the student."""

import math
from collections.abc import Sequence
from dataclasses import replace

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.ports import Reranker
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Run
from domain_embed.training.pairs import TrainingPairs
from domain_embed.training.validation import Measure, ValidationSet

PAIRS_PER_CALL = 512


def require_better_teacher(teacher: float, student: float) -> None:
    """Raises TrainingError unless the teacher's validation nDCG@10 is above the student's: it could only spoil it.

    Args:
        teacher: The reranker's figure on the validation queries.
        student: The untrained base model's, on the same queries and passages.
    """
    if not teacher > student:
        raise TrainingError(
            f"the reranker reaches nDCG@10 {teacher:.4f} on validation, the base model {student:.4f}: nothing to learn",
            "train a better reranker, or set training.objective to ranking",
        )


def teacher_ndcg(teacher: Reranker, validation: ValidationSet, base_run: Run, ndcg: Measure) -> float:
    """nDCG@10 of the base model's ranking of the validation queries, put in order by the teacher; ties by passage id.

    Args:
        teacher: The reranker.
        validation: Queries and texts.
        base_run: Passages by query id, best first; see `ValidationSet.base_run`.
        ndcg: Mean nDCG@10 of a run.
    """
    texts = dict(zip(validation.passage_ids, validation.passages, strict=True))
    queries = dict(zip(validation.query_ids, validation.queries, strict=True))
    asked = [(query_id, passage_id) for query_id, ranked in base_run.items() for passage_id in ranked]
    scores = _scores(teacher, [(queries[query_id], texts[passage_id]) for query_id, passage_id in asked])
    score_of = dict(zip(asked, scores, strict=True))
    run = {
        query_id: sorted(ranked, key=lambda passage_id: (-score_of[query_id, passage_id], passage_id))
        for query_id, ranked in base_run.items()
    }
    return ndcg(run, validation.qrels)


def taught_pairs(data: TrainingPairs, teacher: Reranker) -> TrainingPairs:
    """The same with the teacher's score of every query's positives and hard negatives."""
    asked = sorted(
        {(int(query), int(passage)) for query, passage in data.pairs}
        | {(query, passage) for query, negatives in enumerate(data.negatives) for passage in negatives}
    )
    scores = _scores(teacher, [(data.queries[query], data.passages[passage]) for query, passage in asked])
    return replace(data, teacher_scores=dict(zip(asked, scores, strict=True)))


def _scores(teacher: Reranker, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Raises TrainingError when the teacher gives scores that are not numbers."""
    scores: list[float] = []
    with progress_bar("ask the teacher", len(pairs), "pairs") as progress:
        for start in range(0, len(pairs), PAIRS_PER_CALL):
            scores += teacher.score(pairs[start : start + PAIRS_PER_CALL]).tolist()
            progress.update(len(scores) - start)
    if not all(map(math.isfinite, scores)):
        raise TrainingError("the reranker gives scores that are not numbers", "train or load another one")
    return scores
