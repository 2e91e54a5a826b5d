"""Suspect labels: positives that stand nowhere near their query, for the base model and for BM25."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain_embed.contracts.records import Point, embedded_text
from domain_embed.corpus.tokens import TokenCounter
from domain_embed.judgments.quality.findings import Findings, quoted
from domain_embed.judgments.quality.rankers import Rankers
from domain_embed.judgments.quality.unread import is_unread
from domain_embed.settings import QualitySettings

DEPTH_SHARE = 0.05
"""Largest share of the corpus that counts as near: a wrong passage is among it by chance once in twenty times."""
MIN_DEPTH = 10


def suspect_depth(settings: QualitySettings, passages: int) -> int:
    """How deep a positive may stand before it is suspect: `suspect_depth`, in small corpora less.

    Among 1,100 passages nearly every passage is within the first 1,000; a fixed depth would find nothing there.
    """
    return min(settings.suspect_depth, max(MIN_DEPTH, math.ceil(DEPTH_SHARE * passages)))


def check_suspects(
    judgments: pd.DataFrame, rankers: Rankers, settings: QualitySettings, findings: Findings,
    counter: TokenCounter | None = None,
) -> None:  # fmt: skip
    """`suspect_label`: positives that neither base model nor BM25 ranks among the first `suspect_depth`.

    The farthest comes first. Where the model cannot read the query or the passage, its rank accuses nobody.

    Args:
        judgments: Columns query_id, query and passage_id; all are looked at.
        rankers: Base model and BM25.
        settings: Depth.
        findings: Where to.
        counter: Of the base model's tokens; None takes every text for one that it reads.
    """
    depth = suspect_depth(settings, rankers.passages)
    points = rankers.points(judgments["passage_id"].tolist())
    known = judgments[judgments["passage_id"].isin(points.keys())]
    ranks = rankers.dense_ranks(known["query"].tolist(), [points[one] for one in known["passage_id"]])
    missed = known.assign(rank=ranks)[ranks > depth].sort_values("rank", ascending=False, kind="stable")
    if counter is not None:
        missed = missed[_read(missed["query"].tolist(), counter)]
        missed = missed[_read([_text(points[one]) for one in missed["passage_id"]], counter)]
    rows = missed[["query_id", "query", "passage_id", "rank"]].itertuples(index=False, name=None)
    found = rankers.sparse_hits(missed["query"].tolist(), depth)
    for (query_id, query, passage_id, rank), hits in zip(rows, found, strict=True):
        if passage_id not in hits:
            detail = (
                f"{quoted(query)} → {quoted(_text(points[passage_id]))}: rank {rank:,} of "
                f"{rankers.passages:,} by the base model, not among the first {depth:,} by BM25"
            )
            findings.add(
                "suspect_label", "judgment", detail, query_id=query_id, passage_id=passage_id
            )  # fmt: skip


def _read(texts: Sequence[str], counter: TokenCounter) -> NDArray[np.bool_]:
    return np.array([not is_unread(*found) for found in counter.unknown(texts)], dtype=bool)


def _text(passage: Point) -> str:
    return embedded_text(passage.title, passage.text)
