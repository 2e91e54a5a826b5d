"""Support tickets, chats and call transcripts that were solved with an article."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from domain_embed.corpus.lines import parse_json
from domain_embed.encoding.words import head
from domain_embed.judgments.sources.columns import read_known
from domain_embed.judgments.sources.report import SourceReport
from domain_embed.judgments.sources.rows import Label, Row, label
from domain_embed.settings import TicketsSource

COLUMNS = frozenset(("ticket_id", "doc_id", "subject", "text", "turns", "resolution", "solved", "created_at", "split"))
NOT_SOLVED, NO_ARTICLE, NO_MESSAGE = "ticket not solved", "ticket without an article", "ticket without a message"


def read_tickets(source: TicketsSource, folder: Path, report: SourceReport) -> Iterator[Label]:
    """One label a ticket: its subject and the customer's first message ask, the article it is linked to answers.

    Unsolved tickets, and those whose article or message is empty, are left out and counted.
    """
    path = folder / source.path
    for row in read_known(path, COLUMNS, source.unused_fields, report, grade=source.grade_field):
        if "doc_id" not in row.fields:
            raise row.missing("doc_id")
        query, doc_id = _query(row, source), row.optional_text("doc_id")
        ticket = row.optional_text("ticket_id") or f"line {row.line}"
        if not row.flag("solved", default=True):
            report.leave_out(NOT_SOLVED, ticket)
        elif doc_id is None:
            report.leave_out(NO_ARTICLE, ticket)
        elif not query:
            report.leave_out(NO_MESSAGE, ticket)
        else:
            yield label(
                query,
                target=doc_id,
                answer=row.optional_text("resolution"),
                grade=row.mapped_grade(source.grade_field),
                source=path.name,
                confidence=source.confidence,
                created_at=row.moment(),
                split=row.split(),
            )


def _query(row: Row, source: TicketsSource) -> str:
    """The subject, then the customer's first message, cut to the first words; empty when there is neither."""
    if not row.fields.keys() & {"subject", "text", "turns"}:
        raise row.missing("subject", "text", "turns")
    subject = row.optional_text("subject") or ""
    message = row.optional_text("text") or _first_message(row, source.customer)
    return head(f"{subject} {message}", source.max_words)


def _first_message(row: Row, customer: str) -> str:
    for turn in _turns(row):
        if not isinstance(turn, dict):
            raise row.error("field 'turns' must hold objects of `speaker` and `text`")
        said = Row(row.path, row.line, turn)
        speaker, text = said.text("speaker"), said.optional_text("text")
        if text and speaker.strip().casefold() == customer.casefold():
            return text
    return ""


def _turns(row: Row) -> list[Any]:
    """The transcript; in a cell of a CSV file it is JSON."""
    turns = row.given("turns")
    if isinstance(turns, str):
        try:
            turns = parse_json(turns)
        except (ValueError, RecursionError):
            raise row.error(
                "field 'turns' is not valid JSON", "write a list of objects of `speaker` and `text`"
            ) from None
    if turns is None:
        return []
    if not isinstance(turns, list):
        raise row.error("field 'turns' must be a list of objects of `speaker` and `text`")
    return turns
