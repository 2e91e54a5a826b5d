"""What a folder of Edge shards must withstand: kills, other processes, threads, a disk that refuses."""

import json
import multiprocessing as mp
import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest

from domain_embed.contracts.errors import CollectionGoneError, StoreError
from domain_embed.contracts.records import Hit, Point
from domain_embed.stores import edge
from domain_embed.stores.edge import EdgeStore
from domain_embed_tests.stores.samples import (
    ALL_IDS,
    AXIS_X,
    EC2_TAG,
    METADATA_TYPES,
    POINTS,
    S3_ACL,
    S3_LIST,
    info,
    point,
)

SPAWN = mp.get_context("spawn")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "vectors"


def ranking(store: EdgeStore, name: str = "aws-1") -> list[str]:
    collection = store.open(name)
    try:
        return [hit.passage_id for hit in collection.search_dense(AXIS_X, 10, exact=True)[0]]
    finally:
        collection.close()


def visible_files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.glob("collections/*"))


def build_and_hang(root: Path, reached: Connection) -> None:
    def batches() -> Iterator[list[Point]]:
        yield POINTS[:3]
        reached.send("half")
        time.sleep(60)

    EdgeStore(root).build(info(), batches())


def read_repeatedly(root: Path, n_times: int) -> set[tuple[str, ...]]:
    return {tuple(ranking(EdgeStore(root))) for _ in range(n_times)}


def build_late(root: Path, started: Connection) -> str:
    started.send("go")
    try:
        EdgeStore(root).build(info(), [POINTS])
    except StoreError as error:
        return str(error)
    return "built"


def test_a_killed_build_is_never_visible_and_can_be_repeated(root: Path) -> None:
    reached, sender = SPAWN.Pipe(duplex=False)
    builder = SPAWN.Process(target=build_and_hang, args=(root, sender))
    builder.start()
    assert reached.poll(30)
    os.kill(builder.pid or 0, signal.SIGKILL)
    builder.join()

    store = EdgeStore(root)
    assert (root / "building" / "aws-1").exists()
    assert store.collections() == []
    assert visible_files(root) == []

    store.build(info(), [POINTS])
    assert ranking(store) == ALL_IDS
    assert list((root / "building").iterdir()) == []


def test_of_two_builders_the_second_waits_and_is_refused(root: Path) -> None:
    with ThreadPoolExecutor(1) as other:
        started, sender = mp.Pipe(duplex=False)

        def batches() -> Iterator[list[Point]]:
            yield POINTS[:3]
            second.append(other.submit(build_late, root, sender))
            assert started.poll(10)
            time.sleep(0.2)
            assert not second[0].done()
            yield POINTS[3:]

        second: list[Future[str]] = []
        EdgeStore(root).build(info(), batches())
        assert "'aws-1' exists" in second[0].result(timeout=10)
    assert ranking(EdgeStore(root)) == ALL_IDS


def test_several_processes_and_threads_read_at_once(root: Path) -> None:
    store = EdgeStore(root)
    store.build(info(), [POINTS])
    own = store.open("aws-1")
    with SPAWN.Pool(2) as pool, ThreadPoolExecutor(4) as threads:
        others = [pool.apply_async(read_repeatedly, (root, 10)) for _ in range(2)]
        searches = [threads.submit(own.search_dense, AXIS_X, 10, exact=True) for _ in range(200)]
        assert [other.get(60) for other in others] == [{tuple(ALL_IDS)}] * 2
    assert {tuple(hit.passage_id for hit in search.result()[0]) for search in searches} == {tuple(ALL_IDS)}


def test_a_reader_outlives_an_alias_move_and_is_told_of_a_drop(root: Path) -> None:
    store = EdgeStore(root)
    for name in ("aws-1", "aws-2"):
        store.build(info(name), [POINTS])
    store.set_alias("live", "aws-1")
    reader = store.open(store.alias("live") or "")
    store.set_alias("live", "aws-2")
    assert [hit.passage_id for hit in reader.search_dense(AXIS_X, 10, exact=True)[0]] == ALL_IDS
    assert [p.text for p in reader.fetch(ALL_IDS)] == [p.text for p in POINTS]
    store.drop("aws-1")
    # What is deleted from now on would never be deleted from what this reader holds.
    for asked in (
        lambda: reader.search_dense(AXIS_X, 10),
        lambda: reader.search_sparse([POINTS[0].sparse], 10),
        lambda: reader.describe([[Hit(S3_ACL, 1.0)]]),
        lambda: reader.fetch(ALL_IDS),
        lambda: list(reader.contents()),
        lambda: list(reader.dense_vectors()),
        reader.count,
    ):
        with pytest.raises(CollectionGoneError, match="'aws-1' was removed"):
            asked()
    assert reader.info == info()
    assert visible_files(root) == ["collections/aws-2"]


