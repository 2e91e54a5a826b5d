"""The fake cluster does what a real one was seen to do: Qdrant 1.18.0, one node and three on loopback."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from domain_embed.contracts.errors import CollectionGoneError, StoreError, StoreUnavailableError
from domain_embed.stores.qdrant import QdrantStore
from domain_embed.stores.qdrant_collection import store_errors
from domain_embed_tests.stores.cluster import FakeCluster
from domain_embed_tests.stores.cluster_collection import shard_of
from domain_embed_tests.stores.samples import ALL_IDS, AXIS_X, POINTS, idf, info

PLAIN = models.VectorParams(size=2, distance=models.Distance.DOT)
GREEN, YELLOW, GREY = (models.CollectionStatus(status) for status in ("green", "yellow", "grey"))
POINT = models.PointStruct(id=1, vector=[1, 0])
READS: dict[str, Callable[[QdrantClient], Any]] = {
    "get_collection": lambda client: client.get_collection("a"),
    "count": lambda client: client.count("a"),
    "scroll": lambda client: client.scroll("a"),
    "retrieve": lambda client: client.retrieve("a", [1]),
    "query_points": lambda client: client.query_points("a", [1.0, 0.0]),
    "query_batch_points": lambda client: client.query_batch_points("a", [models.QueryRequest(query=[1.0, 0.0])]),
}


def points(count: int) -> list[models.PointStruct]:
    return [models.PointStruct(id=number, vector=[1, number]) for number in range(count)]


def alias(name: str, collection: str) -> models.CreateAliasOperation:
    return models.CreateAliasOperation(create_alias=models.CreateAlias(alias_name=name, collection_name=collection))


def no_alias(name: str) -> models.DeleteAliasOperation:
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))


def aliases(client: QdrantClient) -> dict[str, str]:
    return {one.alias_name: one.collection_name for one in client.get_aliases().aliases}


def metadata(client: QdrantClient, name: str = "a") -> Any:
    return client.get_collection(name).config.metadata


def status(client: QdrantClient) -> tuple[models.CollectionStatus, int | None]:
    now = client.get_collection("a")
    return now.status, now.indexed_vectors_count


def refused(status: int, words: str, call: Callable[[], Any]) -> None:
    with pytest.raises(UnexpectedResponse) as caught:
        call()
    assert (caught.value.status_code, words in caught.value.structured()["status"]["error"]) == (status, True)


def three(**options: Any) -> tuple[FakeCluster, list[QdrantClient]]:
    """A cluster with an empty collection `a`, and a client of each node."""
    cluster = FakeCluster(3, **options)
    clients = [cluster.client(node) for node in range(3)]
    clients[0].create_collection("a", PLAIN, shard_number=1, metadata={"complete": False})
    return cluster, clients


def test_a_creation_and_its_metadata_are_seen_at_once_by_all() -> None:
    _, clients = three()
    for client in clients:
        assert client.collection_exists("a")
        assert [one.name for one in client.get_collections().collections] == ["a"]
        assert metadata(client) == {"complete": False}


def test_changed_metadata_is_seen_now_new_now_old_at_the_same_node() -> None:
    """Seen: true, false, true within a tenth of a second."""
    _, (client, *_) = three()
    client.update_collection("a", metadata={"complete": True})
    seen = [metadata(client)["complete"] for _ in range(20)]
    assert [True, False, True] in [seen[start : start + 3] for start in range(18)]


@pytest.mark.parametrize("seed", range(5))
def test_changed_metadata_is_late_at_other_nodes(seed: int) -> None:
    """Seen: 59 of 60 first reads were late."""
    _, (first, second, third) = three(seed=seed)
    first.update_collection("a", metadata={"complete": True})
    seen = [metadata(client)["complete"] for client in (second, third) for _ in range(30)]
    assert seen.count(False) >= 55


def test_changed_metadata_settles_and_a_seed_repeats_what_was_seen() -> None:
    runs = []
    for _ in range(2):
        _, (client, other, _) = three(settling=20, seed=3)
        for change in ({"complete": True}, {"by": "me"}):
            client.update_collection("a", metadata=change)
        runs.append([str(metadata(client)) for _ in range(20)])
        assert metadata(other) == metadata(client) == {"complete": True, "by": "me"}
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3


def test_one_node_alone_is_read_as_it_was_written() -> None:
    client = FakeCluster(1).client()
    client.create_collection("a", PLAIN, metadata={"n": 0})
    for n in range(1, 20):
        client.update_collection("a", metadata={"n": n})
        assert metadata(client) == {"n": n}
    client.delete_collection("a")
    assert not client.collection_exists("a")


def test_a_deletion_is_seen_late_by_other_nodes() -> None:
    """Seen: 59 of 60. The aliases it takes along are part of it; the points are gone at once."""
    _, (here, there, _) = three(settling=4)
    here.upsert("a", points(3))
    here.update_collection_aliases([alias("live", "a")])
    here.delete_collection("a")
    assert not here.collection_exists("a")
    assert aliases(here) == {}
    assert there.collection_exists("a")
    assert metadata(there) == {"complete": False}
    assert [one.name for one in there.get_collections().collections] == ["a"]
    refused(404, "Collection `a` doesn't exist!", lambda: there.count("a"))
    refused(404, "Collection `a` doesn't exist!", lambda: there.upsert("a", points(1)))
    assert aliases(there) == {"live": "a"}
    assert not there.collection_exists("a")
    refused(404, "Collection `a` doesn't exist!", lambda: there.get_collection("a"))
    assert aliases(there) == {}


def test_a_name_is_free_again_as_soon_as_its_collection_is_deleted() -> None:
    _, (here, there, third) = three()
    here.delete_collection("a")
    there.create_collection("a", PLAIN, metadata={"again": True})
    assert [metadata(client) for client in (here, there, third)] == [{"again": True}] * 3
    assert not here.delete_collection("b")


def test_aliases_are_seen_at_once_by_all_and_several_as_one() -> None:
    """Seen: 240 of 240."""
    _, clients = three()
    clients[1].create_collection("b", PLAIN)
    clients[0].update_collection_aliases([alias("live", "a"), alias("complete", "a")])
    assert [aliases(client) for client in clients] == [{"live": "a", "complete": "a"}] * 3
    clients[1].update_collection_aliases([no_alias("live"), alias("live", "b"), no_alias("never made")])
    assert [aliases(client) for client in clients] == [{"live": "b", "complete": "a"}] * 3
    assert [one.alias_name for one in clients[2].get_collection_aliases("b").aliases] == ["live"]
    clients[2].upsert("live", points(2))
    assert clients[0].count("b").count == 2


def test_what_aliases_and_collections_may_be_called() -> None:
    """The server's statuses and words."""
    _, (client, *_) = three()
    client.create_collection("b", PLAIN)
    client.update_collection_aliases([alias("live", "a")])
    refused(409, "Collection `b` already exists!", lambda: client.update_collection_aliases([alias("b", "a")]))
    refused(404, "Collection `c` doesn't exist!", lambda: client.update_collection_aliases([alias("x", "c")]))
    refused(404, "`live` doesn't exist!", lambda: client.update_collection_aliases([alias("x", "live")]))
    refused(400, "Alias with the same name", lambda: client.create_collection("live", PLAIN))
    refused(409, "Collection `a` already exists!", lambda: client.create_collection("a", PLAIN))
    client.delete_collection("a")
    client.create_collection("live", PLAIN)


