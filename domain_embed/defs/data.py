"""Asset bodies from files to splits."""

import dagster as dg

from domain_embed.contracts.tables import DOCUMENTS, PASSAGES
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.corpus.passages import whole_documents
from domain_embed.corpus.sources import files_version, find_files
from domain_embed.defs.work import Produced, Work, record_table, sample_table
from domain_embed.judgments.judgments import collect_judgments
from domain_embed.judgments.sources import source_paths
from domain_embed.judgments.splits import measure_leakage, split_judgments
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


def documents(work: Work) -> Produced:
    """The source texts with title and metadata, one row each; what could not be used is counted and named."""
    report = ReadReport()
    files = find_files(work.workspace.folder, work.settings.corpus.paths)
    batches = read_documents(files, report, bad_rows=work.settings.corpus.bad_rows)
    table = work.workspace.tables.write("documents", batches, DOCUMENTS)
    left_out = [{"reason": reason, "where": where} for reason, where in report.samples]
    return Produced(
        table.version,
        {
            "dagster/row_count": table.count,
            "files": len(files),
            "sample": sample_table(next(table.batches(10))),
            **({"left out": record_table(left_out)} if left_out else {}),
        },
        {"documents": table.count, "left_out": report.left_out.total()},
    )


def passages(work: Work) -> Produced:
    """What is embedded, retrieved and judged: here, every document as a whole."""
    source = work.workspace.tables.read("documents")
    table = work.workspace.tables.write("passages", whole_documents(source.batches(BATCH_ROWS)), PASSAGES)
    return Produced(
        table.version,
        {"dagster/row_count": table.count, "sample": sample_table(next(table.batches(10)))},
        {"passages": table.count},
    )


def judgments(work: Work) -> Produced:
    """Which passages answer which queries, from all label files, about passages that exist."""
    known = work.workspace.tables.read("passages").read(["passage_id"])["passage_id"].to_pylist()
    table, report = collect_judgments(work.settings.judgments, work.workspace.folder, known)
    written = work.workspace.tables.write_table("judgments", table)
    left_out = [{"reason": reason, "query": query, "passage": passage} for reason, query, passage in report.samples]
    return Produced(
        written.version,
        {
            "dagster/row_count": written.count,
            "sample": sample_table(table),
            "left out in all": report.left_out.total(),
            **({"left out": record_table(left_out)} if left_out else {}),
        },
        {"judgments": written.count, "left_out": report.left_out.total()},
    )


def splits(work: Work) -> Produced:
    """The judgments in train, validation and test, such that nothing that is learned can be asked."""
    table = split_judgments(work.workspace.tables.read("judgments").read(), work.settings.splits)
    written = work.workspace.tables.write_table("splits", table)
    queries = queries_per_split(work.workspace)
    leakage = measure_leakage(table)
    shared = [
        {"splits": pair, "shared queries": leakage.queries[pair], "shared positives": leakage.positives[pair]}
        for pair in leakage.queries
    ]
    return Produced(
        written.version,
        {
            "dagster/row_count": written.count,
            **{f"{split} queries": count for split, count in queries.items()},
            "leakage": record_table(shared),
            "sample": sample_table(table),
        },
        {f"{split}_queries": count for split, count in queries.items()},
    )


def queries_per_split(workspace: Workspace) -> dict[str, int]:
    """How many queries each split has."""
    frame = workspace.tables.read("splits").read(["split", "query_id"]).to_pandas()
    return {str(split): int(count) for split, count in frame.groupby("split")["query_id"].nunique().items()}


SOURCES = {"corpus_files": corpus_files_version, "label_files": label_files_version}
SOURCE_DESCRIPTIONS = {
    "corpus_files": "The documents' files, observed by content: touching or copying them changes nothing.",
    "label_files": "The judgments' files, observed by content.",
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