def test_a_fresh_store_sees_the_same(root: Path) -> None:
    first = EdgeStore(root)
    first.build(info(), [POINTS])
    first.set_alias("live", "aws-1")
    second = EdgeStore(root)
    assert second.collections() == first.collections() == [info()]
    assert second.alias("live") == "aws-1"
    assert ranking(second) == ALL_IDS


def test_a_closed_reader_says_so_and_closes_twice(root: Path) -> None:
    store = EdgeStore(root)
    store.build(info(), [POINTS])
    reader = store.open("aws-1")
    reader.close()
    reader.close()
    with pytest.raises(StoreError, match="not initialized"):
        reader.count()


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    store = EdgeStore(file / "vectors")
    with pytest.raises(StoreError, match=r"file.vectors.*\n.*can be read and written"):
        store.build(info(), [POINTS])


def test_a_build_stops_before_the_disk_is_full(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([10**12, 10**12, 60 * 2**20])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free)))
    with pytest.raises(StoreError, match=r"60 MB free, \d+ MB needed\n.*free some disk space"):
        EdgeStore(root).build(info(), [POINTS])
    assert visible_files(root) == []


def test_a_disk_that_fills_up_leaves_nothing_visible(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = EdgeStore(root)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_space)
        with pytest.raises(StoreError, match=r"vectors: .*No space left"):
            store.build(info(), [POINTS])
    assert store.collections() == []
    assert list((root / "building").iterdir()) == []
    store.build(info(), [POINTS])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_space)
        with pytest.raises(StoreError, match="No space left"):
            store.set_alias("live", "aws-1")
    assert store.alias("live") is None


def test_damaged_state_files_are_named(root: Path) -> None:
    store = EdgeStore(root)
    store.build(info(), [POINTS])
    (root / "aliases.json").write_text("{")
    with pytest.raises(StoreError, match=r"aliases\.json"):
        store.alias("live")
    (root / "collections" / "aws-1" / "collection.json").write_text(json.dumps({"name": "aws-1"}))
    with pytest.raises(StoreError, match=r"collection\.json does not describe a collection"):
        store.collections()


def test_the_graph_is_built_and_every_metadata_key_indexed(root: Path) -> None:
    # Edge builds HNSW from 10 MB of vectors per segment on: 2700 x 1024 float32 are 11 MB.
    n_points, dimensions = 2700, 1024
    axes = [[float(axis == n % dimensions) for axis in range(dimensions)] for n in range(n_points)]
    points = (
        [point(f"p{n}", axes[n], service="s3", year=n, price=0.5, public=True) for n in range(start, start + 300)]
        for start in range(0, n_points, 300)
    )
    store = EdgeStore(root)
    big = info(count=n_points)
    store.build(type(big)(**{**vars(big), "dimensions": dimensions}), points)
    collection = store.open("aws-1")  # closes when nobody holds it
    shard = collection._loaded.shard.info()  # type: ignore[attr-defined]
    assert shard.points_count == n_points
    assert shard.indexed_vectors_count >= n_points
    assert set(shard.payload_schema) == {f"metadata.{key}" for key in METADATA_TYPES}


# --- amending -------------------------------------------------------------------------------------------

SECRET = "a sentence that must not stay on this disk"
KEPT = "another one which nobody has taken away"


def amend_when_told(root: Path, order: Connection) -> None:
    order.recv()
    EdgeStore(root).amend("aws-1", remove=[S3_ACL], metadata={S3_LIST: {"service": "legal"}})
    order.send("done")


def amend_and_die(root: Path, dies_in: str) -> None:
    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(edge, dies_in, die)
    EdgeStore(root).amend("aws-1", remove=[S3_ACL], metadata={})


