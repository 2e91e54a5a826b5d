"""Judgment files: one reader per documented shape, all yielding the same rows."""

from collections.abc import Iterator
from pathlib import Path

from domain_embed.judgments.sources.annotations import read_annotations
from domain_embed.judgments.sources.answers import read_answers
from domain_embed.judgments.sources.beir import read_beir
from domain_embed.judgments.sources.clicks import read_clicks
from domain_embed.judgments.sources.pairs import read_pairs
from domain_embed.judgments.sources.report import LabelReport
from domain_embed.judgments.sources.rows import Label, query_id_of
from domain_embed.judgments.sources.tickets import read_tickets
from domain_embed.judgments.sources.trec import read_trec
from domain_embed.judgments.sources.triples import read_triples
from domain_embed.settings import (
    AnnotationsSource,
    AnswersSource,
    BeirSource,
    ClicksSource,
    JudgmentSource,
    PairsSource,
    TicketsSource,
    TrecSource,
    TriplesSource,
)

__all__ = ["Label", "LabelReport", "query_id_of", "read_source", "source_name", "source_paths"]


def source_paths(source: JudgmentSource) -> list[str]:
    """The files a source reads, as its settings name them."""
    match source:
        case BeirSource():
            return [source.queries, *source.qrels.values()]
        case TrecSource():
            return [source.topics, source.qrels]
        case TriplesSource():
            return [source.path] if source.queries is None else [source.path, source.queries]
        case _:
            return [source.path]


def source_name(source: JudgmentSource) -> str:
    """What a report calls a source: its kind and its first file."""
    return f"{source.kind}:{source_paths(source)[0]}"


def read_source(source: JudgmentSource, folder: Path, report: LabelReport | None = None) -> Iterator[Label]:
    """Yields what a source says, as rows with every column of LABELS, in the order of its files.

    Grades of 0 and less are passed on. Rows come as they are read, except those of annotations and clicks, which are
    put together from several rows and come after the last. What a source leaves out is counted in `report`.

    Raises:
        InputError: For a file that cannot be read, and for a row that does not have the documented shape; it names
            the file, the line and the field.
    """
    report = report if report is not None else LabelReport()
    counts = report.of(source_name(source))
    match source:
        case PairsSource():
            return read_pairs(source, folder, counts)
        case BeirSource():
            return read_beir(source, folder, counts)
        case TrecSource():
            return read_trec(source, folder)
        case TriplesSource():
            return read_triples(source, folder)
        case AnswersSource():
            return read_answers(source, folder, counts)
        case TicketsSource():
            return read_tickets(source, folder, counts)
        case AnnotationsSource():
            return read_annotations(source, folder, counts)
        case ClicksSource():
            return read_clicks(source, folder, counts)
