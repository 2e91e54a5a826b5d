"""Judgments as rows of query and passage id."""

from collections.abc import Iterator
from pathlib import Path

from domain_embed.judgments.sources.rows import Label, label, read


def read_pairs(path: Path) -> Iterator[Label]:
    """One label a row, as it is written."""
    for row in read(path):
        yield label(
            row.text("query").strip(),
            query_id=row.optional_text("query_id"),
            target=row.text("passage_id"),
            grade=row.grade(),
            source=row.optional_text("source") or path.name,
            confidence=row.confidence(),
            created_at=row.moment(),
            split=row.split(),
            filters=row.filters(),
        )
