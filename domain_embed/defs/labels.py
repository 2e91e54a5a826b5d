"""Asset bodies from label files to splits, and the report on how far they can be trusted."""

import json
from collections.abc import Mapping, Sequence

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.notes import Note, left_out
from domain_embed.contracts.tables import LABELS
from domain_embed.corpus.erased import read_erased
from domain_embed.corpus.tokens import TokenCounter
from domain_embed.defs.notes import notes_of
from domain_embed.defs.work import Produced, Work, bullets, counted, joint_version, record_table, sample_table
from domain_embed.judgments.alignment import Aligner, Places
from domain_embed.judgments.graded import filters_of
from domain_embed.judgments.judgments import JudgmentReport, decide_judgments
from domain_embed.judgments.labels import collect_labels, without_answers
from domain_embed.judgments.leakage import measure_leakage
from domain_embed.judgments.quality.page import render_html
from domain_embed.judgments.quality.report import Material, QualityReport, examine
from domain_embed.judgments.quality.summary import as_json, remarks, verdict
from domain_embed.judgments.review import Decisions, read_decisions
from domain_embed.judgments.review_queue import review_queue
from domain_embed.judgments.sources import LabelReport
from domain_embed.judgments.splits import split_judgments
from domain_embed.judgments.synthetic import NOT_SENT, SyntheticReport, make_synthetic
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import BASE, Workspace

BATCH_ROWS = 8192


def labels(work: Work) -> Produced:
    """What all label files say: which passage, document or answer is right for a query, and where that is from."""
    report = LabelReport()
    folder = work.workspace.folder
    batches = without_answers(collect_labels(work.settings.judgments, folder, report), read_erased(folder))
    table = work.workspace.tables.write("labels", batches, LABELS)
    sources = [
        {"source": name, "labels": source.given, "left out": source.left_out.total(), "why": counted(source.left_out)}
        for name, source in report.sources.items()
    ]
    return Produced(
        table.version,
        {
            "dagster/row_count": table.count,
            "sources": record_table(sources),
            **_left_out(report_samples(report)),
            "sample": sample_table(table.head(10)),
        },
        {"labels": table.count, "left_out": report.left_out.total()},
        (
            *left_out("rows", report.left_out, [f"{what}: {reason}" for reason, what in report.recorded]),
            *unread_columns(report.unread),
        ),
    )


def synthetic_queries(work: Work) -> Produced:
    """Queries made up for passages nobody has judged, kept where they lead back to them; none unless asked for."""
    tables, report = work.workspace.tables, SyntheticReport()
    rows = _labeled(tables.read("labels").read(["query", "target"]), Places.of(tables.read("passages")))
    batches = make_synthetic(
        tables.read("passages"), rows, work.settings.synthetic, work.workspace.folder,
        work.workspace.root / "synthetic.jsonl", work.workspace.searcher(work.workspace.aliased(BASE)), report,
        judged_queries=tables.read("labels").read(["query"])["query"].to_pylist(),
        may_be_sent=work.settings.access.may_be_sent,
    )  # fmt: skip
    table = tables.write("synthetic_queries", batches, LABELS)
    unused = [{"reason": reason, "query": query, "passage": passage} for reason, query, passage in report.samples]
    return Produced(
        table.version,
        {
            "dagster/row_count": table.count,
            "source": work.settings.synthetic.source,
            **({NOT_SENT: report.left_out[NOT_SENT]} if report.left_out[NOT_SENT] else {}),
            "left out, by reason": counted(report.left_out),
            **_left_out(unused),
            "sample": sample_table(table.head(10)),
        },
        {"queries": report.kept, "asked": report.asked, "left_out": report.left_out.total()},
    )


def sends_some_passages(settings: DomainSettings) -> bool:
    """Whether a language model writes queries, and may read only some of the passages."""
    return settings.synthetic.source == "endpoint" and settings.access.rule is not None


def judgments(work: Work) -> Produced:
    """Which passages answer which queries, as labels say and people decided; uncertain ones wait for review."""
    tables, report = work.workspace.tables, JudgmentReport()
    places = Places.of(tables.read("passages"))
    searcher = work.workspace.searcher(work.workspace.aliased(BASE))
    aligner = Aligner(searcher, places, work.settings.alignment)
    rows = (batch for name in ("labels", "synthetic_queries") for batch in tables.read(name).batches(BATCH_ROWS))
    judged = decide_judgments(
        rows, places, aligner, _decisions(work), work.settings.alignment.min_confidence, report
    )  # fmt: skip
    _require_known_keys(judged.judgments, searcher.collection.info.metadata_types)
    written = tables.write_table("judgments", judged.judgments)
    negatives = tables.write_table("judged_negatives", judged.negatives)
    undecided = tables.write_table("undecided", judged.undecided)
    unused = [{"reason": reason, "query": query, "what": what} for reason, query, what in report.samples]
    return Produced(
        joint_version(written.version, negatives.version, undecided.version),
        {
            "dagster/row_count": written.count,
            "sample": sample_table(judged.judgments),
            "left out, by reason": counted(report.left_out),
            **_left_out(unused),
            **({"waiting for review": sample_table(judged.undecided)} if undecided.count else {}),
        },
        {
            "judgments": written.count,
            "judged_negatives": negatives.count,
            "aligned": report.aligned,
            "reviewed": report.reviewed,
            "waiting_for_review": undecided.count,
            "left_out": report.left_out.total(),
        },
        left_out("labels", report.left_out, [f"{query} | {what}: {reason}" for reason, query, what in report.samples]),
    )


