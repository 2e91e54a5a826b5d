"""Rows in bounded lists: by number, and by characters, because a document may be a hundred megabytes."""

from collections.abc import Iterable, Iterator
from typing import Any

BATCH_ROWS = 4096
BATCH_CHARACTERS = 1 << 24


def bounded(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Lists of at most BATCH_ROWS rows, closed early by the row whose `text` takes them over BATCH_CHARACTERS."""
    batch: list[dict[str, Any]] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += len(row["text"])
        if len(batch) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
