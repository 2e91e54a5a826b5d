"""Passing over stored texts in bounded batches: all of them, those judged, or a sample."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import embedded_text

BATCH_ROWS = 4096

Texts = tuple[list[str], list[str]]
"""Passage ids, and their texts as models see them."""


def passage_texts(passages: TableReader, doing: str) -> Iterator[Texts]:
    """All passages, with a progress bar that says what is done with them."""
    with progress_bar(doing, passages.count, "passages") as progress:
        for batch in passages.batches(BATCH_ROWS, ["passage_id", "title", "text"]):
            yield _texts(batch)
            progress.update(batch.num_rows)


def chosen_texts(passages: TableReader, ids: Collection[str], doing: str) -> Iterator[Texts]:
    """Those of the passages that are named, in stored order."""
    wanted = pa.array(sorted(ids), type=pa.string())
    with progress_bar(doing, passages.count, "passages") as progress:
        for batch in passages.batches(BATCH_ROWS, ["passage_id", "title", "text"]) if ids else ():
            yield _texts(batch.filter(pc.is_in(batch.column("passage_id"), value_set=wanted)))
            progress.update(batch.num_rows)


def sampled_texts(passages: TableReader, size: int, seed: int, doing: str) -> Iterator[Texts]:
    """At most `size` passages, drawn at random, in stored order."""
    rows = np.random.default_rng(seed).permutation(passages.count)[:size]
    rows.sort()
    start = 0
    with progress_bar(doing, passages.count, "passages") as progress:
        for batch in passages.batches(BATCH_ROWS, ["passage_id", "title", "text"]):
            low, high = np.searchsorted(rows, [start, start + batch.num_rows])
            yield _texts(batch.take(pa.array(rows[low:high] - start)))
            start += batch.num_rows
            progress.update(batch.num_rows)


def repeatable(batches: Callable[[], Iterable[Texts]]) -> Callable[[], Iterator[Sequence[str]]]:
    """The texts alone, to be read more than once."""
    return lambda: (texts for _, texts in batches())


def _texts(batch: pa.RecordBatch) -> Texts:
    titles, texts = batch.column("title").to_pylist(), batch.column("text").to_pylist()
    shown = [embedded_text(title, text) for title, text in zip(titles, texts, strict=True)]
    return batch.column("passage_id").to_pylist(), shown
