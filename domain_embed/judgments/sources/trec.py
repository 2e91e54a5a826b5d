"""Judgments as TREC topics and qrels."""

from collections.abc import Iterator
from pathlib import Path

from domain_embed.judgments.sources.rows import Label, known_query, label, queries_by_id, read_columns
from domain_embed.settings import TrecSource

TOPIC_COLUMNS = ("query id", "text")
QREL_COLUMNS = ("query id", "iteration", "document id", "grade")


def read_trec(source: TrecSource, folder: Path) -> Iterator[Label]:
    """One label a line of the qrels; grades below 0, which mark spam in some collections, count as 0."""
    topics_path, path = folder / source.topics, folder / source.qrels
    topics = queries_by_id(read_columns(topics_path, TOPIC_COLUMNS), "query id")
    for row in read_columns(path, QREL_COLUMNS, separator=None):
        query_id, query = known_query(topics, row, "query id", topics_path)
        yield label(
            query.text, query_id=query_id, target=row.text("document id"), grade=max(0, row.grade()), source=path.name
        )
