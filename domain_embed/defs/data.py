"""Asset bodies from corpus files to passages, and the sources of a domain."""

import hashlib
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.notes import left_out
from domain_embed.contracts.tables import DOCUMENTS, PASSAGES
from domain_embed.corpus.chunking import ChunkReport, chunk_documents
from domain_embed.corpus.documents import ReadReport
from domain_embed.corpus.erased import ERASED, ERASED_FILE, erased_file
from domain_embed.corpus.sources import files_version, find_files
from domain_embed.cutover import withhold_gone
from domain_embed.defs.lane import corpus_documents, withhold_readable
from domain_embed.defs.notes import overlooked_files
from domain_embed.defs.policies import freshness_policy
from domain_embed.defs.seen import learning_curve, live
from domain_embed.defs.work import HIDDEN_ROWS, Produced, Work, counted, record_table, sample_table
from domain_embed.judgments.sources import source_paths
from domain_embed.monitoring.query_log import finished_days
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import Workspace

BATCH_ROWS = 4096
SHOWN_LEFT_OUT = 20


def document_files(workspace: Workspace, settings: DomainSettings) -> list[Path]:
    """The files that documents are read from."""
    return [path for path in find_files(workspace.folder, settings.corpus.paths) if path.name != ERASED_FILE]


def corpus_files(workspace: Workspace, settings: DomainSettings) -> list[Path]:
    """The documents' files, and the list of those that were erased."""
    return [*document_files(workspace, settings), *erased_file(workspace.folder)]


def label_files(workspace: Workspace, settings: DomainSettings) -> list[Path]:
    """The judgments' files, and the list of the documents that were erased."""
    paths = [path for source in settings.judgments.sources for path in source_paths(source)]
    return [*find_files(workspace.folder, paths), *erased_file(workspace.folder)]


def review_decisions(workspace: Workspace, settings: DomainSettings) -> list[Path]:
    """What people have decided; no file before the first decision."""
    path = workspace.folder / settings.review.decisions
    return [path] if path.exists() else []


def query_log(workspace: Workspace, settings: DomainSettings) -> list[Path]:
    """The log of what was asked and answered, up to yesterday: a day that is still going on is not yet looked at."""
    folder = settings.monitoring.query_log
    return finished_days(workspace.folder / folder, datetime.now(UTC).date()) if folder is not None else []


def probe_files(workspace: Workspace, settings: DomainSettings) -> list[Path]:
    """The probes of other subjects, by which forgetting is measured."""
    return find_files(workspace.folder, settings.training.forgetting.probes)


def documents(work: Work) -> Produced:
    """The source texts with title and metadata, one row each; what could not be used is counted and named."""
    report = ReadReport()
    try:
        found = corpus_documents(work, work.settings.corpus, report)
        table = work.workspace.tables.write("documents", found, DOCUMENTS)
    except InputError:
        withhold_readable(work)  # what is certainly gone is not served until somebody has mended the corpus
        raise
    unread = [*overlooked_files(work.workspace, work.settings), *report.samples]
    unused = [{"reason": reason, "where": where} for reason, where in unread[:SHOWN_LEFT_OUT]]
    hidden = [{"where": where} for where in report.hidden_samples[:SHOWN_LEFT_OUT]]
    return Produced(
        table.version,
        {
            "dagster/row_count": table.count,
            "files": report.files,
            "sample": sample_table(table.head(10)),
            "left out, by reason": counted(report.left_out),
            **({"left out": record_table(unused)} if unused else {}),
            **({HIDDEN_ROWS: record_table(hidden)} if hidden else {}),
        },
        {
            "documents": table.count,
            "left_out": report.left_out.total(),
            "erased": report.left_out[ERASED],
            "hidden": report.hidden,
        },
        left_out("files and rows", report.left_out, [f"{where}: {reason}" for reason, where in report.recorded]),
    )


