"""Edge shard directories: writing one, its successor with changes, reading, and the domain's values in Edge's types."""

import errno
import json
import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as qe

from domain_embed.contracts.errors import CollectionGoneError, DomainEmbedError, StoreError
from domain_embed.contracts.filters import Scalar
from domain_embed.contracts.metadata import types_of
from domain_embed.contracts.records import CollectionInfo, Hit, Point, SparseVector
from domain_embed.files import keep_file, private_folder, tighten
from domain_embed.settings import IndexSettings
from domain_embed.stores import points as pt
from domain_embed.stores.collection import POINTS_PER_PAGE, Page, QdrantCollection, Query, ef_for

# Without a WAL nothing is durable before a flush anyway; flushing now and then lets the kernel drop dirty pages.
FLUSH_POINTS = 20_000
# Edge writes through sparse memory maps: on a full disk it does not fail, the process dies of SIGBUS.
SPARE_BYTES = 64 * 2**20
FIRST_SHARD = "shard"
_SHARD_KEY = "shard"
_COPIED_BYTES = 2**20
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


@dataclass(frozen=True)
class _Loaded:
    """One state of a collection: what its record said, and the shard the record named."""

    stamp: tuple[int, int, int]
    info: CollectionInfo
    folder: Path
    shard: qe.EdgeShard


