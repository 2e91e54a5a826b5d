"""Which index settings suit this corpus: the candidates built beside each other, searched, and compared."""

import multiprocessing as mp
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Hit, Point, Run
from domain_embed.settings import IndexSettings
from domain_embed.stores.edge import EdgeStore

MEASURED_STORE = "Qdrant Edge on this machine"
TOP = 10
MIN_RECALL, MAX_LOSS, MAX_SLOWER, MIN_SAVING = 0.95, 0.005, 2.0, 0.2
"""What a candidate must keep: recall of the true top ten, nDCG@10 of exact search, and half the default's speed; and
what it must save in memory for the trouble of not being the default."""
PAGE = 1000

CANDIDATES: Mapping[str, IndexSettings] = {
    "default": IndexSettings(),
    "int8": IndexSettings(quantization="int8"),
    "int8, on disk": IndexSettings(quantization="int8", on_disk=True),
    "binary": IndexSettings(quantization="binary", oversampling=4.0),
    "binary, on disk": IndexSettings(quantization="binary", oversampling=4.0, on_disk=True),
    "wide graph": IndexSettings(hnsw_m=32, hnsw_ef_construct=200),
}


@dataclass(frozen=True)
class Measured:
    """One candidate: `recall` of the true ten nearest, `ndcg` in nDCG@10 on the judged queries, milliseconds for one
    query's vector, and MB of memory that opening and searching added to a process.
    """

    name: str
    settings: IndexSettings
    recall: float
    ndcg: float
    p50_ms: float
    p99_ms: float
    memory_mb: float
    disk_mb: float


@dataclass(frozen=True)
class Advice:
    """All candidates, nDCG@10 of an exact search, and the name of the one to take."""

    exact_ndcg: float
    measured: tuple[Measured, ...]
    recommended: str


def advise(
    collection: Collection,
    queries: Mapping[str, NDArray[np.float32]],
    measure: Callable[[Run], float],
    candidates: Mapping[str, IndexSettings] = CANDIDATES,
) -> Advice:
    """Builds every candidate of the collection on this machine's disk, for the time of the measurement, and compares.

    Whatever store serves, Qdrant Edge is measured (MEASURED_STORE): memory and times can be told apart in a process of
    its own, and a server that serves is not loaded with copies. It builds the same graphs and quantized vectors.

    Args:
        collection: Its points are copied, with their payload.
        queries: Vectors of judged queries by id, each (dim,) float32.
        measure: nDCG@10 of a run of these queries.
        candidates: Settings by name; one of them is called "default".
    """
    vectors = np.stack(list(queries.values()))
    true = collection.search_dense(vectors, TOP, exact=True)
    with (
        tempfile.TemporaryDirectory(prefix="domain-embed-advise-") as folder,
        progress_bar("measure", len(candidates), "candidates") as progress,
    ):
        measured = []
        for name, settings in candidates.items():
            measured.append(_measured(name, settings, collection, queries, true, measure, Path(folder)))
            progress.update(1)
    exact_ndcg = measure(_run(queries, true))
    return Advice(exact_ndcg, tuple(measured), recommend(measured, exact_ndcg))


def recommend(measured: Sequence[Measured], exact_ndcg: float) -> str:
    """The name of the candidate with the least memory that keeps recall, quality and speed; the default unless one
    that does saves a fifth of its memory."""
    default = next(one for one in measured if one.name == "default")
    good = [
        one
        for one in measured
        if one.recall >= MIN_RECALL
        and one.ndcg >= exact_ndcg - MAX_LOSS
        and one.p50_ms <= MAX_SLOWER * default.p50_ms
        and one.memory_mb <= (1 - MIN_SAVING) * default.memory_mb
    ]
    return min(good, key=lambda one: one.memory_mb, default=default).name


def _measured(
    name: str, settings: IndexSettings, collection: Collection, queries: Mapping[str, NDArray[np.float32]],
    true: Sequence[Sequence[Hit]], measure: Callable[[Run], float], folder: Path,
) -> Measured:  # fmt: skip
    store, root = EdgeStore(folder), folder
    info = replace(collection.info, name="candidate", index=settings.model_dump(mode="json"))
    store.build(info, _points(collection))
    disk = store.size_bytes(info.name) or 0
    # A process of its own, whose memory nothing else has used.
    with ProcessPoolExecutor(1, mp_context=mp.get_context("spawn")) as alone:
        searched = alone.submit(_search, root, info.name, np.stack(list(queries.values())))
        found, times_ms, memory = searched.result()
    shutil.rmtree(root / "collections")
    return Measured(
        name=name,
        settings=settings,
        recall=statistics.fmean(_share_found(hits, scan) for hits, scan in zip(found, true, strict=True)),
        ndcg=measure(_run(queries, found)),
        p50_ms=statistics.median(times_ms),
        p99_ms=float(np.quantile(times_ms, 0.99)),
        memory_mb=memory / 1e6,
        disk_mb=disk / 1e6,
    )


def _points(collection: Collection) -> Iterator[list[Point]]:
    ids = [content.passage_id for content in collection.contents()]
    for start in range(0, len(ids), PAGE):
        yield collection.fetch(ids[start : start + PAGE])


def _search(root: Path, name: str, vectors: NDArray[np.float32]) -> tuple[list[list[Hit]], list[float], int]:
    """In a fresh process: the hits of each query, asked one by one, their times, and the bytes of memory it took."""
    before = resident_bytes()
    collection = EdgeStore(root).open(name)
    found, times_ms = [], []
    for vector in vectors:
        started = time.perf_counter()
        found.append(collection.search_dense(vector[np.newaxis], TOP)[0])
        times_ms.append((time.perf_counter() - started) * 1000)
    return found, times_ms, resident_bytes() - before


def resident_bytes() -> int:
    """Memory this process holds now; where the system does not say, the most it has held."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _share_found(hits: Sequence[Hit], scan: Sequence[Hit]) -> float:
    """Of the true top: hits that score no worse than its last; one of equal distance is as good."""
    return sum(hit.score >= scan[-1].score - 1e-4 for hit in hits) / len(scan) if scan else 1.0


def _run(queries: Mapping[str, object], rankings: Sequence[Sequence[Hit]]) -> Run:
    return {query_id: [hit.passage_id for hit in hits] for query_id, hits in zip(queries, rankings, strict=True)}
