"""One Edge shard directory: writing it once, reading it afterwards, and the domain's values in Edge's own types."""

import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as qe

from domain_embed.contracts.errors import DomainEmbedError, StoreError
from domain_embed.contracts.filters import Scalar
from domain_embed.contracts.records import CollectionInfo, Hit, Point, SparseVector
from domain_embed.settings import IndexSettings
from domain_embed.stores import points as pt
from domain_embed.stores.collection import POINTS_PER_PAGE, Page, QdrantCollection, Query, ef_for

# Without a WAL nothing is durable before a flush anyway; flushing now and then lets the kernel drop dirty pages.
FLUSH_POINTS = 20_000
# Edge writes through sparse memory maps: on a full disk it does not fail, the process dies of SIGBUS.
SPARE_BYTES = 64 * 2**20
FULL_SCAN_KB = 10_000  # Qdrant's default: fewer vectors are scanned
_QUANTIZATIONS = {
    "none": None,
    "int8": qe.ScalarQuantizationConfig(qe.ScalarType.Int8, quantile=0.99, memory=qe.Memory.Pinned),
    "binary": qe.BinaryQuantizationConfig(memory=qe.Memory.Pinned),
}
_INDEXES = {
    "str": qe.PayloadSchemaType.Keyword,
    "int": qe.PayloadSchemaType.Integer,
    "float": qe.PayloadSchemaType.Float,
    "bool": qe.PayloadSchemaType.Bool,
    "date": qe.PayloadSchemaType.Datetime,
}


class EdgeDialect:
    """Filters in Edge's types."""

    def equal(self, path: str, value: Scalar) -> Any:
        """One of the values at the path equals it."""
        # The binding (0.9.0) takes Python's True for the integer 1; NumPy's stays a bool.
        exact: Any = np.bool_(value) if isinstance(value, bool) else value
        return qe.FieldCondition(path, match=qe.MatchValue(exact))

    def one_of(self, path: str, values: list[str]) -> Any:
        """One of the values at the path is one of these texts."""
        return qe.FieldCondition(path, match=qe.MatchAny(values))

    def within(self, path: str, bounds: dict[str, float]) -> Any:
        """One of the values at the path is a number within bounds."""
        return qe.FieldCondition(path, range=qe.RangeFloat(**bounds))

    def between(self, path: str, bounds: dict[str, datetime]) -> Any:
        """One of the values at the path is a date within bounds."""
        moments = {name: bound.isoformat() for name, bound in bounds.items()}
        return qe.FieldCondition(path, range=qe.RangeDateTime(**moments))

    def missing(self, path: str) -> Any:
        """There is no value at the path."""
        return qe.IsEmptyCondition(path)

    def group(self, *, must: Sequence[Any] = (), should: Sequence[Any] = (), must_not: Sequence[Any] = ()) -> Any:
        """All of must, one of should where there are any, none of must_not."""
        return qe.Filter(must=list(must) or None, should=list(should) or None, must_not=list(must_not) or None)


