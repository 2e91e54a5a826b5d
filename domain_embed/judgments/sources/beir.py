"""Judgments in the BEIR layout, with the splits it gives."""

from collections.abc import Iterator
from pathlib import Path

from domain_embed.contracts.tables import SPLIT_NAMES
from domain_embed.judgments.sources.columns import read_known
from domain_embed.judgments.sources.report import SourceReport
from domain_embed.judgments.sources.rows import Label, known_query, label, queries_by_id
from domain_embed.settings import BeirSource

QUERY_COLUMNS = frozenset(("_id", "id", "text", "filters"))
QREL_COLUMNS = frozenset(("query-id", "corpus-id"))


def read_beir(source: BeirSource, folder: Path, report: SourceReport) -> Iterator[Label]:
    """One label a line of the qrels, train first; queries without qrels give none."""
    queries_path = folder / source.queries
    known = read_known(queries_path, QUERY_COLUMNS, source.unused_fields, report)
    queries = queries_by_id(known, "_id", "id")
    for split in SPLIT_NAMES:
        if split not in source.qrels:
            continue
        path = folder / source.qrels[split]
        for row in read_known(path, QREL_COLUMNS, source.unused_fields, report, grade="score"):
            query_id, query = known_query(queries, row, "query-id", queries_path)
            yield label(
                query.text,
                query_id=query_id,
                target=row.text("corpus-id"),
                grade=row.grade("score", default=None),
                source=path.name,
                split=split,
                filters=query.filters,
            )
