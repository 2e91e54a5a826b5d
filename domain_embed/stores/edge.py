"""The embedded vector store: Qdrant Edge shards in a folder, read by any number of threads and processes."""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from domain_embed.contracts.errors import NotReadyError, StoreError
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import CollectionInfo, Point
from domain_embed.stores import points as pt
from domain_embed.stores.edge_shard import EdgeCollection, store_errors, write_shard

_SHARD = "shard"
_INFO = "collection.json"


class EdgeStore:
    """The VectorStore port in the folder `root`, which is created by the first write.

    A collection is built under building/ and moved to collections/ by one rename once it is on disk, so
    that a killed build is never visible. One builder per name works at a time; the next one waits.
    Loading a shard rewrites its small state files with what they hold, so readers need write permission.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._collections = root / "collections"
        self._aliases = root / "aliases.json"

    def build(self, info: CollectionInfo, batches: Iterable[Sequence[Point]]) -> None:
        """Writes a collection; it appears complete, or not at all. See the port for what is refused."""
        pt.check_name(info.name)
        staging = self._root / "building" / info.name
        with self._lock(f"locks/{info.name}"):
            if self._is_complete(info.name):
                raise StoreError(f"collection {info.name!r} exists in {self._root}", "drop it, or build another name")
            try:
                with store_errors(self._root):
                    shutil.rmtree(staging, ignore_errors=True)
                    staging.mkdir(parents=True)
                    self._collections.mkdir(parents=True, exist_ok=True)
                write_shard(staging / _SHARD, info, batches)
                with store_errors(self._root):
                    (staging / _INFO).write_text(json.dumps(pt.info_to_json(info), indent=2), encoding="utf-8")
                    _sync(*staging.rglob("*"), staging)
                    staging.rename(self._collections / info.name)
                    _sync(self._collections)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def collections(self) -> list[CollectionInfo]:
        """Every complete collection, oldest first."""
        infos = [self._info(path.parent.name) for path in self._collections.glob(f"*/{_INFO}")]
        return sorted(infos, key=lambda info: (info.built_at, info.name))

    def size_bytes(self, name: str) -> int | None:
        """What a complete collection takes on disk; sparse files count as what they hold."""
        self._require(name)
        return sum(path.stat().st_blocks * 512 for path in (self._collections / name).rglob("*"))

    def open(self, name: str) -> Collection:
        """A reader with its own handle: moving an alias or dropping the collection does not disturb it."""
        pt.check_name(name)
        self._require(name)
        return EdgeCollection(self._info(name), self._collections / name / _SHARD)

    def drop(self, name: str) -> None:
        """Removes a collection from sight in one step, then from the disk."""
        pt.check_name(name)
        for left in (self._root / "building").glob("*.dropped-*"):  # by a process that was killed here
            shutil.rmtree(left, ignore_errors=True)
        trash = self._root / "building" / f"{name}.dropped-{uuid.uuid4().hex}"
        with self._lock("aliases"):
            if name in (aliases := self._read_aliases()).values():
                named = ", ".join(alias for alias, target in aliases.items() if target == name)
                raise StoreError(f"collection {name!r} is served as {named}", "move the alias to another one first")
            if self._is_complete(name):
                with store_errors(self._root):
                    trash.parent.mkdir(exist_ok=True)
                    (self._collections / name).rename(trash)
        shutil.rmtree(trash, ignore_errors=True)

    def alias(self, alias: str) -> str | None:
        """The name of the collection behind an alias, or None."""
        return self._read_aliases().get(alias)

    def set_alias(self, alias: str, name: str) -> None:
        """Moves an alias by replacing one small file; readers see the old or the new name, nothing between."""
        pt.check_name(alias)
        pt.check_name(name)
        with self._lock("aliases"):
            self._require(name)
            draft = self._aliases.with_suffix(".tmp")
            with store_errors(self._root):
                draft.write_text(json.dumps({**self._read_aliases(), alias: name}, indent=2), encoding="utf-8")
                _sync(draft)
                draft.replace(self._aliases)
                _sync(self._root)

    def _is_complete(self, name: str) -> bool:
        return (self._collections / name / _INFO).is_file()

    def _require(self, name: str) -> None:
        if not self._is_complete(name):
            raise NotReadyError(f"no collection {name!r} in {self._root}", "build it first")

    def _info(self, name: str) -> CollectionInfo:
        path = self._collections / name / _INFO
        return pt.info_from_json(_read_json(path), str(path))

    def _read_aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = _read_json(self._aliases) if self._aliases.exists() else {}
        return aliases

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        path = self._root / f"{name}.lock"
        with store_errors(self._root):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _read_json(path: Path) -> Any:
    with store_errors(path):
        return json.loads(path.read_text(encoding="utf-8"))


def _sync(*paths: Path) -> None:
    """Makes files and folders survive a power cut."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
