"""Building a collection: each distinct text is embedded once per model, the rest comes from the vector cache."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.access import AccessRule
from domain_embed.contracts.errors import StoreError
from domain_embed.contracts.metadata import types_of
from domain_embed.contracts.ports import Encoder, TableReader, VectorCache, VectorStore
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import COLLECTION_SCHEMA, CollectionInfo, Point, embedded_text
from domain_embed.encoding import words
from domain_embed.encoding.bm25 import Bm25Weights
from domain_embed.indexing.contents import holds_exactly
from domain_embed.indexing.identity import canary_vectors
from domain_embed.indexing.language import for_passages
from domain_embed.settings import IndexSettings, SparseSettings

Batch = TypeVar("Batch")
Made = TypeVar("Made")

DEFAULT_INDEX = IndexSettings()
BATCH_PASSAGES = 1024
"""Embedded, cached and written together: what an interrupted build loses at most."""


@dataclass(frozen=True)
class BuildReport:
    """What a build did: texts that were embedded now, and passages whose vector was known."""

    info: CollectionInfo
    embedded: int
    reused: int


def collection_name(
    fingerprint: str, passages_version: str, sparse: SparseSettings, index: IndexSettings = DEFAULT_INDEX
) -> str:
    """The name says what is in it: equal inputs, equal name."""
    return f"{fingerprint[:12]}-{content_version(passages_version, sparse, index)}"


def content_version(passages_version: str, sparse: SparseSettings, index: IndexSettings) -> str:
    """Of everything in a collection but the dense vectors: equal for the collections of several models."""
    parts = f"{passages_version} {sparse.version()} {index.version()} {COLLECTION_SCHEMA} {words.VERSION}"
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def build_collection(
    store: VectorStore,
    encoder: Encoder,
    model: str,
    passages: TableReader,
    sparse: SparseSettings,
    cache: VectorCache,
    model_settings: Mapping[str, Any] | None = None,
    chunking: Mapping[str, Any] | None = None,
    index: IndexSettings = DEFAULT_INDEX,
    access: AccessRule | None = None,
) -> BuildReport:
    """Makes sure that the collection of this model and these passages exists, complete.

    An existing one is returned as it is; where passages were taken out of it since, or got other metadata, and it does
    not hold these very passages, the next name is built beside it. An interrupted build goes on where its last cached
    batch ended, and only texts this model has never embedded are embedded: after a change of the corpus, the new and
    changed ones.

    Args:
        store: Where the collection goes.
        encoder: Makes the vectors; its fingerprint becomes the collection's.
        model: What a searcher loads the same encoder from.
        passages: A PASSAGES table.
        sparse: BM25 settings for the vectors beside the dense ones.
        cache: Vectors of this encoder's model by content hash.
        model_settings: What else a searcher needs to load the same encoder.
        chunking: How the passages were cut.
        index: How vectors are kept and found.
        access: The rule in force, which the collection keeps.
    """
    name, existing = _place(store, collection_name(encoder.fingerprint, passages.version, sparse, index), passages)
    if existing is not None:
        return BuildReport(existing, embedded=0, reused=existing.count)
    content = content_version(passages.version, sparse, index)  # by the settings, as the name
    sparse = for_passages(sparse, passages)
    weights = Bm25Weights.fit(sparse, _texts(passages))
    info = CollectionInfo(
        name=name,
        fingerprint=encoder.fingerprint,
        model=model,
        dimensions=encoder.dimensions,
        passages_version=passages.version,
        count=passages.count,
        sparse_language=sparse.language,
        metadata_types=metadata_types(passages, access.groups_field if access else None),
        built_at=datetime.now(UTC).isoformat(timespec="seconds"),
        model_settings=model_settings or {},
        chunking=chunking or {},
        canaries=canary_vectors(encoder),
        index=index.model_dump(mode="json"),
        vector_cache=cache.name,
        schema_version=COLLECTION_SCHEMA,
        content=content,
        words_version=words.VERSION,
        access=access.to_json() if access else {},
    )
    embedded = 0

    def points() -> Iterator[list[Point]]:
        nonlocal embedded
        with progress_bar(f"embed passages ({encoder.fingerprint[:6]})", passages.count, "passages") as progress:
            for batch, (vectors, fresh) in _one_ahead(
                passages.batches(BATCH_PASSAGES), lambda batch: _embed(batch, encoder, cache)
            ):
                embedded += fresh
                yield _points(batch, vectors, weights)
                progress.update(len(batch))

    try:
        store.build(info, points())
    except StoreError:
        existing = _complete(store, name)
        if existing is None:
            raise
        return BuildReport(existing, embedded=0, reused=existing.count)  # another process was faster
    return BuildReport(info, embedded, info.count - embedded)


def _complete(store: VectorStore, name: str) -> CollectionInfo | None:
    return next((info for info in store.collections() if info.name == name), None)


def _place(store: VectorStore, name: str, passages: TableReader) -> tuple[str, CollectionInfo | None]:
    """The first of name, name-2, name-3 … that holds the passages, or that is free."""
    complete = {info.name: info for info in store.collections()}
    for candidate in chain([name], (f"{name}-{number}" for number in count(2))):
        info = complete.get(candidate)
        if info is None or not info.amended or _holds(store, candidate, passages):
            return candidate, info
    raise AssertionError("there is always a next name")


def _holds(store: VectorStore, name: str, passages: TableReader) -> bool:
    collection = store.open(name)
    try:
        return holds_exactly(collection, passages)
    finally:
        collection.close()


def metadata_types(passages: TableReader, groups_field: str | None = None) -> dict[str, str]:
    """The type of each metadata key that can be filtered on, see `contracts.metadata.types_of`."""
    batches = passages.batches(BATCH_PASSAGES * 16, columns=["metadata"])
    encoded = (one for batch in batches for one in set(batch.column("metadata").to_pylist()))
    return types_of(map(json.loads, encoded), groups_field)


def _one_ahead(batches: Iterable[Batch], work: Callable[[Batch], Made]) -> Iterator[tuple[Batch, Made]]:
    """Each batch with what `work` makes of it, while `work` is at the next one already: no core waits for the other."""
    with ThreadPoolExecutor(1) as ahead:
        last: tuple[Batch, Future[Made]] | None = None
        for batch in batches:
            made = last and (last[0], last[1].result())  # nothing more is begun after a failure
            last = (batch, ahead.submit(work, batch))
            if made is not None:
                yield made
        if last is not None:
            yield last[0], last[1].result()


def _texts(passages: TableReader) -> Iterator[list[str]]:
    for batch in passages.batches(BATCH_PASSAGES, columns=["title", "text"]):
        yield _batch_texts(batch)


def _batch_texts(batch: pa.RecordBatch) -> list[str]:
    titles, bodies = batch.column("title").to_pylist(), batch.column("text").to_pylist()
    return [embedded_text(title, body) for title, body in zip(titles, bodies, strict=True)]


def _embed(batch: pa.RecordBatch, encoder: Encoder, cache: VectorCache) -> tuple[NDArray[np.float32], int]:
    """(n, dim) vectors of a batch, and how many texts had to be embedded for it."""
    hashes = batch.column("content_hash").to_pylist()
    known = cache.get(hashes)
    missing = {key: text for key, text in zip(hashes, _batch_texts(batch), strict=True) if key not in known}
    if missing:
        fresh = encoder.encode_documents(list(missing.values()))
        cache.put(list(missing), fresh)
        known.update(zip(missing, fresh, strict=True))
    return np.stack([known[key] for key in hashes]), len(missing)


def _points(batch: pa.RecordBatch, vectors: NDArray[np.float32], weights: Bm25Weights) -> list[Point]:
    rows: Sequence[dict[str, Any]] = batch.to_pylist()
    return [
        Point(
            passage_id=row["passage_id"],
            doc_id=row["doc_id"],
            title=row["title"],
            text=row["text"],
            metadata=json.loads(row["metadata"]),
            content_hash=row["content_hash"],
            dense=vector,
            sparse=weights.passage_vector(embedded_text(row["title"], row["text"])),
        )
        for row, vector in zip(rows, vectors, strict=True)
    ]
