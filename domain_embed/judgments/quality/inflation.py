"""How much a naive split would have flattered: what pure memory scores on each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from domain_embed.judgments.quality.rankers import Rankers

CUTOFF = 10
REPEATS = 3
NEIGHBOURS = 50
"""Nearest training queries whose positives are ranked; they nearly always hold CUTOFF passages."""
BLOCK_QUERIES = 512


@dataclass(frozen=True)
class Inflation:
    """nDCG@10 of a memoriser: it answers a test query with the positives of the nearest training queries.

    Nearness is the base model's. It has learned nothing but the training judgments by heart, so what it scores is
    leakage.

    Attributes:
        queries: Test queries of the actual split that were looked at.
        actual: Mean nDCG@10 on the actual split.
        naive: The same on a random split of the same rows and sizes, row by row; mean of REPEATS.
    """

    queries: int
    actual: float
    naive: float

    @property
    def inflation(self) -> float:
        """How much of a score a naive split would have given for memory alone, beyond what this one gives."""
        return self.naive - self.actual


def measure_inflation(splits: pd.DataFrame, rankers: Rankers, seed: int) -> Inflation | None:
    """Compares the actual split with naive ones; None without training or test rows.

    Args:
        splits: Columns query, text (the query, folded), passage_id, grade and split.
        rankers: The base model's vectors.
        seed: Of the naive splits.
    """
    train, test = splits[splits["split"] == "train"], splits[splits["split"] == "test"]
    if train.empty or test.empty:
        return None
    rows = pd.concat([train, test], ignore_index=True)
    generator = np.random.default_rng(seed)
    naive = []
    for _ in range(REPEATS):
        order = generator.permutation(len(rows))
        naive.append(_memorised(rows.iloc[order[len(test) :]], rows.iloc[order[: len(test)]], rankers))
    return Inflation(int(test["text"].nunique()), _memorised(train, test, rankers), float(np.mean(naive)))


def _memorised(train: pd.DataFrame, test: pd.DataFrame, rankers: Rankers) -> float:
    """Mean nDCG@10 of the memoriser; gain is the grade, as in trec_eval."""
    known, asked = _by_text(train), _by_text(test)
    memory = rankers.vectors([query for query, _ in known])
    depth = min(NEIGHBOURS, len(known))
    scores: list[float] = []
    for start in range(0, len(asked), BLOCK_QUERIES):
        block = asked[start : start + BLOCK_QUERIES]
        near = -(rankers.vectors([query for query, _ in block]) @ memory.T)
        nearest = np.argpartition(near, depth - 1, axis=1)[:, :depth]
        order = np.take_along_axis(nearest, np.argsort(np.take_along_axis(near, nearest, axis=1), axis=1), axis=1)
        for (_, grades), neighbours in zip(block, order.tolist(), strict=True):
            ranking = dict.fromkeys(passage_id for place in neighbours for passage_id in known[place][1])
            scores.append(_ndcg([grades.get(passage_id, 0) for passage_id in ranking], list(grades.values())))
    return float(np.mean(scores))


def _by_text(rows: pd.DataFrame) -> list[tuple[str, dict[str, int]]]:
    """Each query as first written, with the grades of its positives."""
    found: dict[str, tuple[str, dict[str, int]]] = {}
    columns = rows[["text", "query", "passage_id", "grade"]].sort_values(["text", "passage_id"])
    for text, query, passage_id, grade in columns.itertuples(index=False, name=None):
        found.setdefault(text, (query, {}))[1][passage_id] = int(grade)
    return list(found.values())


def _ndcg(gains: Sequence[int], ideal: Sequence[int]) -> float:
    return _dcg(gains) / _dcg(sorted(ideal, reverse=True))


def _dcg(gains: Sequence[int]) -> float:
    return float(sum(gain / np.log2(place + 2) for place, gain in enumerate(gains[:CUTOFF])))
