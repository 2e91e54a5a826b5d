"""Judgments as training triples in the layout of MS MARCO."""

from collections.abc import Iterator
from pathlib import Path

from domain_embed.judgments.sources.rows import Label, known_query, label, queries_by_id, read_columns
from domain_embed.settings import TriplesSource

TRIPLE_COLUMNS = ("query", "positive", "negative")
QUERY_COLUMNS = ("query id", "text")
GRADES = {"positive": 1, "negative": 0}


def read_triples(source: TriplesSource, folder: Path) -> Iterator[Label]:
    """Two labels a line: the positive with grade 1, the negative with grade 0; ids as targets, texts as answers."""
    path = folder / source.path
    if source.queries is not None:
        yield from _read_ids(path, folder / source.queries)
        return
    for row in read_columns(path, TRIPLE_COLUMNS):
        query = row.text("query").strip()
        for name, grade in GRADES.items():
            yield label(query, answer=row.text(name).strip(), grade=grade, source=path.name)


def _read_ids(path: Path, queries_path: Path) -> Iterator[Label]:
    queries = queries_by_id(read_columns(queries_path, QUERY_COLUMNS), "query id")
    for row in read_columns(path, TRIPLE_COLUMNS):
        query_id, query = known_query(queries, row, "query", queries_path)
        for name, grade in GRADES.items():
            yield label(query.text, query_id=query_id, target=row.text(name).strip(), grade=grade, source=path.name)
