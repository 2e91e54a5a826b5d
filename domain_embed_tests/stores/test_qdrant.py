"""What only a store behind a client can get wrong: a shared server, an unfinished build, a server that is away."""

import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from domain_embed.contracts.errors import NotReadyError, SettingsError, StoreError
from domain_embed.contracts.records import Point
from domain_embed.settings import IndexSettings
from domain_embed.stores import points as pt
from domain_embed.stores.qdrant import QdrantStore
from domain_embed.stores.qdrant_layout import LONGEST_NAME, Layout
from domain_embed_tests.stores.samples import ALL_IDS, POINTS, S3_ACL, S3_LIST, info

ONE_AXIS = models.VectorParams(size=1, distance=models.Distance.DOT)
UNFINISHED = "build-00000000abcd.aws-1"


@pytest.fixture
def client() -> QdrantClient:
    return QdrantClient(":memory:")


def names(client: QdrantClient) -> set[str]:
    return {collection.name for collection in client.get_collections().collections}


def aliases(client: QdrantClient) -> dict[str, str]:
    return {entry.alias_name: entry.collection_name for entry in client.get_aliases().aliases}


def kept_as_before(client: QdrantClient, name: str, *, complete: bool = True, prefix: str = "") -> None:
    """A version as it was kept before aliases said what is complete: in a collection of its own name."""
    state = {"info": pt.info_to_json(replace(info(name), index={"in_place": False})), "complete": complete}
    vectors = {pt.DENSE: models.VectorParams(size=3, distance=models.Distance.COSINE)}
    sparse = {pt.SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)}
    client.create_collection(prefix + name, vectors_config=vectors, sparse_vectors_config=sparse, metadata=state)
    dense = [models.PointStruct(id=pt.point_id(p.passage_id), vector={pt.DENSE: p.dense.tolist()},
                                payload=pt.payload_of(p)) for p in POINTS]  # fmt: skip
    client.upsert(prefix + name, dense)


def point_to(client: QdrantClient, alias: str, collection: str) -> None:
    created = models.CreateAlias(collection_name=collection, alias_name=alias)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=created)])


def test_prefixes_keep_stores_on_one_server_apart(client: QdrantClient) -> None:
    ours, theirs = QdrantStore(client, "aws-"), QdrantStore(client, "aws-docs-")
    ours.build(info("1"), [POINTS])
    theirs.build(info("1", count=2), [POINTS[:2]])
    ours.set_alias("live", "1")
    assert ours.collections() == [info("1")]
    assert theirs.collections() == [info("1", count=2)]
    assert theirs.alias("live") is None
    assert set(aliases(client)) == {"aws-1", "aws-live", "aws-docs-1"}
    ours.drop("docs-1")
    ours.clear()
    assert ours.collections() == []
    assert theirs.collections() == [info("1", count=2)]
    assert set(aliases(client)) == {"aws-docs-1"}


def test_what_another_program_made_is_neither_seen_nor_deleted(client: QdrantClient) -> None:
    client.create_collection("aws-1", vectors_config=ONE_AXIS)
    store = QdrantStore(client)
    assert store.collections() == []
    for call in (lambda: store.build(info(), [POINTS]), lambda: store.drop("aws-1")):
        with pytest.raises(StoreError, match="not made by this store"):
            call()
    store.clear()
    assert names(client) == {"aws-1"}


def test_a_version_is_complete_when_an_alias_of_its_own_points_to_it(client: QdrantClient) -> None:
    store = QdrantStore(client, "x--")
    store.build(info(), [POINTS])
    (collection,) = names(client)
    assert Layout("x--").version_in(collection) == "aws-1"
    assert aliases(client) == {"x--aws-1": collection}
    assert client.get_collection(collection).config.metadata == {"info": pt.info_to_json(info())}
    store.set_alias("live", "aws-1")
    gone = models.DeleteAlias(alias_name="x--aws-1")
    client.update_collection_aliases([models.DeleteAliasOperation(delete_alias=gone)])
    assert store.collections() == []
    with pytest.raises(NotReadyError):
        store.open("aws-1")