class EdgeCollection(QdrantCollection):
    """One shard directory, loaded for reading."""

    dialect = EdgeDialect()

    def __init__(self, info: CollectionInfo, folder: Path) -> None:
        super().__init__(info)
        self._folder = folder
        with store_errors(folder):
            self._shard = qe.EdgeShard.load(str(folder))
        # Reading a payload takes Edge 10 µs, a search 0.5 ms: passage ids of points are read once, then remembered.
        self._names: dict[int, str] = {}

    def count(self) -> int:
        """The number of points, counted."""
        with store_errors(self._folder):
            return int(self._shard.count(qe.CountRequest(exact=True)))

    def close(self) -> None:
        """Releases the shard; closing twice is fine."""
        with store_errors(self._folder):
            self._shard.close()

    def _query(self, queries: Sequence[Query], limit: int, where: Any, exact: bool) -> list[list[Hit]]:
        shared: dict[str, Any] = {
            "limit": limit,
            "with_payload": False,
            "params": qe.SearchParams(exact=exact, hnsw_ef=ef_for(limit), quantization=self._quantized(exact)),
            "filter": where,
        }
        with store_errors(self._folder):
            requests = [qe.QueryRequest(query=_nearest(query), **shared) for query in queries]
            answers: list[list[Any]] = self._shard.query_batch(qe.QueryBatchRequest(requests))
            # Each look at `hit.id` makes a new UUID, whose hash is Python's and slow: its number is not.
            found = [[(hit.id.int, hit.score) for hit in hits] for hits in answers]
            self._learn_names({number for hits in found for number, _ in hits})
        return [[Hit(self._names[number], score) for number, score in hits] for hits in found]

    def _learn_names(self, numbers: set[int]) -> None:
        unknown: list[Any] = [uuid.UUID(int=number) for number in numbers.difference(self._names)]
        if unknown:
            records: list[Any] = self._shard.retrieve(unknown, with_payload=[pt.PASSAGE_ID], with_vector=False)
            self._names.update((record.id.int, record.payload[pt.PASSAGE_ID]) for record in records)

    def _quantized(self, exact: bool) -> qe.QuantizationSearchParams | None:
        """An exact search looks at the vectors themselves."""
        index = IndexSettings(**self.info.index)
        if index.quantization == "none":
            return None
        return qe.QuantizationSearchParams(ignore=exact, rescore=True, oversampling=index.oversampling)

    def _payloads(self, passage_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        ids: list[Any] = [pt.point_id(passage_id) for passage_id in passage_ids]
        with store_errors(self._folder):
            records = self._shard.retrieve(ids, with_payload=pt.HIT_FIELDS, with_vector=False)
        return [record.payload or {} for record in records]

    def _retrieve(self, passage_ids: Sequence[str]) -> list[Point]:
        ids: list[Any] = [pt.point_id(passage_id) for passage_id in passage_ids]
        with store_errors(self._folder):
            records = self._shard.retrieve(ids, with_payload=True, with_vector=True)
        return [_point(record) for record in records]

    def _page(self, offset: Any, fields: list[str], dense: bool) -> Page:
        request = qe.ScrollRequest(
            offset=offset, limit=POINTS_PER_PAGE, with_payload=fields, with_vector=[pt.DENSE] if dense else False
        )
        with store_errors(self._folder):
            records, following = self._shard.scroll(request)
        vectors: list[Any] = [record.vector[pt.DENSE] for record in records] if dense else []  # type: ignore[index, call-overload]
        return [record.payload or {} for record in records], vectors, following


def write_shard(folder: Path, info: CollectionInfo, batches: Iterable[Sequence[Point]]) -> None:
    """Writes the checked points, indexed and flushed, and proves it by reading the shard back."""
    with store_errors(folder):
        folder.mkdir()
        _require_space(folder, 0)
        shard = qe.EdgeShard.create(str(folder), _config(info))
    try:
        with store_errors(folder):
            # Before optimize, which then links the graph also within each value of an indexed key.
            for key, metadata_type in info.metadata_types.items():
                index = qe.UpdateOperation.create_field_index(pt.metadata_path(key), _INDEXES[metadata_type])
                shard.update(index)
        unflushed = 0
        for batch in pt.checked(info, batches):
            with store_errors(folder):
                _require_space(folder, 0)
                shard.update(qe.UpdateOperation.upsert_points([_edge_point(point) for point in batch]))
                unflushed += len(batch)
                if unflushed >= FLUSH_POINTS:
                    shard.flush()
                    unflushed = 0
        with store_errors(folder):
            shard.flush()
            # Optimizing writes the points once more before it removes the first copy.
            _require_space(folder, sum(path.stat().st_blocks * 512 for path in folder.rglob("*")))
            shard.optimize()
            shard.flush()
    finally:
        shard.close()
    _verify(folder, info)


def _require_space(folder: Path, needed_bytes: int) -> None:
    """Raises StoreError while there is still room for it."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes + SPARE_BYTES:
        free_mb, needed_mb = free_bytes // 2**20, (needed_bytes + SPARE_BYTES) // 2**20
        raise StoreError(f"vector store at {folder}: {free_mb} MB free, {needed_mb} MB needed", "free some disk space")


def _verify(folder: Path, info: CollectionInfo) -> None:
    """Counts what a reader will find. The first load also folds in journals, which no two readers should race for."""
    reader = EdgeCollection(info, folder)
    try:
        pt.check_count(reader.count(), info, "were stored")
    finally:
        reader.close()


def _config(info: CollectionInfo) -> qe.EdgeConfig:
    index = IndexSettings(**info.index)
    dense = qe.EdgeVectorParams(
        info.dimensions,
        qe.Distance.Cosine,
        memory=qe.Memory.Cold if index.on_disk else None,
        quantization_config=_QUANTIZATIONS[index.quantization],
        hnsw_config=qe.HnswIndexConfig(index.hnsw_m, index.hnsw_ef_construct, FULL_SCAN_KB),
    )
    return qe.EdgeConfig(
        vectors={pt.DENSE: dense},
        sparse_vectors={pt.SPARSE: qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf)},
        # One segment is one graph to search; more of them pay only where points keep coming.
        optimizers=qe.EdgeOptimizersConfig(default_segment_number=1),
        wal_enabled=False,
    )


def _edge_point(point: Point) -> qe.Point:
    vectors: dict[str, Any] = {pt.DENSE: point.dense.tolist()}
    # An empty sparse vector would count as a document for IDF in some stores and not in others.
    if len(point.sparse.indices):
        vectors[pt.SPARSE] = _sparse(point.sparse)
    return qe.Point(pt.point_id(point.passage_id), vectors, pt.payload_of(point))


def _point(record: Any) -> Point:
    sparse = record.vector.get(pt.SPARSE)
    terms = None if sparse is None else pt.sparse_from(sparse.indices, sparse.values)
    return pt.point_from(record.payload, record.vector[pt.DENSE], terms)


def _sparse(vector: SparseVector) -> qe.SparseVector:
    return qe.SparseVector(vector.indices.tolist(), vector.values.tolist())


def _nearest(query: Query) -> qe.Query:
    if isinstance(query, SparseVector):
        return qe.Query.Nearest(_sparse(query), using=pt.SPARSE)
    return qe.Query.Nearest(query.tolist(), using=pt.DENSE)


@contextmanager
def store_errors(place: Path) -> Iterator[None]:
    """Turns what the disk or Edge, which raises bare exceptions, complains about into a StoreError."""
    try:
        yield
    except DomainEmbedError:
        raise
    except Exception as error:
        raise StoreError(
            f"vector store at {place}: {error}",
            "check that the folder can be read and written and that the disk has space",
        ) from error
