"""Negatives on their way into the table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from domain_embed.contracts.tables import HARD_NEGATIVES
from domain_embed.mining.passages import PassageRows


@dataclass(frozen=True, slots=True)
class Row:
    """One negative before it becomes a line of the table; rank 0 was judged, not mined."""

    query_id: str
    row: int
    score: float
    positive_score: float
    rank: int
    miner: str
    alike: float = 0.0


def as_batch(rows: Iterable[Sequence[Row]], passages: PassageRows) -> pa.RecordBatch:
    """A HARD_NEGATIVES batch, in the order of the rows."""
    flat = [row for of_query in rows for row in of_query]
    columns = {
        "query_id": [row.query_id for row in flat],
        "passage_id": passages.ids(np.array([row.row for row in flat], dtype=np.int64)),
        "score": [row.score for row in flat],
        "positive_score": [row.positive_score for row in flat],
        "rank": [row.rank for row in flat],
        "miner": [row.miner for row in flat],
    }
    return pa.RecordBatch.from_pydict(columns, schema=HARD_NEGATIVES)
