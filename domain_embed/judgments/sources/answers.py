"""Questions with their answers as text."""

from collections.abc import Iterator
from pathlib import Path

from domain_embed.judgments.sources.columns import read_known
from domain_embed.judgments.sources.report import SourceReport
from domain_embed.judgments.sources.rows import Label, label
from domain_embed.settings import AnswersSource

COLUMNS = frozenset(("question", "answer", "doc_id", "source", "confidence", "created_at", "split", "filters"))


def read_answers(source: AnswersSource, folder: Path, report: SourceReport) -> Iterator[Label]:
    """One label a row: the answer's text, to be looked up in the document it names, or anywhere."""
    path = folder / source.path
    for row in read_known(path, COLUMNS, source.unused_fields, report, grade=source.grade_field):
        yield label(
            row.text("question").strip(),
            target=row.optional_text("doc_id"),
            answer=row.text("answer").strip(),
            grade=row.mapped_grade(source.grade_field),
            source=row.optional_text("source") or path.name,
            confidence=row.confidence(),
            created_at=row.moment(),
            split=row.split(),
            filters=row.filters(),
        )
