"""Asset bodies from corpus files to passages, and the sources of a domain."""

import dagster as dg

from domain_embed.contracts.tables import DOCUMENTS, PASSAGES
from domain_embed.corpus.chunking import ChunkReport, chunk_documents
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.corpus.sources import files_version, find_files
from domain_embed.defs.work import Produced, Work, record_table, sample_table
from domain_embed.judgments.sources import source_paths
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import Workspace

BATCH_ROWS = 4096


def corpus_files_version(workspace: Workspace, settings: DomainSettings) -> str:
    """Content hash of the corpus files."""
    return files_version(find_files(workspace.folder, settings.corpus.paths), workspace.folder)


def label_files_version(workspace: Workspace, settings: DomainSettings) -> str:
    """Content hash of the judgment files."""
    paths = [path for source in settings.judgments.sources for path in source_paths(source)]
    return files_version(find_files(workspace.folder, paths), workspace.folder)


def review_decisions_version(workspace: Workspace, settings: DomainSettings) -> str:
    """Content hash of what people have decided; "none" before the first decision."""
    path = workspace.folder / settings.review.decisions
    return files_version([path], workspace.folder) if path.exists() else "none"


def documents(work: Work) -> Produced:
    """The source texts with title and metadata, one row each; what could not be used is counted and named."""
    report, corpus, folder = ReadReport(), work.settings.corpus, work.workspace.folder
    files = find_files(folder, corpus.paths)
    table = work.workspace.tables.write("documents", read_documents(files, report, corpus, folder), DOCUMENTS)
    left_out = [{"reason": reason, "where": where} for reason, where in report.samples]
    return Produced(
        table.version,
        {
            "dagster/row_count": table.count,
            "files": len(files),
            "sample": sample_table(table.head(10)),
            **({"left out": record_table(left_out)} if left_out else {}),
        },
        {"documents": table.count, "left_out": report.left_out.total()},
    )


def passages(work: Work) -> Produced:
    """What is embedded, retrieved and judged: documents as a whole, their sections, or runs of sentences."""
    source, report = work.workspace.tables.read("documents"), ChunkReport()
    encoder = work.base_encoder()
    batches = chunk_documents(
        source.batches(BATCH_ROWS), work.settings.chunking, encoder.tokenizer, encoder.max_tokens, report,
        count=source.count,
    )  # fmt: skip
    table = work.workspace.tables.write("passages", batches, PASSAGES)
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


SOURCES = {
    "corpus_files": corpus_files_version,
    "label_files": label_files_version,
    "review_decisions": review_decisions_version,
}
SOURCE_DESCRIPTIONS = {
    "corpus_files": "The documents' files, observed by content: touching or copying them changes nothing.",
    "label_files": "The judgments' files, observed by content.",
    "review_decisions": "What people decided about uncertain judgments, observed by content.",
}


def source_specs(domain: str) -> list[dg.AssetSpec]:
    """The external sources of a domain."""
    return [
        dg.AssetSpec([domain, name], description=SOURCE_DESCRIPTIONS[name], group_name=domain_group(domain, "sources"))
        for name in SOURCES
    ]


def domain_group(domain: str, group: str) -> str:
    """Dagster's group names are letters, digits and underscores."""
    return "".join(character if character.isalnum() else "_" for character in f"{domain}_{group}")
