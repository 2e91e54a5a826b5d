"""The embedded vector store: Qdrant Edge shards in a folder, read by any number of threads and processes."""

import json
import shutil
import uuid
from collections.abc import Collection as AnyCollection
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from domain_embed.contracts.errors import NotReadyError, StoreError
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import CollectionInfo, Point
from domain_embed.files import PRIVATE_FILE, keep_file, private_folder, tighten
from domain_embed.stores import points as pt
from domain_embed.stores.edge_shard import (
    FIRST_SHARD,
    EdgeCollection,
    amend_shard,
    read_record,
    rewrite_shard,
    store_errors,
    sync,
    write_record,
    write_shard,
)

_RECORD = "collection.json"


class EdgeStore:
    """The VectorStore port in the folder `root`, which is created by the first write.

    A collection is built under building/ and moved to collections/ by one rename once it is on disk, so
    that a killed build is never visible. Who builds, amends or drops a name does so alone; the next one waits.
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
                    private_folder(staging)
                    private_folder(self._collections)
                write_shard(staging / FIRST_SHARD, info, batches)
                with store_errors(self._root):
                    write_record(staging / _RECORD, info, staging / FIRST_SHARD)
                    tighten(staging)
                    sync(*staging.rglob("*"), staging)
                    staging.rename(self._collections / info.name)
                    sync(self._collections)
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def collections(self, *, every: bool = False) -> list[CollectionInfo]:
        """Every complete collection, oldest first: on this disk all can be read, or the disk is broken."""
        infos = [self._info(path.parent.name) for path in self._collections.glob(f"*/{_RECORD}")]
        return sorted(infos, key=lambda info: (info.built_at, info.name))

    def size_bytes(self, name: str) -> int | None:
        """What a complete collection takes on disk; sparse files count as what they hold."""
        self._require(name)
        return sum(path.stat().st_blocks * 512 for path in (self._collections / name).rglob("*"))

    def open(self, name: str) -> Collection:
        """A reader with its own handle: moving an alias does not disturb it."""
        pt.check_name(name)
        self._require(name)
        return EdgeCollection(self._collections / name / _RECORD)

    def amend(
        self, name: str, *, remove: AnyCollection[str], metadata: Mapping[str, Mapping[str, Any]], purge: bool = False
    ) -> None:
        """Changes a complete collection as a whole, or not at all; see the port.

        The next state of the shard is written beside the present one, and the record that names it is replaced in one
        step; a kill before leaves a folder that the next call removes. With `purge` nothing of what was removed or
        replaced is in the new files; the old ones are gone from the folder, and from the disk once the last reader
        that has them open makes its next call or ends.
        """
        pt.check_name(name)
        folder, record = self._collections / name, self._collections / name / _RECORD
        with self._lock(f"locks/{name}"):
            self._require(name)
            info, shard = read_record(record)
            self._remove_others(folder, shard)
            following = folder / f"shard-{uuid.uuid4().hex[:12]}"
            try:
                make = rewrite_shard if purge else amend_shard
                amended = make(shard, following, info, set(remove), metadata)
                with store_errors(folder):
                    tighten(following)
                    sync(*following.rglob("*"), following)
                    write_record(record, replace(amended, amended=pt.amended_now()), following)
            except BaseException:
                shutil.rmtree(following, ignore_errors=True)
                raise
            self._remove_others(folder, following)

    def drop(self, name: str) -> None:
        """Removes a collection from sight in one step, then from the disk."""
        pt.check_name(name)
        for left in (self._root / "building").glob("*.dropped-*"):  # by a process that was killed here
            shutil.rmtree(left, ignore_errors=True)
        trash = self._root / "building" / f"{name}.dropped-{uuid.uuid4().hex}"
        with self._lock(f"locks/{name}"), self._lock("aliases"):  # what is being amended is not taken away under it
            if name in (aliases := self._read_aliases()).values():
                named = ", ".join(alias for alias, target in aliases.items() if target == name)
                raise StoreError(f"collection {name!r} is served as {named}", "move the alias to another one first")
            if self._is_complete(name):
                with store_errors(self._root):
                    private_folder(trash.parent)
                    (self._collections / name).rename(trash)
        shutil.rmtree(trash, ignore_errors=True)

    def clear(self) -> list[str]:
        """Removes the folder with everything in it; readers that are open end with what they have mapped."""
        names = [path.name for path in self._collections.glob("*")]
        with store_errors(self._root):
            self._aliases.unlink(missing_ok=True)
            if self._root.exists():
                shutil.rmtree(self._root)
        return names

    def alias(self, alias: str) -> str | None:
        """The name of the collection behind an alias, or None."""
        return self._read_aliases().get(alias)

    def set_alias(self, alias: str, name: str) -> None:
        """Moves an alias by replacing one small file; readers see the old or the new name, nothing between."""
        pt.check_name(alias)
        with self._lock("aliases"):
            self._require(name)
            draft = self._aliases.with_suffix(".tmp")
            with store_errors(self._root):
                keep_file(draft, json.dumps({**self._read_aliases(), alias: name}, indent=2))
                sync(draft)
                draft.replace(self._aliases)
                sync(self._root)

    def _is_complete(self, name: str) -> bool:
        return (self._collections / name / _RECORD).is_file()

    def _require(self, name: str) -> None:
        pt.check_name(name)
        if not self._is_complete(name):
            raise NotReadyError(f"no collection {name!r} in {self._root}", "build it first")

    def _info(self, name: str) -> CollectionInfo:
        return read_record(self._collections / name / _RECORD)[0]

    @staticmethod
    def _remove_others(folder: Path, shard: Path) -> None:
        """Every shard directory but this one: the one before, and what a process left that was killed."""
        for path in folder.glob(f"{FIRST_SHARD}*"):
            if path != shard:
                shutil.rmtree(path, ignore_errors=True)

    def _read_aliases(self) -> dict[str, str]:
        aliases: dict[str, str] = _read_json(self._aliases) if self._aliases.exists() else {}
        return aliases

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        path = self._root / f"{name}.lock"
        with store_errors(self._root):
            private_folder(path.parent)
            lock = FileLock(path, mode=PRIVATE_FILE)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _read_json(path: Path) -> Any:
    with store_errors(path):
        return json.loads(path.read_text(encoding="utf-8"))
