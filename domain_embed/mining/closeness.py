"""How close candidates are to the query and to its known positives, by one model; and what that says about them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain_embed.mining.passages import PassageRows
from domain_embed.mining.queries import TrainingQuery
from domain_embed.settings import MiningSettings


@dataclass(frozen=True)
class Closeness:
    """One query, its positives and the model that judges: `view` (count, dim) holds the passages' vectors by row."""

    query: TrainingQuery
    vector: NDArray[np.float32]
    view: NDArray[np.float32]

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n,) cosines to the query."""
        scores: NDArray[np.float32] = self.view[rows] @ self.vector
        return scores

    def alike(self, rows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n,) each row's cosine to the most similar of `others` (k,), k >= 1."""
        most: NDArray[np.float32] = (self.view[rows] @ self.view[others].T).max(axis=1)
        return most


def limit(positive_score: float, settings: MiningSettings) -> float:
    """The highest score at which a candidate is not taken for an unlabeled positive.

    The relative margin is that of Moreira et al. (2024), "NV-Retriever: Improving text embedding models with effective
    hard-negative mining".
    """
    return min(settings.max_relative_score * positive_score, positive_score - settings.min_score_gap)


def hidden_positives(
    closeness: Closeness, rankings: Sequence[NDArray[np.int64]], passages: PassageRows, settings: MiningSettings
) -> tuple[int, int]:
    """How many known positives could be hidden, and how many of them the rules would then take for candidates.

    Each in turn is treated as if nobody had judged it; the others stay known. With one positive there is none to hide.
    """
    positives = closeness.query.positives
    found = np.unique(np.concatenate([ranking[: settings.depth] for ranking in rankings]))
    scores = closeness.scores(positives)
    eligible = 0
    for place, row in enumerate(positives):
        others = np.delete(positives, place)
        eligible += bool(
            row in found
            and passages.content[row] not in passages.content[others]
            and scores[place] <= limit(float(np.delete(scores, place).min()), settings)
            and closeness.alike(np.array([row]), others)[0] < settings.near_duplicate
        )
    return len(positives), eligible
