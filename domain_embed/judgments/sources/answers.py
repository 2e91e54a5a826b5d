"""Questions with their answers as text."""

from collections.abc import Iterator
from pathlib import Path

from domain_embed.judgments.sources.rows import Label, label, read


def read_answers(path: Path) -> Iterator[Label]:
    """One label a row: the answer's text, to be looked up in the document it names, or anywhere."""
    for row in read(path):
        yield label(
            row.text("question").strip(),
            target=row.optional_text("doc_id"),
            answer=row.text("answer").strip(),
            source=row.optional_text("source") or path.name,
            confidence=row.confidence(),
            created_at=row.moment(),
            split=row.split(),
            filters=row.filters(),
        )
