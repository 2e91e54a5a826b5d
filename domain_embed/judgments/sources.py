"""Judgment files: one reader per documented shape, all yielding the same rows."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import SPLIT_NAMES, normalized_query
from domain_embed.corpus.lines import parse_object, read_delimited, read_lines, text_field
from domain_embed.settings import BeirSource, JudgmentSource, PairsSource

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SPLIT_ALIASES = {"dev": "validation", "valid": "validation", "val": "validation"}


def source_paths(source: JudgmentSource) -> list[str]:
    """The files a source reads, as its settings name them."""
    return [source.path] if isinstance(source, PairsSource) else [source.queries, *source.qrels.values()]


def read_source(source: JudgmentSource, folder: Path) -> Iterator[dict[str, Any]]:
    """Yields rows with every column of JUDGMENTS; grades of 0 and less are passed on, for the caller to count."""
    if isinstance(source, PairsSource):
        yield from _read_pairs(folder / source.path)
    else:
        yield from _read_beir(source, folder)


def query_id_of(query: str) -> str:
    """An id for a query that has none: the same text, case and white space folded, has the same id."""
    return "q-" + hashlib.sha256(normalized_query(query).encode()).hexdigest()[:12]


def _read_pairs(path: Path) -> Iterator[dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix in DELIMITERS:
        rows = read_delimited(path, DELIMITERS[suffix])
    elif suffix == ".jsonl":
        rows = ((number, parse_object(line, path, number)) for number, line in read_lines(path))
    else:
        raise InputError(f"{path}: judgments must be a .jsonl, .csv or .tsv file")
    for number, row in rows:
        query = _query_text(row, ("query",), path, number)
        yield {
            "query_id": text_field(row, ("query_id",), path, number, default="") or query_id_of(query),
            "query": query,
            "passage_id": text_field(row, ("passage_id",), path, number),
            "grade": _grade(row.get("grade", 1), path, number),
            "source": text_field(row, ("source",), path, number, default="") or path.name,
            "confidence": _confidence(row.get("confidence", 1.0), path, number),
            "created_at": text_field(row, ("created_at",), path, number, default="") or None,
            "split": _split(text_field(row, ("split",), path, number, default=""), path, number),
        }


def _read_beir(source: BeirSource, folder: Path) -> Iterator[dict[str, Any]]:
    queries_path = folder / source.queries
    queries: dict[str, str] = {}
    for number, line in read_lines(queries_path):
        row = parse_object(line, queries_path, number)
        query_id = text_field(row, ("_id", "id"), queries_path, number)
        if query_id in queries:
            raise InputError.at(queries_path, f"query id {query_id!r} occurs twice", line=number)
        queries[query_id] = _query_text(row, ("text",), queries_path, number)
    for split in SPLIT_NAMES:
        if split in source.qrels:
            yield from _read_qrels(folder / source.qrels[split], split, queries, queries_path)


def _read_qrels(path: Path, split: str, queries: dict[str, str], queries_path: Path) -> Iterator[dict[str, Any]]:
    for number, row in read_delimited(path, "\t"):
        query_id = text_field(row, ("query-id",), path, number)
        if query_id not in queries:
            raise InputError.at(path, f"query {query_id!r} is not in {queries_path.name}", line=number)
        yield {
            "query_id": query_id,
            "query": queries[query_id],
            "passage_id": text_field(row, ("corpus-id",), path, number),
            "grade": _grade(row.get("score"), path, number),
            "source": path.name,
            "confidence": 1.0,
            "created_at": None,
            "split": split,
        }


def _query_text(row: dict[str, Any], names: tuple[str, ...], path: Path, number: int) -> str:
    text = text_field(row, names, path, number).strip()
    if not text:
        raise InputError.at(path, "the query is empty", line=number)
    return text


def _grade(value: Any, path: Path, number: int) -> int:
    try:
        grade = float(value)
        if isinstance(value, bool) or not grade.is_integer() or abs(grade) > 1000:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InputError.at(path, f"the grade must be a whole number, not {value!r}", line=number) from None
    return int(grade)


def _confidence(value: Any, path: Path, number: int) -> float:
    try:
        confidence = float(value)
    except (TypeError, ValueError, OverflowError):
        confidence = math.nan
    if not 0 <= confidence <= 1:
        raise InputError.at(path, f"the confidence must be between 0 and 1, not {value!r}", line=number)
    return confidence


def _split(value: str, path: Path, number: int) -> str | None:
    split = SPLIT_ALIASES.get(value, value)
    if split and split not in SPLIT_NAMES:
        raise InputError.at(path, f"the split must be one of {', '.join(SPLIT_NAMES)}, not {value!r}", line=number)
    return split or None
