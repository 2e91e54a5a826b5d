"""Search: the embedded searcher against the plain `QdrantClient(path=…)`, at two sizes.

Times are processor time of the one searching thread in milliseconds, so that other work on the machine does not count;
DOMAIN_EMBED_BACKEND=openvino has texts encoded by OpenVINO. Memory is what a fresh process holds after opening the
collection and two hundred searches, without the model. The passages are real ones repeated and perturbed, see
`benchmarks.perturbed`.
"""

import argparse
import multiprocessing as mp
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.perturbed import PerturbedEncoder, perturbed_table, real_rows
from domain_embed.advisor import resident_bytes
from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import embedded_text
from domain_embed.encoding.backend import Machine, load_encoder
from domain_embed.encoding.bm25 import Analyzer
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.indexing.build import build_collection
from domain_embed.retrieval.searcher import Searcher
from domain_embed.settings import Environment, ModelSettings, RetrievalSettings, SparseSettings, resolve_model
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.qdrant import QdrantStore
from domain_embed.stores.tables import TableStore
from domain_embed.stores.vectors import FileVectorCache

TOP = 10
PEER_AT_MOST = 20_000  # beyond, the client itself warns that its local mode is not for this


@dataclass(frozen=True)
class Times:
    """Of one way to search, in milliseconds of processor time."""

    p50: float
    p99: float


def main() -> None:
    """Builds each size once, and asks the same queries of everybody."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    rows = real_rows()
    base, settings = resolve_model(ModelSettings().base, Path()), ModelSettings()
    backend = Environment.read().backend
    with tempfile.TemporaryDirectory() as converted:
        model = load_encoder(base, settings, Machine(Path(converted), backend))
    queries = [row["title"] for row in rows[:: max(1, len(rows) // options.queries)]][: options.queries]
    print(f"{backend}; {len(queries)} queries, top {TOP}; {len(rows)} real passages; ms of processor time, p50 / p99")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            _one_size(Path(folder), size, rows, model, queries)


def _one_size(folder: Path, size: int, rows: list[dict[str, Any]], model: TorchEncoder, queries: list[str]) -> None:
    encoder = PerturbedEncoder(model, rows)
    table = TableStore(folder / "tables").write_table("passages", perturbed_table(rows, size))
    store, cache = EdgeStore(folder), FileVectorCache(folder / "vectors")
    name = build_collection(store, encoder, "base", table, SparseSettings(), cache).info.name
    collection = store.open(name)
    vectors = model.encode_queries(queries)
    searcher = Searcher(collection, model, RetrievalSettings(mode="hybrid"))
    hybrid = _timed(lambda query: searcher.search(query, TOP), queries)
    dense = _timed(lambda vector: collection.search_dense(vector[np.newaxis], TOP), list(vectors))
    with ProcessPoolExecutor(1, mp_context=mp.get_context("spawn")) as alone:
        memory = alone.submit(_memory, folder, name, vectors, queries).result()
    print(f"{size:7,} passages  hybrid with encoding  {hybrid.p50:8.2f} / {hybrid.p99:.2f}")
    print(f"                  dense without         {dense.p50:8.2f} / {dense.p99:.2f}")
    per_100k = memory / size / 10
    print(f"                  resident memory       {memory / 1e6:8.0f} MB, {per_100k:.0f} MB per 100k passages")
    if size <= PEER_AT_MOST:
        _peer(folder, collection, model, queries, vectors, dense, hybrid)


def _peer(
    folder: Path, collection: Collection, model: TorchEncoder, queries: list[str], vectors: NDArray[np.float32],
    dense: Times, hybrid: Times,
) -> None:  # fmt: skip
    """The client's local mode over the same points, fused by the client itself."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(path=str(folder / "peer"))
    local: Any = client._client
    store = QdrantStore(client)
    ids = [content.passage_id for content in collection.contents()]
    info = collection.info
    sqlite = "pragma synchronous=off"  # else every point waits for the disk: hours

    def points() -> Any:
        for stored in local.collections.values():
            stored.storage.storage.execute(sqlite)
        for start in range(0, len(ids), 1000):
            yield collection.fetch(ids[start : start + 1000])

    store.build(info, points())
    analyzer = Analyzer.of(info)

    def fused(query: str) -> object:
        terms = analyzer.query_vector(query)
        sparse = models.SparseVector(indices=terms.indices.tolist(), values=terms.values.tolist())
        vector = model.encode_queries([query])[0].tolist()
        return client.query_points(
            info.name,
            prefetch=[
                models.Prefetch(query=vector, using="dense", limit=100),
                models.Prefetch(query=sparse, using="bm25", limit=100),
            ],
            query=models.FusionQuery(fusion=models.Fusion.RRF),
            limit=TOP,
        )

    some = max(1, len(queries) // 10)  # it is slow: every tenth query says enough
    peer_hybrid = _timed(fused, queries[::10][:some])
    peer_dense = _timed(
        lambda vector: client.query_points(info.name, query=vector.tolist(), using="dense", limit=TOP),
        list(vectors[::10][:some]),
    )
    client.close()
    print(f"  QdrantClient(path)  hybrid with encoding  {peer_hybrid.p50:8.2f} / {peer_hybrid.p99:.2f}, "
          f"{peer_hybrid.p50 / hybrid.p50:.1f} times as long")  # fmt: skip
    print(f"                      dense without         {peer_dense.p50:8.2f} / {peer_dense.p99:.2f}, "
          f"{peer_dense.p50 / dense.p50:.1f} times as long")  # fmt: skip


def _timed(search: Callable[[Any], object], asked: Sequence[Any]) -> Times:
    for one in asked[:5]:
        search(one)
    spent = []
    for one in asked:
        started = time.process_time()
        search(one)
        spent.append((time.process_time() - started) * 1000)
    return Times(statistics.median(spent), float(np.quantile(spent, 0.99)))


def _memory(folder: Path, name: str, vectors: NDArray[np.float32], queries: list[str]) -> int:
    """Bytes that a fresh process holds after opening and searching, over what it held before."""
    before = resident_bytes()
    collection = EdgeStore(folder).open(name)
    analyzer = Analyzer.of(collection.info)
    for query, vector in zip(queries, vectors, strict=True):
        collection.describe(collection.search_dense(vector[np.newaxis], TOP))
        collection.describe(collection.search_sparse([analyzer.query_vector(embedded_text(query, ""))], TOP))
    return resident_bytes() - before


if __name__ == "__main__":
    main()
