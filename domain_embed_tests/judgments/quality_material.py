"""Small tables with known faults, for tests of the quality checks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from domain_embed.contracts.ports import Collection
from domain_embed.contracts.tables import JUDGMENTS, LABELS, PASSAGES, SPLITS, content_hash, normalized_query
from domain_embed.indexing.build import build_collection
from domain_embed.judgments.quality.checks import CHECKS
from domain_embed.judgments.quality.findings import Findings
from domain_embed.settings import SparseSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.encoding.fakes import MemoryCache, MemoryTable

Row = tuple[str, str | None, str | None, str]
"""Kind, query id, passage id and detail of a finding."""


def everything_on() -> Findings:
    return Findings(dict.fromkeys(CHECKS, "warn"))


def found(findings: Findings, check: str) -> list[Row]:
    """What one check found; it is all that was found."""
    rows = findings.table().to_pylist()
    assert {row["check"] for row in rows} <= {check}
    assert findings.counts[check] == len(rows)
    return [(row["kind"], row["query_id"], row["passage_id"], row["detail"]) for row in rows]


def passages(texts: Mapping[str, str], metadata: Mapping[str, Mapping[str, Any]] | None = None) -> MemoryTable:
    """Passages without titles, by id."""
    rows = [
        {
            "passage_id": passage_id, "doc_id": passage_id, "title": "", "text": text,
            "metadata": json.dumps((metadata or {}).get(passage_id, {}), sort_keys=True),
            "content_hash": content_hash("", text), "heading": "", "start": 0, "end": len(text),
        }
        for passage_id, text in texts.items()
    ]  # fmt: skip
    return MemoryTable(pa.Table.from_pylist(rows, schema=PASSAGES))


def judged(*rows: tuple[str, str, str] | tuple[str, str, str, str]) -> pd.DataFrame:
    """(query id, query, passage id) and perhaps the source, as checks get them."""
    frame = pd.DataFrame([(*row, "s")[:4] for row in rows], columns=["query_id", "query", "passage_id", "source"])
    return frame.assign(text=frame["query"].map(normalized_query))


def labels(*rows: tuple[str, str, str | None, int, str]) -> MemoryTable:
    """(query id, query, target, grade, source)."""
    values = [
        {
            "query_id": query_id, "query": query, "target": target, "answer": None, "grade": grade, "source": source,
            "confidence": 1.0, "created_at": None, "split": None, "train_only": False,
        }
        for query_id, query, target, grade, source in rows
    ]  # fmt: skip
    return MemoryTable(pa.Table.from_pylist(values, schema=LABELS))


def judgment_table(rows: Sequence[tuple[str, str, str, int]], splits: Sequence[str] | None = None) -> MemoryTable:
    """(query id, query, passage id, grade) as JUDGMENTS, or with their splits as SPLITS."""
    values = [
        {
            "query_id": query_id, "query": query, "passage_id": passage_id, "doc_id": passage_id, "grade": grade,
            "source": "s", "confidence": 1.0, "created_at": None, "split": splits[number] if splits else None,
            "train_only": False,
        }
        for number, (query_id, query, passage_id, grade) in enumerate(rows)
    ]  # fmt: skip
    return MemoryTable(pa.Table.from_pylist(values, schema=SPLITS if splits else JUDGMENTS))


def split_rows(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """(query, passage id, split) of grade 1, as difficulty and inflation get them."""
    frame = pd.DataFrame(rows, columns=["query", "passage_id", "split"]).assign(grade=1)
    return frame.assign(text=frame["query"].map(normalized_query), query_id=frame["query"])


def collection_of(table: MemoryTable, encoder: Any) -> Collection:
    store = QdrantStore.in_memory()
    report = build_collection(store, encoder, "base", table, SparseSettings(), MemoryCache())
    return store.open(report.info.name)
