"""Encoders and tables for tests that are about something else: vectors from hashes, or by hand."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def hashed_vector(text: str, dimensions: int) -> NDArray[np.float32]:
    """A unit vector that only the text decides."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    vector = np.random.default_rng(seed).normal(size=dimensions)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


class FakeEncoder:
    """Counts what it is asked to embed; gives the vectors it was told, hashed ones otherwise.

    `fails_at_call` raises KeyboardInterrupt in that call for documents, the first being 1.
    """

    def __init__(
        self, fingerprint: str = "f" * 16, dimensions: int = 8, *,
        vectors: Mapping[str, Sequence[float]] | None = None, fails_at_call: int | None = None,
    ) -> None:  # fmt: skip
        self.fingerprint = fingerprint
        self.dimensions = dimensions
        self.embedded: list[str] = []
        self.calls = 0
        self._vectors = vectors or {}
        self._fails_at_call = fails_at_call

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._encode(texts)

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.calls += 1
        if self.calls == self._fails_at_call:
            raise KeyboardInterrupt
        self.embedded += texts
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [np.asarray(self._vectors.get(text, hashed_vector(text, self.dimensions)), np.float32) for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.dimensions), np.float32)


class MemoryCache:
    """A vector cache that lasts as long as the test."""

    name = "memory"

    def __init__(self) -> None:
        self.vectors: dict[str, NDArray[np.float32]] = {}

    def get(self, hashes: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        return {key: self.vectors[key] for key in hashes if key in self.vectors}

    def put(self, hashes: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self.vectors.update(zip(hashes, vectors, strict=True))


class MemoryTable:
    """A stored table without a file."""

    def __init__(self, table: pa.Table, version: str = "v1") -> None:
        self._table = table
        self.version = version
        self.count = table.num_rows

    def batches(self, size: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        yield from self.read(columns).to_batches(max_chunksize=size)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        return self._table.select(list(columns)) if columns is not None else self._table
