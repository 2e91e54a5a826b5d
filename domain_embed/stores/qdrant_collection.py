"""One collection behind a Qdrant client, and the domain's values in the client's own types."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from domain_embed.contracts.errors import CollectionGoneError, StoreError, StoreUnavailableError
from domain_embed.contracts.filters import Scalar
from domain_embed.contracts.records import CollectionInfo, Hit, Point, SparseVector
from domain_embed.contracts.secrets import redact
from domain_embed.settings import IndexSettings
from domain_embed.stores import points as pt
from domain_embed.stores.collection import POINTS_PER_PAGE, Page, QdrantCollection, Query, ef_for


class ClientDialect:
    """Filters in the client's types."""

    def equal(self, path: str, value: Scalar) -> Any:
        """One of the values at the path equals it."""
        return models.FieldCondition(key=path, match=models.MatchValue(value=value))

    def one_of(self, path: str, values: list[str]) -> Any:
        """One of the values at the path is one of these texts."""
        return models.FieldCondition(key=path, match=models.MatchAny(any=values))

    def within(self, path: str, bounds: dict[str, float]) -> Any:
        """One of the values at the path is a number within bounds."""
        return models.FieldCondition(key=path, range=models.Range(**bounds))

    def between(self, path: str, bounds: dict[str, datetime]) -> Any:
        """One of the values at the path is a date within bounds."""
        return models.FieldCondition(key=path, range=models.DatetimeRange(**bounds))

    def missing(self, path: str) -> Any:
        """There is no value at the path."""
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=path))

    def group(self, *, must: Sequence[Any] = (), should: Sequence[Any] = (), must_not: Sequence[Any] = ()) -> Any:
        """All of must, one of should where there are any, none of must_not."""
        return models.Filter(must=list(must) or None, should=list(should) or None, must_not=list(must_not) or None)


