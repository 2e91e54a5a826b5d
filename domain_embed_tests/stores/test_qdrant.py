"""What only a store behind a client can get wrong: a shared server, an unfinished build, a server that is away."""

import traceback
from collections.abc import Iterator

import pytest
from qdrant_client import QdrantClient, models

from domain_embed.contracts.errors import NotReadyError, StoreError
from domain_embed.contracts.records import Point
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.stores.samples import ALL_IDS, POINTS, info

ONE_AXIS = models.VectorParams(size=1, distance=models.Distance.DOT)


@pytest.fixture
def client() -> QdrantClient:
    return QdrantClient(":memory:")


def test_prefixes_keep_stores_on_one_server_apart(client: QdrantClient) -> None:
    ours, theirs = QdrantStore(client, "aws-"), QdrantStore(client, "aws-docs-")
    ours.build(info("1"), [POINTS])
    theirs.build(info("1", count=2), [POINTS[:2]])
    ours.set_alias("live", "1")
    assert ours.collections() == [info("1")]
    assert theirs.collections() == [info("1", count=2)]
    assert theirs.alias("live") is None
    assert {c.name for c in client.get_collections().collections} == {"aws-1", "aws-docs-1"}


def test_what_another_program_made_is_neither_seen_nor_deleted(client: QdrantClient) -> None:
    client.create_collection("aws-1", vectors_config=ONE_AXIS)
    store = QdrantStore(client)
    assert store.collections() == []
    for call in (lambda: store.build(info(), [POINTS]), lambda: store.drop("aws-1")):
        with pytest.raises(StoreError, match="not made by this store"):
            call()
    assert client.collection_exists("aws-1")


def test_an_unfinished_build_is_invisible_and_replaced(client: QdrantClient) -> None:
    store = QdrantStore(client)
    state = {"info": vars(info()), "build": "killed", "complete": False}
    client.create_collection("aws-1", vectors_config=ONE_AXIS, metadata=state)
    assert store.collections() == []
    with pytest.raises(NotReadyError):
        store.open("aws-1")
    store.build(info(), [POINTS])
    assert [p.passage_id for p in store.open("aws-1").fetch(ALL_IDS)] == ALL_IDS


def test_a_build_that_was_replaced_gives_way_to_the_newer_one(client: QdrantClient) -> None:
    store = QdrantStore(client)

    def overtaken() -> Iterator[list[Point]]:
        yield POINTS[:3]
        store.build(info(), [POINTS])
        yield POINTS[3:]

    with pytest.raises(StoreError, match="no longer the one this build made"):
        store.build(info(), overtaken())
    assert store.open("aws-1").count() == len(POINTS)


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
def test_a_server_gets_a_payload_index_for_every_metadata_key(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(client, "create_payload_index", lambda *args: made.append(args))
    QdrantStore(client, "x-", address="http://qdrant:6333").build(info(), [POINTS])
    assert made == [
        ("x-aws-1", "metadata.service", models.PayloadSchemaType.KEYWORD),
        ("x-aws-1", "metadata.year", models.PayloadSchemaType.INTEGER),
        ("x-aws-1", "metadata.price", models.PayloadSchemaType.FLOAT),
        ("x-aws-1", "metadata.public", models.PayloadSchemaType.BOOL),
    ]


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_server_that_is_away_is_named_and_its_secrets_are_not() -> None:
    store = QdrantStore.connect("http://user:pass-word@127.0.0.1:9", api_key="secret-key")
    with pytest.raises(StoreError, match=r"Qdrant at http://127\.0\.0\.1:9 does not answer") as caught:
        store.collections()
    shown = "".join(traceback.format_exception(caught.value))
    assert "secret-key" not in shown
    assert "pass-word" not in shown
