"""Several models' vectors in one Qdrant collection: the same passages once, and nothing of two models mixed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from domain_embed.contracts.errors import NotReadyError, SettingsError, StoreError
from domain_embed.contracts.records import CollectionInfo, Point
from domain_embed.settings import Environment
from domain_embed.stores.qdrant import QdrantStore
from domain_embed.stores.workspace import Workspace
from domain_embed_tests.stores.samples import AXIS_X, BUCKET, POINTS, S3_ACL, S3_LIST, info, sparse

IDS = [point.passage_id for point in POINTS]
TURNED = [replace(point, dense=np.roll(point.dense, 1)) for point in POINTS]
"""The passages as another model sees them: what was on the first axis is on the second."""
AXIS_Y = np.roll(AXIS_X, 1)
WIDE = [replace(point, dense=np.append(point.dense, np.float32(0))) for point in POINTS]
"""And as a model of four dimensions does."""


def of(model: str, content: str = "c1", **fields: Any) -> CollectionInfo:
    return replace(info(f"{model}-{content}"), fingerprint=model * 16, content=content, **fields)


@pytest.fixture
def client() -> QdrantClient:
    return QdrantClient(":memory:")


@pytest.fixture
def store(client: QdrantClient) -> QdrantStore:
    both = QdrantStore(client, "aws--", in_place=True)
    both.build(of("a"), [POINTS])
    both.build(of("b"), [TURNED[:2], TURNED[2:]])
    return both


def names(client: QdrantClient) -> set[str]:
    return {collection.name for collection in client.get_collections().collections}


def vector_names(client: QdrantClient) -> set[str]:
    vectors: Any = client.get_collection("aws--shared-c1").config.params.vectors
    return set(vectors)


def found(store: QdrantStore, name: str, axis: Any) -> list[tuple[str, float]]:
    (hits,) = store.open(name).search_dense(axis, 2, exact=True)
    return [(hit.passage_id, round(hit.score, 4)) for hit in hits]


def test_passages_are_stored_once_and_each_model_finds_them_by_its_own_vectors(
    store: QdrantStore, client: QdrantClient
) -> None:
    assert names(client) == {"aws--shared-c1"}
    assert client.count("aws--shared-c1").count == len(POINTS)
    assert store.collections() == [of("a"), of("b")]
    assert found(store, "a-c1", AXIS_X) == found(store, "b-c1", AXIS_Y) == [(S3_ACL, 1.0), (S3_LIST, 0.8)]
    assert found(store, "b-c1", AXIS_X) != found(store, "a-c1", AXIS_X)
    (a,), (b,) = (store.open(name).fetch([S3_ACL]) for name in ("a-c1", "b-c1"))
    assert (a.dense.tolist(), b.dense.tolist()) == ([1, 0, 0], [0, 1, 0])
    assert (a.text, a.metadata, a.sparse.indices.tolist()) == (b.text, b.metadata, b.sparse.indices.tolist())
    bm25 = [store.open(name).search_sparse([sparse({BUCKET: 1.0})], 5) for name in ("a-c1", "b-c1")]
    assert bm25[0] == bm25[1]
    assert [len(hits) for hits in bm25[0]] == [2]


def test_a_store_whose_prefix_begins_another_ones_does_not_see_its_models(
    store: QdrantStore, client: QdrantClient
) -> None:
    theirs = QdrantStore(client, "aws--docs--", in_place=True)
    theirs.build(of("z"), [TURNED])
    assert theirs.collections() == [of("z")]
    assert store.collections() == [of("a"), of("b")]
    store.drop("z-c1")
    assert theirs.collections() == [of("z")]


def test_models_of_different_dimensions_share_passages(store: QdrantStore) -> None:
    store.build(of("w", dimensions=4), [WIDE])
    wide = store.open("w-c1")
    pages = dict(pair for ids, vectors in wide.dense_vectors() for pair in zip(ids, vectors.tolist(), strict=True))
    assert pages[S3_ACL] == [1, 0, 0, 0]
    with pytest.raises(StoreError, match=r"takes finite query vectors of shape \(n, 4\)"):
        wide.search_dense(AXIS_X, 1)


def test_an_alias_goes_from_model_to_model_within_a_place_and_out_of_it(
    store: QdrantStore, client: QdrantClient
) -> None:
    store.build(of("a", "c2"), [POINTS])
    own = QdrantStore(client, "aws--")
    own.build(of("d"), [POINTS])
    for name in ("a-c1", "b-c1", "a-c2", "d-c1", "a-c1", "b-c1"):
        store.set_alias("live", name)
        store.set_alias("live", name)
        assert store.alias("live") == own.alias("live") == name
    store.set_alias("base", "a-c1")
    assert (store.alias("base"), store.alias("live")) == ("a-c1", "b-c1")
    (alias,) = [entry for entry in client.get_aliases().aliases if entry.alias_name == "aws--live"]
    assert alias.collection_name == "aws--shared-c1"


def test_an_alias_that_has_not_come_yet_means_what_it_meant(store: QdrantStore, client: QdrantClient) -> None:
    """Cut short between the entry of the new place and the move: the old version serves on."""
    store.build(of("a", "c2"), [POINTS])
    store.set_alias("live", "b-c1")
    client.update_collection("aws--shared-c2", metadata={"alias:live": "a-c2"})
    assert store.alias("live") == "b-c1"


def test_dropping_a_model_leaves_the_others_and_the_last_one_takes_the_passages_along(
    store: QdrantStore, client: QdrantClient
) -> None:
    store.set_alias("live", "b-c1")
    with pytest.raises(StoreError, match="aws--b-c1 is served as live"):
        store.drop("b-c1")
    store.drop("a-c1")
    assert store.collections() == [of("b")]
    assert vector_names(client) == {"b-c1"}
    assert found(store, "b-c1", AXIS_Y) == [(S3_ACL, 1.0), (S3_LIST, 0.8)]
    with pytest.raises(NotReadyError, match="no collection aws--a-c1"):
        store.open("a-c1")
    store.build(of("a"), [POINTS])
    store.set_alias("live", "a-c1")
    store.drop("b-c1")
    client.update_collection_aliases(
        [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="aws--live"))]
    )
    store.drop("a-c1")
    assert names(client) == set()


def test_a_failed_build_leaves_nothing_of_it_and_the_others_as_they_were(
    store: QdrantStore, client: QdrantClient
) -> None:
    def failing() -> Iterator[Sequence[Point]]:
        yield POINTS[:2]
        raise RuntimeError("the encoder broke")

    with pytest.raises(RuntimeError, match="the encoder broke"):
        store.build(of("e"), failing())
    assert vector_names(client) == {"a-c1", "b-c1"}
    with pytest.raises(StoreError, match="4 distinct points were given, 5 were announced"):
        store.build(of("e"), [POINTS[:4]])
    assert store.collections() == [of("a"), of("b")]
    assert found(store, "a-c1", AXIS_X) == [(S3_ACL, 1.0), (S3_LIST, 0.8)]


def test_a_killed_build_is_invisible_and_made_anew(store: QdrantStore, client: QdrantClient) -> None:
    """As it lies there after a kill: an entry, a vector name and some vectors, perhaps of other dimensions."""
    state = {"info": {**vars(of("e"))}, "build": "killed", "complete": False}
    client.update_collection("aws--shared-c1", metadata={"version:e-c1": state})
    dense = models.DenseVectorConfig(size=2, distance=models.Distance.COSINE)
    client.create_vector_name("aws--shared-c1", "e-c1", models.DenseVectorNameConfig(dense=dense))
    assert store.collections() == [of("a"), of("b")]
    with pytest.raises(NotReadyError):
        store.set_alias("live", "e-c1")
    store.build(of("e"), [TURNED])
    assert found(store, "e-c1", AXIS_Y) == [(S3_ACL, 1.0), (S3_LIST, 0.8)]


def test_a_place_with_points_that_are_not_its_own_is_not_published(store: QdrantStore, client: QdrantClient) -> None:
    client.upsert("aws--shared-c1", [models.PointStruct(id=1, vector={}, payload={"passage_id": "stray"})])
    with pytest.raises(StoreError, match="6 distinct points were stored, 5 were announced"):
        store.build(of("e"), [POINTS])
    assert store.collections() == [of("a"), of("b")]


def test_a_build_that_was_replaced_gives_way_to_the_newer_one(store: QdrantStore) -> None:
    def overtaken() -> Iterator[Sequence[Point]]:
        yield POINTS[:3]
        store.build(of("e"), [TURNED])
        yield POINTS[3:]

    with pytest.raises(StoreError, match="no longer the one this build made"):
        store.build(of("e"), overtaken())
    assert store.collections() == [of("a"), of("b"), of("e")]


def test_two_models_that_are_built_side_by_side_lose_nothing(store: QdrantStore) -> None:
    def meanwhile() -> Iterator[Sequence[Point]]:
        yield POINTS[:3]
        store.build(of("f", "c3"), [TURNED])
        yield POINTS[3:]

    store.build(of("e", "c3"), meanwhile())
    assert found(store, "e-c3", AXIS_X) == found(store, "f-c3", AXIS_Y) == [(S3_ACL, 1.0), (S3_LIST, 0.8)]


def test_what_another_program_made_is_not_shared(client: QdrantClient) -> None:
    client.create_collection("aws--shared-c1", vectors_config={})
    with pytest.raises(StoreError, match="aws--shared-c1 was not made by this store"):
        QdrantStore(client, "aws--", in_place=True).build(of("a"), [POINTS])
    assert client.collection_exists("aws--shared-c1")


def test_a_server_that_cannot_add_vectors_says_what_is_needed(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise UnexpectedResponse(404, "Not Found", b"", headers=None)  # type: ignore[arg-type]

    monkeypatch.setattr(client, "create_vector_name", unknown)
    with pytest.raises(StoreError, match=r"index\.in_place needs Qdrant 1\.18 or later"):
        QdrantStore(client, "aws--", in_place=True).build(of("a"), [POINTS])
    assert names(client) == set()


def test_a_domain_on_this_machines_disk_cannot_ask_for_it(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "domain.yaml").write_text("index: {in_place: true}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"index\.in_place needs a Qdrant server\n.*set QDRANT_URL"):
        _ = Workspace(Environment(home=tmp_path), "docs").vector_store
    served = Workspace(Environment(home=tmp_path, qdrant_url="http://127.0.0.1:9"), "docs").vector_store
    with pytest.raises(StoreError, match="does not answer"):
        served.collections()


def test_versions_that_share_their_passages_are_amended_together(store: QdrantStore) -> None:
    readers = [store.open(name) for name in ("a-c1", "b-c1")]
    store.amend("a-c1", remove=[S3_ACL], metadata={S3_LIST: {"service": "legal"}})
    for reader, axis in zip(readers, (AXIS_X, AXIS_Y), strict=True):
        assert [hit.passage_id for hit in reader.search_dense(axis, 1)[0]] == [S3_LIST]
        assert [point.metadata for point in reader.fetch([S3_ACL, S3_LIST])] == [{"service": "legal"}]
    assert all(told.amended and told.metadata_types["service"] == "str" for told in store.collections())


def test_a_build_does_not_bring_back_what_was_taken_from_those_it_would_share_with(
    store: QdrantStore, client: QdrantClient
) -> None:
    store.amend("a-c1", remove=[S3_ACL], metadata={S3_LIST: {"service": "legal"}})
    store.build(of("c"), [POINTS])
    assert names(client) == {"aws--shared-c1", "aws--shared-c1-2"}
    assert [p.metadata for p in store.open("c-c1").fetch(IDS)] == [p.metadata for p in POINTS]
    for name in ("a-c1", "b-c1"):
        assert store.open(name).fetch([S3_ACL]) == []
        assert store.open(name).count() == len(POINTS) - 1
    store.set_alias("live", "c-c1")
    assert store.alias("live") == "c-c1"
    store.build(of("d"), [TURNED])
    assert names(client) == {"aws--shared-c1", "aws--shared-c1-2"}


def test_what_a_build_writes_meanwhile_is_not_seen_by_those_it_shares_with(store: QdrantStore) -> None:
    reader = store.open("a-c1")

    def batches() -> Iterator[Sequence[Point]]:
        yield POINTS[1:]
        store.amend("a-c1", remove=[S3_ACL], metadata={})
        yield POINTS[:1]
        assert reader.search_sparse([sparse({BUCKET: 1.0})], 5)[0][0].passage_id == S3_LIST
        assert [len(hits) for hits in reader.search_sparse([sparse({BUCKET: 1.0})], 5)] == [1]
        assert (reader.fetch([S3_ACL]), reader.count()) == ([], len(POINTS) - 1)
        assert S3_ACL not in {content.passage_id for content in reader.contents()}

    with pytest.raises(StoreError, match="were taken out of aws--shared-c1 while this was built"):
        store.build(of("c"), batches())
    assert [told.name for told in store.collections()] == ["a-c1", "b-c1"]
    assert reader.fetch([S3_ACL]) == []
