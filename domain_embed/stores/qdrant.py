"""The vector store on a Qdrant server, or in this process's memory for tests."""

import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from domain_embed.contracts.errors import NotReadyError, StoreError
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import CollectionInfo, Point
from domain_embed.settings import IndexSettings
from domain_embed.stores import points as pt
from domain_embed.stores.collection import POINTS_PER_REQUEST
from domain_embed.stores.qdrant_collection import ServedCollection, store_errors, to_struct

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
    """

    def __init__(self, client: QdrantClient, prefix: str = "", *, address: str = "") -> None:
        """`address` is the server's, for messages; a client without one works in this process."""
        self._client = client
        self._prefix = prefix
        self._address = address

    @classmethod
    def connect(cls, url: str, api_key: str | None = None, prefix: str = "") -> "QdrantStore":
        """A store on a server; the first call finds out whether it answers."""
        parts = urlsplit(url)
        address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        client = QdrantClient(url=url, api_key=api_key, timeout=TIMEOUT_S, check_compatibility=False)
        return cls(client, prefix, address=address)

    @classmethod
    def in_memory(cls, prefix: str = "") -> "QdrantStore":
        """A store of its own that vanishes with the process; slow beyond some thousand points."""
        return cls(QdrantClient(":memory:"), prefix)

    def build(self, info: CollectionInfo, batches: Iterable[Sequence[Point]]) -> None:
        """Writes a collection that becomes visible at the end, or not at all. See the port for what is refused."""
        pt.check_name(info.name)
        state = {"info": pt.info_to_json(info), "build": uuid.uuid4().hex, "complete": False}
        with store_errors(self._address):
            if self._complete(info.name):
                raise StoreError(f"collection {self._prefix}{info.name} exists", "drop it, or build another name")
            self._delete(info.name)
            self._create(info, state)
        try:
            for batch in pt.checked(info, batches):
                self._upsert(info.name, batch)
            with store_errors(self._address):
                self._publish(info, state)
        except BaseException:
            self._discard(info.name, state)
            raise

    def collections(self) -> list[CollectionInfo]:
        """Every complete collection under this prefix, oldest first."""
        with store_errors(self._address):
            names = [collection.name for collection in self._client.get_collections().collections]
            own = [name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix)]
            infos = [info for name in own if (info := self._complete(name))]
        return sorted(infos, key=lambda info: (info.built_at, info.name))

    def size_bytes(self, name: str) -> int | None:
        """Not known: the server does not say."""
        self._require(name)
        return None

    def open(self, name: str) -> Collection:
        """A reader over the store's connection."""
        return ServedCollection(self._require(name), self._client, self._prefix + name, self._address)

    def drop(self, name: str) -> None:
        """Removes a collection, complete or not."""
        pt.check_name(name)
        with store_errors(self._address):
            if served := [alias for alias, target in self._aliases().items() if target == name]:
                raise StoreError(
                    f"collection {self._prefix}{name} is served as {', '.join(served)}",
                    "move the alias to another one first",
                )
            self._delete(name)

    def alias(self, alias: str) -> str | None:
        """The name of the collection behind an alias, or None."""
        with store_errors(self._address):
            return self._aliases().get(alias)

    def set_alias(self, alias: str, name: str) -> None:
        """Moves an alias in one request, which the server applies as a whole."""
        pt.check_name(alias)
        self._require(name)
        full = self._prefix + alias
        create = models.CreateAlias(collection_name=self._prefix + name, alias_name=full)
        operations: list[models.AliasOperations] = [models.CreateAliasOperation(create_alias=create)]
        if self.alias(alias) is not None:
            operations.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=full)))
        with store_errors(self._address):
            self._client.update_collection_aliases(operations)

    def _require(self, name: str) -> CollectionInfo:
        pt.check_name(name)
        with store_errors(self._address):
            info = self._complete(name)
        if info is None:
            place = f"on Qdrant at {self._address}" if self._address else "in memory"
            raise NotReadyError(f"no collection {self._prefix}{name} {place}", "build it first")
        return info

    def _complete(self, name: str) -> CollectionInfo | None:
        """The info of a complete collection, or None; an alias or a foreign collection is none."""
        state = self._state(name)
        if not state.get("complete") or state["info"]["name"] != name:
            return None
        return pt.info_from_json(state["info"], f"the metadata of {self._prefix}{name}")

    def _state(self, name: str) -> dict[str, Any]:
        if not self._client.collection_exists(self._prefix + name):
            return {}
        return self._client.get_collection(self._prefix + name).config.metadata or {}

    def _aliases(self) -> dict[str, str]:
        return {
            entry.alias_name.removeprefix(self._prefix): entry.collection_name.removeprefix(self._prefix)
            for entry in self._client.get_aliases().aliases
            if entry.alias_name.startswith(self._prefix)
        }

    def _create(self, info: CollectionInfo, state: dict[str, Any]) -> None:
        full = self._prefix + info.name
        self._client.create_collection(
            full,
            vectors_config={pt.DENSE: _vector_params(info)},
            sparse_vectors_config={pt.SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            metadata=state,
        )
        if self._address:  # the in-process client has no indexes and warns about each
            for key, metadata_type in info.metadata_types.items():
                self._client.create_payload_index(full, pt.metadata_path(key), _INDEXES[metadata_type])

    def _upsert(self, name: str, batch: Sequence[Point]) -> None:
        for start in range(0, len(batch), POINTS_PER_REQUEST):
            structs = [to_struct(point) for point in batch[start : start + POINTS_PER_REQUEST]]
            with store_errors(self._address):
                self._client.upsert(self._prefix + name, structs, wait=True)

    def _publish(self, info: CollectionInfo, state: dict[str, Any]) -> None:
        full = self._prefix + info.name
        pt.check_count(self._client.count(full, exact=True).count, info, "were stored")
        if self._state(info.name).get("build") != state["build"]:
            raise StoreError(
                f"collection {full} is no longer the one this build made",
                "let one build of a name run at a time, on Qdrant 1.16 or later (earlier ones keep no metadata)",
            )
        self._client.update_collection(full, metadata={**state, "complete": True})

    def _delete(self, name: str) -> None:
        """Deletes what a build of this name made, finished or not; never what something else made."""
        if not self._client.collection_exists(self._prefix + name):
            return
        if self._state(name).get("info", {}).get("name") != name:
            raise StoreError(f"{self._prefix}{name} was not made by this store", "choose another prefix or name")
        self._client.delete_collection(self._prefix + name)

    def _discard(self, name: str, state: dict[str, Any]) -> None:
        """Best effort: an incomplete collection is invisible anyway, and the next build of the name removes it."""
        with suppress(ApiException):
            if self._state(name).get("build") == state["build"]:
                self._client.delete_collection(self._prefix + name)


def _vector_params(info: CollectionInfo) -> models.VectorParams:
    index = IndexSettings(**info.index)
    return models.VectorParams(
        size=info.dimensions,
        distance=models.Distance.COSINE,
        on_disk=index.on_disk,
        quantization_config=_QUANTIZATIONS[index.quantization],
        hnsw_config=models.HnswConfigDiff(m=index.hnsw_m, ef_construct=index.hnsw_ef_construct),
    )
