"""A Qdrant cluster in this process that answers as a real one was seen to: server 1.18, three nodes on loopback.

What one node does at once, the others may see late; here late is counted in reads and drawn from a seed.
"""

import threading
from copy import deepcopy
from dataclasses import dataclass
from itertools import cycle, repeat
from random import Random
from typing import Any, NamedTuple

import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.conversions import common_types as types
from qdrant_client.http.exceptions import ResponseHandlingException
from qdrant_client.local.qdrant_local import QdrantLocal

from domain_embed_tests.stores.cluster_client import NodeClient, in_the_servers_words, response
from domain_embed_tests.stores.cluster_collection import Ghost, KeptCollection, query_each_shard

# The server's default is as many kilobytes; this one counts points, so that a test can reach a threshold with a few.
INDEXING_THRESHOLD = 10_000
READS = {"count", "scroll", "retrieve", "query_points", "query_batch_points", "query_points_groups", "facet"}
WRITES = {"upsert", "delete", "set_payload", "overwrite_payload", "delete_payload", "clear_payload", "update_vectors",
          "delete_vectors", "batch_update_points", "create_payload_index", "delete_payload_index"}  # fmt: skip


class Request(NamedTuple):
    """One request as it reached a node, answered or not."""

    node: int
    method: str
    collection: str  # of a change of aliases, the last one that an alias is made for
    indexing: bool  # whether that collection was being indexed


@dataclass
class _Fault:
    method: str
    after: int
    times: int
    applied: bool


