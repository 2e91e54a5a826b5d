"""The adapter over a cluster whose nodes hear of changes late: each test is something that was seen to go wrong."""

import threading
from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as protocol
from qdrant_client.conversions.conversion import GrpcToRest
from qdrant_client.grpc.collections_service_pb2_grpc import CollectionsServicer, add_CollectionsServicer_to_server
from qdrant_client.grpc.points_service_pb2_grpc import PointsServicer, add_PointsServicer_to_server

from domain_embed.contracts.errors import NotReadyError, StoreError, StoreUnavailableError
from domain_embed.contracts.records import CollectionInfo, Point
from domain_embed.settings import IndexSettings
from domain_embed.stores import qdrant_loading
from domain_embed.stores.collection import POINTS_PER_REQUEST
from domain_embed.stores.qdrant import QdrantStore
from domain_embed.stores.qdrant_layout import Layout
from domain_embed.stores.qdrant_loading import STREAMS
from domain_embed_tests.stores.backends import no_waiting, on_cluster
from domain_embed_tests.stores.cluster import FakeCluster
from domain_embed_tests.stores.samples import AXIS_X, BUCKET, POINTS, S3_ACL, S3_LIST, info, point, sparse

MANY = 2000


@pytest.fixture(autouse=True)
def _soon() -> Iterator[None]:
    with no_waiting():
        yield


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def nodes(cluster: FakeCluster) -> list[QdrantStore]:
    """The same store through each node."""
    return [on_cluster(cluster, node) for node in range(3)]


def collection_of(cluster: FakeCluster, name: str, prefix: str = "test-") -> str:
    """The Qdrant collection of a version."""
    return next(one for one in cluster.created if Layout(prefix).version_in(one) == name)


def info_with(**index: Any) -> CollectionInfo:
    return replace(info(), index=IndexSettings(**index).model_dump(mode="json"))


def many(n: int, dimensions: int = 3) -> Iterator[list[Point]]:
    vector = np.eye(dimensions)[0]
    for start in range(0, n, 100):
        yield [point(f"p{number:05}", vector, {BUCKET: 1.0}) for number in range(start, min(n, start + 100))]


def test_a_version_is_seen_by_every_node_at_once_and_stays(nodes: list[QdrantStore]) -> None:
    here, *others = nodes
    here.build(info(), [POINTS])
    for _ in range(20):
        for store in nodes:
            assert store.collections() == [info()]
    for other in others:
        assert [hit.passage_id for hit in other.open("aws-1").search_dense(AXIS_X, 2)[0]] == [S3_ACL, S3_LIST]


def test_an_alias_means_the_same_on_every_node_at_once(nodes: list[QdrantStore]) -> None:
    for name in ("aws-1", "aws-2"):
        nodes[0].build(info(name), [POINTS])
    for round_ in range(20):
        name = f"aws-{round_ % 2 + 1}"
        nodes[round_ % 3].set_alias("live", name)
        assert {store.alias("live") for store in nodes} == {name}


def test_what_was_amended_says_so_on_every_node_at_once(nodes: list[QdrantStore]) -> None:
    nodes[0].build(info(), [POINTS])
    nodes[1].amend("aws-1", remove=[S3_ACL], metadata={S3_LIST: {"service": "legal", "day": "2026-01-31"}})
    told = [store.collections()[0] for store in nodes]
    assert all(one.amended == told[0].amended != "" for one in told)
    assert all(one.metadata_types["day"] == "date" for one in told)


def test_an_alias_stays_where_it_was_when_it_cannot_move() -> None:
    """A server up to 1.18 applies what comes before the operation that fails."""
    cluster = FakeCluster(undoes_aliases=False)
    here, there = on_cluster(cluster, 0), on_cluster(cluster, 1)
    for name in ("aws-1", "aws-2"):
        here.build(info(name), [POINTS])
    here.set_alias("live", "aws-1")
    found = there._require("aws-2")
    here.drop("aws-2")
    there._require = lambda _: found  # type: ignore[method-assign]  # dropped between the look and the move
    with pytest.raises(StoreError):
        there.set_alias("live", "aws-2")
    assert here.alias("live") == "aws-1"