@pytest.mark.parametrize(("undoes", "left"), [(True, {"live": "a"}), (False, {"new": "a"})])
def test_a_change_of_aliases_that_fails_halfway(undoes: bool, left: dict[str, str]) -> None:
    """Servers up to 1.18 apply the operations one by one and leave those before the failed one."""
    _, (client, *_) = three(undoes_aliases=undoes)
    client.update_collection_aliases([alias("live", "a")])
    changes: list[Any] = [no_alias("live"), alias("new", "a"), alias("other", "missing"), alias("last", "a")]
    refused(404, "Collection `missing` doesn't exist!", lambda: client.update_collection_aliases(changes))
    assert aliases(client) == left


@pytest.mark.parametrize("read", READS)
def test_a_collection_left_under_creation_is_listed_and_cannot_be_read(read: str) -> None:
    """Seen after the client that created it was killed; it can be deleted and made again."""
    cluster = FakeCluster()
    cluster.leave_under_creation("a", vectors_config=PLAIN)
    for client in map(cluster.client, range(3)):
        assert client.collection_exists("a")
        assert [one.name for one in client.get_collections().collections] == ["a"]
        refused(500, "0 of 0 read operations failed", lambda client=client: READS[read](client))  # type: ignore[misc]
    refused(409, "already exists", lambda: client.create_collection("a", PLAIN))
    client.delete_collection("a")
    client.create_collection("a", PLAIN)
    READS[read](client)


@pytest.mark.parametrize("read", READS)
def test_a_node_that_is_away_takes_its_only_copies_along(read: str) -> None:
    cluster = FakeCluster()
    clients = [cluster.client(node) for node in range(3)]
    clients[0].create_collection("a", PLAIN, shard_number=3)
    assert cluster.nodes_of("a") == [[0], [1], [2]]
    cluster.take_away(1)
    with pytest.raises(ResponseHandlingException, match="Connection refused"):
        READS[read](clients[1])
    refused(500, "0 of 0 read operations failed", lambda: READS[read](clients[0]))
    refused(500, "0 of 0", lambda: clients[0].upsert("a", points(1)))
    assert clients[0].collection_exists("a")
    cluster.bring_back(1)
    assert [READS[read](client) for client in clients]


