"""Collections whose every cosine is known, for tests of mining."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import CollectionInfo, Point, SparseVector
from domain_embed.contracts.tables import JUDGED_NEGATIVES, SPLITS
from domain_embed.encoding.bm25 import Analyzer, Bm25Weights
from domain_embed.settings import SparseSettings
from domain_embed.stores.qdrant import QdrantStore

NOTHING = SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))


def collection_of(
    cosines: Mapping[str, float], content: Mapping[str, str] | None = None, texts: Mapping[str, str] | None = None
) -> Collection:
    """Passages in the plane with these cosines to the first axis; with `texts`, also as BM25 sees them."""
    weights = Bm25Weights(Analyzer("english"), SparseSettings(), 3.0)
    points = [
        Point(
            key, key, "", (texts or {}).get(key, key), {}, (content or {}).get(key, f"hash of {key}"),
            np.array([cosine, math.sqrt(1 - cosine**2)], np.float32),
            weights.passage_vector(texts[key]) if texts and key in texts else NOTHING,
        )
        for key, cosine in cosines.items()
    ]  # fmt: skip
    store = QdrantStore.in_memory()
    store.build(CollectionInfo("c", "f" * 16, "base", 2, "v1", len(points), "english", {}, "2026"), [points])
    return store.open("c")


def splits(*rows: tuple[str, str, Sequence[str]] | tuple[str, str, Sequence[str], str]) -> pa.Table:
    """(query id, text, positives) or with a split other than train."""
    return pa.Table.from_pylist(
        [
            {
                "query_id": row[0], "query": row[1], "passage_id": passage_id, "grade": 1, "source": "s",
                "confidence": 1.0, "created_at": None, "split": row[3] if len(row) == 4 else "train",
            }
            for row in rows
            for passage_id in row[2]
        ],
        schema=SPLITS,
    )  # fmt: skip


def judged(*rows: tuple[str, str, str, float]) -> pa.Table:
    """(query text, passage id, source, confidence)."""
    columns = ("query", "passage_id", "source", "confidence")
    return pa.Table.from_pylist(
        [{"query_id": "j", **dict(zip(columns, row, strict=True))} for row in rows], schema=JUDGED_NEGATIVES
    )
