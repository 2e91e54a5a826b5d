"""The vector store on a Qdrant server, or in this process's memory for tests."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Collection as AnyCollection
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import grpc
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from domain_embed.contracts.errors import (
    CollectionGoneError,
    NotReadyError,
    SettingsError,
    StoreError,
    StoreUnavailableError,
)
from domain_embed.contracts.metadata import types_of
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import CollectionInfo, Point
from domain_embed.contracts.secrets import Secret, SecretUrl
from domain_embed.stores import points as pt
from domain_embed.stores.collection import POINTS_PER_REQUEST
from domain_embed.stores.patient_transport import patient_transport
from domain_embed.stores.qdrant_collection import ServedCollection, store_errors
from domain_embed.stores.qdrant_layout import SHARED, Aliases, Layout
from domain_embed.stores.qdrant_loading import await_index, awaited, create, load, retried

log = logging.getLogger(__name__)

# The client gives up after 5 s by default; an exact batch over millions of points takes longer.
TIMEOUT_S = 60
GRPC_ANSWERS_WITHIN_S = 2
_INDEXES = {
    "str": models.PayloadSchemaType.KEYWORD,
    "int": models.PayloadSchemaType.INTEGER,
    "float": models.PayloadSchemaType.FLOAT,
    "bool": models.PayloadSchemaType.BOOL,
    "date": models.PayloadSchemaType.DATETIME,
}


@dataclass(frozen=True)
class _Published:
    """A complete version: its Qdrant collection, and what was noted of it since it was built."""

    name: str
    collection: str
    note: Mapping[str, Any]


class QdrantStore:
    """The VectorStore port over a Qdrant client.

    Every collection and alias carries `prefix`, so that several stores can share a server. `qdrant_layout` says how a
    version is published: what no alias calls complete is never listed, opened, or asked about itself.
    """

    def __init__(
        self,
        client: QdrantClient,
        prefix: str = "",
        *,
        address: str = "",
        writer: Callable[[str], QdrantClient | None] = lambda _: None,
    ) -> None:
        """`address` is the server's, for messages; a client without one works in this process.

        `writer` gives a faster client for loading a collection that was just created, or None.
        """
        self._client = client
        self._prefix = prefix
        self._layout = Layout(prefix)
        self._address = address
        self._writer = writer
        self._described: dict[str, CollectionInfo] = {}
        self._deleted: set[str] = set()  # nodes may show one for a while; no name is used twice

    @classmethod
    def connect(
        cls, url: str | SecretUrl, api_key: str | Secret | None = None, prefix: str = "", *,
        grpc_port: int | None = None,
    ) -> "QdrantStore":  # fmt: skip
        """A store on a server, which the first call looks for; loaded by gRPC where it answers on `grpc_port`."""
        url, key = SecretUrl(url), Secret(api_key).reveal() if api_key else None
        connection: dict[str, Any] = {
            "url": url.reveal(), "api_key": key, "timeout": TIMEOUT_S, "check_compatibility": False,
        }  # fmt: skip
        try:
            client = QdrantClient(**connection, transport=patient_transport(url.reveal()))
        except ValueError as error:
            raise SettingsError(f"QDRANT_URL: {url}: {error}", "write http://HOST:PORT or the like") from None

        def writer(collection: str) -> QdrantClient | None:
            return None if grpc_port is None else _grpc_client(connection, grpc_port, collection)

        return cls(client, prefix, address=str(url), writer=writer)

    @classmethod
    def in_memory(cls, prefix: str = "") -> "QdrantStore":
        """A store of its own that vanishes with the process; slow beyond some thousand points."""
        return cls(QdrantClient(":memory:"), prefix)

    def build(self, info: CollectionInfo, batches: Iterable[Sequence[Point]]) -> None:
        """Writes a collection that becomes visible at the end, or not at all. See the port for what is refused."""
        pt.check_name(info.name)
        collection = self._layout.new_collection(info.name)
        with store_errors(self._address):
            if self._find(info.name, self._aliases()) is not None:
                raise StoreError(f"collection {self._prefix}{info.name} exists", "drop it, or build another name")
            self._delete_unfinished(info.name)
        try:
            with store_errors(self._address):
                create(self._client, collection, info)
                self._index(collection, {}, info.metadata_types)
            with self._loading(collection) as client:
                load(client, collection, info, pt.checked(info, batches), self._address)
            with store_errors(self._address):
                self._publish(collection, info)
        except CollectionGoneError as error:
            raise self._overtaken(info.name) from error
        except BaseException:
            with suppress(ApiException):  # nobody sees what is left, and the next build of the name removes it
                self._client.delete_collection(collection)
            raise

    def collections(self, *, every: bool = False) -> list[CollectionInfo]:
        """The complete collections under this prefix, oldest first; see the port for `every`."""
        infos = []
        with store_errors(self._address):
            versions = list(self._all_published())
        for found in versions:
            try:
                infos.append(self._info(found))
            except CollectionGoneError:  # dropped since
                continue
            except StoreUnavailableError:  # the server as a whole
                raise
            except StoreError as error:
                if every:
                    told = str(error).partition("\n")[0]
                    raise StoreUnavailableError(
                        f"collection {self._prefix}{found.name} cannot be read now: {told}",
                        "try again when all nodes are up, or drop it",
                    ) from error
                log.warning("collection %s%s is left out: %s", self._prefix, found.name, error)
        return sorted(infos, key=lambda info: (info.built_at, info.name))

    def size_bytes(self, name: str) -> int | None:
        """Not known: the server does not say."""
        self._require(name)
        return None

    def open(self, name: str) -> Collection:
        """A reader over the store's connection."""
        return self._reader(self._require(name))

    def amend(
        self, name: str, *, remove: AnyCollection[str], metadata: Mapping[str, Mapping[str, Any]], purge: bool = False
    ) -> None:
        """Changes a complete collection; see the port. Cut short, the same call again completes it.

        That it is amended is noted first, then points are deleted, then metadata is set: whatever cuts it short,
        nothing is taken for what it is no longer.

        The server deletes at once for every search and read, and keeps the bytes in its segments until its optimizer
        rewrites them, and in its write-ahead log for a while; `purge` cannot hasten that. To be rid of them at once,
        build the collection anew and drop this one.
        """
        found = self._require(name)
        before, gone = self._info(found), set(remove)
        with store_errors(self._address):
            found = self._note(found, amended=pt.amended_now())
            for passage_ids in _chunks(sorted(gone)):
                ids: list[Any] = [pt.point_id(passage_id) for passage_id in passage_ids]
                self._client.delete(found.collection, models.PointIdsList(points=ids), wait=True)
            for changed, holders in pt.by_metadata(metadata, gone):
                for passage_ids in _chunks(holders):
                    ids = [pt.point_id(passage_id) for passage_id in passage_ids]
                    held = self._client.retrieve(found.collection, ids, with_payload=False)
                    if held:
                        present = [record.id for record in held]
                        self._client.set_payload(found.collection, {"metadata": changed}, points=present, wait=True)
            held_now = (content.metadata for content in self._reader(found).contents())
            types = types_of(held_now, before.access.get("groups_field"))
            self._index(found.collection, before.metadata_types, types)
            self._note(found, metadata_types=types)

    def drop(self, name: str) -> None:
        """Takes a collection out of sight in one request, then removes it, and what was left of builds of the name."""
        pt.check_name(name)
        with store_errors(self._address):
            aliases = self._aliases()
            found = self._find(name, aliases)
            if found is not None:
                if served := [alias for alias, target in aliases.targets.items() if target == found.collection]:
                    raise StoreError(
                        f"collection {self._prefix}{name} is served as {', '.join(served)}",
                        "move the alias to another one first",
                    )
                self._change_aliases(remove=[self._layout.full(name), *aliases.note_names.get(name, [])])
                self._delete(found.collection)
            self._delete_unfinished(name)

    def clear(self) -> list[str]:
        """Removes every alias and collection that this store has made; others under the prefix stay."""
        with store_errors(self._address):
            collections = [name for name in self._names() if self._is_own(name)]
            pairs = [pair for pair in self._pairs() if pair[1] in collections]
            self._change_aliases(remove=[alias for alias, _ in pairs if alias.startswith(self._prefix)])
            for collection in collections:
                self._delete(collection)
        return sorted(name.removeprefix(self._prefix) for name in collections)

    def alias(self, alias: str) -> str | None:
        """The name of the collection behind an alias, or None."""
        with store_errors(self._address):
            target = self._aliases().targets.get(alias)
            if target is None:
                return None
            return self._layout.version_in(target) or self._earlier_version(target)

    def set_alias(self, alias: str, name: str) -> None:
        """Moves an alias in one request, which the server applies as a whole."""
        pt.check_name(alias)
        found, full = self._require(name), self._layout.full(alias)
        with store_errors(self._address):
            self._change_aliases(add={full: found.collection})

    @contextmanager
    def _loading(self, collection: str) -> Iterator[QdrantClient]:
        """The client to load a collection with."""
        faster = self._writer(collection)
        try:
            yield faster or self._client
        finally:
            if faster is not None:
                faster.close()

    def _reader(self, found: _Published) -> ServedCollection:
        return ServedCollection(self._info(found), self._client, found.collection, self._address)

    def _require(self, name: str) -> _Published:
        pt.check_name(name)
        with store_errors(self._address):
            found = self._find(name, self._aliases())
        if found is None:
            place = f"on Qdrant at {self._address}" if self._address else "in memory"
            raise NotReadyError(f"no collection {self._prefix}{name} {place}", "build it first")
        return found

    def _find(self, name: str, aliases: Aliases) -> _Published | None:
        """A complete version of this name."""
        collection = aliases.complete.get(name)
        if collection is None and (full := self._layout.full(name)) in self._names() and self._earlier_version(full):
            collection = full
        return None if collection is None else _Published(name, collection, aliases.notes.get(name, {}))

    def _all_published(self) -> Iterator[_Published]:
        aliases = self._aliases()
        earlier = {name: full for full in self._names() if (name := self._earlier_version(full))}
        for name, collection in {**earlier, **aliases.complete}.items():
            yield _Published(name, collection, aliases.notes.get(name, {}))

    def _info(self, found: _Published) -> CollectionInfo:
        """What a version knows about itself: as it was built, and as was noted since."""
        built = self._described.get(found.collection)
        if built is None:
            with store_errors(self._address):
                metadata = self._client.get_collection(found.collection).config.metadata or {}
            built = pt.info_from_json(metadata.get("info", {}), f"the metadata of {found.collection}")
            self._described[found.collection] = built  # written once, when the collection was made
        return replace(built, **found.note)

    def _note(self, found: _Published, **changes: Any) -> _Published:
        """Notes of a version what is other than when it was built, all in one request."""
        note = {**found.note, **changes}
        before, names = self._aliases().note_names.get(found.name, []), self._layout.note(found.name, note)
        gone = [name for name in before if name not in names]
        self._change_aliases(remove=gone, add=dict.fromkeys(names, found.collection))
        return replace(found, note=note)

    def _index(self, collection: str, before: Mapping[str, str], types: Mapping[str, str]) -> None:
        """Makes the keys of these types filterable, and those no longer that were by another."""
        if not self._address:  # the in-process client has no indexes and warns about each
            return
        for key in before:
            if types.get(key) != before[key]:
                self._client.delete_payload_index(collection, pt.metadata_path(key))
        for key, metadata_type in types.items():
            if before.get(key) != metadata_type:
                self._client.create_payload_index(collection, pt.metadata_path(key), _INDEXES[metadata_type])

    def _publish(self, collection: str, info: CollectionInfo) -> None:
        pt.check_count(retried(lambda: self._client.count(collection, exact=True)).count, info, "were stored")
        if self._address:  # the in-process client scans
            await_index(self._client, collection, info.count)
        if self._find(info.name, self._aliases()) is not None:
            raise self._overtaken(info.name)
        self._change_aliases(add={self._layout.full(info.name): collection})

    def _overtaken(self, name: str) -> StoreError:
        return StoreError(
            f"collection {self._prefix}{name} was built by another process meanwhile",
            "let one build of a name run at a time",
        )

    def _names(self) -> list[str]:
        """Every Qdrant collection under the prefix."""
        names = (collection.name for collection in self._client.get_collections().collections)
        return [name for name in names if name.startswith(self._prefix) and name not in self._deleted]

    def _pairs(self) -> list[tuple[str, str]]:
        return [(entry.alias_name, entry.collection_name) for entry in self._client.get_aliases().aliases]

    def _aliases(self) -> Aliases:
        return self._layout.read(self._pairs())

    def _change_aliases(self, *, remove: Sequence[str] = (), add: Mapping[str, str] | None = None) -> None:
        """One request, which is seen as a whole; an alias that is there moves.

        What can fail comes first: servers up to 1.18 leave what came before the failure.
        """
        operations: list[models.AliasOperations] = [
            models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=target, alias_name=name))
            for name, target in (add or {}).items()
        ]
        operations += [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name)) for name in remove]
        if operations:
            retried(lambda: self._client.update_collection_aliases(operations))  # twice is once

    def _earlier_version(self, collection: str) -> str | None:
        """The version that lies in a Qdrant collection by the version's own name, where its metadata calls it complete.

        So it was kept before an alias did that. Nothing has changed that metadata since.
        """
        name = self._layout.earlier_version_in(collection)
        if name is None:
            return None
        metadata = self._earlier_metadata(collection)
        return name if metadata.get("info", {}).get("name") == name and metadata.get("complete") else None

    def _earlier_metadata(self, collection: str) -> Mapping[str, Any]:
        """What a collection of another layout says of itself; nothing where it cannot: that one was never finished."""
        try:
            return self._client.get_collection(collection).config.metadata or {}
        except ApiException as error:
            log.warning("%s does not describe itself and is passed over: %s", collection, error)
            return {}

    def _is_own(self, collection: str) -> bool:
        """Whether this store made a Qdrant collection, finished or not, in this layout or an earlier one."""
        if self._layout.version_in(collection):
            return True
        name = self._layout.earlier_version_in(collection)
        if name is None:
            return False
        metadata = self._earlier_metadata(collection)
        return bool(name in (metadata.get("info", {}).get("name"), metadata.get(SHARED)))

    def _delete_unfinished(self, name: str) -> None:
        """Deletes what builds of this name have left that came to no end; never what something else made."""
        full, finished = self._layout.full(name), self._aliases().complete.get(name)
        for collection in self._names():
            if collection == full and not self._is_own(full):
                raise StoreError(f"{full} was not made by this store", "choose another prefix or name")
            if collection == full or (self._layout.version_in(collection) == name and collection != finished):
                self._delete(collection)

    def _delete(self, collection: str) -> None:
        """Deletes a Qdrant collection, and waits until the server says so."""
        self._client.delete_collection(collection)
        self._described.pop(collection, None)
        self._deleted.add(collection)
        awaited(lambda: not self._client.collection_exists(collection), f"the removal of {collection}")


def _grpc_client(connection: Mapping[str, Any], port: int, collection: str) -> QdrantClient | None:
    """A client that writes by gRPC; None where no server answers there that has the collection."""
    probe = QdrantClient(**{**connection, "timeout": GRPC_ANSWERS_WITHIN_S}, prefer_grpc=True, grpc_port=port)
    try:
        answers = probe.collection_exists(collection)
    except (grpc.RpcError, ApiException):
        answers = False
    finally:
        probe.close()
    return QdrantClient(**connection, prefer_grpc=True, grpc_port=port) if answers else None


def _chunks(passage_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(passage_ids), POINTS_PER_REQUEST):
        yield passage_ids[start : start + POINTS_PER_REQUEST]
