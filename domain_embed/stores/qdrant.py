"""The vector store on a Qdrant server, or in this process's memory for tests."""

import uuid
from collections.abc import Collection as AnyCollection
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count
from typing import Any

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from domain_embed.contracts.errors import NotReadyError, SettingsError, StoreError
from domain_embed.contracts.metadata import types_of
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import CollectionInfo, Point
from domain_embed.contracts.secrets import Secret, SecretUrl
from domain_embed.settings import IndexSettings
from domain_embed.stores import points as pt
from domain_embed.stores.collection import POINTS_PER_REQUEST
from domain_embed.stores.patient_transport import patient_transport
from domain_embed.stores.qdrant_collection import ServedCollection, store_errors, to_struct, to_vectors
from domain_embed.stores.qdrant_layout import (
    SHARED,
    Stored,
    alias_entry,
    is_shared,
    meant_by,
    shared_metadata,
    stored_in,
)

# The client gives up after 5 s by default; an exact batch over millions of points takes longer.
TIMEOUT_S = 60
_INDEXES = {
    "str": models.PayloadSchemaType.KEYWORD,
    "int": models.PayloadSchemaType.INTEGER,
    "float": models.PayloadSchemaType.FLOAT,
    "bool": models.PayloadSchemaType.BOOL,
    "date": models.PayloadSchemaType.DATETIME,
}


_QUANTIZATIONS: dict[str, models.QuantizationConfig | None] = {
    "none": None,
    "int8": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    ),
    "binary": models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
}