class EdgeCollection(QdrantCollection):
    """A collection on disk, as its record says: which shard directory holds it, and what it knows about itself.

    Each call looks at the record, at the price of one `stat`, and takes another shard when the record is another. A
    call that is under way ends with the shard it began with, whose files stay readable after their folder is gone.
    """

    dialect = EdgeDialect()

    def __init__(self, record: Path) -> None:
        """Raises CollectionGoneError when there is no record."""
        self._record = record
        self._loading = threading.Lock()
        self._closed = False
        self._loaded = self._load()
        # Reading a payload takes Edge 10 µs, a search 0.5 ms: passage ids of points are read once, then remembered.
        self._names: dict[int, str] = {}

    @property
    def info(self) -> CollectionInfo:
        """What the collection knows about itself now; of one that was dropped, what it knew last."""
        try:
            return self._now().info
        except CollectionGoneError:
            return self._loaded.info

    def count(self) -> int:
        """The number of points, counted."""
        shard = self._now().shard
        with store_errors(self._record):
            return int(shard.count(qe.CountRequest(exact=True)))

    def close(self) -> None:
        """Releases the shard; closing twice is fine."""
        self._closed = True
        with store_errors(self._record):
            self._loaded.shard.close()
            tighten(self._loaded.folder)

    def __del__(self) -> None:
        # The shard writes a file as it goes, too; of a collection that was dropped meanwhile it cannot.
        if hasattr(self, "_loaded"):
            with suppress(StoreError):
                self.close()

    def _now(self) -> _Loaded:
        if self._closed or self._loaded.stamp == _stamp(self._record):
            return self._loaded
        with self._loading:
            if self._loaded.stamp != _stamp(self._record):
                self._loaded = self._load()  # the old shard is not closed: other threads may be searching it
            return self._loaded

    def _load(self) -> _Loaded:
        """What the record names; when it was replaced, and the shard removed, in between, what it names now."""
        while True:
            stamp = _stamp(self._record)
            try:
                info, folder = read_record(self._record)
                with store_errors(folder):
                    loaded = _Loaded(stamp, info, folder, qe.EdgeShard.load(str(folder)))
                    tighten(folder)  # loading and closing write small files anew, by the umask of whoever searches
                    return loaded
            except StoreError:
                if stamp == _stamp(self._record):
                    raise

    def _query(self, queries: Sequence[Query], limit: int, where: Any, exact: bool) -> list[list[Hit]]:
        now = self._now()
        shared: dict[str, Any] = {
            "limit": limit,
            "with_payload": False,
            "params": qe.SearchParams(exact=exact, hnsw_ef=ef_for(limit), quantization=_quantized(now.info, exact)),
            "filter": where,
        }
        with store_errors(self._record):
            requests = [qe.QueryRequest(query=_nearest(query), **shared) for query in queries]
            answers: list[list[Any]] = now.shard.query_batch(qe.QueryBatchRequest(requests))
            # Each look at `hit.id` makes a new UUID, whose hash is Python's and slow: its number is not.
            found = [[(hit.id.int, hit.score) for hit in hits] for hits in answers]
            self._learn_names(now.shard, {number for hits in found for number, _ in hits})
        return [[Hit(self._names[number], score) for number, score in hits] for hits in found]

    def _learn_names(self, shard: qe.EdgeShard, numbers: set[int]) -> None:
        unknown: list[Any] = [uuid.UUID(int=number) for number in numbers.difference(self._names)]
        if unknown:
            records: list[Any] = shard.retrieve(unknown, with_payload=[pt.PASSAGE_ID], with_vector=False)
            self._names.update((record.id.int, record.payload[pt.PASSAGE_ID]) for record in records)

    def _payloads(self, passage_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        shard = self._now().shard
        with store_errors(self._record):
            records = shard.retrieve(_point_ids(passage_ids), with_payload=pt.HIT_FIELDS, with_vector=False)
        return [record.payload or {} for record in records]

    def _retrieve(self, passage_ids: Sequence[str]) -> list[Point]:
        shard = self._now().shard
        with store_errors(self._record):
            records = shard.retrieve(_point_ids(passage_ids), with_payload=True, with_vector=True)
        return [_point(record) for record in records]

    def _page(self, offset: Any, fields: list[str], dense: bool) -> Page:
        shard = self._now().shard
        with store_errors(self._record):
            records, following = _scroll(shard, offset, fields, [pt.DENSE] if dense else False)
        vectors: list[Any] = [record.vector[pt.DENSE] for record in records] if dense else []
        return [record.payload or {} for record in records], vectors, following


def write_record(path: Path, info: CollectionInfo, shard: Path) -> None:
    """Says which shard directory beside it holds a collection; replaces an earlier record in one step."""
    content = {**pt.info_to_json(info), _SHARD_KEY: shard.name}
    draft = path.with_suffix(".tmp")
    keep_file(draft, json.dumps(content, indent=2))
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def read_record(path: Path) -> tuple[CollectionInfo, Path]:
    """What a collection knows about itself, and the directory of its shard. Raises StoreError when it is damaged."""
    with store_errors(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        shard = content.pop(_SHARD_KEY, FIRST_SHARD)  # what was written before shards had names of their own has none
    return pt.info_from_json(content, str(path)), path.parent / shard


def _stamp(record: Path) -> tuple[int, int, int]:
    """Another one whenever the record was replaced."""
    try:
        found = record.stat()
    except FileNotFoundError:
        raise CollectionGoneError(
            f"collection {record.parent.name!r} was removed from {record.parent.parent}", "open what is live now"
        ) from None
    except OSError as error:
        raise StoreError(f"{record} cannot be read: {error}", "check that the folder can be read") from error
    return found.st_mtime_ns, found.st_ino, found.st_size


def write_shard(folder: Path, info: CollectionInfo, batches: Iterable[Sequence[Point]]) -> None:
    """Writes the checked points, indexed and flushed, and proves it by reading the shard back."""
    with store_errors(folder):
        private_folder(folder)
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
            _require_space(folder, _size(folder))
            shard.optimize()
            shard.flush()
    finally:
        shard.close()
    _verify(folder, info)


def amend_shard(
    old: Path, new: Path, info: CollectionInfo, remove: AbstractSet[str], metadata: Mapping[str, Mapping[str, Any]],
) -> CollectionInfo:  # fmt: skip
    """Copies a shard without some passages and with other metadata for others; returns its info with today's types.

    The graph and the other passages are taken over as they are, so it takes as long as the copy. Until the shard is
    written anew BM25 may still count the words of what was removed, and a filter on a key that was not indexed before
    finds a little less of what an exact search would: nothing of a removed passage can be read or found, though its
    bytes may lie in the files, see `rewrite_shard`.
    """
    with store_errors(old):
        _require_space(old.parent, _size(old))
        _copy(old, new)
        shard = qe.EdgeShard.load(str(new))
    try:
        with store_errors(new):
            gone = _held(shard, remove)
            remaining = int(shard.count(qe.CountRequest(exact=True))) - len(gone)
            if gone:
                shard.update(qe.UpdateOperation.delete_points(gone))
            for changed, passage_ids in pt.by_metadata(metadata, remove):
                if held := _held(shard, passage_ids):
                    shard.update(qe.UpdateOperation.set_payload(held, {"metadata": changed}))
            types = types_of((payload["metadata"] for payload in _payloads_of(shard)), info.access.get("groups_field"))
            for key in info.metadata_types:
                if types.get(key) != info.metadata_types[key]:
                    shard.update(qe.UpdateOperation.delete_field_index(pt.metadata_path(key)))
            for key, metadata_type in types.items():
                if info.metadata_types.get(key) != metadata_type:
                    operation = qe.UpdateOperation.create_field_index(pt.metadata_path(key), _INDEXES[metadata_type])
                    shard.update(operation)
            shard.flush()
    finally:
        shard.close()
    _verify(new, replace(info, count=remaining))
    return replace(info, metadata_types=types)


def rewrite_shard(
    old: Path, new: Path, info: CollectionInfo, remove: AbstractSet[str], metadata: Mapping[str, Mapping[str, Any]],
) -> CollectionInfo:  # fmt: skip
    """As `amend_shard`, point by point into an empty shard: no byte of what was removed or replaced is in its files."""
    with store_errors(old):
        shard = qe.EdgeShard.load(str(old))
        kept = [
            metadata.get(payload[pt.PASSAGE_ID], payload["metadata"])
            for payload in _payloads_of(shard)
            if payload[pt.PASSAGE_ID] not in remove
        ]

    def points() -> Iterator[list[Point]]:
        for records in _pages_of(shard, True, True):
            found = (_point(record) for record in records)
            yield [
                replace(one, metadata=metadata.get(one.passage_id, one.metadata))
                for one in found
                if one.passage_id not in remove
            ]

    types = types_of(kept, info.access.get("groups_field"))
    try:
        write_shard(new, replace(info, count=len(kept), metadata_types=types), points())
    finally:
        shard.close()
    return replace(info, metadata_types=types)


def _held(shard: qe.EdgeShard, passage_ids: Iterable[str]) -> list[Any]:
    """The ids of those points that exist."""
    ids = _point_ids(sorted(passage_ids))
    return [record.id for record in shard.retrieve(ids, with_payload=False, with_vector=False)] if ids else []


def _payloads_of(shard: qe.EdgeShard) -> Iterator[Mapping[str, Any]]:
    """Passage id and metadata of every point."""
    for records in _pages_of(shard, [pt.PASSAGE_ID, "metadata"], False):
        yield from (record.payload for record in records)


def _pages_of(shard: qe.EdgeShard, payload: Any, vectors: Any) -> Iterator[list[Any]]:
    offset, more = None, True
    while more:
        records, offset = _scroll(shard, offset, payload, vectors)
        yield records
        more = offset is not None


def _scroll(shard: qe.EdgeShard, offset: Any, payload: Any, vectors: Any) -> tuple[list[Any], Any]:
    request = qe.ScrollRequest(offset=offset, limit=POINTS_PER_PAGE, with_payload=payload, with_vector=vectors)
    records, following = shard.scroll(request)
    return list(records), following


def _copy(old: Path, new: Path) -> None:
    """Copies a directory. Holes stay holes: Edge's files are large and mostly empty."""
    for path in sorted(old.rglob("*")):
        target = new / path.relative_to(old)
        if path.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        # What is gone meanwhile was a draft: whoever loads a shard replaces its small state files.
        with suppress(FileNotFoundError), path.open("rb") as source, target.open("wb") as file:
            for start, end in _data_of(source.fileno()):
                source.seek(start)
                file.seek(start)
                while start < end and (block := source.read(min(end - start, _COPIED_BYTES))):
                    start += file.write(block)
            file.truncate(os.fstat(source.fileno()).st_size)


def _data_of(file: int) -> Iterator[tuple[int, int]]:
    """Where in a file something was written: first byte, and the byte after the last one."""
    end, size = 0, os.fstat(file).st_size
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            raise
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, end


def _size(folder: Path) -> int:
    """Bytes on the disk; sparse files count as what they hold."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def _require_space(folder: Path, needed_bytes: int) -> None:
    """Raises StoreError while there is still room for it."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes + SPARE_BYTES:
        free_mb, needed_mb = free_bytes // 2**20, (needed_bytes + SPARE_BYTES) // 2**20
        raise StoreError(f"vector store at {folder}: {free_mb} MB free, {needed_mb} MB needed", "free some disk space")


def _verify(folder: Path, info: CollectionInfo) -> None:
    """Counts what a reader will find. The first load also folds in journals, which no two readers should race for."""
    with store_errors(folder):
        shard = qe.EdgeShard.load(str(folder))
        stored = int(shard.count(qe.CountRequest(exact=True)))
        shard.close()
    pt.check_count(stored, info, "were stored")


def sync(*paths: Path) -> None:
    """Makes files and folders survive a power cut."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _quantized(info: CollectionInfo, exact: bool) -> qe.QuantizationSearchParams | None:
    """An exact search looks at the vectors themselves."""
    index = IndexSettings(**info.index)
    if index.quantization == "none":
        return None
    return qe.QuantizationSearchParams(ignore=exact, rescore=True, oversampling=index.oversampling)


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


def _point_ids(passage_ids: Sequence[str]) -> list[Any]:
    return [pt.point_id(passage_id) for passage_id in passage_ids]


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
