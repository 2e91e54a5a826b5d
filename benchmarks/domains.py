"""Real domains in the BEIR layout for benchmarks on quality, whole or cut down to what two cores can do in minutes.

All systems of a comparison get the same cut: training queries and distractors are drawn once, by a seed.
"""

import argparse
import json
import os
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from domain_embed.demo.aws import extract_aws
from domain_embed.judgments.labels import collect_labels
from domain_embed.judgments.sources import LabelReport
from domain_embed.settings import DomainSettings, Environment

DATASETS = Path(os.environ.get("DOMAIN_EMBED_DATASETS", Path(__file__).parents[2] / "shared" / "datasets"))
NAMES = ("aws", "medquad", "scifact", "covidqa", "naics", "community")
SPLITS = ("train", "dev", "test")
Qrels = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Cut:
    """How much of a domain is used: at most so many training and test queries, and unjudged passages."""

    train_queries: int | None = None
    test_queries: int | None = None
    distractors: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Domain:
    """A folder in the BEIR layout, and its content."""

    name: str
    folder: Path
    passages: dict[str, dict[str, Any]]
    queries: dict[str, str]
    qrels: dict[str, Qrels]

    def text(self, passage_id: str) -> str:
        """A passage as models see it."""
        row = self.passages[passage_id]
        return f"{row.get('title', '')} {row['text']}".strip()

    def train_pairs(self) -> list[tuple[str, str]]:
        """(query, text of a positive), one for each training judgment."""
        return [
            (self.queries[query_id], self.text(passage_id))
            for query_id, grades in self.qrels["train"].items()
            for passage_id in grades
        ]


def domains_parser(description: str, default: Sequence[str]) -> argparse.ArgumentParser:
    """A benchmark's options, with which domains it takes and how much of each."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domains", nargs="+", choices=NAMES, default=default)
    for name in ("--train-queries", "--test-queries", "--distractors"):
        parser.add_argument(name, type=int)
    return parser


def cut_asked(arguments: argparse.Namespace) -> Cut:
    """What these options say."""
    return Cut(arguments.train_queries, arguments.test_queries, arguments.distractors)


@contextmanager
def domains(names: Iterable[str], cut: Cut) -> Iterator[list[Domain]]:
    """The named domains, cut and written to a temporary folder."""
    with tempfile.TemporaryDirectory() as scratch:
        yield [_prepare(name, Path(scratch) / name, cut) for name in names]


def _prepare(name: str, folder: Path, cut: Cut) -> Domain:
    passages, queries, qrels = _read_aws(folder / "raw") if name == "aws" else _read_beir(DATASETS / name)
    generator = random.Random(cut.seed)
    for split, most in (("train", cut.train_queries), ("dev", cut.test_queries), ("test", cut.test_queries)):
        chosen = sorted(qrels[split])
        generator.shuffle(chosen)
        qrels[split] = {query_id: qrels[split][query_id] for query_id in sorted(chosen[:most])}
    judged = {passage_id for split in SPLITS for grades in qrels[split].values() for passage_id in grades}
    others = sorted(set(passages) - judged)
    generator.shuffle(others)
    kept = judged | set(others[: cut.distractors])
    domain = Domain(name, folder, {key: row for key, row in passages.items() if key in kept}, queries, qrels)
    _write_beir(domain)
    return domain


def _read_beir(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str], dict[str, Qrels]]:
    """A folder as it is; where a leak-free train set lies beside the official one, it is taken."""
    disjoint = folder / "qrels_disjoint" / "train.tsv"
    files = {split: folder / "qrels" / f"{split}.tsv" for split in SPLITS}
    if disjoint.exists():
        files["train"] = disjoint
    passages = {row["_id"]: row for row in _lines(folder / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in _lines(folder / "queries.jsonl")}
    return passages, queries, {split: _read_qrels(path) for split, path in files.items()}


def _read_qrels(path: Path) -> Qrels:
    found: Qrels = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query_id, passage_id, grade = line.split("\t")
        found.setdefault(query_id, {})[passage_id] = int(grade)
    return found


def _read_aws(folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str], dict[str, Qrels]]:
    """The demo domain, split once by a hash of the positive so that every system gets the same splits."""
    folder.mkdir(parents=True)
    extract_aws(folder)
    passages = {row["_id"]: row for row in _lines(folder / "corpus.jsonl")}
    qrels: dict[str, Qrels] = {split: {} for split in SPLITS}
    queries: dict[str, str] = {}
    for batch in collect_labels(DomainSettings().judgments, folder, LabelReport()):
        for row in batch.to_pylist():
            queries[row["query_id"]] = row["query"]
            draw = random.Random(row["target"]).random()
            split = "train" if draw < 0.7 else "dev" if draw < 0.8 else "test"
            qrels[split].setdefault(row["query_id"], {})[row["target"]] = row["grade"]
    taken: set[str] = set()
    for split in ("test", "dev", "train"):  # a query with positives in two splits stays in the held-out one
        qrels[split] = {query_id: grades for query_id, grades in qrels[split].items() if query_id not in taken}
        taken |= set(qrels[split])
    return passages, queries, qrels


def _write_beir(domain: Domain) -> None:
    (domain.folder / "qrels").mkdir(parents=True, exist_ok=True)
    used = {query_id for split in SPLITS for query_id in domain.qrels[split]}
    _write_lines(domain.folder / "corpus.jsonl", domain.passages.values())
    _write_lines(domain.folder / "queries.jsonl", ({"_id": key, "text": domain.queries[key]} for key in sorted(used)))
    for split in SPLITS:
        rows = [f"{query}\t{passage}\t{grade}" for query, grades in domain.qrels[split].items()
                for passage, grade in grades.items()]  # fmt: skip
        path = domain.folder / "qrels" / f"{split}.tsv"
        path.write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n", encoding="utf-8")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def home_of(domain: Domain) -> Environment:
    """The product's own home beside a domain's files."""
    return Environment(home=domain.folder / "home")
