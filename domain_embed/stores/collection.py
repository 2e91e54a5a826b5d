"""Reading a collection, as far as it does not matter which Qdrant holds it: filters, ties, bounded batches."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import StoreError
from domain_embed.contracts.records import CollectionInfo, Hit, Point, SparseVector, StoredContent, Where
from domain_embed.stores import points as pt
from domain_embed.stores.filters import Dialect, store_filter

# 16, 64 and 1000 queries per request took the same time (18k x 384, k = 100): small requests cost nothing
# and bound the memory of an answer with payload.
QUERIES_PER_REQUEST = 64
POINTS_PER_REQUEST = 256
POINTS_PER_PAGE = 1000
# HNSW at Qdrant's default ef of 100 found 93 % of the true 100 nearest (18k x 384), all of the 10 nearest.
EF_PER_HIT = 2
MIN_EF = 128

Query: TypeAlias = NDArray[np.float32] | SparseVector
Page: TypeAlias = tuple[list[Mapping[str, Any]], list[Any], Any]
"""Payloads of up to POINTS_PER_PAGE points, their dense vectors if asked for, and the next page's offset or None."""


class QdrantCollection(ABC):
    """The Collection port over the few calls that differ between a server and Edge."""

    dialect: Dialect

    @property
    @abstractmethod
    def info(self) -> CollectionInfo:
        """What the collection knows about itself."""

    def search_dense(
        self,
        vectors: NDArray[np.float32],
        k: int,
        *,
        where: Where | None = None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """The k nearest by cosine; raises StoreError unless `vectors` are finite and (n, dimensions)."""
        info = self.info
        if vectors.ndim != 2 or vectors.shape[1] != info.dimensions or not np.isfinite(vectors).all():
            raise StoreError(
                f"collection {info.name!r} takes finite query vectors of shape (n, {info.dimensions}), "
                f"not {vectors.shape}",
                f"encode queries with model {info.model}",
            )
        return self._search(list(vectors), k, where, exact)

    def search_sparse(self, vectors: Sequence[SparseVector], k: int, *, where: Where | None = None) -> list[list[Hit]]:
        """The k best by BM25 with the store's IDF; a query without known terms gets no hits."""
        return self._search(vectors, k, where, True)

    def describe(self, rankings: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """Those of the hits that exist, with document, title, text and metadata; each passage is read once."""
        wanted = list({hit.passage_id: None for hits in rankings for hit in hits})
        known: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(wanted), POINTS_PER_REQUEST):
            payloads = self._payloads(wanted[start : start + POINTS_PER_REQUEST])
            known |= {payload[pt.PASSAGE_ID]: payload for payload in payloads}
        return [[replace(hit, **known[hit.passage_id]) for hit in hits if hit.passage_id in known] for hits in rankings]

    def fetch(self, passage_ids: Sequence[str]) -> list[Point]:
        """The stored points of those ids that exist, in the order asked for."""
        found: dict[str, Point] = {}
        for start in range(0, len(passage_ids), POINTS_PER_REQUEST):
            points = self._retrieve(passage_ids[start : start + POINTS_PER_REQUEST])
            found |= {point.passage_id: point for point in points}
        return [found[passage_id] for passage_id in passage_ids if passage_id in found]

    def contents(self) -> Iterator[StoredContent]:
        """What every point is about, without its text and vectors, in no particular order."""
        for payloads, _ in self._pages(list(StoredContent._fields), dense=False):
            yield from (StoredContent(**payload) for payload in payloads)

    def dense_vectors(self) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """(passage ids, their (n, dim) float32 vectors) page by page, in no particular order."""
        for payloads, vectors in self._pages(["passage_id"], dense=True):
            if payloads:
                yield [payload["passage_id"] for payload in payloads], np.array(vectors, dtype=np.float32)

    def _pages(self, fields: list[str], *, dense: bool) -> Iterator[tuple[list[Mapping[str, Any]], list[Any]]]:
        offset, more = None, True
        while more:
            payloads, vectors, offset = self._page(offset, fields, dense)
            yield payloads, vectors
            more = offset is not None

    def _search(self, queries: Sequence[Query], k: int, where: Where | None, exact: bool) -> list[list[Hit]]:
        own = store_filter(where, self.info, self.dialect)
        if own is False:
            return [[] for _ in queries]

        def search(numbers: Sequence[int], limit: int) -> list[list[Hit]]:
            asked = [queries[number] for number in numbers]
            return self._query(asked, limit, None if own is True else own, exact)

        asked = [n for n, query in enumerate(queries) if not isinstance(query, SparseVector) or len(query.indices)]
        hits: dict[int, list[Hit]] = {}
        for start in range(0, len(asked), QUERIES_PER_REQUEST):
            numbers = asked[start : start + QUERIES_PER_REQUEST]
            hits |= zip(numbers, _ranked(search, numbers, k), strict=True)
        return [hits.get(number, []) for number in range(len(queries))]

    @abstractmethod
    def _query(self, queries: Sequence[Query], limit: int, where: Any, exact: bool) -> list[list[Hit]]:
        """The best `limit` hits of each query by falling score, tied ones in any order; `where` in own words."""

    @abstractmethod
    def _payloads(self, passage_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        """What `HIT_FIELDS` names of those points, in any order."""

    @abstractmethod
    def _retrieve(self, passage_ids: Sequence[str]) -> list[Point]:
        """Those points that exist, in any order."""

    @abstractmethod
    def _page(self, offset: Any, fields: list[str], dense: bool) -> Page:
        """The next page after an offset, None for the first."""

    @abstractmethod
    def count(self) -> int:
        """The number of points, counted, not estimated."""

    @abstractmethod
    def close(self) -> None:
        """Releases what the reader holds; it cannot be used afterwards."""


def ef_for(limit: int) -> int:
    """How many candidates HNSW keeps to find `limit` neighbours."""
    return max(MIN_EF, EF_PER_HIT * limit)


def _ranked(search: Callable[[Sequence[int], int], list[list[Hit]]], queries: Sequence[int], k: int) -> list[list[Hit]]:
    """The top k of each query by (-score, passage id).

    A store cuts a tie at k arbitrarily, so that a figure could change from one build to the next. Here one
    more hit is asked for, and more and more until the tie has ended.
    """
    best: dict[int, list[Hit]] = {}
    pending, limit = list(queries), k + 1
    while pending and k > 0:
        found = dict(zip(pending, search(pending, limit), strict=True))
        best |= {q: sorted(hits, key=lambda hit: (-hit.score, hit.passage_id))[:k] for q, hits in found.items()}
        pending = [q for q, hits in found.items() if len(hits) == limit and hits[-1].score == hits[k - 1].score]
        limit *= 2
    return [best.get(q, []) for q in queries]
