"""The vector cache: what was put is there for good, what was half written never was."""

import multiprocessing as mp
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from domain_embed.contracts.errors import StoreError
from domain_embed.stores.vectors import FileVectorCache, evict

SPAWN = mp.get_context("spawn")


def vectors(n: int, offset: int = 0) -> NDArray[np.float32]:
    return np.arange(offset, offset + n * 3, dtype=np.float32).reshape(n, 3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "vectors"


def test_only_what_was_put_is_found(folder: Path) -> None:
    cache = FileVectorCache(folder)
    assert cache.get(["a"]) == {}
    cache.put(["a", "b"], vectors(2))
    cache.put(["c"], vectors(1, offset=6))
    found = cache.get(["c", "unknown", "a", "a"])
    assert list(found) == ["c", "a"]
    assert found["a"].tolist() == [0, 1, 2]
    assert found["c"].tolist() == [6, 7, 8]
    assert found["a"].dtype == np.float32
    assert cache.get([]) == {}


def test_a_reopened_cache_holds_everything(folder: Path) -> None:
    cache = FileVectorCache(folder)
    for n in range(5):
        cache.put([f"{n}-0", f"{n}-1"], vectors(2, offset=6 * n))
    reopened = FileVectorCache(folder)
    keys = [f"{n}-{row}" for n in range(5) for row in range(2)]
    found = reopened.get(keys)
    assert np.stack([found[key] for key in keys]).tolist() == vectors(10).tolist()


def test_leftovers_of_a_killed_writer_are_no_vectors(folder: Path) -> None:
    FileVectorCache(folder).put(["a"], vectors(1))
    [chunk] = folder.glob("*.arrow")
    (folder / "half.draft").write_bytes(chunk.read_bytes()[:40])
    assert set(FileVectorCache(folder).get(["a"])) == {"a"}


def test_a_later_vector_of_the_same_text_is_as_good(folder: Path) -> None:
    cache = FileVectorCache(folder)
    cache.put(["a"], vectors(1))
    cache.put(["a"], vectors(1))
    assert FileVectorCache(folder).get(["a"])["a"].tolist() == [0, 1, 2]


def test_two_open_caches_write_the_same_folder(folder: Path) -> None:
    one, other = FileVectorCache(folder), FileVectorCache(folder)
    one.put(["a", "both"], vectors(2))
    other.put(["b", "both"], vectors(2, offset=6))
    assert set(one.get(["a", "b", "both"])) == {"a", "both"}
    both = FileVectorCache(folder).get(["a", "b", "both"])
    assert both["a"].tolist() == [0, 1, 2]
    assert both["b"].tolist() == [6, 7, 8]
    assert both["both"].tolist() in ([3, 4, 5], [9, 10, 11])


def put_many(folder: Path, name: str) -> None:
    cache = FileVectorCache(folder)
    for n in range(20):
        cache.put([f"{name}-{n}"], vectors(1, offset=3 * n))


def test_two_processes_write_at_once_and_lose_nothing(folder: Path) -> None:
    writers = [SPAWN.Process(target=put_many, args=(folder, name)) for name in ("x", "y")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    found = FileVectorCache(folder).get([f"{name}-{n}" for name in ("x", "y") for n in range(20)])
    assert len(found) == 40
    assert found["y-7"].tolist() == [21, 22, 23]


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = FileVectorCache(tmp_path / "file" / "vectors")
    with pytest.raises(StoreError, match=r"/file/vectors/.*\.arrow cannot be written"):
        cache.put(["a"], vectors(1))
    assert cache.get(["a"]) == {}


def test_a_damaged_chunk_is_named(folder: Path) -> None:
    FileVectorCache(folder).put(["a"], vectors(1))
    [chunk] = folder.glob("*.arrow")
    chunk.write_bytes(chunk.read_bytes()[:40])
    with pytest.raises(StoreError, match=f"{chunk} is damaged"):
        FileVectorCache(folder)


def test_vectors_used_least_recently_go_first_and_those_in_use_never(tmp_path: Path) -> None:
    for age, model in enumerate(("oldest", "served", "older", "newest")):
        FileVectorCache(tmp_path / model).put(["h"], np.ones((1, 100), np.float32))
        os.utime(tmp_path / model, (1e9 + age, 1e9 + age))
    FileVectorCache(tmp_path / "oldest")  # used again
    one = sum(file.stat().st_size for file in (tmp_path / "served").iterdir())
    assert evict(tmp_path, {"served"}, 4 * one) == []
    assert evict(tmp_path, {"served"}, 3.5 * one) == ["older"]
    assert evict(tmp_path, {"served"}, one) == ["newest", "oldest"]
    assert evict(tmp_path, {"served"}, 0) == []
    assert list(FileVectorCache(tmp_path / "served").get(["h"])) == ["h"]
    assert evict(tmp_path / "missing", set(), 0) == []


def test_what_is_removed_is_gone_from_the_files_and_the_rest_stays(folder: Path) -> None:
    cache = FileVectorCache(folder)
    cache.put(["a", "b"], vectors(2))
    cache.put(["c"], vectors(1, offset=6))
    cache.remove(["b", "c", "unknown"])
    for opened in (cache, FileVectorCache(folder)):
        assert {key: found.tolist() for key, found in opened.get(["a", "b", "c"]).items()} == {"a": [0, 1, 2]}
    assert len(list(folder.iterdir())) == 1