class ServedCollection(QdrantCollection):
    """A collection behind a Qdrant client."""

    dialect = ClientDialect()

    def __init__(
        self, info: CollectionInfo, client: QdrantClient, full_name: str, address: str, *, vector: str = pt.DENSE
    ) -> None:
        """`vector` names its vectors, where other models have theirs in the same place.

        `info` stays what it was at that moment; points are read as they are.
        """
        self._info = info
        self._vector = vector
        # Beside other models' versions, a passage that only one of them has is none of this one's.
        self._own = None if vector == pt.DENSE else models.HasVectorCondition(has_vector=vector)
        self._client = client
        self._name = full_name
        self._address = address

    @property
    def info(self) -> CollectionInfo:
        """What the collection knew about itself when it was opened."""
        return self._info

    def count(self) -> int:
        """The number of points, counted."""
        with self._errors():
            return self._client.count(self._name, self._among_own(), exact=True).count

    def close(self) -> None:
        """Nothing to release: the connection is the store's."""

    def _query(self, queries: Sequence[Query], limit: int, where: Any, exact: bool) -> list[list[Hit]]:
        if self._own and any(isinstance(query, SparseVector) for query in queries):  # a dense one finds only its own
            where = self._among_own(where)
        shared: dict[str, Any] = {"limit": limit, "with_payload": [pt.PASSAGE_ID], "filter": where}
        if self._address:  # the in-process client always scans, and warns about parameters
            shared["params"] = models.SearchParams(
                exact=exact, hnsw_ef=ef_for(limit), quantization=self._quantized(exact)
            )
        requests = [models.QueryRequest(**self._nearest(query), **shared) for query in queries]
        with self._errors():
            responses = self._client.query_batch_points(self._name, requests)
        return [
            [Hit((hit.payload or {})[pt.PASSAGE_ID], hit.score) for hit in response.points] for response in responses
        ]

    def _quantized(self, exact: bool) -> models.QuantizationSearchParams | None:
        """An exact search looks at the vectors themselves."""
        index = IndexSettings(**self.info.index)
        if index.quantization == "none":
            return None
        return models.QuantizationSearchParams(ignore=exact, rescore=True, oversampling=index.oversampling)

    def _payloads(self, passage_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        return [record.payload or {} for record in self._records(passage_ids, pt.HIT_FIELDS, False)]

    def _retrieve(self, passage_ids: Sequence[str]) -> list[Point]:
        return [self._point(record) for record in self._records(passage_ids, True, [self._vector, pt.SPARSE])]

    def _records(self, passage_ids: Sequence[str], payload: Any, vectors: Any) -> list[models.Record]:
        ids: list[Any] = [pt.point_id(passage_id) for passage_id in passage_ids]
        if not ids:
            return []
        with self._errors():
            if self._own is None:
                return self._client.retrieve(self._name, ids, with_payload=payload, with_vectors=vectors)
            wanted = self._among_own(models.Filter(must=[models.HasIdCondition(has_id=ids)]))
            return self._client.scroll(
                self._name, wanted, limit=len(ids), with_payload=payload, with_vectors=vectors
            )[0]  # fmt: skip

    def _among_own(self, where: models.Filter | None = None) -> models.Filter | None:
        if self._own is None:
            return where
        return models.Filter(must=[self._own, where] if where else [self._own])

    def _page(self, offset: Any, fields: list[str], dense: bool) -> Page:
        with self._errors():
            records, following = self._client.scroll(
                self._name,
                scroll_filter=self._among_own(),
                limit=POINTS_PER_PAGE,
                offset=offset,
                with_payload=fields,
                with_vectors=[self._vector] if dense else False,
            )
        vectors: list[Any] = [record.vector[self._vector] for record in records] if dense else []  # type: ignore[index, call-overload]
        return [record.payload or {} for record in records], vectors, following

    def _point(self, record: models.Record) -> Point:
        vectors: Any = record.vector
        sparse = vectors.get(pt.SPARSE)
        terms = None if sparse is None else pt.sparse_from(sparse.indices, sparse.values)
        return pt.point_from(record.payload or {}, vectors[self._vector], terms)

    def _nearest(self, query: Query) -> dict[str, Any]:
        if isinstance(query, SparseVector):
            return {"query": _sparse(query), "using": pt.SPARSE}
        return {"query": query.tolist(), "using": self._vector}

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """As `store_errors`; that a collection or its vectors are gone, the in-process client says in its own words."""
        try:
            with store_errors(self._address):
                yield
        except ValueError as error:
            if self._address or "not found" not in str(error):
                raise
            raise CollectionGoneError(f"collection {self.info.name!r} is gone: {error}", GONE_HINT) from error


def to_struct(point: Point, *, dense: bool) -> models.PointStruct:
    """A point as the client takes it, with or without its dense vector."""
    vectors: dict[str, Any] = {pt.DENSE: point.dense.tolist()} if dense else {}
    # An empty sparse vector would count as a document for IDF in some stores and not in others.
    if len(point.sparse.indices):
        vectors[pt.SPARSE] = _sparse(point.sparse)
    return models.PointStruct(id=pt.point_id(point.passage_id), vector=vectors, payload=pt.payload_of(point))


def to_vectors(point: Point, name: str) -> models.PointVectors:
    """A point's dense vector alone, under this name."""
    return models.PointVectors(id=pt.point_id(point.passage_id), vector={name: point.dense.tolist()})


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


@contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Turns what the client raises into a StoreError that names the server and never the key."""
    try:
        yield
    except ResponseHandlingException as error:
        raise StoreUnavailableError(
            f"Qdrant at {address} does not answer: {error}", "start the server, or correct the url in the settings"
        ) from None
    except UnexpectedResponse as error:
        hint = "check the api key" if error.status_code in (401, 403) else "see the server's log"
        # Cut when it is clean: of a key that is cut in two, nothing would be known. The client's error is cut already.
        answer = redact(error.content.decode(errors="replace"))[:300]
        if _says_gone(error.status_code, answer):
            raise CollectionGoneError(f"Qdrant at {address} has the collection no more: {answer}", GONE_HINT) from None
        raise StoreError(f"Qdrant at {address} refused with status {error.status_code}: {answer}", hint) from None


GONE_HINT = "open what is live now"


def _says_gone(status: int | None, answer: str) -> bool:
    """A whole collection, or the vectors of one that shares its passages with others."""
    if status == 404:
        return "Collection" in answer and "doesn't exist" in answer
    return status == 400 and "Not existing vector name" in answer