class QdrantStore:
    """The VectorStore port over a Qdrant client.

    Every collection and alias carries `prefix`, so that several stores can share a server. A collection's
    own metadata holds its info and whether it is complete; an incomplete one is never listed or opened.

    With `in_place`, what is built from now on shares its passages with other models' collections of the same
    `content`: they are one collection to Qdrant, with each model's vectors under a name of their own.
    """

    def __init__(self, client: QdrantClient, prefix: str = "", *, address: str = "", in_place: bool = False) -> None:
        """`address` is the server's, for messages; a client without one works in this process."""
        self._client = client
        self._prefix = prefix
        self._address = address
        self._in_place = in_place

    @classmethod
    def connect(
        cls, url: str | SecretUrl, api_key: str | Secret | None = None, prefix: str = "", *, in_place: bool = False
    ) -> "QdrantStore":
        """A store on a server; the first call finds out whether it answers."""
        url, key = SecretUrl(url), Secret(api_key).reveal() if api_key else None
        try:
            client = QdrantClient(
                url=url.reveal(), api_key=key, timeout=TIMEOUT_S, check_compatibility=False,
                transport=patient_transport(url.reveal()),
            )  # fmt: skip
        except ValueError as error:
            raise SettingsError(f"QDRANT_URL: {url}: {error}", "write http://HOST:PORT or the like") from None
        return cls(client, prefix, address=str(url), in_place=in_place)

    @classmethod
    def in_memory(cls, prefix: str = "") -> "QdrantStore":
        """A store of its own that vanishes with the process; slow beyond some thousand points."""
        return cls(QdrantClient(":memory:"), prefix)

    def build(self, info: CollectionInfo, batches: Iterable[Sequence[Point]]) -> None:
        """Writes a collection that becomes visible at the end, or not at all. See the port for what is refused."""
        pt.check_name(info.name)
        with store_errors(self._address):
            found = self._find(info.name)
            if found is not None and found.complete:
                raise StoreError(f"collection {self._prefix}{info.name} exists", "drop it, or build another name")
            self._delete(info.name)
            stored = self._create_in_place(info) if self._in_place else self._create(info)
        try:
            for batch in pt.checked(info, batches):
                self._write(stored, batch)
            with store_errors(self._address):
                self._publish(stored, info)
        except BaseException:
            self._discard(stored)
            raise

    def collections(self) -> list[CollectionInfo]:
        """Every complete collection under this prefix, oldest first."""
        with store_errors(self._address):
            infos = [stored.info() for stored in self._all_stored() if stored.complete]
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
        """Changes a complete collection in place; see the port. Cut short, the same call again completes it.

        That it is amended is noted first, then points are deleted, then metadata is set: whatever cuts it short,
        nothing is taken for what it is no longer. Versions that share their passages are amended together.

        The server deletes at once for every search and read, and keeps the bytes in its segments until its optimizer
        rewrites them, and in its write-ahead log for a while; `purge` cannot hasten that. To be rid of them at once,
        build the collection anew and drop this one.
        """
        found = self._require(name)
        full, gone = self._prefix + found.collection, set(remove)
        with store_errors(self._address):
            self._note(found.collection, amended=pt.amended_now())
            for passage_ids in _chunks(sorted(gone)):
                ids: list[Any] = [pt.point_id(passage_id) for passage_id in passage_ids]
                self._client.delete(full, models.PointIdsList(points=ids), wait=True)
            for changed, holders in pt.by_metadata(metadata, gone):
                for passage_ids in _chunks(holders):
                    ids = [pt.point_id(passage_id) for passage_id in passage_ids]
                    held = self._client.retrieve(full, ids, with_payload=False)
                    if held:
                        present = [record.id for record in held]
                        self._client.set_payload(full, {"metadata": changed}, points=present, wait=True)
            held_now = (content.metadata for content in self._reader(found).contents())
            types = types_of(held_now, found.info().access.get("groups_field"))
            self._index(full, found.info().metadata_types, types)
            self._note(found.collection, metadata_types=types)

    def drop(self, name: str) -> None:
        """Removes a collection, complete or not; of one that shares its passages, its vectors."""
        pt.check_name(name)
        with store_errors(self._address):
            if served := [alias for alias, target in self._aliases().items() if target == name]:
                raise StoreError(
                    f"collection {self._prefix}{name} is served as {', '.join(served)}",
                    "move the alias to another one first",
                )
            self._delete(name)

    def clear(self) -> list[str]:
        """Removes every alias and collection that this store has made; others under the prefix stay."""
        with store_errors(self._address):
            collections = {stored.collection for stored in self._all_stored()}
            for alias, target in self._alias_targets().items():
                if target in collections:
                    gone = models.DeleteAlias(alias_name=self._prefix + alias)
                    self._client.update_collection_aliases([models.DeleteAliasOperation(delete_alias=gone)])
            for collection in collections:
                self._client.delete_collection(self._prefix + collection)
        return sorted(collections)

    def alias(self, alias: str) -> str | None:
        """The name of the collection behind an alias, or None."""
        with store_errors(self._address):
            target = self._alias_targets().get(alias)
            return None if target is None else meant_by(alias, target, self._metadata(target))

    def set_alias(self, alias: str, name: str) -> None:
        """Moves an alias in one request, which the server applies as a whole.

        Within a Qdrant collection that versions share, that is the change of the entry which names the version. To come
        there from another one, the entry is written first, where the alias does not lead yet.
        """
        pt.check_name(alias)
        found = self._require(name)
        full, target = self._prefix + alias, self._prefix + found.collection
        create = models.CreateAlias(collection_name=target, alias_name=full)
        operations: list[models.AliasOperations] = [models.CreateAliasOperation(create_alias=create)]
        with store_errors(self._address):
            if found.shares:
                self._client.update_collection(target, metadata=alias_entry(alias, name))
            before = self._alias_targets().get(alias)
            if before == found.collection:
                return
            if before is not None:
                operations.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=full)))
            self._client.update_collection_aliases(operations)

    def _reader(self, found: Stored) -> ServedCollection:
        full = self._prefix + found.collection
        return ServedCollection(found.info(), self._client, full, self._address, vector=found.vector)

    def _note(self, collection: str, **changes: Any) -> None:
        """Changes what the complete versions in a Qdrant collection know about themselves."""
        for stored in stored_in(collection, self._metadata(collection)):
            if stored.complete:
                state = {**stored.state, "info": pt.info_to_json(replace(stored.info(), **changes))}
                self._client.update_collection(self._prefix + collection, metadata=stored.entry(state))

    def _is_amended(self, collection: str) -> bool:
        """Whether a Qdrant collection no longer holds what was built there."""
        versions = stored_in(collection, self._metadata(collection))
        return any(stored.complete and stored.info().amended for stored in versions)

    def _index(self, full: str, before: Mapping[str, str], types: Mapping[str, str]) -> None:
        """Makes the keys of these types filterable, and those no longer that were by another."""
        if not self._address:  # the in-process client has no indexes and warns about each
            return
        for key in before:
            if types.get(key) != before[key]:
                self._client.delete_payload_index(full, pt.metadata_path(key))
        for key, metadata_type in types.items():
            if before.get(key) != metadata_type:
                self._client.create_payload_index(full, pt.metadata_path(key), _INDEXES[metadata_type])

    def _require(self, name: str) -> Stored:
        pt.check_name(name)
        with store_errors(self._address):
            found = self._find(name)
        if found is None or not found.complete:
            place = f"on Qdrant at {self._address}" if self._address else "in memory"
            raise NotReadyError(f"no collection {self._prefix}{name} {place}", "build it first")
        return found

    def _find(self, name: str) -> Stored | None:
        """A version, finished or not; an alias or a foreign collection is none."""
        own = next(stored_in(name, self._metadata(name)), None)
        if own is not None and not own.shares:
            return own
        return next((stored for stored in self._all_stored() if stored.name == name), None)

    def _all_stored(self) -> Iterator[Stored]:
        for collection in self._client.get_collections().collections:
            if collection.name.startswith(self._prefix):
                name = collection.name.removeprefix(self._prefix)
                yield from stored_in(name, self._metadata(name))

    def _metadata(self, collection: str) -> Mapping[str, Any]:
        if not self._client.collection_exists(self._prefix + collection):
            return {}
        return self._client.get_collection(self._prefix + collection).config.metadata or {}

    def _alias_targets(self) -> dict[str, str]:
        """The Qdrant collection behind each alias."""
        return {
            entry.alias_name.removeprefix(self._prefix): entry.collection_name.removeprefix(self._prefix)
            for entry in self._client.get_aliases().aliases
            if entry.alias_name.startswith(self._prefix)
        }

    def _aliases(self) -> dict[str, str]:
        """The version behind each alias."""
        return {
            alias: meant_by(alias, target, self._metadata(target)) for alias, target in self._alias_targets().items()
        }

    def _create(self, info: CollectionInfo) -> Stored:
        stored = Stored(info.name, pt.DENSE, _state(info))
        self._create_collection(stored.collection, info, {pt.DENSE: _vector_params(info)}, stored.state)
        return stored

    def _create_in_place(self, info: CollectionInfo) -> Stored:
        stored = Stored(self._shared_place(info), info.name, _state(info))
        full = self._prefix + stored.collection
        if not self._client.collection_exists(full):
            self._create_collection(stored.collection, info, {}, shared_metadata(stored.collection))
        elif not is_shared(stored.collection, self._metadata(stored.collection)):
            raise StoreError(f"{full} was not made by this store", "choose another prefix")
        elif stored.vector in (self._client.get_collection(full).config.params.vectors or {}):
            self._client.delete_vector_name(full, stored.vector)  # of a build or a removal that was cut short
        self._client.update_collection(full, metadata=stored.entry(stored.state))
        dense = models.DenseVectorConfig(size=info.dimensions, distance=models.Distance.COSINE)
        try:
            self._client.create_vector_name(full, stored.vector, models.DenseVectorNameConfig(dense=dense))
        except UnexpectedResponse as error:
            self._delete(stored.name)
            if error.status_code in (404, 405):  # the way to it is not known
                raise StoreError(
                    f"Qdrant at {self._address} cannot add vectors to a collection",
                    "index.in_place needs Qdrant 1.18 or later",
                ) from error
            raise
        params = _vector_params(info)
        changed = models.VectorParamsDiff(
            hnsw_config=params.hnsw_config, quantization_config=params.quantization_config, on_disk=params.on_disk
        )
        self._client.update_collection(full, vectors_config={stored.vector: changed})
        return stored

    def _shared_place(self, info: CollectionInfo) -> str:
        """The Qdrant collection of equal passages; where they are no longer all there, the next one."""
        first = f"{SHARED}-{info.content or info.name}"
        names = chain([first], (f"{first}-{number}" for number in count(2)))
        return next(name for name in names if not self._is_amended(name))

    def _create_collection(
        self, name: str, info: CollectionInfo, vectors: dict[str, models.VectorParams], metadata: Mapping[str, Any]
    ) -> None:
        full = self._prefix + name
        self._client.create_collection(
            full,
            vectors_config=vectors,
            sparse_vectors_config={pt.SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            metadata=dict(metadata),
        )
        self._index(full, {}, info.metadata_types)

    def _write(self, stored: Stored, batch: Sequence[Point]) -> None:
        full = self._prefix + stored.collection
        for start in range(0, len(batch), POINTS_PER_REQUEST):
            points = batch[start : start + POINTS_PER_REQUEST]
            with store_errors(self._address):
                if not stored.shares:
                    self._client.upsert(full, [to_struct(point, dense=True) for point in points], wait=True)
                    continue
                # What another model's build has written stays: an upsert would take its vectors away.
                structs = [to_struct(point, dense=False) for point in points]
                self._client.upsert(full, structs, wait=True, update_mode=models.UpdateMode.INSERT_ONLY)
                self._client.update_vectors(full, [to_vectors(point, stored.vector) for point in points], wait=True)

    def _publish(self, stored: Stored, info: CollectionInfo) -> None:
        full = self._prefix + stored.collection
        mine = models.Filter(must=[models.HasVectorCondition(has_vector=stored.vector)])
        for counted in (None, mine):
            pt.check_count(self._client.count(full, counted, exact=True).count, info, "were stored")
        if stored.shares and self._is_amended(stored.collection):
            raise StoreError(f"passages were taken out of {full} while this was built", "run again")
        if not self._is_current(stored):
            raise StoreError(
                f"collection {self._prefix}{stored.name} is no longer the one this build made",
                "let one build of a name run at a time, on Qdrant 1.16 or later (earlier ones keep no metadata)",
            )
        self._client.update_collection(full, metadata=stored.entry({**stored.state, "complete": True}))

    def _is_current(self, stored: Stored) -> bool:
        """Whether nobody has built this version again since."""
        found = self._find(stored.name)
        return found is not None and found.state.get("build") == stored.state["build"]

    def _delete(self, name: str) -> None:
        """Deletes what a build of this name made, finished or not; never what something else made."""
        found = self._find(name)
        if found is None:
            if self._client.collection_exists(self._prefix + name):
                raise StoreError(f"{self._prefix}{name} was not made by this store", "choose another prefix or name")
            return
        full = self._prefix + found.collection
        if all(other.name == name for other in stored_in(found.collection, self._metadata(found.collection))):
            self._client.delete_collection(full)
            return
        self._client.update_collection(full, metadata=found.entry(None))
        self._client.delete_vector_name(full, found.vector)

    def _discard(self, stored: Stored) -> None:
        """Best effort: an incomplete collection is invisible anyway, and the next build of the name removes it."""
        with suppress(ApiException):
            if self._is_current(stored):
                self._delete(stored.name)


def _state(info: CollectionInfo) -> dict[str, Any]:
    return {"info": pt.info_to_json(info), "build": uuid.uuid4().hex, "complete": False}


def _chunks(passage_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(passage_ids), POINTS_PER_REQUEST):
        yield passage_ids[start : start + POINTS_PER_REQUEST]


def _vector_params(info: CollectionInfo) -> models.VectorParams:
    index = IndexSettings(**info.index)
    return models.VectorParams(
        size=info.dimensions,
        distance=models.Distance.COSINE,
        on_disk=index.on_disk,
        quantization_config=_QUANTIZATIONS[index.quantization],
        hnsw_config=models.HnswConfigDiff(m=index.hnsw_m, ef_construct=index.hnsw_ef_construct),
    )
