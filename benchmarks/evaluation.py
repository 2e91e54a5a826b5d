"""Evaluation: seconds and peak memory of seven systems for a growing number of queries, from search to the page.

Texts are generated and vectors are made up, so that no model's speed is in the figures: real queries are encoded once
for each model besides. Every number of queries runs in a process of its own, over the same two collections.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.memory import peak_bytes
from domain_embed.contracts.records import CollectionInfo
from domain_embed.contracts.tables import PASSAGES, content_hash
from domain_embed.evaluation.evidence import gather_evidence
from domain_embed.evaluation.movement import trace_movements
from domain_embed.evaluation.report import render_html
from domain_embed.evaluation.subject import Subject
from domain_embed.evaluation.systems import every_variant, run_systems
from domain_embed.indexing.build import build_collection
from domain_embed.promotion.verdict import decide
from domain_embed.retrieval.searcher import Searcher
from domain_embed.settings import PromotionSettings, RetrievalSettings, SparseSettings
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.tables import ParquetTable, TableStore
from domain_embed.stores.vectors import FileVectorCache

QUERIES = (750, 1500, 3000)
PASSAGES_COUNT = 20_000
WORDS, PASSAGE_WORDS, QUERY_WORDS = 20_000, 60, 7
DIMENSIONS = 384
Stage = tuple[str, float, int]
"""Name, seconds, and peak memory of the process so far in bytes."""


class MadeUpEncoder:
    """A text's vector is the mean of its words' random vectors, so that queries are near their passages."""

    dimensions = DIMENSIONS

    def __init__(self, fingerprint: str, seed: int) -> None:
        self.fingerprint = fingerprint
        self._words = np.random.default_rng(seed).standard_normal((WORDS, DIMENSIONS)).astype(np.float32)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 384) float32 of unit length."""
        places = [[zlib.crc32(word.encode()) % WORDS for word in text.split()] for text in texts]
        means = np.stack([self._words[words].mean(axis=0) for words in places])
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)

    encode_documents = encode_queries


ENCODERS = {"base": ("b" * 16, 1), "tuned": ("t" * 16, 2)}


def main() -> None:
    """Builds the collections once and measures each number of queries in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, nargs="+", default=QUERIES)
    parser.add_argument("--passages", type=int, default=PASSAGES_COUNT)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.folder, arguments.measure)))
        return
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), arguments.passages)
        for queries in arguments.queries:
            command = [sys.executable, "-m", "benchmarks.evaluation", "--measure", str(queries), "--folder", name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            show(queries, arguments.passages, json.loads(done.stdout.splitlines()[-1]))


def show(queries: int, passages: int, stages: Sequence[Stage]) -> None:
    """One line a stage, and their sum."""
    print(f"== {queries:,} queries, {passages:,} passages, 7 systems")
    for name, seconds, peak in stages:
        print(f"{name:24} {seconds:9.1f} s   peak {peak / 2**20:8,.0f} MiB")
    total = sum(seconds for _, seconds, _ in stages)
    print(f"{'together':24} {total:9.1f} s   {1000 * total / queries:8.1f} ms a query", flush=True)


def build(folder: Path, count: int) -> None:
    """The passages, and one collection of them for each model."""
    generator = random.Random(0)
    texts = [_text(generator, PASSAGE_WORDS) for _ in range(count)]
    rows = [
        {
            "passage_id": f"passage-{n}", "doc_id": f"passage-{n}", "title": "", "text": text, "metadata": "{}",
            "content_hash": content_hash("", text), "heading": "", "start": 0, "end": len(text),
        }
        for n, text in enumerate(texts)
    ]  # fmt: skip
    table = TableStore(folder).write_table("passages", pa.Table.from_pylist(rows, schema=PASSAGES))
    store, built = EdgeStore(folder / "index"), {}
    for name, made in ENCODERS.items():
        encoder, cache = MadeUpEncoder(*made), FileVectorCache(folder / "vectors" / name)
        built[name] = build_collection(store, encoder, name, table, SparseSettings(), cache).info.name
    (folder / "collections.json").write_text(json.dumps(built), encoding="utf-8")


def measure(folder: Path, count: int) -> list[Stage]:
    """Runs, figures and page for so many queries, each stage timed."""
    stages: list[Stage] = []
    started = time.perf_counter()

    def done(stage: str) -> None:
        nonlocal started
        peak = peak_bytes()
        stages.append((stage, round(time.perf_counter() - started, 2), peak))
        started = time.perf_counter()

    store = EdgeStore(folder / "index")
    built = json.loads((folder / "collections.json").read_text(encoding="utf-8"))
    opened = {name: store.open(collection) for name, collection in built.items()}
    retrieval = RetrievalSettings(mode="hybrid", dense_weight=0.5)
    searchers = {name: Searcher(opened[name], MadeUpEncoder(*ENCODERS[name]), retrieval) for name in opened}
    queries, qrels = _questions(TableStore(folder).read("passages"), count)
    done("opening")
    runs = run_systems(searchers, queries, every_variant(rerank=False))
    done("search")
    labels = pd.DataFrame({"group": [f"g{n % 12}" for n in range(count)]}, index=list(queries))
    evidence, _ = gather_evidence(runs, qrels, _subject(opened["tuned"].info, count), None, labels)
    done("figures")
    verdict = decide(evidence, PromotionSettings())
    movements = trace_movements(runs[evidence.gain.challenger], runs[evidence.gain.baseline], qrels)
    render_html(evidence, verdict, movements, queries=queries, passages={})
    done("verdict and page")
    return stages


def _questions(passages: ParquetTable, count: int) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Words of a passage, half of them replaced, as a question for it."""
    generator = random.Random(1)
    rows = passages.read(["passage_id", "text"]).slice(0, count).to_pylist()
    queries, qrels = {}, {}
    for n, row in enumerate(rows):
        words = generator.sample(row["text"].split(), QUERY_WORDS)
        changed = [word if generator.random() < 0.5 else f"w{generator.randrange(WORDS)}" for word in words]
        queries[f"q{n}"], qrels[f"q{n}"] = " ".join(changed), {row["passage_id"]: 1}
    return queries, qrels


def _subject(info: CollectionInfo, count: int) -> Subject:
    return Subject(
        domain="made-up", served_mode="hybrid", queries_per_split={"test": count}, passages=info.count,
        challenger_fingerprint=ENCODERS["tuned"][0], baseline_fingerprint=ENCODERS["base"][0], model_path=info.model,
        collection=info.name, created_at=datetime.now(UTC),
    )  # fmt: skip


def _text(generator: random.Random, words: int) -> str:
    """Words by Zipf's law, nearly: the few frequent ones are everywhere."""
    return " ".join(f"w{int(WORDS * generator.random() ** 3)}" for _ in range(words))


if __name__ == "__main__":
    main()
