"""Scale: rows per second and memory of the stages without a model, for corpora of growing size.

Every size runs in a process of its own, on generated text; its peak memory is the operating system's figure.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.memory import peak_bytes
from domain_embed.contracts.tables import DOCUMENTS, JUDGMENTS, LABELS, PASSAGES
from domain_embed.corpus.chunking import ChunkReport, chunk_documents
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.corpus.tokens import TokenCounter
from domain_embed.judgments.labels import collect_labels
from domain_embed.judgments.quality.checks import severities
from domain_embed.judgments.quality.findings import Findings
from domain_embed.judgments.quality.report import Material, check_texts, judgment_frame
from domain_embed.judgments.sources import LabelReport
from domain_embed.judgments.splits import split_judgments
from domain_embed.settings import (
    PACKAGED_MINILM,
    ChunkingSettings,
    CorpusSettings,
    JudgmentSettings,
    QualitySettings,
    SplitSettings,
    resolve_model,
)
from domain_embed.stores.tables import ParquetTable, TableStore

SIZES = (10_000, 100_000, 1_000_000)
WORDS = 30_000
PASSAGE_WORDS = (30, 90)
QUERY_WORDS = (4, 10)
MAX_TOKENS = 256
BATCH_ROWS = 4096
Stage = tuple[str, int, float, int]
"""Name, rows, seconds, and peak memory of the process so far in bytes."""


def main() -> None:
    """Measures each size in a process of its own, and what a row more costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    before: list[Stage] | None = None
    for size in arguments.sizes:
        command = [sys.executable, "-m", "benchmarks.scale", "--measure", str(size)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        stages: list[Stage] = [tuple(stage) for stage in json.loads(done.stdout.splitlines()[-1])]
        show(size, stages)
        if before:
            grown = stages[-1][3] - before[-1][3]
            print(f"peak grew by {grown / (size - before[-1][1]):,.0f} bytes for each further passage and judgment")
        before = stages


def show(size: int, stages: list[Stage]) -> None:
    """One line a stage."""
    print(f"== {size:,} passages, {size:,} judgments")
    for name, rows, seconds, peak in stages:
        print(f"{name:24} {seconds:9.1f} s {rows / seconds:12,.0f} rows/s   peak {peak / 2**20:8,.0f} MiB")


def measure(size: int) -> list[Stage]:
    """Runs all stages once in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_domain(folder, size)
        return list(run_stages(folder, size))


def run_stages(folder: Path, size: int) -> Iterator[Stage]:
    """Files to documents, passages, labels, judgments, quality and splits; yields each as it is done."""
    store = TableStore(folder / "tables")
    counter = TokenCounter(_tokenizer())

    def timed(stage: str, work: Callable[[], Any]) -> tuple[Any, Stage]:
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        return result, (stage, size, seconds, peak_bytes())

    corpus, documents = CorpusSettings(), [folder / "corpus.jsonl"]
    read, stage = timed(
        "documents",
        lambda: store.write("documents", read_documents(documents, ReadReport(), corpus, folder), DOCUMENTS),
    )
    yield stage
    chunking = ChunkingSettings(strategy="sentences")
    passages, stage = timed(
        "passages",
        lambda: store.write(
            "passages",
            chunk_documents(read.batches(BATCH_ROWS), chunking, counter.tokenizer, MAX_TOKENS, ChunkReport()),
            PASSAGES,
        ),
    )
    yield stage
    labels, stage = timed(
        "labels",
        lambda: store.write("labels", collect_labels(JudgmentSettings(), folder, LabelReport()), LABELS),
    )
    yield stage
    first_of = _first_passages(passages)
    judgments = store.write("judgments", _judgments(labels, first_of), JUDGMENTS)
    settings = QualitySettings()
    findings = Findings(severities(settings))
    material = Material(passages, labels, judgments, judgments)
    _, stage = timed(
        "quality of texts",
        lambda: check_texts(material, judgment_frame(judgments), counter, MAX_TOKENS, settings, findings),
    )
    yield stage
    _, stage = timed("splits", lambda: split_judgments(judgments.read(), SplitSettings()))
    yield stage


def write_domain(folder: Path, size: int) -> None:
    """corpus.jsonl and judgments.jsonl of `size` rows each; every query is words of its passage and others."""
    generator = random.Random(0)
    words = [_word(generator) for _ in range(WORDS)]
    weights = list(accumulate(1 / (rank + 10) for rank in range(WORDS)))
    with (
        (folder / "corpus.jsonl").open("w", encoding="utf-8") as corpus,
        (folder / "judgments.jsonl").open("w", encoding="utf-8") as judgments,
    ):
        for number in range(size):
            text = generator.choices(words, cum_weights=weights, k=generator.randint(*PASSAGE_WORDS))
            query = generator.choices([*text, *words[:200]], k=generator.randint(*QUERY_WORDS))
            team = f"team {number % 7}"
            row = {
                "_id": f"d{number}",
                "title": " ".join(text[:4]),
                "text": f"{' '.join(text)}.",
                "metadata": {"team": team},
            }
            corpus.write(json.dumps(row) + "\n")
            judgments.write(json.dumps({"query": " ".join(query), "passage_id": f"d{number}"}) + "\n")


def _word(generator: random.Random) -> str:
    syllables = (
        "ba",
        "ce",
        "di",
        "fo",
        "gu",
        "la",
        "me",
        "ni",
        "po",
        "ru",
        "sa",
        "te",
        "vi",
        "xo",
        "zu",
        "n",
        "r",
        "s",
    )
    return "".join(generator.choices(syllables, k=generator.randint(2, 5)))


def _first_passages(passages: ParquetTable) -> dict[str, str]:
    """A passage of each document."""
    found: dict[str, str] = {}
    for batch in passages.batches(BATCH_ROWS, ["passage_id", "doc_id"]):
        found |= zip(batch.column("doc_id").to_pylist(), batch.column("passage_id").to_pylist(), strict=True)
    return found


def _judgments(labels: ParquetTable, passage_of: dict[str, str]) -> Iterator[pa.RecordBatch]:
    """The labels about documents as judgments about a passage of each."""
    for batch in labels.batches(BATCH_ROWS):
        doc_ids = batch.column("target").to_pylist()
        found = {"passage_id": pa.array([passage_of[doc_id] for doc_id in doc_ids]), "doc_id": batch.column("target")}
        columns = [found[name] if name in found else batch.column(name) for name in JUDGMENTS.names]
        yield pa.RecordBatch.from_arrays(columns, schema=JUDGMENTS)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(Path(resolve_model(PACKAGED_MINILM, Path())) / "tokenizer.json"))


if __name__ == "__main__":
    main()