class FakeCluster:
    """`nodes` Qdrant nodes over one truth; a collection has `replication` replicas unless its creation says otherwise.

    `settling` is the number of reads, of a collection or at a node, for which a change of metadata or a deletion may be
    seen late; it is so large that what relies on such a change fails. `indexing` is the number of reads for which a
    collection stays yellow. Servers up to 1.18 leave the operations before a failed one applied when aliases change;
    with `undoes_aliases=False` this one does the same.
    """

    def __init__(
        self, nodes: int = 3, replication: int = 1, seed: int = 0, *,
        settling: int = 1000, indexing: int = 3, undoes_aliases: bool = True,
    ) -> None:  # fmt: skip
        self.nodes = nodes
        self.log: list[Request] = []
        self.created: dict[str, dict[str, Any]] = {}  # what each creation was given, also of what is deleted since
        self._replication, self._settling, self._indexing = replication, settling, indexing
        self._undoes_aliases = undoes_aliases
        self._truth: Any = QdrantLocal(":memory:")
        self._kept: dict[str, KeptCollection] = {}
        self._ghosts: dict[str, Ghost] = {}
        self._away: set[int] = set()
        self._faults: list[_Fault] = []
        self._draw = Random(seed)
        self._lock = threading.RLock()

    def client(self, node: int = 0) -> QdrantClient:
        """A client of one node."""
        return NodeClient(self, repeat(node))

    def balanced(self) -> QdrantClient:
        """A client whose every request goes to the next node, as behind a load balancer."""
        return NodeClient(self, cycle(range(self.nodes)))

    def take_away(self, node: int) -> None:
        """The node refuses connections; the others go on without its replicas."""
        self._away.add(node)

    def bring_back(self, node: int) -> None:
        """The node answers again and has missed nothing."""
        self._away.discard(node)

    def leave_under_creation(self, name: str, **arguments: Any) -> None:
        """A collection whose creator was killed halfway; `arguments` are create_collection's."""
        self.client(self._up()[0]).create_collection(name, **arguments)
        self._kept[name].complete = False

    def lose_connection(self, method: str = "upsert", *, after: int = 0, times: int = 1, applied: bool = False) -> None:
        """After so many requests of a method, breaks the connection of the next `times`, applied by then or not."""
        self._faults.append(_Fault(method, after, times, applied))

    def nodes_of(self, name: str) -> list[list[int]]:
        """The nodes that hold each shard of a collection."""
        return self._kept[name].replicas

    def requests(self, method: str) -> list[Request]:
        """The requests of a method, in order."""
        return [request for request in self.log if request.method == method]

    def ask(self, node: int, method: str, /, **arguments: Any) -> Any:
        """One request to a node: its answer, or the client's exception for it."""
        with self._lock:
            self._note(node, method, arguments)
            if node in self._away:
                raise ResponseHandlingException(httpx.ConnectError("[Errno 111] Connection refused"))
            fault = self._fault(method)
            if fault and not fault.applied:
                raise ResponseHandlingException(httpx.WriteError("[Errno 104] Connection reset by peer"))
            try:
                answer = self._answer(node, method, arguments)
            except ValueError as error:
                raise in_the_servers_words(error) from None
            if fault:
                raise ResponseHandlingException(httpx.ReadError("[Errno 104] Connection reset by peer"))
            return answer

    def _note(self, node: int, method: str, arguments: dict[str, Any]) -> None:
        name = arguments.get("collection_name", "")
        for operation in arguments.get("change_aliases_operations", ()):
            if isinstance(operation, models.CreateAliasOperation):
                name = operation.create_alias.collection_name
        kept = self._kept.get(self._resolve(name))
        self.log.append(Request(node, method, name, kept is not None and kept.indexing))

    def _fault(self, method: str) -> _Fault | None:
        for fault in self._faults:
            if fault.method == method and fault.times:
                if fault.after:
                    fault.after -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    def _answer(self, node: int, method: str, arguments: dict[str, Any]) -> Any:
        if method in READS | WRITES:
            self._readable(arguments["collection_name"])
        if handler := getattr(self, f"_on_{method}", None):
            return handler(node, **arguments)
        answer = getattr(self._truth, method)(**arguments)
        if method in WRITES:
            name = arguments["collection_name"]
            self._collection(name).load(self._truth.count(name).count, self._indexing)
        return answer

    def _up(self) -> list[int]:
        return [node for node in range(self.nodes) if node not in self._away]

    def _resolve(self, name: str) -> str:
        return str(self._truth.aliases.get(name, name))

    def _collection(self, name: str) -> KeptCollection:
        self._truth.get_collection(name)  # raises where there is none
        return self._kept[self._resolve(name)]

    def _readable(self, name: str) -> KeptCollection:
        kept = self._collection(name)
        if not kept.readable(self._away):
            raise response(500, "Service internal error: 0 of 0 read operations failed")
        return kept

    def _ghosts_seen(self, node: int) -> dict[str, Ghost]:
        return {name: ghost for name, ghost in self._ghosts.items() if ghost.seen(node)}

    def _on_get_collections(self, node: int) -> models.CollectionsResponse:
        names = [*self._truth.collections, *self._ghosts_seen(node)]
        return models.CollectionsResponse(collections=[models.CollectionDescription(name=name) for name in names])

    def _on_collection_exists(self, node: int, collection_name: str) -> bool:
        return self._truth.collection_exists(collection_name) or collection_name in self._ghosts_seen(node)

    def _on_get_collection(self, node: int, collection_name: str) -> models.CollectionInfo:
        if ghost := self._ghosts_seen(node).get(collection_name):
            return deepcopy(ghost.info)
        kept = self._readable(collection_name)
        info: models.CollectionInfo = self._truth.get_collection(collection_name)
        kept.describe(info)
        info.config.metadata = kept.metadata(node, info.config.metadata, self._draw)
        return info

    def _on_create_collection(self, node: int, collection_name: str, **given: Any) -> bool:
        self._truth.create_collection(collection_name, **given)
        self._ghosts.pop(collection_name, None)
        copies = min(given["replication_factor"] or self._replication, self.nodes)
        nodes = self._up() if copies <= len(self._up()) else list(range(self.nodes))
        shards, start = given["shard_number"] or self.nodes, len(self._kept)
        replicas = [[nodes[(start + shard + copy) % len(nodes)] for copy in range(copies)] for shard in range(shards)]
        given = {key: value for key, value in given.items() if value is not None}
        threshold = _threshold(given.get("optimizers_config"))
        self.created[collection_name] = given
        self._kept[collection_name] = KeptCollection(
            replicas, given, INDEXING_THRESHOLD if threshold is None else threshold
        )
        return True

    def _on_delete_collection(self, node: int, collection_name: str, **_: Any) -> bool:
        """Takes its aliases along, and of both the other nodes hear late."""
        self._ghosts.pop(collection_name, None)
        if collection_name not in self._truth.collections:
            return False
        others = {other: self._settling for other in range(self.nodes) if other != node}
        aliases = self._truth.get_collection_aliases(collection_name).aliases
        self._ghosts[collection_name] = Ghost(self._truth.get_collection(collection_name), aliases, others)
        del self._kept[collection_name]
        return bool(self._truth.delete_collection(collection_name))

    def _on_update_collection(self, node: int, collection_name: str, **changes: Any) -> bool:
        kept = self._collection(collection_name)
        before = self._truth.get_collection(collection_name).config.metadata
        self._truth.update_collection(collection_name, **changes)
        if changes["metadata"] is not None and self.nodes > 1:
            kept.change_metadata(node, before, self._settling)
        threshold = _threshold(changes["optimizers_config"])
        if threshold is not None:
            kept.set_threshold(threshold, self._truth.count(collection_name).count, self._indexing)
        return True

    def _on_get_aliases(self, node: int) -> models.CollectionsAliasesResponse:
        found = [alias for ghost in self._ghosts_seen(node).values() for alias in ghost.aliases]
        newest = {alias.alias_name: alias for alias in [*found, *self._truth.get_aliases().aliases]}
        return models.CollectionsAliasesResponse(aliases=list(newest.values()))

    def _on_get_collection_aliases(self, node: int, collection_name: str) -> models.CollectionsAliasesResponse:
        aliases = self._on_get_aliases(node).aliases
        return models.CollectionsAliasesResponse(
            aliases=[alias for alias in aliases if alias.collection_name == collection_name]
        )

    def _on_update_collection_aliases(self, node: int, change_aliases_operations: list[Any], **_: Any) -> bool:
        operations = change_aliases_operations
        for together in [operations] if self._undoes_aliases else [[operation] for operation in operations]:
            self._truth.update_collection_aliases(together)
        return True

    def _on_create_payload_index(
        self, node: int, collection_name: str, field_name: str, field_schema: Any, **_: Any
    ) -> models.UpdateResult:
        kind = models.PayloadSchemaType(getattr(field_schema, "type", field_schema))  # or the index's parameters
        index = models.PayloadIndexInfo(data_type=kind, points=self._truth.count(collection_name).count)
        self._collection(collection_name).payload_schema[field_name] = index
        return models.UpdateResult(status=models.UpdateStatus.COMPLETED)

    def _on_delete_payload_index(
        self, node: int, collection_name: str, field_name: str, **_: Any
    ) -> models.UpdateResult:
        self._collection(collection_name).payload_schema.pop(field_name, None)
        return models.UpdateResult(status=models.UpdateStatus.COMPLETED)

    def _on_query_points(self, node: int, collection_name: str, query: Any, **asked: Any) -> types.QueryResponse:
        shards = len(self._collection(collection_name).replicas)
        asked["search_params"] = None  # the truth scans, and warns about any
        sparse = isinstance(query, models.NearestQuery) and isinstance(query.nearest, models.SparseVector)
        if shards > 1 and sparse and not asked["prefetch"]:
            return query_each_shard(self._truth, collection_name, shards, query, **asked)
        answer: types.QueryResponse = self._truth.query_points(collection_name, query, **asked)
        return answer

    def _on_query_batch_points(
        self, node: int, collection_name: str, requests: list[models.QueryRequest], **_: Any
    ) -> list[types.QueryResponse]:
        same = ("query", "using", "prefetch", "offset", "score_threshold", "with_payload", "lookup_from")
        asked = [{name: getattr(one, name) for name in same} for one in requests]
        for fields, one in zip(asked, requests, strict=True):
            fields |= {"limit": one.limit or 10, "query_filter": one.filter, "with_vectors": one.with_vector}
        return [self._on_query_points(node, collection_name, **fields) for fields in asked]


def _threshold(config: Any) -> int | None:
    return None if config is None else config.indexing_threshold
