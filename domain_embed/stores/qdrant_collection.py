"""One collection behind a Qdrant client, and the domain's values in the client's own types."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import grpc
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

    def __init__(self, info: CollectionInfo, client: QdrantClient, full_name: str, address: str) -> None:
        """`info` stays what it was at that moment; points are read as they are."""
        self._info = info
        self._client = client
        self._name = full_name
        self._address = address

    @property
    def info(self) -> CollectionInfo:
        """What the collection knew about itself when it was opened."""
        return self._info

    def count(self) -> int:
        """The number of points, counted."""
        with store_errors(self._address):
            return self._client.count(self._name, exact=True).count

    def close(self) -> None:
        """Nothing to release: the connection is the store's."""

    def _query(self, queries: Sequence[Query], limit: int, where: Any, exact: bool) -> list[list[Hit]]:
        shared: dict[str, Any] = {"limit": limit, "with_payload": [pt.PASSAGE_ID], "filter": where}
        if self._address:  # the in-process client always scans, and warns about parameters
            shared["params"] = models.SearchParams(
                exact=exact, hnsw_ef=ef_for(limit), quantization=self._quantized(exact)
            )
        requests = [models.QueryRequest(**self._nearest(query), **shared) for query in queries]
        with store_errors(self._address):
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
        return [self._point(record) for record in self._records(passage_ids, True, [pt.DENSE, pt.SPARSE])]

    def _records(self, passage_ids: Sequence[str], payload: Any, vectors: Any) -> list[models.Record]:
        ids: list[Any] = [pt.point_id(passage_id) for passage_id in passage_ids]
        if not ids:
            return []
        with store_errors(self._address):
            return self._client.retrieve(self._name, ids, with_payload=payload, with_vectors=vectors)

    def _page(self, offset: Any, fields: list[str], dense: bool) -> Page:
        with store_errors(self._address):
            records, following = self._client.scroll(
                self._name,
                limit=POINTS_PER_PAGE,
                offset=offset,
                with_payload=fields,
                with_vectors=[pt.DENSE] if dense else False,
            )
        vectors: list[Any] = [record.vector[pt.DENSE] for record in records] if dense else []  # type: ignore[index, call-overload]
        return [record.payload or {} for record in records], vectors, following

    def _point(self, record: models.Record) -> Point:
        vectors: Any = record.vector
        sparse = vectors.get(pt.SPARSE)
        terms = None if sparse is None else pt.sparse_from(sparse.indices, sparse.values)
        return pt.point_from(record.payload or {}, vectors[pt.DENSE], terms)

    def _nearest(self, query: Query) -> dict[str, Any]:
        if isinstance(query, SparseVector):
            return {"query": _sparse(query), "using": pt.SPARSE}
        return {"query": query.tolist(), "using": pt.DENSE}


def to_struct(point: Point) -> models.PointStruct:
    """A point as the client takes it."""
    vectors: dict[str, Any] = {pt.DENSE: point.dense.tolist()}
    # An empty sparse vector would count as a document for IDF in some stores and not in others.
    if len(point.sparse.indices):
        vectors[pt.SPARSE] = _sparse(point.sparse)
    return models.PointStruct(id=pt.point_id(point.passage_id), vector=vectors, payload=pt.payload_of(point))


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


@contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Turns what the client raises into a StoreError that names the server and never the key.

    The in-process client, which has no address, says in its own words that a collection is gone.
    """
    try:
        yield
    except ValueError as error:
        if address or "not found" not in str(error):
            raise
        raise CollectionGoneError(f"a collection is gone: {error}", GONE_HINT) from error
    except ResponseHandlingException as error:
        raise StoreUnavailableError(f"Qdrant at {address} does not answer: {error}", AWAY_HINT) from None
    except UnexpectedResponse as error:
        answer = error.content.decode(errors="replace")
        raise _refusal(address, error.status_code, f"status {error.status_code}", answer) from None
    except grpc.RpcError as error:
        if not isinstance(error, grpc.Call):
            raise
        code, details = error.code(), error.details() or ""
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            raise StoreUnavailableError(
                f"Qdrant at {address} does not answer: {redact(details)[:300]}", AWAY_HINT
            ) from None
        status = {grpc.StatusCode.NOT_FOUND: 404, grpc.StatusCode.UNAUTHENTICATED: 401}.get(
            code, 403 if code is grpc.StatusCode.PERMISSION_DENIED else None
        )
        raise _refusal(address, status, code.name, details) from None


def _refusal(address: str, status: int | None, told: str, answer: str) -> StoreError:
    """What a server's refusal means, `told` with its answer; `status` is the one of HTTP."""
    # Cut when it is clean: of a key that is cut in two, nothing would be known. The client's error is cut already.
    answer = redact(answer)[:300]
    if status == 404 and "Collection" in answer and "doesn't exist" in answer:
        return CollectionGoneError(f"Qdrant at {address} has the collection no more: {answer}", GONE_HINT)
    hint = "check the api key" if status in (401, 403) else "see the server's log"
    if status == 500 and "read operations failed" in answer:
        hint = "a node that holds it is away, or its creation was cut short"
    return StoreError(f"Qdrant at {address} refused with {told}: {answer}", hint)


AWAY_HINT = "start the server, or correct the url in the settings"
GONE_HINT = "open what is live now"