def contents_on_disk(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def test_what_another_process_takes_away_is_gone_from_an_open_reader(root: Path) -> None:
    store = EdgeStore(root)
    store.build(info(), [POINTS])
    reader = store.open("aws-1")
    assert [hit.passage_id for hit in reader.search_dense(AXIS_X, 2)[0]] == [S3_ACL, S3_LIST]
    order, theirs = SPAWN.Pipe()
    other = SPAWN.Process(target=amend_when_told, args=(root, theirs))
    other.start()
    order.send("go")
    assert order.poll(30)
    other.join()
    assert [hit.passage_id for hit in reader.search_dense(AXIS_X, 2)[0]] == [S3_LIST, EC2_TAG]
    assert reader.fetch([S3_ACL]) == []
    assert reader.search_dense(AXIS_X, 5, where={"service": "s3"}) == [[]]
    assert reader.info.amended


def test_threads_go_on_searching_while_a_collection_is_amended_again_and_again(root: Path) -> None:
    store = EdgeStore(root)
    store.build(info(), [POINTS])
    reader, going = store.open("aws-1"), True

    def search() -> set[tuple[str, ...]]:
        seen = set()
        while going:
            time.sleep(0.001)
            hits = reader.describe(reader.search_dense(AXIS_X, 10, exact=True))[0]
            seen.add(tuple(hit.passage_id for hit in hits))
        return seen

    with ThreadPoolExecutor(2) as threads:
        searches = [threads.submit(search) for _ in range(2)]
        try:
            for place, passage_id in enumerate(ALL_IDS[:3]):
                store.amend("aws-1", remove=[passage_id], metadata={})
                # What this call finds may not come from before the call.
                assert [hit.passage_id for hit in reader.search_dense(AXIS_X, 10)[0]] == ALL_IDS[place + 1 :]
        finally:
            going = False
        # A hit found before a passage went is not described after it: what is left is in order, and all were there.
        found = set().union(*(one.result() for one in searches))
    assert all([one for one in ALL_IDS if one in seen] == list(seen) for seen in found)


@pytest.mark.parametrize(("dies_in", "left"), [("amend_shard", ALL_IDS), ("write_record", ALL_IDS)])
def test_an_amendment_that_is_killed_has_not_happened(root: Path, dies_in: str, left: list[str]) -> None:
    store = EdgeStore(root)
    store.build(info(), [POINTS])
    process = SPAWN.Process(target=amend_and_die, args=(root, dies_in))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert ranking(store) == left
    assert store.collections() == [info()]
    store.amend("aws-1", remove=[S3_ACL], metadata={})
    assert ranking(store) == ALL_IDS[1:]
    assert len(list((root / "collections" / "aws-1").glob("shard*"))) == 1


def test_a_disk_that_fills_up_amends_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EdgeStore(root)
    store.build(info(), [POINTS])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=60 * 2**20))
    for purge in (False, True):
        with pytest.raises(StoreError, match=r"60 MB free, \d+ MB needed"):
            store.amend("aws-1", remove=[S3_ACL], metadata={}, purge=purge)
    assert ranking(store) == ALL_IDS
    assert store.collections() == [info()]
    assert len(list((root / "collections" / "aws-1").iterdir())) == 2


def test_purged_bytes_are_on_the_disk_no_more(root: Path) -> None:
    store = EdgeStore(root)
    secret = replace(point("secret", (0, 1, 0), owner="Jane Roe"), text=SECRET)
    kept = replace(point("kept", (0, 1, 0)), text=KEPT)
    store.build(info(count=7), [[*POINTS, secret, kept]])
    assert SECRET.encode() in contents_on_disk(root)
    store.amend("aws-1", remove=["secret"], metadata={S3_ACL: {"service": "legal"}}, purge=True)
    left = contents_on_disk(root)
    assert SECRET.encode() not in left
    assert b"Jane Roe" not in left
    assert KEPT.encode() in left
    [told] = store.collections()
    assert told.metadata_types == METADATA_TYPES


def test_a_copy_keeps_the_holes_of_files(root: Path) -> None:
    store = EdgeStore(root)
    store.build(info(), [POINTS])
    before = store.size_bytes("aws-1") or 0
    store.amend("aws-1", remove=[S3_ACL], metadata={})
    assert (store.size_bytes("aws-1") or 0) < 3 * before


def test_what_was_written_before_shards_had_names_can_be_read_and_amended(root: Path) -> None:
    store = EdgeStore(root)
    store.build(info(), [POINTS])
    record = root / "collections" / "aws-1" / "collection.json"
    old = json.loads(record.read_text())
    assert old.pop("shard") == "shard"
    del old["amended"]
    record.write_text(json.dumps(old))
    assert store.collections() == [info()]
    reader = store.open("aws-1")
    store.amend("aws-1", remove=[S3_ACL], metadata={})
    assert [hit.passage_id for hit in reader.search_dense(AXIS_X, 10)[0]] == ALL_IDS[1:]
