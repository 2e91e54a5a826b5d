"""The stores that every suite runs on: Edge on disk, Qdrant in memory, a cluster that is made up, and a server.

The server is there when QDRANT_URL names one. Of the made-up cluster one node is asked, or all in turn.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from domain_embed.contracts.ports import VectorStore
from domain_embed.stores import qdrant_loading
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.stores.cluster import FakeCluster

BACKENDS = ["edge", "memory", "cluster", "balanced", "server"]


@contextmanager
def a_store(backend: str, folder: Path) -> Iterator[VectorStore]:
    if backend == "edge":
        yield EdgeStore(folder)
    elif backend == "memory":
        yield QdrantStore(QdrantClient(":memory:"), "test-")
    elif backend in ("cluster", "balanced"):
        with no_waiting():
            if backend == "cluster":
                yield on_cluster(FakeCluster())
            else:
                settling = 4  # a deletion is awaited
                yield on_cluster(FakeCluster(replication=2, settling=settling), balanced=True)
    elif url := os.environ.get("QDRANT_URL"):
        prefix = f"test-{uuid.uuid4().hex}-"
        grpc_port = int(os.environ.get("QDRANT_GRPC_PORT", "6334"))
        store = QdrantStore.connect(url, os.environ.get("QDRANT_API_KEY"), prefix, grpc_port=grpc_port)
        yield store
        store.clear()
    else:
        pytest.skip("no Qdrant server: set QDRANT_URL (and QDRANT_API_KEY) to run the suite against one")


def on_cluster(cluster: FakeCluster, node: int = 0, *, prefix: str = "test-", balanced: bool = False) -> QdrantStore:
    """A store that takes the cluster for a server."""
    client = cluster.balanced() if balanced else cluster.client(node)
    return QdrantStore(client, prefix, address="http://cluster:6333")


@contextmanager
def no_waiting() -> Iterator[None]:
    """What waits for a server in seconds waits a hundredth of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(qdrant_loading, "PAUSES_S", tuple(pause / 100 for pause in qdrant_loading.PAUSES_S))
        patch.setattr(qdrant_loading, "LOOK_EVERY_S", 0.001)
        yield
