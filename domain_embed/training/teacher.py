"""A reranker as teacher: it is asked about every pair that is learned, and only if it knows better than the student."""

import math
from collections.abc import Sequence
from dataclasses import replace

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.ports import Reranker
from domain_embed.contracts.progress import progress_bar
from domain_embed.training.pairs import TrainingPairs

PAIRS_PER_CALL = 512


def require_better_teacher(teacher: float, student: float) -> None:
    """Raises TrainingError unless the teacher's validation nDCG@10 is above the student's: it could only spoil it.

    Args:
        teacher: The base model's ranking of validation queries, put in order by the reranker.
        student: The same ranking as it is.
    """
    if not teacher > student:
        raise TrainingError(
            f"the reranker reaches nDCG@10 {teacher:.4f} on validation, the base model {student:.4f}: nothing to learn",
            "train a better reranker, or set training.objective to ranking",
        )


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