def test_with_two_copies_a_node_is_not_missed() -> None:
    """Seen: nothing lost in 30 rounds of killing any node but the one asked; collections can be created meanwhile."""
    cluster = FakeCluster(replication=2)
    client = cluster.client()
    client.create_collection("a", PLAIN, shard_number=3)
    for node in (1, 2):
        cluster.take_away(node)
        client.upsert("a", points(4))
        client.create_collection(f"b{node}", PLAIN, shard_number=1)
        client.upsert(f"b{node}", points(4))
        client.update_collection_aliases([alias("live", f"b{node}")])
        assert client.count("a").count == client.count("live").count == 4
        cluster.bring_back(node)
    assert cluster.client(2).count("live").count == 4


def test_a_collection_has_a_shard_for_each_node_unless_it_is_told_otherwise() -> None:
    cluster = FakeCluster()
    client = cluster.client()
    client.create_collection("a", PLAIN)
    client.create_collection("b", PLAIN, shard_number=1, replication_factor=2)
    assert [client.get_collection(name).config.params.shard_number for name in ("a", "b")] == [3, 1]


@pytest.mark.parametrize("shards", [1, 2])
def test_every_shard_has_its_own_idf(shards: int) -> None:
    """So scores of one term differ between shards, and with one shard are those of the in-process client."""
    client = FakeCluster().client()
    terms = {"terms": models.SparseVectorParams(modifier=models.Modifier.IDF)}
    client.create_collection("a", {"dense": PLAIN}, sparse_vectors_config=terms, shard_number=shards)
    with_term = [number < 3 for number in range(12)]
    structs = [
        models.PointStruct(
            id=number,
            vector={
                "dense": [1, number],
                "terms": models.SparseVector(indices=[7] if has else [8], values=[number + 1.0]),
            },
        )
        for number, has in enumerate(with_term)
    ]
    client.upsert("a", structs)
    expected = {}
    for number in range(3):
        shard = [other for other in range(12) if shard_of(other, shards) == shard_of(number, shards)]
        expected[number] = (number + 1) * idf(len(shard), sum(with_term[other] for other in shard))
    query = models.SparseVector(indices=[7], values=[1.0])
    request = models.QueryRequest(query=query, using="terms", limit=3, with_payload=True)
    single = client.query_points("a", query, using="terms", limit=3).points
    for hits in (single, client.query_batch_points("a", [request])[0].points):
        assert {hit.id: hit.score for hit in hits} == pytest.approx(expected)
        assert [hit.score for hit in hits] == pytest.approx(sorted(expected.values(), reverse=True))
    assert len({round(score / (number + 1), 6) for number, score in expected.items()}) == shards
    two = models.Filter(must=[models.HasIdCondition(has_id=[0, 1])])
    filtered = client.query_points("a", query, using="terms", limit=1, offset=1, query_filter=two)
    assert [hit.score for hit in filtered.points] == pytest.approx([min(expected[0], expected[1])])
    dense = client.query_points("a", [0.0, 1.0], using="dense", limit=2)
    assert [(hit.id, hit.score) for hit in dense.points] == [(11, 11), (10, 10)]


def test_a_loaded_collection_is_yellow_while_it_is_indexed_and_answers() -> None:
    cluster, (client, *_) = three(indexing=2)
    client.create_collection("b", PLAIN, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=3))
    client.upsert("b", points(3))
    assert client.get_collection("b").status == GREEN
    client.upload_points("b", points(5), batch_size=2)
    assert len(cluster.requests("upsert")) == 4
    seen = []
    for _ in range(4):
        now = client.get_collection("b")
        seen.append((now.status, now.indexed_vectors_count))
        assert len(client.query_points("b", [1.0, 0.0]).points) == 5
    assert seen == [(YELLOW, 0), (YELLOW, 0), (GREEN, 5), (GREEN, 5)]
    assert [asked.indexing for asked in cluster.requests("query_points")] == [True, False, False, False]


def test_indexing_that_was_off_starts_when_it_is_turned_on() -> None:
    cluster = FakeCluster(indexing=2)
    client = cluster.client()
    client.create_collection("a", PLAIN, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0))
    client.upsert("a", points(5))
    assert [status(client)] * 3 == [(GREEN, 0)] * 3
    client.update_collection("a", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=4))
    client.update_collection_aliases([alias("live", "a")])
    assert [status(client) for _ in range(4)] == [(GREY, 0), (YELLOW, 0), (YELLOW, 0), (GREEN, 5)]
    assert [asked.indexing for asked in cluster.requests("update_collection_aliases")] == [True]


