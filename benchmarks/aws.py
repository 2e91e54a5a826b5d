"""The demo domain as tables in a temporary workspace, for benchmarks."""

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pyarrow as pa

from domain_embed.contracts.ports import Collection, Encoder
from domain_embed.contracts.records import embedded_text
from domain_embed.contracts.tables import JUDGMENTS, LABELS, PASSAGES
from domain_embed.corpus.chunking import ChunkReport, chunk_documents
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.demo.aws import FAST_SERVICES, extract_aws
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.indexing.build import build_collection
from domain_embed.judgments.labels import collect_labels
from domain_embed.judgments.sources import LabelReport
from domain_embed.judgments.splits import split_judgments
from domain_embed.settings import SETTINGS_FILE, DomainSettings, Environment, render_yaml
from domain_embed.stores.tables import ParquetTable
from domain_embed.stores.workspace import Workspace


@dataclass(frozen=True)
class AwsDomain:
    """The demo domain, read and split."""

    workspace: Workspace
    settings: DomainSettings
    passages: ParquetTable
    splits: pa.Table

    @property
    def base(self) -> str:
        """Folder of the base model."""
        return self.workspace.model_location(self.settings.model.base)

    @property
    def texts(self) -> dict[str, str]:
        """Every passage's text as models see it, by id."""
        rows = self.passages.read(["passage_id", "title", "text"]).to_pylist()
        return {row["passage_id"]: embedded_text(row["title"], row["text"]) for row in rows}

    def encoder(self) -> TorchEncoder:
        """The base model's encoder."""
        return self.workspace.encoder(self.settings.model.base, self.settings.model)

    def collection(self, encoder: Encoder, model: str) -> Collection:
        """A complete collection of all passages by this encoder."""
        cache = self.workspace.vector_cache(encoder.fingerprint)
        store = self.workspace.vector_store
        report = build_collection(store, encoder, model, self.passages, self.settings.sparse, cache)
        return store.open(report.info.name)


@contextmanager
def aws_domain(services: str) -> Iterator[AwsDomain]:
    """Extracts, reads and splits the demo domain; "fast" takes a dozen services, "all" every one."""
    with tempfile.TemporaryDirectory() as home:
        workspace, settings = Workspace(Environment(home=Path(home)), "aws"), DomainSettings()
        workspace.folder.mkdir(parents=True)
        (workspace.folder / SETTINGS_FILE).write_text(render_yaml(settings), encoding="utf-8")
        extract_aws(workspace.folder, services=FAST_SERVICES if services == "fast" else None)
        corpus = read_documents([workspace.folder / "corpus.jsonl"], ReadReport(), settings.corpus, workspace.folder)
        encoder = workspace.encoder(settings.model.base, settings.model)
        chunks = chunk_documents(corpus, settings.chunking, encoder.tokenizer, encoder.max_tokens, ChunkReport())
        passages = workspace.tables.write("passages", chunks, PASSAGES)
        labels = collect_labels(settings.judgments, workspace.folder, LabelReport())
        workspace.tables.write("labels", labels, LABELS)
        splits = split_judgments(_judgments(workspace, passages), settings.splits).table
        workspace.tables.write_table("splits", splits)
        yield AwsDomain(workspace, settings, passages, splits)


def _judgments(workspace: Workspace, passages: ParquetTable) -> pa.Table:
    """The demo's labels name passages: they need neither model nor alignment."""
    document_of = dict(zip(*(column.to_pylist() for column in passages.read(["passage_id", "doc_id"])), strict=True))
    rows = workspace.tables.read("labels").read().to_pylist()
    judged = [{**row, "passage_id": row["target"], "doc_id": document_of[row["target"]]} for row in rows]
    table = pa.Table.from_pylist(judged, schema=JUDGMENTS)
    workspace.tables.write_table("judgments", table)
    return table


def services_argument(description: str, default: str) -> str:
    """The `--services` option of a benchmark that has no other."""
    return str(services_parser(description, default).parse_args().services)


def services_parser(description: str, default: str) -> argparse.ArgumentParser:
    """A benchmark's options, with `--services`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--services", choices=["fast", "all"], default=default)
    return parser
