"""Judgments as rows of query and passage id."""

from collections.abc import Iterator
from pathlib import Path

from domain_embed.judgments.sources.columns import read_known
from domain_embed.judgments.sources.report import SourceReport
from domain_embed.judgments.sources.rows import Label, label
from domain_embed.settings import PairsSource

COLUMNS = frozenset(("query", "query_id", "passage_id", "source", "confidence", "created_at", "split", "filters"))


def read_pairs(source: PairsSource, folder: Path, report: SourceReport) -> Iterator[Label]:
    """One label a row, as it is written."""
    path, mapped = folder / source.path, source.grade_field
    for row in read_known(path, COLUMNS, source.unused_fields, report, grade=mapped or "grade"):
        yield label(
            row.text("query").strip(),
            query_id=row.optional_text("query_id"),
            target=row.text("passage_id"),
            grade=row.mapped_grade(mapped) if mapped else row.grade(),
            source=row.optional_text("source") or path.name,
            confidence=row.confidence(),
            created_at=row.moment(),
            split=row.split(),
            filters=row.filters(),
        )
