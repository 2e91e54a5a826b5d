"""What a server keeps of a collection and the in-process client does not: its shards, its index, its late metadata."""

import hashlib
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any

from qdrant_client import models
from qdrant_client.conversions import common_types as types

# Seen: 59 of 60 first reads at another node were late.
LATE_ELSEWHERE = 59 / 60
LATE_AT_THE_SAME_NODE = 1 / 2


@dataclass
class KeptCollection:
    """The state of one collection beside its points."""

    replicas: list[list[int]]  # the nodes of each shard
    given: dict[str, Any]  # to its creation
    threshold: int  # the points above which it is indexed; 0 for never
    complete: bool = True  # not when its creation was cut short
    payload_schema: dict[str, models.PayloadIndexInfo] = field(default_factory=dict)
    _before: list[Any] = field(default_factory=list)  # metadata that a late read may still see
    _changed_by: int = 0
    _late_reads: int = 0
    _grey: bool = False
    _yellow_reads: int = 0
    _indexed: int = 0

    @property
    def indexing(self) -> bool:
        """Whether its index is not yet what it will be."""
        return self._grey or self._yellow_reads > 0

    def readable(self, away: set[int]) -> bool:
        """Whether every shard has a replica that answers."""
        return self.complete and not any(away.issuperset(nodes) for nodes in self.replicas)

    def change_metadata(self, node: int, before: Any, late_reads: int) -> None:
        """From now on so many reads may see what was there before."""
        self._before = [*(self._before if self._late_reads else ()), before]
        self._changed_by, self._late_reads = node, late_reads

    def metadata(self, node: int, newest: Any, draw: Random) -> Any:
        """Late and in any order: a node that has said the new may say the old again."""
        if not self._late_reads:
            return newest
        self._late_reads -= 1
        late = LATE_AT_THE_SAME_NODE if node == self._changed_by else LATE_ELSEWHERE
        return deepcopy(draw.choice(self._before)) if draw.random() < late else newest

    def load(self, count: int, reads: int) -> None:
        """Its points have changed; above the threshold they are indexed for so many reads."""
        if 0 < self.threshold < count:
            self._yellow_reads = reads

    def set_threshold(self, threshold: int, count: int, reads: int) -> None:
        """Where indexing was off and is on again, the optimizer looks at what is there."""
        resumed, self.threshold = threshold > 0 and self.threshold == 0, threshold
        if resumed and count:
            self._grey, self._yellow_reads = True, reads

    def status(self, count: int) -> tuple[models.CollectionStatus, int]:
        """Grey until the optimizer starts, yellow while it works, then green; and how many points are indexed."""
        if self._grey:
            self._grey = False
            return models.CollectionStatus.GREY, self._indexed
        if self._yellow_reads:
            self._yellow_reads -= 1
            return models.CollectionStatus.YELLOW, self._indexed
        self._indexed = count if 0 < self.threshold < count else min(self._indexed, count)
        return models.CollectionStatus.GREEN, self._indexed

    def describe(self, info: models.CollectionInfo) -> None:
        """Says of the collection what the in-process client leaves out."""
        for key in ("replication_factor", "write_consistency_factor", "on_disk_payload"):
            setattr(info.config.params, key, self.given.get(key))
        info.config.params.shard_number = len(self.replicas)
        info.config.optimizer_config.indexing_threshold = self.threshold
        info.payload_schema = dict(self.payload_schema)
        info.status, info.indexed_vectors_count = self.status(info.points_count or 0)


@dataclass
class Ghost:
    """A deleted collection as other nodes still see it, and for how many reads each."""

    info: models.CollectionInfo
    aliases: list[models.AliasDescription]
    reads: dict[int, int]

    def seen(self, node: int) -> bool:
        """Whether this read, which counts, still sees it."""
        left = self.reads.get(node, 0)
        self.reads[node] = max(left - 1, 0)
        return left > 0


def shard_of(point_id: Any, shards: int) -> int:
    """The shard a point lies in."""
    return hashlib.sha256(str(point_id).encode()).digest()[0] % shards


def query_each_shard(truth: Any, name: str, shards: int, query: Any, **asked: Any) -> types.QueryResponse:
    """A sparse query is weighed by each shard with its own IDF, and the best of all are taken."""
    start = asked.pop("offset") or 0
    limit, where = asked.pop("limit"), asked.pop("query_filter")
    ids = truth.collections[truth.aliases.get(name, name)].ids
    points: list[models.ScoredPoint] = []
    for shard in range(shards):
        own: Any = models.HasIdCondition(has_id=[one for one in ids if shard_of(one, shards) == shard])
        corpus = models.IdfCorpusParams(corpus=models.Filter(must=[own]))
        asked["search_params"] = models.SearchParams(idf=corpus)
        asked["query_filter"] = models.Filter(must=[own, where] if where else [own])
        points += truth.query_points(name, query, limit=start + limit, **asked).points
    points.sort(key=lambda point: point.score, reverse=True)
    return types.QueryResponse(points=points[start : start + limit])
