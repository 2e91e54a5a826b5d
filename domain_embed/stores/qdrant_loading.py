"""Filling a Qdrant collection: how it is created, its points sent in several streams, its index awaited."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import grpc
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from domain_embed.contracts.errors import StoreUnavailableError
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import CollectionInfo, Point
from domain_embed.settings import IndexSettings
from domain_embed.stores import points as pt
from domain_embed.stores.collection import POINTS_PER_REQUEST
from domain_embed.stores.qdrant_collection import store_errors, to_struct

Result = TypeVar("Result")

STREAMS = 2
"""Requests under way at once: with gRPC three times the points a second of one REST request after the other."""
FLOATS_PER_REQUEST = 256 * 1024
"""Of long vectors fewer points go into a request: it stays below a few MB."""
FEWEST_POINTS_PER_REQUEST = 64
PAUSES_S: tuple[float, ...] = (0.25, 0.5, 1, 2, 4, 8, 15)
"""Before a request that failed in passing is sent again; a cluster needs some seconds to notice a node that died."""
_PASSING = (408, 429, 500, 502, 503, 504)
_PASSING_CODES = (
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
)  # fmt: skip
INDEXING_THRESHOLD_KB = 10_000
"""Qdrant's default: a segment with more vectors than this gets a graph."""
LOOK_EVERY_S = 0.25
STALLED_S = 900.0
"""An index that has not grown for so long will not."""
GREENS = 2
"""How often in turn a collection must say that it is indexed: just after a change it may not have begun."""

_QUANTIZATIONS: dict[str, models.QuantizationConfig | None] = {
    "none": None,
    "int8": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    ),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
}


def create(client: QdrantClient, collection: str, info: CollectionInfo) -> None:
    """Creates an empty collection that indexes nothing yet, and waits until it can be read."""
    index = IndexSettings(**info.index)
    hnsw = models.HnswConfigDiff(
        m=index.hnsw_m, ef_construct=index.hnsw_ef_construct, on_disk=index.graph_on_disk or None
    )
    client.create_collection(
        collection,
        vectors_config={
            pt.DENSE: models.VectorParams(
                size=info.dimensions,
                distance=models.Distance.COSINE,
                on_disk=index.on_disk,
                quantization_config=_QUANTIZATIONS[index.quantization],
                hnsw_config=hnsw,
            )
        },
        sparse_vectors_config={
            pt.SPARSE: models.SparseVectorParams(
                modifier=models.Modifier.IDF,
                index=models.SparseIndexParams(on_disk=True) if index.bm25_on_disk else None,
            )
        },
        shard_number=index.shards,
        replication_factor=index.replication,
        write_consistency_factor=index.write_consistency,
        on_disk_payload=index.payload_on_disk,
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
        metadata={"info": pt.info_to_json(info)},
    )
    retried(lambda: client.get_collection(collection))


def load(
    writer: QdrantClient, collection: str, info: CollectionInfo, batches: Iterable[Sequence[Point]], address: str
) -> None:
    """Sends all points, a few requests at a time; none is held longer than its request.

    A request that fails in passing is sent again: a point keeps its id, so that twice is once.
    """
    size = max(FEWEST_POINTS_PER_REQUEST, min(POINTS_PER_REQUEST, FLOATS_PER_REQUEST // info.dimensions))
    n_streams = STREAMS if address else 1  # in this process there is nothing to wait for, nor are threads expected
    with ThreadPoolExecutor(n_streams) as streams:
        under_way: deque[Future[Any]] = deque()
        for points in _regrouped(batches, size):
            if len(under_way) == n_streams:
                under_way.popleft().result()
            under_way.append(streams.submit(_send, writer, collection, points, address))
        for request in under_way:
            request.result()


def await_index(client: QdrantClient, collection: str, n_points: int) -> None:
    """Lets the server index what was loaded, and waits until it has, with progress.

    Raises StoreUnavailableError when nothing was indexed for STALLED_S.
    """
    resumed = models.OptimizersConfigDiff(indexing_threshold=INDEXING_THRESHOLD_KB)
    retried(lambda: client.update_collection(collection, optimizers_config=resumed))
    done, greens, grown_at = 0, 0, time.monotonic()
    with progress_bar("index", n_points, "passages") as progress:
        while greens < GREENS:
            state = retried(lambda: client.get_collection(collection))
            indexed = min(n_points, state.indexed_vectors_count or 0)
            greens = greens + 1 if state.status == models.CollectionStatus.GREEN else 0
            if indexed > done:
                progress.update(indexed - done)
                done, grown_at = indexed, time.monotonic()
            if time.monotonic() - grown_at > STALLED_S:
                raise StoreUnavailableError(
                    f"{collection} is {state.status} and has indexed nothing for {STALLED_S / 60:.0f} minutes",
                    "see the server's log and its free memory and disk, then run again",
                )
            if greens < GREENS:
                time.sleep(LOOK_EVERY_S)
        progress.update(n_points - done)


def awaited(seen: Callable[[], bool], what: str) -> None:
    """Returns once the server shows what it was told. Raises StoreUnavailableError after half a minute."""
    for pause in (*PAUSES_S, None):
        if seen():
            return
        if pause is not None:
            time.sleep(pause)
    raise StoreUnavailableError(f"{what} is not seen after {sum(PAUSES_S):.0f} s", "see whether all nodes are up")


def retried(ask: Callable[[], Result]) -> Result:
    """What a request answers; one that fails in passing is sent again, for about half a minute."""
    for pause in PAUSES_S:
        try:
            return ask()
        except (ResponseHandlingException, UnexpectedResponse, ResourceExhaustedResponse, grpc.RpcError) as error:
            if not _is_passing(error):
                raise
            time.sleep(pause)
    return ask()


def _is_passing(error: Exception) -> bool:
    if isinstance(error, UnexpectedResponse):
        return error.status_code in _PASSING
    if isinstance(error, grpc.RpcError):
        return isinstance(error, grpc.Call) and error.code() in _PASSING_CODES
    return True


def _send(writer: QdrantClient, collection: str, points: Sequence[Point], address: str) -> None:
    structs = [to_struct(point) for point in points]
    with store_errors(address):
        retried(lambda: writer.upsert(collection, structs, wait=True))


def _regrouped(batches: Iterable[Sequence[Point]], size: int) -> Iterator[list[Point]]:
    """The same points in groups of `size`; the last is what is left."""
    points = (point for batch in batches for point in batch)
    while group := list(islice(points, size)):
        yield group