def test_a_collection_that_cannot_describe_itself_stops_nobody(cluster: FakeCluster, nodes: list[QdrantStore]) -> None:
    nodes[0].build(info(), [POINTS])
    cluster.leave_under_creation("test-build-00000000dead.aws-2", vectors_config={})
    cluster.leave_under_creation("test-aws-3", vectors_config={})
    assert nodes[1].collections() == [info()]
    nodes[1].set_alias("live", "aws-1")
    nodes[2].build(info("aws-2"), [POINTS])
    assert [told.name for told in nodes[0].collections()] == ["aws-1", "aws-2"]


def test_a_version_whose_node_is_away_is_left_out_or_told_to_who_must_not_miss_it(cluster: FakeCluster) -> None:
    store = on_cluster(cluster, 2)
    for name in ("aws-1", "aws-2"):
        store.build(info(name), [POINTS])
    (away,) = cluster.nodes_of(collection_of(cluster, "aws-1"))[0]
    assert away != 2
    fresh = on_cluster(cluster, 2)
    cluster.take_away(away)
    assert [told.name for told in fresh.collections()] == ["aws-2"]
    with pytest.raises(StoreUnavailableError, match="collection test-aws-1 cannot be read now"):
        fresh.collections(every=True)
    with pytest.raises(StoreError, match="test-aws-1 exists"):
        fresh.build(info("aws-1"), [POINTS])
    cluster.bring_back(away)
    assert [told.name for told in fresh.collections(every=True)] == ["aws-1", "aws-2"]


def test_with_two_replicas_a_node_may_be_away() -> None:
    cluster = FakeCluster()
    store = on_cluster(cluster, 2)
    store.build(info_with(replication=2), [POINTS])
    cluster.take_away(cluster.nodes_of(collection_of(cluster, "aws-1"))[0][0])
    assert [hit.passage_id for hit in store.open("aws-1").search_dense(AXIS_X, 1)[0]] == [S3_ACL]


def test_one_shard_unless_more_are_asked_for_so_that_bm25_scores_are_of_the_whole(cluster: FakeCluster) -> None:
    """Without a number a cluster makes a shard for each node, and each has an IDF of its own."""
    store = on_cluster(cluster)
    store.build(info(), [POINTS])
    assert cluster.created[collection_of(cluster, "aws-1")]["shard_number"] == 1
    alone = QdrantStore(QdrantClient(":memory:"))
    alone.build(info(), [POINTS])
    query = [sparse({BUCKET: 1.0})]
    assert store.open("aws-1").search_sparse(query, 5) == alone.open("aws-1").search_sparse(query, 5)


def test_settings_of_the_index_reach_the_server(cluster: FakeCluster) -> None:
    settings = {"shards": 2, "replication": 2, "write_consistency": 2, "payload_on_disk": True, "on_disk": True,
                "graph_on_disk": True, "bm25_on_disk": True, "hnsw_m": 32, "quantization": "int8"}  # fmt: skip
    on_cluster(cluster).build(info_with(**settings), [POINTS])
    given = cluster.created[collection_of(cluster, "aws-1")]
    plain = ("shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload")
    assert [given[key] for key in plain] == [2, 2, 2, True]
    dense = given["vectors_config"]["dense"]
    assert (dense.on_disk, dense.hnsw_config.m, dense.hnsw_config.on_disk) == (True, 32, True)
    assert dense.quantization_config.scalar.type == models.ScalarType.INT8
    assert given["sparse_vectors_config"]["bm25"].index.on_disk
    on_cluster(cluster).build(info("aws-2"), [POINTS])
    default = cluster.created[collection_of(cluster, "aws-2")]
    assert "on_disk_payload" not in default
    assert "write_consistency_factor" not in default
    assert (default["shard_number"], default["replication_factor"]) == (1, 1)


