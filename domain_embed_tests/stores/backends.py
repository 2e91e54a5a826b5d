"""The stores that every suite runs on: Edge on disk, Qdrant in memory, and a server when there is one."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from domain_embed.contracts.ports import VectorStore
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.qdrant import QdrantStore

BACKENDS = ["edge", "memory", "server"]


@contextmanager
def a_store(backend: str, folder: Path) -> Iterator[VectorStore]:
    if backend == "edge":
        yield EdgeStore(folder)
    elif backend == "memory":
        yield QdrantStore.in_memory("test-")
    elif url := os.environ.get("QDRANT_URL"):
        prefix = f"test-{uuid.uuid4().hex}-"
        store = QdrantStore.connect(url, os.environ.get("QDRANT_API_KEY"), prefix)
        yield store
        for collection in store._client.get_collections().collections:
            if collection.name.startswith(prefix):
                store._client.delete_collection(collection.name)
    else:
        pytest.skip("no Qdrant server: set QDRANT_URL (and QDRANT_API_KEY) to run the suite against one")
