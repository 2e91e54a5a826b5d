"""The passages of a collection as rows of numbers: about 70 bytes each, and their vectors in a file.

Everything that mining compares is a row number here; ids and hashes as Python strings would take five times as much.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from domain_embed.contracts.errors import StoreError
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import StoredContent

ROWS_PER_PAGE = 1024
UNKNOWN = -1


class PassageRows:
    """Numbers for the passages of a collection, in the order in which they were first seen.

    `content[row]` is equal for equal content; `place[row]` is the row's place when ids are sorted.
    """

    def __init__(self, ids: pa.Array, hashes: NDArray[np.uint64], content: NDArray[np.uint64]) -> None:
        self._ids = ids
        self._by_hash = np.argsort(hashes)
        self._hashes = hashes[self._by_hash]
        if not np.all(self._hashes[1:] > self._hashes[:-1]):
            raise StoreError("two passages have the same id, or the same hash of it", "give passages distinct ids")
        self.content = content
        self.place = np.empty(len(ids), dtype=np.int64)
        self.place[np.asarray(pc.array_sort_indices(ids))] = np.arange(len(ids))
        _, first, copies = np.unique(content, return_inverse=True, return_counts=True)
        self.copies = copies[first]

    @classmethod
    def of(cls, collection: Collection) -> "PassageRows":
        """Reads ids and content hashes of a collection once."""
        ids: list[pa.Array] = [pa.array([], pa.string())]
        hashes, content = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
        for page in _pages(collection.contents()):
            page_ids, page_content = zip(*((one.passage_id, one.content_hash) for one in page), strict=True)
            ids.append(pa.array(page_ids, pa.string()))
            hashes.append(_hashed(page_ids))
            content.append(_hashed(page_content))
        return cls(pa.concat_arrays(ids), np.concatenate(hashes), np.concatenate(content))

    def __len__(self) -> int:
        return len(self._ids)

    def rows(self, passage_ids: Sequence[str]) -> NDArray[np.int64]:
        """(n,) row numbers, UNKNOWN for an id that the collection does not hold."""
        if not len(passage_ids) or not len(self):
            return np.full(len(passage_ids), UNKNOWN, dtype=np.int64)
        wanted = _hashed(passage_ids)
        found = np.minimum(np.searchsorted(self._hashes, wanted), len(self) - 1)
        rows: NDArray[np.int64] = np.where(self._hashes[found] == wanted, self._by_hash[found], UNKNOWN)
        return rows

    def ids(self, rows: NDArray[np.int64]) -> list[str]:
        """The passage ids of rows."""
        return list(self._ids.take(pa.array(rows)).to_pylist())


class VectorFile:
    """All vectors of a collection by row, in an unnamed temporary file: read once from the store, then at disk speed.

    A collection is gone through for every block of queries, and read here and there in between; the store's own
    scrolling is slower than the arithmetic. The system may drop what is mapped whenever it needs the memory.

    Args:
        collection: Whose vectors.
        passages: Decides the rows. Raises StoreError when the collection holds other passages.
        folder: Where the file is made; the system's temporary folder by default.
    """

    def __init__(self, collection: Collection, passages: PassageRows, folder: Path | None = None) -> None:
        self._shape = (len(passages), collection.info.dimensions)
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix=".mining-")  # noqa: SIM115
            self._fill(collection, passages)
        except OSError as error:
            raise StoreError(f"vectors cannot be spooled for mining: {error}", "free space on disk") from error

    def _fill(self, collection: Collection, passages: PassageRows) -> None:
        written = 0
        for page_ids, vectors in collection.dense_vectors():
            rows = passages.rows(page_ids)
            if (rows == UNKNOWN).any():
                raise StoreError(f"collection {collection.info.name!r} holds passages that another one does not")
            self._write(rows, np.ascontiguousarray(vectors, np.float32))
            written += len(rows)
        if written != len(passages):
            raise StoreError(f"collection {collection.info.name!r} lacks passages that another one holds")
        self._file.flush()

    def _write(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Consecutive rows in one go: stores page in one order, so that nearly always is the whole page."""
        borders = np.flatnonzero(np.diff(rows) != 1) + 1
        for run, part in zip(np.split(rows, borders), np.split(vectors, borders), strict=True):
            self._file.seek(int(run[0]) * self._shape[1] * 4)
            self._file.write(part.tobytes())

    def pages(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(first row, (n, dim) vectors), page by page, of which only one is in memory."""
        for start in range(0, self._shape[0], ROWS_PER_PAGE):
            yield start, np.array(self.mapped()[start : start + ROWS_PER_PAGE])

    def mapped(self) -> NDArray[np.float32]:
        """(count, dim), read from the file where it is touched; what was read is given back when this is dropped."""
        return np.asarray(np.memmap(self._file, dtype=np.float32, mode="r", shape=self._shape))

    def close(self) -> None:
        """Removes the file."""
        self._file.close()


def _hashed(texts: Sequence[str]) -> NDArray[np.uint64]:
    """64 bits of each text: that two of a million are equal has a chance of one in 30 million."""
    return pd.util.hash_array(np.array(texts, dtype=object), categorize=False)


def _pages(items: Iterator[StoredContent]) -> Iterator[list[StoredContent]]:
    page: list[StoredContent] = []
    for item in items:
        page.append(item)
        if len(page) == ROWS_PER_PAGE:
            yield page
            page = []
    if page:
        yield page