def test_metadata_is_written_once_whatever_happens_to_a_version(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster a later change is seen late, and not by all nodes."""
    changed: list[Any] = []
    update = client.update_collection
    monkeypatch.setattr(
        client, "update_collection", lambda *a, **k: changed.append(k.get("metadata")) or update(*a, **k)
    )
    store = QdrantStore(client, "x--")
    store.build(info(), [POINTS])
    store.set_alias("live", "aws-1")
    store.amend("aws-1", remove=[S3_ACL], metadata={S3_LIST: {"service": 7}})
    store.amend("aws-1", remove=[], metadata={S3_LIST: {"service": 8}})
    assert not any(changed)
    (told,) = QdrantStore(client, "x--").collections()
    assert told.amended
    assert told.metadata_types == {"year": "int", "price": "float", "public": "bool"}  # of two types now: service
    notes = [alias for alias in aliases(client) if ".note-" in alias]
    assert len(notes) == 1
    assert store.alias("live") == "aws-1"


def test_a_note_that_is_too_long_for_a_name_is_told_in_several() -> None:
    layout = Layout("x--")
    types = {f"key {number} {hash(str(number))}": "str" for number in range(60)}
    made = layout.note("aws-1", {"amended": "2026", "metadata_types": types})
    assert len(made) > 1
    assert max(map(len, made)) <= LONGEST_NAME
    there = layout.new_collection("aws-1")
    told = layout.read([*((alias, there) for alias in reversed(made)), ("x--aws-1", there), ("y--aws-1", there)])
    assert told.complete == {"aws-1": there}
    assert told.notes == {"aws-1": {"amended": "2026", "metadata_types": types}}
    assert sorted(told.note_names["aws-1"]) == sorted(made)
    assert told.targets == {}


def test_an_unfinished_build_is_invisible_and_replaced(client: QdrantClient) -> None:
    store = QdrantStore(client)
    client.create_collection(UNFINISHED, vectors_config=ONE_AXIS, metadata={"info": pt.info_to_json(info())})
    assert store.collections() == []
    with pytest.raises(NotReadyError):
        store.open("aws-1")
    with pytest.raises(NotReadyError):
        store.set_alias("live", "aws-1")
    store.build(info(), [POINTS])
    assert [p.passage_id for p in store.open("aws-1").fetch(ALL_IDS)] == ALL_IDS
    assert UNFINISHED not in names(client)


def test_dropping_a_name_takes_what_unfinished_builds_of_it_left(client: QdrantClient) -> None:
    store = QdrantStore(client)
    store.build(info(), [POINTS])
    client.create_collection(UNFINISHED, vectors_config=ONE_AXIS)
    client.create_collection(UNFINISHED.replace("aws-1", "aws-2"), vectors_config=ONE_AXIS)
    store.drop("aws-1")
    assert names(client) == {UNFINISHED.replace("aws-1", "aws-2")}
    assert store.clear() == [UNFINISHED.replace("aws-1", "aws-2")]
    assert names(client) == set()


def test_a_build_that_was_replaced_gives_way_to_the_newer_one(client: QdrantClient) -> None:
    store = QdrantStore(client)

    def overtaken() -> Iterator[list[Point]]:
        yield POINTS[:3]
        store.build(info(), [POINTS])
        yield POINTS[3:]

    with pytest.raises(StoreError, match="was built by another process meanwhile"):
        store.build(info(), overtaken())
    assert store.open("aws-1").count() == len(POINTS)
    assert len(names(client)) == 1


def test_a_version_kept_under_its_own_name_is_read_amended_and_dropped(client: QdrantClient) -> None:
    kept_as_before(client, "aws-1", prefix="x--")
    kept_as_before(client, "aws-2", complete=False, prefix="x--")
    point_to(client, "x--live", "x--aws-1")
    store = QdrantStore(client, "x--")
    assert [told.name for told in store.collections()] == ["aws-1"]
    assert (store.alias("live"), store.open("aws-1").count()) == ("aws-1", len(POINTS))
    with pytest.raises(StoreError, match="x--aws-1 exists"):
        store.build(info(), [POINTS])
    store.amend("aws-1", remove=[S3_ACL], metadata={})
    assert QdrantStore(client, "x--").collections()[0].amended
    assert store.open("aws-1").count() == len(POINTS) - 1
    store.build(info("aws-2"), [POINTS])
    store.build(info("aws-3"), [POINTS])
    with pytest.raises(StoreError, match="x--aws-1 is served as live"):
        store.drop("aws-1")
    store.set_alias("live", "aws-3")
    store.drop("aws-1")
    assert [told.name for told in store.collections()] == ["aws-2", "aws-3"]
    assert sorted(aliases(client)) == ["x--aws-2", "x--aws-3", "x--live"]


def test_versions_that_shared_one_collection_are_passed_over_and_stay(client: QdrantClient) -> None:
    """As `index.in_place` kept them: which of them an alias meant, no cluster could tell."""
    state = {"info": pt.info_to_json(info()), "complete": True}
    metadata = {"shared": "shared-c1", "version:aws-1": state, "alias:live": "aws-1"}
    client.create_collection("x--shared-c1", vectors_config={"aws-1": ONE_AXIS}, metadata=metadata)
    point_to(client, "x--live", "x--shared-c1")
    store = QdrantStore(client, "x--")
    assert store.collections() == []
    assert store.alias("live") is None
    store.build(info(), [POINTS])
    store.set_alias("live", "aws-1")
    assert store.alias("live") == "aws-1"
    assert "x--shared-c1" in names(client)
    assert "shared-c1" in store.clear()


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
def test_a_server_gets_a_payload_index_for_every_metadata_key(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(client, "create_payload_index", lambda *args: made.append(args))
    QdrantStore(client, "x-", address="http://qdrant:6333").build(info(), [POINTS])
    assert {Layout("x-").version_in(collection) for collection, *_ in made} == {"aws-1"}
    assert [tuple(rest) for _, *rest in made] == [
        ("metadata.service", models.PayloadSchemaType.KEYWORD),
        ("metadata.year", models.PayloadSchemaType.INTEGER),
        ("metadata.price", models.PayloadSchemaType.FLOAT),
        ("metadata.public", models.PayloadSchemaType.BOOL),
    ]


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_server_that_is_away_is_named_and_its_secrets_are_not() -> None:
    store = QdrantStore.connect("http://user:pass-word@127.0.0.1:9", api_key="secret-key")
    with pytest.raises(StoreError, match=r"Qdrant at http://127\.0\.0\.1:9 does not answer") as caught:
        store.collections()
    shown = "".join(traceback.format_exception(caught.value))
    assert "secret-key" not in shown
    assert "pass-word" not in shown


def test_a_setting_that_is_gone_changes_nobodys_index_and_says_why_it_is_gone(tmp_path: Any) -> None:
    from domain_embed.settings.file import read_settings

    assert IndexSettings.model_validate({"in_place": False}).version() == IndexSettings().version()
    assert IndexSettings().content()["in_place"] is False
    assert IndexSettings().changes({**IndexSettings().content()}) == []
    path = tmp_path / "domain.yaml"
    path.write_text("index: {in_place: true}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="in_place is no longer a setting"):
        read_settings(path)