def test_a_small_collection_is_never_indexed() -> None:
    """Its green is all there is to wait for: below the threshold the server builds no index."""
    client = FakeCluster(indexing=1).client()
    client.create_collection("a", PLAIN, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0))
    client.upsert("a", points(5))
    client.update_collection("a", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=20_000))
    assert [status(client) for _ in range(3)] == [(GREY, 0), (YELLOW, 0), (GREEN, 0)]


@pytest.mark.parametrize("applied", [False, True])
def test_a_connection_breaks_before_or_after_a_request_was_applied(applied: bool) -> None:
    cluster, (client, *_) = three()
    cluster.lose_connection("upsert", after=1, times=2, applied=applied)
    client.upsert("a", points(1))
    for _ in range(2):
        with pytest.raises(ResponseHandlingException, match="Connection reset by peer"):
            client.upsert("a", points(3))
        assert client.count("a").count == (3 if applied else 1)
    client.upsert("a", points(3))
    assert client.count("a").count == 3
    assert [request.method for request in cluster.log].count("upsert") == 4


def test_a_creation_may_be_applied_though_its_connection_broke() -> None:
    cluster = FakeCluster()
    cluster.lose_connection("create_collection", applied=True)
    with pytest.raises(ResponseHandlingException):
        cluster.client().create_collection("a", PLAIN)
    assert cluster.client(1).collection_exists("a")


def test_an_upload_tries_again_as_the_clients_does() -> None:
    cluster, (client, *_) = three()
    cluster.lose_connection("upsert", after=1, times=3)
    client.upload_points("a", points(5), batch_size=2, max_retries=3)
    assert (client.count("a").count, len(cluster.requests("upsert"))) == (5, 6)
    cluster.lose_connection("upsert", times=2)
    with pytest.raises(ResponseHandlingException):
        client.upload_points("a", points(5), max_retries=1)


def test_several_streams_load_one_collection() -> None:
    cluster, clients = three()
    with ThreadPoolExecutor(3) as streams:
        list(streams.map(lambda number: clients[number % 3].upsert("a", [points(60)[number]]), range(60)))
    assert (clients[0].count("a").count, len(cluster.requests("upsert"))) == (60, 60)


def test_what_a_creation_is_given_is_kept_and_shown() -> None:
    cluster = FakeCluster(replication=3)
    client = cluster.client(2)
    given: dict[str, Any] = {
        "vectors_config": {"dense": PLAIN}, "shard_number": 2, "replication_factor": 2, "write_consistency_factor": 1,
        "on_disk_payload": True, "optimizers_config": models.OptimizersConfigDiff(indexing_threshold=7),
    }  # fmt: skip
    client.create_collection("a", **given)
    assert cluster.created["a"] == given
    shown = client.get_collection("a").config
    params = shown.params
    assert (params.shard_number, params.replication_factor, params.write_consistency_factor) == (2, 2, 1)
    assert (params.on_disk_payload, shown.optimizer_config.indexing_threshold) == (True, 7)
    with pytest.raises(AssertionError, match="Unknown arguments"):
        client.create_collection("b", PLAIN, replicas=2)


@pytest.mark.filterwarnings("error")
def test_payload_indexes_are_seen_at_once_by_all() -> None:
    _, (here, there, _) = three()
    here.create_payload_index("a", "metadata.year", models.PayloadSchemaType.INTEGER)
    assert there.get_collection("a").payload_schema["metadata.year"].data_type == models.PayloadSchemaType.INTEGER
    there.create_payload_index("a", "text", models.TextIndexParams(type=models.TextIndexType.TEXT))
    assert here.get_collection("a").payload_schema["text"].data_type == models.PayloadSchemaType.TEXT
    there.delete_payload_index("a", "text")
    there.delete_payload_index("a", "metadata.year")
    assert here.get_collection("a").payload_schema == {}


@pytest.mark.filterwarnings("error")
def test_the_adapter_reads_the_answers_as_a_servers() -> None:
    address = "http://node-0:6333"
    cluster = FakeCluster(1)
    client = cluster.client()
    store = QdrantStore(client, "x-", address=address)
    store.build(info(), [POINTS])
    collection = store.open("aws-1")
    assert [point.passage_id for point in collection.fetch(ALL_IDS)] == ALL_IDS
    assert [hit.passage_id for hit in collection.search_dense(AXIS_X, 3)[0]] == ALL_IDS[:3]
    store.drop("aws-1")
    with pytest.raises(CollectionGoneError):
        collection.search_dense(AXIS_X, 1)
    cluster.leave_under_creation("y", vectors_config=PLAIN)
    with pytest.raises(StoreError, match="status 500"), store_errors(address):
        client.get_collection("y")
    cluster.take_away(0)
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        store.collections()
    client.close()
