"""The stores that every suite runs on: Edge on disk, Qdrant in memory, and a server when there is one.

Qdrant keeps each collection by itself, or the vectors of several in one place.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from domain_embed.contracts.ports import VectorStore
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.qdrant import QdrantStore

BACKENDS = ["edge", "memory", "memory-in-place", "server", "server-in-place"]


@contextmanager
def a_store(backend: str, folder: Path) -> Iterator[VectorStore]:
    if backend == "edge":
        yield EdgeStore(folder)
    elif backend.startswith("memory"):
        yield QdrantStore(QdrantClient(":memory:"), "test-", in_place=backend.endswith("in-place"))
    elif url := os.environ.get("QDRANT_URL"):
        prefix = f"test-{uuid.uuid4().hex}-"
        in_place = backend.endswith("in-place")
        store = QdrantStore.connect(url, os.environ.get("QDRANT_API_KEY"), prefix, in_place=in_place)
        yield store
        for collection in store._client.get_collections().collections:
            if collection.name.startswith(prefix):
                store._client.delete_collection(collection.name)
    else:
        pytest.skip("no Qdrant server: set QDRANT_URL (and QDRANT_API_KEY) to run the suite against one")