def test_a_build_is_published_once_it_is_indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_loading, "INDEXING_THRESHOLD_KB", 100)  # the fake counts points
    cluster = FakeCluster(indexing=7)
    on_cluster(cluster).build(info(count=MANY), many(MANY))
    made = collection_of(cluster, "aws-1")
    assert cluster.created[made]["optimizers_config"].indexing_threshold == 0
    (published,) = cluster.requests("update_collection_aliases")
    assert (published.collection, published.indexing) == (made, False)
    assert cluster.client().get_collection(made).indexed_vectors_count == MANY
    assert not any(request.indexing for request in cluster.requests("upsert"))


def test_an_index_that_does_not_grow_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_loading, "INDEXING_THRESHOLD_KB", 100)
    monkeypatch.setattr(qdrant_loading, "STALLED_S", 0.05)
    cluster = FakeCluster(indexing=1_000_000)
    store = on_cluster(cluster)
    with pytest.raises(StoreUnavailableError, match="has indexed nothing"):
        store.build(info(count=MANY), many(MANY))
    assert store.collections() == []
    assert cluster.client().get_collections().collections == []


@pytest.mark.filterwarnings("ignore:Local mode is not recommended")
def test_no_more_requests_than_batches_and_no_more_points_held_than_streams(cluster: FakeCluster) -> None:
    given, held = 0, []

    def counted() -> Iterator[Sequence[Point]]:
        nonlocal given
        for batch in many(50_000):
            given += len(batch)
            yield batch
            sent = len(cluster.requests("upsert")) * POINTS_PER_REQUEST
            held.append(given - sent)

    on_cluster(cluster).build(info(count=50_000), counted())
    assert len(cluster.requests("upsert")) == -(-50_000 // POINTS_PER_REQUEST)
    assert max(held) <= (STREAMS + 2) * POINTS_PER_REQUEST
    assert len(cluster.log) - len(cluster.requests("upsert")) < 30


def test_long_vectors_go_in_smaller_requests(cluster: FakeCluster) -> None:
    on_cluster(cluster).build(replace(info(count=300), dimensions=4096), many(300, 4096))
    assert len(cluster.requests("upsert")) == -(-300 // 64)


@pytest.mark.parametrize("applied", [False, True])
def test_a_connection_that_is_lost_in_the_middle_is_taken_up_again(cluster: FakeCluster, applied: bool) -> None:
    cluster.lose_connection(after=3, times=3, applied=applied)
    store = on_cluster(cluster)
    store.build(info(count=MANY), many(MANY))
    assert store.open("aws-1").count() == MANY
    assert len(cluster.requests("upsert")) == -(-MANY // POINTS_PER_REQUEST) + 3


@pytest.mark.parametrize("method", ["get_collection", "count", "update_collection", "update_collection_aliases"])
def test_a_connection_that_is_lost_at_the_end_is_taken_up_again(cluster: FakeCluster, method: str) -> None:
    cluster.lose_connection(method, times=3, applied=True)
    on_cluster(cluster).build(info(), [POINTS])
    assert on_cluster(cluster, 1).collections() == [info()]


@pytest.mark.parametrize(
    "method", ["create_collection", "upsert", "count", "update_collection", "update_collection_aliases"]
)
def test_a_connection_that_stays_lost_fails_the_build_as_a_whole(cluster: FakeCluster, method: str) -> None:
    cluster.lose_connection(method, after=0, times=100)
    store = on_cluster(cluster)
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        store.build(info(), [POINTS])
    assert on_cluster(cluster, 1).collections() == []
    assert cluster.client().get_collections().collections == []


def test_a_failing_source_leaves_nothing(cluster: FakeCluster) -> None:
    def failing() -> Iterator[Sequence[Point]]:
        yield POINTS[:2]
        raise RuntimeError("the encoder broke")

    with pytest.raises(RuntimeError, match="the encoder broke"):
        on_cluster(cluster).build(info(), failing())
    assert cluster.client().get_collections().collections == []


def test_what_was_dropped_is_gone_for_every_node_and_its_name_can_be_built_at_once(nodes: list[QdrantStore]) -> None:
    nodes[0].build(info(), [POINTS])
    nodes[0].drop("aws-1")
    for store in nodes:
        assert store.collections() == []
        with pytest.raises(NotReadyError):
            store.open("aws-1")
    nodes[1].build(info(count=2), [POINTS[:2]])
    assert [store.open("aws-1").count() for store in nodes] == [2, 2, 2]


class _Server(PointsServicer, CollectionsServicer):
    """A Qdrant server's gRPC, as far as loading needs it, over what a node of the fake keeps."""

    def __init__(self, kept: QdrantClient, *, busy: int = 0) -> None:
        self.kept, self.busy, self.upserts, self.streams = kept, busy, 0, set[int]()

    def CollectionExists(self, request: Any, context: Any) -> Any:  # noqa: N802
        exists = self.kept.collection_exists(request.collection_name)
        return protocol.CollectionExistsResponse(result=protocol.CollectionExists(exists=exists))

    def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.upserts += 1
        self.streams.add(threading.get_ident())
        if self.busy:
            self.busy -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "no node has the shard now")
        points = [GrpcToRest.convert_point_struct(one) for one in request.points]
        self.kept.upsert(request.collection_name, points)
        done = protocol.UpdateResult(operation_id=1, status=protocol.UpdateStatus.Completed)
        return protocol.PointsOperationResponse(result=done, time=0.0)


@pytest.fixture
def by_grpc(cluster: FakeCluster) -> Iterator[tuple[_Server, int]]:
    served = _Server(cluster.client())
    server = grpc.server(futures.ThreadPoolExecutor(4))
    add_PointsServicer_to_server(served, server)  # type: ignore[no-untyped-call]
    add_CollectionsServicer_to_server(served, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield served, port
    server.stop(None)


def over_both(cluster: FakeCluster, port: int) -> QdrantStore:
    """A store that loads by the real client's gRPC where a port answers, and does all else through the fake."""
    connected = QdrantStore.connect("http://127.0.0.1:9", grpc_port=port)
    return QdrantStore(cluster.client(), "test-", address="http://127.0.0.1:9", writer=connected._writer)


def test_points_are_loaded_by_grpc_where_it_answers(cluster: FakeCluster, by_grpc: tuple[_Server, int]) -> None:
    served, port = by_grpc
    store = over_both(cluster, port)
    store.build(info(), [POINTS])
    store.build(info("aws-2", count=MANY), many(MANY))
    assert served.upserts == 1 + -(-MANY // POINTS_PER_REQUEST)
    assert 1 < len(served.streams) <= 4
    alone = QdrantStore(QdrantClient(":memory:"))
    alone.build(info(), [POINTS])
    ids = [one.passage_id for one in POINTS]
    for ours, theirs in zip(store.open("aws-1").fetch(ids), alone.open("aws-1").fetch(ids), strict=True):
        assert ours.dense.tolist() == pytest.approx(theirs.dense.tolist())
        assert (ours.sparse.indices.tolist(), ours.metadata, ours.text) == (
            theirs.sparse.indices.tolist(), theirs.metadata, theirs.text,
        )  # fmt: skip


def test_grpc_that_fails_in_passing_is_asked_again(cluster: FakeCluster, by_grpc: tuple[_Server, int]) -> None:
    served, port = by_grpc
    served.busy = 3
    store = over_both(cluster, port)
    store.build(info(count=MANY), many(MANY))
    assert store.open("aws-1").count() == MANY
    served.busy = 1000
    with pytest.raises(StoreUnavailableError, match="no node has the shard now"):
        store.build(info("aws-2"), [POINTS])
    assert [told.name for told in store.collections()] == ["aws-1"]


def test_without_grpc_points_are_loaded_as_all_else_is(cluster: FakeCluster, by_grpc: tuple[_Server, int]) -> None:
    """Nothing listens, or another server does, which has not the collection."""
    served, port = by_grpc
    served.kept = QdrantClient(":memory:")
    for number, silent in enumerate((9, port)):
        over_both(cluster, silent).build(info(f"aws-{number}"), [POINTS])
    assert served.upserts == 0
    assert len(cluster.requests("upsert")) == 2
