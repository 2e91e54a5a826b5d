"""The runbooks domain with faults planted in it, and its examination by the real base model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from domain_embed.contracts.records import Where
from domain_embed.contracts.tables import LABELS, PASSAGES, content_hash
from domain_embed.diagnosis.causes import Cause, Symptoms, cause_of
from domain_embed.diagnosis.rankings import QueryMemory, rank_queries
from domain_embed.diagnosis.symptoms import Examination
from domain_embed.diagnosis.unseen import Windows
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import DiagnosisSettings, QualitySettings, RetrievalSettings
from domain_embed_tests.encoding.fakes import MemoryTable
from domain_embed_tests.judgments.quality_material import collection_of
from domain_embed_tests.scenario import CORPUS, QUERIES

Qrels = dict[str, dict[str, int]]


class Part(NamedTuple):
    """A passage as a part of a document."""

    passage_id: str
    doc_id: str
    title: str
    text: str
    start: int = 0
    metadata: Mapping[str, Any] = {}


PARTS = [
    Part(one.passage_id, one.passage_id, one.title, one.text, 0, {"team": one.team, "year": one.year}) for one in CORPUS
]
TEXTS = {query.query_id: query.text for query in QUERIES}
QRELS: Qrels = {query.query_id: dict(query.grades) for query in QUERIES}


def passage_table(parts: Sequence[Part]) -> MemoryTable:
    """A PASSAGES table."""
    rows = [
        {
            "passage_id": one.passage_id, "doc_id": one.doc_id, "title": one.title, "text": one.text,
            "metadata": json.dumps(dict(one.metadata), sort_keys=True),
            "content_hash": content_hash(one.title, one.text), "heading": "", "start": one.start,
            "end": one.start + len(one.text),
        }
        for one in parts
    ]  # fmt: skip
    return MemoryTable(pa.Table.from_pylist(rows, schema=PASSAGES))


def label_table(
    rows: Sequence[tuple[str, str, str | None, str | None]], split: str | None = None, **changes: Any
) -> pa.Table:
    """(query id, query, target, answer) as LABELS."""
    values = [
        {
            "query_id": query_id, "query": query, "target": target, "answer": answer, "grade": 1, "source": "s",
            "confidence": 1.0, "created_at": None, "split": split, "train_only": False, **changes,
        }
        for query_id, query, target, answer in rows
    ]  # fmt: skip
    return pa.Table.from_pylist(values, schema=LABELS)


def examine(
    encoder: TorchEncoder, parts: Sequence[Part] = PARTS, texts: Mapping[str, str] = TEXTS, qrels: Qrels = QRELS,
    filters: Mapping[str, Where] | None = None,
) -> dict[str, Symptoms]:  # fmt: skip
    """The symptoms of every failed query, by query id."""
    table = passage_table(parts)
    collection, memory = collection_of(table, encoder), QueryMemory(encoder)
    rankings = rank_queries(texts, qrels, collection, memory, RetrievalSettings())
    windows = Windows(encoder.tokenizer, encoder.max_tokens)
    found = Examination(
        rankings, collection, memory, table, windows, DiagnosisSettings(), QualitySettings(), filters
    ).symptoms()
    return {one.query_id: one for one in found}


def causes(symptoms: Mapping[str, Symptoms]) -> dict[str, Cause]:
    """The cause of each."""
    return {query_id: cause_of(one) for query_id, one in symptoms.items()}
