"""Mining at size: seconds and peak memory for many passages and queries, how both grow, and what a million would take.

No large domain is at hand, so one is made of the demo's fast services: every passage is a real one's text with a number
behind it, and its vector with noise (cosine to the real one about 0.9); queries likewise. Encoding queries is not
counted: `benchmarks.encoding` says what that takes. Every size is mined in a process of its own. Its peak memory is
Linux' figure, with the pages of the vector file that are mapped, which the system may drop.

The made passages of one real one are alike, and most are left out as possible unlabeled positives: the number of
negatives says nothing here.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.aws import aws_domain
from benchmarks.memory import peak_bytes
from domain_embed.contracts.records import CollectionInfo, Point, SparseVector
from domain_embed.contracts.tables import SPLITS, content_hash
from domain_embed.encoding.bm25 import Bm25Weights
from domain_embed.mining.hard_negatives import mine_hard_negatives
from domain_embed.mining.report import MiningReport
from domain_embed.settings import MiningSettings, SparseSettings
from domain_embed.stores.edge import EdgeStore

SIZES = (10_000, 100_000)
QUERIES = 10_000
BM25_QUERIES = 1_000
TARGET = 1_000_000
NOISE = 0.48
"""Length of the noise beside a unit vector: 1 / √(1 + 0.48²) = 0.90 cosine."""
BATCH = 1000
COLLECTION = "large"


def main() -> None:
    """Makes and mines each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        folder, queries, miners = arguments.measure
        print(json.dumps(measure(Path(folder), int(queries), miners.split(","))))
        return
    with tempfile.TemporaryDirectory() as name:
        seed = Path(name) / "real"
        save_real(seed)
        before: dict[str, Any] | None = None
        for size in arguments.sizes:
            folder = Path(name) / str(size)
            make_domain(seed, folder, size)
            dense = show(size, measured_apart(folder, QUERIES, "dense"))
            show(size, measured_apart(folder, BM25_QUERIES, "dense,bm25"))
            if before:
                extrapolate(before, dense)
            before = dense


def measured_apart(folder: Path, queries: int, miners: str) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mining_scale", "--measure", str(folder), str(queries), miners]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(size: int, found: dict[str, Any]) -> dict[str, Any]:
    """One line."""
    print(
        f"{size:>9,} passages x {found['queries']:>6,} queries  {found['miners']:12} {found['seconds']:8.1f} s  "
        f"{found['cpu']:7.1f} CPU s  "
        f"peak {found['peak'] / 2**20:6,.0f} MiB ({(found['peak'] - found['before']) / 2**20:,.0f} MiB by mining)  "
        f"{found['negatives']:,} negatives",
        flush=True,
    )
    return {**found, "size": size}


def extrapolate(small: dict[str, Any], large: dict[str, Any]) -> None:
    """Along the straight line through two sizes: a scan multiplies every query with every passage."""
    passages = large["size"] - small["size"]
    cpu, peak = ((large[name] - small[name]) / passages for name in ("cpu", "peak"))
    more = TARGET - large["size"]
    print(
        f"each further passage: {cpu * 1e6:,.0f} µs CPU and {peak:,.0f} bytes; {TARGET:,} passages x {QUERIES:,} "
        f"queries, extrapolated: {large['cpu'] + cpu * more:,.0f} CPU s, "
        f"{(large['peak'] + peak * more) / 2**30:.1f} GiB"
    )


def save_real(folder: Path) -> None:
    """Texts and vectors of the demo's fast services, and its training queries."""
    folder.mkdir()
    with aws_domain("fast") as domain:
        encoder = domain.encoder()
        texts = list(domain.texts.values())
        frame = domain.splits.to_pandas()
        train = frame[frame["split"] == "train"].drop_duplicates("query_id")
        passage_number = {passage_id: number for number, passage_id in enumerate(domain.texts)}
        np.savez(
            folder / "vectors.npz", passages=encoder.encode_documents(texts),
            queries=encoder.encode_queries(list(train["query"])),
            positives=np.array([passage_number[passage_id] for passage_id in train["passage_id"]]),
        )  # fmt: skip
    (folder / "texts.json").write_text(json.dumps({"passages": texts, "queries": list(train["query"])}))


