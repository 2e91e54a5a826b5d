"""Rows of some passages out of many, read in bounded memory."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa

from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.progress import progress_bar

BATCH_ROWS = 4096


def all_rows(passages: TableReader, columns: Sequence[str], what: str) -> Iterator[tuple[Any, ...]]:
    """The columns of every passage, row by row, in stored order; `what` is done meanwhile, for the progress bar."""
    return _rows(passages, columns, None, what)


def rows_of(passages: TableReader, ids: Collection[str], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """The columns of the passages with these ids, row by row, in stored order; unknown ids have none."""
    return _rows(passages, columns, frozenset(ids), "finding passages")


def _rows(
    passages: TableReader, columns: Sequence[str], ids: frozenset[str] | None, what: str
) -> Iterator[tuple[Any, ...]]:
    with progress_bar(what, passages.count, "passages") as bar:
        for batch in passages.batches(BATCH_ROWS, list(dict.fromkeys(["passage_id", *columns]))):
            found = batch
            if ids is not None:
                found = batch.filter(
                    pa.array([one in ids for one in batch.column("passage_id").to_pylist()], pa.bool_())
                )
            yield from zip(*(found.column(name).to_pylist() for name in columns), strict=True)
            bar.update(batch.num_rows)
