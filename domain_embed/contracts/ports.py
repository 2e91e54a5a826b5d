"""The ports: what stages need from encoders, vector stores and trackers, whoever provides them."""

from collections.abc import Collection as AnyCollection
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.records import CollectionInfo, Hit, Mode, Point, SparseVector, StoredContent, Where


class Encoder(Protocol):
    """Text to vectors, by exactly one model."""

    @property
    def fingerprint(self) -> str:
        """Identity of the model: equal for equal weights, tokenizer, pooling, prompts, length and norm."""
        ...

    @property
    def dimensions(self) -> int: ...

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        ...

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        ...


class Reranker(Protocol):
    """A second look at a few candidates: query and passage are read together, by exactly one cross-encoder."""

    @property
    def fingerprint(self) -> str:
        """Identity of the model: equal for equal weights, tokenizer and length limit."""
        ...

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """(n,) float32, how well each passage's text answers its query; higher is better, unbounded."""
        ...


class TableReader(Protocol):
    """A stored table, read in bounded batches."""

    @property
    def version(self) -> str:
        """Hash of the content: equal for equal rows, whatever their order."""
        ...

    @property
    def count(self) -> int:
        """Number of rows."""
        ...

    def batches(self, size: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches of at most `size` rows, in stored order."""
        ...

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole table in memory."""
        ...


class VectorCache(Protocol):
    """Vectors of one model by content hash. What was put survives a crash; what was not put is simply absent."""

    @property
    def name(self) -> str:
        """Whose vectors these are; collections made of them keep it, so that they are not evicted under it."""
        ...

    def get(self, hashes: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The known ones among `hashes`, each (dim,) float32."""
        ...

    def put(self, hashes: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keeps `vectors` (n, dim), all of them or none."""
        ...


class Collection(Protocol):
    """A complete set of points of one model, open for reading. Safe for concurrent readers.

    What `VectorStore.amend` changes is seen from the next call on, whichever process amends; nothing else changes it.
    Every search and read raises CollectionGoneError when the collection was dropped: who holds a dropped one would not
    hear of what is taken away later. `info` is then what it was.
    """

    @property
    def info(self) -> CollectionInfo: ...

    def search_dense(
        self,
        vectors: NDArray[np.float32],
        k: int,
        *,
        where: Where | None = None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The k nearest points by cosine for each row of `vectors` (n, dim).

        Hits are ordered by score, descending, then passage id. `exact` scans instead of using HNSW.
        """
        ...

    def search_sparse(self, vectors: Sequence[SparseVector], k: int, *, where: Where | None = None) -> list[list[Hit]]:
        """The k best points by BM25 for each query vector (IDF is applied by the store), same order rule.

        A query without known terms gets no hits.
        """
        ...

    def describe(self, rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """Those of the hits that exist, with document, title, text and metadata, which the searches leave empty."""
        ...

    def fetch(self, passage_ids: Sequence[str]) -> list[Point]:
        """The stored points of those ids that exist, in the order asked for."""
        ...

    def contents(self) -> Iterator[StoredContent]:
        """What every point is about, without its text and vectors, in no particular order."""
        ...

    def dense_vectors(self) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """(passage ids, their (n, dim) float32 vectors of unit length) page by page, in no particular order."""
        ...

    def count(self) -> int:
        """The number of points there are now, counted."""
        ...

    def close(self) -> None: ...


class VectorStore(Protocol):
    """Collections and the aliases that name them. Only complete collections are ever visible."""

    def build(self, info: CollectionInfo, batches: Iterable[Sequence[Point]]) -> None:
        """Writes a collection under `info.name`; it appears complete, or not at all.

        A half-built leftover of the same name is replaced. Raises StoreError when a complete collection
        of that name exists, when the number of points is not `info.count`, or when a vector has another
        dimension than `info.dimensions`, is not finite or is not of unit length.
        """
        ...

    def collections(self, *, every: bool = False) -> list[CollectionInfo]:
        """The complete collections, oldest first.

        One that cannot be read now, because the node that has it is away, is left out with a warning. With `every` it
        raises StoreError: for those who must not pass one over.
        """
        ...

    def size_bytes(self, name: str) -> int | None:
        """What a complete collection takes on this machine's disk; None where that is not known."""
        ...

    def open(self, name: str) -> Collection:
        """Raises NotReadyError when no complete collection has that name."""
        ...

    def amend(
        self, name: str, *, remove: AnyCollection[str], metadata: Mapping[str, Mapping[str, Any]],
        purge: bool = False,
    ) -> None:  # fmt: skip
        """Takes passages out of a complete collection, and gives others this metadata in place of theirs.

        Readers that are open, in this and in other processes, see it from their next call on, and aliases keep
        pointing to it. Passages it does not hold are passed over; one that is named twice is removed. What is removed
        is gone before metadata changes; where a store cannot do both as one, the same call again completes it.

        Afterwards `info.amended` says when, `info.count` is still what was built, and `info.metadata_types` is what
        holds for the metadata there is now.

        Args:
            name: Of the collection.
            remove: Passage ids.
            metadata: The whole new metadata by passage id.
            purge: Also takes the bytes of what is removed or replaced off the disk, as far as the store can; it takes
                about as long as writing the collection anew.

        Raises:
            NotReadyError: No complete collection has that name.
            StoreError: It cannot be written; see above for what then holds.
        """
        ...

    def drop(self, name: str) -> None:
        """Removes a collection. Raises StoreError while an alias points to it; unknown names are fine."""
        ...

    def clear(self) -> list[str]:
        """Removes every alias and collection of the store, complete or not, for good; returns what was removed."""
        ...

    def alias(self, alias: str) -> str | None:
        """The name of the collection behind an alias, or None."""
        ...

    def set_alias(self, alias: str, name: str) -> None:
        """Moves an alias in one atomic step. Raises NotReadyError when `name` is not a complete collection."""
        ...


class Ranker(Protocol):
    """Queries to ranked passages of one collection, by the model that made it."""

    @property
    def collection(self) -> Collection: ...

    def rank(
        self, queries: Sequence[str], k: int, modes: Sequence[Mode], *, exact: bool = False
    ) -> Mapping[Mode, list[list[Hit]]]:
        """The best k passages per query in each mode, by score, descending, then passage id; without payload."""
        ...


class Tracker(Protocol):
    """Where the figures of one asset's work go."""

    def log_params(self, params: Mapping[str, object]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...

    def nested(self, name: str) -> AbstractContextManager["Tracker"]:
        """Where the figures of one part of the work go, a trial for example; it has failed when its body raises."""
        ...


class NullTracker:
    """A tracker for callers that keep no records."""

    def log_params(self, params: Mapping[str, object]) -> None:
        """Drops them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Drops them."""

    def nested(self, name: str) -> AbstractContextManager[Tracker]:
        """Drops those, too."""
        return nullcontext(self)