def passages(work: Work) -> Produced:
    """What is embedded, retrieved and judged: documents as a whole, their sections, or runs of sentences."""
    source, report, tables = work.workspace.tables.read("documents"), ChunkReport(), work.workspace.tables
    try:
        encoder = work.base_encoder()
        batches = chunk_documents(
            source.batches(BATCH_ROWS), work.settings.chunking, encoder.tokenizer, encoder.max_tokens, report,
            count=source.count,
        )  # fmt: skip
        table = tables.write("passages", batches, PASSAGES, made_of=source.version)
    except Exception:
        if tables.has("passages"):
            withhold_gone(work.workspace)  # by the documents alone
        raise
    longest = [{"passage": passage_id, "tokens": tokens} for passage_id, tokens in report.samples]
    return Produced(
        table.version,
        {
            "dagster/row_count": table.count,
            "sample": sample_table(table.head(10)),
            **({f"longer than the model's {encoder.max_tokens} tokens": record_table(longest)} if longest else {}),
        },
        {
            "passages": table.count,
            "longer_than_limit": report.longer_than_limit,
            "share_of_text_not_seen": report.lost_share,
        },
    )


FILES = {source.__name__: source for source in (corpus_files, label_files, review_decisions, query_log, probe_files)}
"""Sources that are files, and which."""
SEEN = {state.__name__: state for state in (live, learning_curve)}
"""Sources that are states of the product, and their versions."""
SOURCES = (*FILES, *SEEN)


def sources_of(settings: DomainSettings) -> list[str]:
    """The sources a domain has: probes only where it names some."""
    return [name for name in SOURCES if name != "probe_files" or has_probes(settings)]


def has_probes(settings: DomainSettings) -> bool:
    """Whether training measures what is forgotten."""
    return bool(settings.training.forgetting.probes)


def has_groups(settings: DomainSettings) -> bool:
    """Whether documents belong to groups: then it matters which of their metadata names them."""
    return settings.access.groups_field is not None


def source_version(name: str, workspace: Workspace, settings: DomainSettings) -> str | None:
    """Hash of a source's files by name and content; "none" while there is no file. Of a state that of the state.

    None where a state cannot be told now, and is taken to be what it was.
    """
    if name in SEEN:
        return SEEN[name](workspace, settings)
    files = FILES[name](workspace, settings)
    return files_version(files, workspace.folder) if files else "none"


def source_signature(name: str, workspace: Workspace, settings: DomainSettings) -> str | None:
    """Changes whenever `source_version` does, and is had without reading a file: by name, size and time of writing."""
    if name in SEEN:
        return SEEN[name](workspace, settings)
    digest = hashlib.sha256()
    for path in sorted(FILES[name](workspace, settings)):
        found = path.stat()
        digest.update(os.fsencode(f"{path}\x00{found.st_size}\x00{found.st_mtime_ns}\x00{found.st_ino}\n"))
    return digest.hexdigest()[:16]


SOURCE_DESCRIPTIONS = {
    "corpus_files": "The documents' files, observed by content: touching or copying them changes nothing.",
    "label_files": "The judgments' files, observed by content.",
    "review_decisions": "What people decided about uncertain judgments, observed by content.",
    "query_log": "What was asked and answered, day by day up to yesterday, observed by content.",
    "probe_files": "Other subjects, by which forgetting is measured, observed by content.",
    "live": "The model that a challenger has to beat, and how it is asked: what is live or, where that is the "
    "challenger itself, what it has replaced.",
    "learning_curve": "What more labels are worth, once `domain-embed saturation` has measured it on these splits.",
}


def source_specs(domain: str, settings: DomainSettings) -> list[dg.AssetSpec]:
    """The external sources of a domain."""
    return [
        dg.AssetSpec(
            [domain, name], description=SOURCE_DESCRIPTIONS[name], group_name=domain_group(domain, "sources"),
            freshness_policy=freshness_policy(name, settings),
        )
        for name in sources_of(settings)
    ]  # fmt: skip


def domain_group(domain: str, group: str) -> str:
    """Dagster's group names are letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9_]", "_", f"{domain}_{group}")