def _require_known_keys(judgments: pa.Table, known: Mapping[str, str]) -> None:
    """Raises InputError for a filter on a key that no passage has: it would find nothing, whatever the model."""
    for query_id, where in filters_of(judgments).items():
        for key in where.keys() - known.keys():
            keys = f"keys: {', '.join(known) or 'none'}; see corpus.metadata_fields and corpus.path_metadata"
            raise InputError(f"query {query_id!r} filters on {key!r}, which no passage has", keys)


def splits(work: Work) -> Produced:
    """The judgments in train, validation and test, such that nothing that is learned can be asked."""
    tables = work.workspace.tables
    kept = tables.read("splits").read() if tables.has("splits") else None
    result = split_judgments(tables.read("judgments").read(), work.settings.splits, kept)
    written = tables.write_table("splits", result.table)
    queries = queries_per_split(work.workspace)
    leakage = measure_leakage(result.table, work.settings.splits.near_duplicates)
    shared = [
        {
            "splits": pair,
            "queries": leakage.queries[pair],
            "near-duplicate queries": leakage.near_queries[pair],
            "positives": leakage.positives[pair],
            "documents": leakage.documents[pair],
        }
        for pair in leakage.queries
    ]
    moved = [{"query": query, "passage": passage, "move": move} for query, passage, move in result.moved_samples]
    return Produced(
        written.version,
        {
            "dagster/row_count": written.count,
            **{f"{split} queries": count for split, count in queries.items()},
            "shared by splits": record_table(shared),
            **({"moved since last time": record_table(moved)} if moved else {}),
            "made up, but held out: dropped": result.dropped_train_only,
            "sample": sample_table(result.table),
        },
        {f"{split}_queries": count for split, count in queries.items()},
    )


def quality_report(work: Work) -> Produced:
    """What looks wrong with passages and judgments, what it costs and what to do, before anything is trained."""
    tables, workspace = work.workspace.tables, work.workspace
    material = Material(*(tables.read(name) for name in ("passages", "labels", "judgments", "splits")))
    collection = workspace.vector_store.open(workspace.aliased(BASE))
    encoder = workspace.encoder_of(collection.info)
    report = examine(
        material, collection, encoder, TokenCounter(encoder.tokenizer), encoder.max_tokens,
        work.settings.quality, work.settings.splits,
    )  # fmt: skip
    findings = tables.write_table("findings", report.findings)
    queue = review_queue(report.findings, material.judgments.read(), _decisions(work))
    tables.write_table("review_queue", queue)
    summary = {**as_json(report), "remarks": remarks(report), "splits_version": material.splits.version}
    page = workspace.save_quality(summary, render_html(report, workspace.domain, notes_of(workspace, work.settings)))
    return Produced(
        joint_version(findings.version, json.dumps(summary, sort_keys=True)),
        {
            "verdict": verdict(report),
            "checks": record_table(_check_rows(report)),
            "remarks": bullets(remarks(report)),
            "culprits": sample_table(report.findings),
            "report": dg.MetadataValue.path(str(page)),
            "report in MLflow": dg.MetadataValue.url(work.publish(page, summary)),
        },
        {f"found/{name}": count for name, count in report.counts.items()} | {"waiting_for_review": queue.num_rows},
    )


def queries_per_split(workspace: Workspace) -> dict[str, int]:
    """How many queries each split has."""
    frame = workspace.tables.read("splits").read(["split", "query_id"]).to_pandas()
    return {str(split): int(count) for split, count in frame.groupby("split")["query_id"].nunique().items()}


def unread_columns(columns: Sequence[str]) -> tuple[Note, ...]:
    """The note on columns that are neither read nor declared unused."""
    if not columns:
        return ()
    return (Note(f"columns that are not read: {', '.join(columns)}; unused_fields of the source declares them"),)


def report_samples(report: LabelReport) -> list[dict[str, str]]:
    """The first labels left out, of all sources."""
    return [
        {"source": name, "reason": reason, "what": what}
        for name, source in report.sources.items()
        for reason, what in source.samples
    ]


def _decisions(work: Work) -> Decisions:
    return read_decisions(work.workspace.folder / work.settings.review.decisions)


def _labeled(labels: pa.Table, places: Places) -> set[str]:
    """The passages some label is about, be it as a part of a document."""
    targets = pc.unique(labels["target"]).drop_null().to_pylist()
    return {passage_id for target in targets for passage_id in places.passages(target)}


def _check_rows(report: QualityReport) -> list[dict[str, object]]:
    return [
        {"check": name, "severity": report.severities[name], "found": count} for name, count in report.counts.items()
    ]


def _left_out(samples: list[dict[str, str]]) -> dict[str, dg.MetadataValue]:
    return {"left out": record_table(samples)} if samples else {}