def make_domain(real: Path, folder: Path, size: int) -> None:
    """A collection of `size` passages and QUERIES queries, each with one passage as its positive."""
    folder.mkdir()
    vectors, texts = np.load(real / "vectors.npz"), json.loads((real / "texts.json").read_text())
    generator = np.random.default_rng(0)
    dimensions = vectors["passages"].shape[1]
    info = CollectionInfo(COLLECTION, "f" * 16, "made", dimensions, "v1", size, "english", {}, "2026")
    EdgeStore(folder).build(info, _points(texts["passages"], vectors["passages"], size, generator))
    numbers = np.arange(QUERIES) % len(texts["queries"])
    # Of the passages made from a query's real positive, one each.
    families = size // len(texts["passages"])
    picked = vectors["positives"][numbers] + len(texts["passages"]) * generator.integers(families, size=QUERIES)
    np.save(folder / "queries.npy", _noisy(vectors["queries"][numbers], generator))
    rows = [
        {
            **{"query_id": f"q{n}", "query": f"{texts['queries'][real]} {n}"},
            **dict.fromkeys(("passage_id", "doc_id"), f"p{positive}"),
            **{"grade": 1, "source": "made", "confidence": 1.0, "split": "train", "train_only": False},
        }
        for n, (real, positive) in enumerate(zip(numbers.tolist(), picked.tolist(), strict=True))
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=SPLITS), folder / "splits.parquet")


def _points(
    texts: Sequence[str], vectors: NDArray[np.float32], size: int, generator: np.random.Generator
) -> Iterator[list[Point]]:
    weights = Bm25Weights.fit(SparseSettings(), [texts])
    sparse = [weights.passage_vector(text) for text in texts]
    for start in range(0, size, BATCH):
        numbers = np.arange(start, min(start + BATCH, size))
        noisy = _noisy(vectors[numbers % len(texts)], generator)
        yield [
            Point(
                f"p{number}", f"p{number}", "", f"{texts[number % len(texts)]} {number}", {},
                content_hash("", str(number)), vector, _scaled(sparse[number % len(texts)], generator),
            )
            for number, vector in zip(numbers.tolist(), noisy, strict=True)
        ]  # fmt: skip


def _scaled(vector: SparseVector, generator: np.random.Generator) -> SparseVector:
    """As if the passage were up to a tenth longer or shorter; equal scores would be asked for again and again."""
    return SparseVector(vector.indices, vector.values * np.float32(generator.uniform(0.9, 1.1)))


def _noisy(vectors: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    noise = generator.normal(size=vectors.shape)
    moved = vectors + NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)


class MadeQueries:
    """An encoder that looks the made vectors up."""

    fingerprint = "f" * 16

    def __init__(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        self._row = {text: row for row, text in enumerate(texts)}
        self._vectors = vectors
        self.dimensions = vectors.shape[1]

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """By text."""
        return self._vectors[[self._row[text] for text in texts]]

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Not asked for."""
        raise NotImplementedError


def measure(folder: Path, count: int, miners: Sequence[str]) -> dict[str, Any]:
    """Mines in this process."""
    splits = pq.read_table(folder / "splits.parquet").slice(0, count)
    encoder = MadeQueries(splits["query"].to_pylist(), np.load(folder / "queries.npy")[:count])
    collection = EdgeStore(folder).open(COLLECTION)
    report, settings = MiningReport(), MiningSettings(miners=tuple(miners))
    before, started, cpu = peak_bytes(), time.perf_counter(), time.process_time()
    for _ in mine_hard_negatives(splits, collection, encoder, settings, report, folder=folder):
        pass
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    return {
        "queries": report.queries, "miners": "+".join(miners), "seconds": seconds, "cpu": cpu, "before": before,
        "peak": peak_bytes(), "negatives": report.negatives,
    }  # fmt: skip


if __name__ == "__main__":
    main()
