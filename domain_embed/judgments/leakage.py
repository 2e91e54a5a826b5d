"""What splits share although they should not, counted afresh from the table, whoever made it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.tables import SPLIT_NAMES, normalized_query
from domain_embed.judgments.near_duplicates import near_duplicate_pairs

PAIRS_OF_SPLITS = (("train", "test"), ("train", "validation"), ("validation", "test"))


@dataclass(frozen=True)
class Leakage:
    """What two splits share, as counts by "train & test" and the like."""

    queries: Mapping[str, int]
    """Query texts, case and white space folded."""
    positives: Mapping[str, int]
    """Passages that answer in both."""
    near_queries: Mapping[str, int] = field(default_factory=dict)
    """Pairs of near-duplicate query texts that are not the same text."""
    documents: Mapping[str, int] = field(default_factory=dict)
    """Documents with positives in both."""

    @property
    def shares_queries(self) -> bool:
        """Whether a query text of one split is asked in another."""
        return any(self.queries.values())

    @property
    def shares_positives(self) -> bool:
        """Whether a passage that answers in one split answers in another."""
        return any(self.positives.values())

    def spoils(self, *, given: bool) -> bool:
        """Whether figures on the test set mean nothing; a positive that given splits share only makes them too good."""
        return self.shares_queries or (self.shares_positives and not given)

    @property
    def shares_near_queries(self) -> bool:
        """Whether a query of one split is asked in nearly the same words in another."""
        return any(self.near_queries.values())


def measure_leakage(splits: pa.Table, near_duplicates: float | None = 0.9) -> Leakage:
    """Counts what two splits share.

    Args:
        splits: A SPLITS table.
        near_duplicates: Jaccard overlap of character 5-grams from which two query texts are nearly the same; null
            counts none.
    """
    frame = splits.select(["query", "passage_id", "doc_id", "split"]).to_pandas()
    texts = frame["query"].map(normalized_query)
    return Leakage(
        queries=_shared(texts, frame["split"]),
        positives=_shared(frame["passage_id"], frame["split"]),
        near_queries=_near(texts, frame["split"], near_duplicates) if near_duplicates is not None else {},
        documents=_shared(frame["doc_id"], frame["split"]),
    )


def _shared(items: pd.Series, split: pd.Series) -> dict[str, int]:
    found, _ = _occurrence(items, split)
    return {f"{a} & {b}": int((found[a] & found[b]).sum()) for a, b in PAIRS_OF_SPLITS}


def _near(texts: pd.Series, split: pd.Series, threshold: float) -> dict[str, int]:
    found, known = _occurrence(texts, split)
    left, right = near_duplicate_pairs(lambda: [known.tolist()], threshold).T
    return {
        f"{a} & {b}": int(((found[a][left] & found[b][right]) | (found[b][left] & found[a][right])).sum())
        for a, b in PAIRS_OF_SPLITS
    }


def _occurrence(items: pd.Series, split: pd.Series) -> tuple[dict[str, NDArray[np.bool_]], pd.Index]:
    """By split, which of the distinct items occur in it; and those items."""
    codes, known = pd.factorize(items)
    found = {name: np.zeros(len(known), dtype=bool) for name in SPLIT_NAMES}
    for name, marks in found.items():
        marks[codes[(split == name).to_numpy()]] = True
    return found, pd.Index(known)
