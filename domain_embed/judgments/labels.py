"""Labels of all sources as one stream, before it is known which passages are meant."""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from domain_embed.contracts.errors import InputError, excerpt
from domain_embed.contracts.tables import LABELS, normalized_query
from domain_embed.judgments.sources import Label, LabelReport, read_source, source_name
from domain_embed.judgments.sources.rows import Query
from domain_embed.settings import JudgmentSettings

BATCH_ROWS = 8192


def collect_labels(settings: JudgmentSettings, folder: Path, report: LabelReport) -> Iterator[pa.RecordBatch]:
    """Yields what all sources say as LABELS batches of at most `BATCH_ROWS` rows, source after source.

    A query id keeps the text it was first written with, and has one filter. Repeated rows, and rows about passages that
    do not exist, are passed on. In memory are the query texts and one batch, and what a source of annotations or clicks
    has to hold.

    Raises:
        InputError: When a query id names two different texts (case and white space folded) or filters, or a file or a
            row cannot be used.
    """
    known: dict[str, Query] = {}
    for source in settings.sources:
        counts = report.of(source_name(source))
        labels = read_source(source, folder, report)
        while rows := list(islice(labels, BATCH_ROWS)):
            for row in rows:
                row["query"] = _known_text(known, row)
            counts.given += len(rows)
            yield pa.RecordBatch.from_pylist(rows, schema=LABELS)


def without_answers(batches: Iterable[pa.RecordBatch], erased: Collection[str]) -> Iterator[pa.RecordBatch]:
    """The same labels; those about an erased document without the answer, which is text of that document.

    The label stays: it says what people ask, though nothing of the corpus answers it.
    """
    for batch in batches:
        rows = zip(batch["target"].to_pylist(), batch["answer"].to_pylist(), strict=True)
        answers = [None if _is_about(target, erased) else answer for target, answer in rows]
        place = batch.schema.get_field_index("answer")
        yield batch.set_column(place, batch.schema.field(place), pa.array(answers, pa.string()))


def _is_about(target: str | None, documents: Collection[str]) -> bool:
    """Whether a label names one of the documents, or a passage of it."""
    return target is not None and (target in documents or target.rpartition("#")[0] in documents)


def _known_text(known: dict[str, Query], row: Label) -> str:
    """The query's text as it was first written; further ones may differ in case and white space only."""
    query = Query(row["query"], row["filters"])
    first = known.setdefault(row["query_id"], query)
    if first.text != query.text and normalized_query(first.text) != normalized_query(query.text):
        raise _two(row, "texts", first.text, query.text)
    if first.filters != query.filters:
        raise _two(row, "filters", first.filters, query.filters)
    return first.text


def _two(row: Label, what: str, first: str | None, second: str | None) -> InputError:
    named = " and ".join(excerpt(repr(one[:80])) if one else "none" for one in (first, second))
    problem = f"query id {row['query_id']!r} names two {what}: {named} ({row['source']})"
    return InputError(problem, "give every query its own id, or none")
