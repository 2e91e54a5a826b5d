"""Commands that show what is known about data and models."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from domain_embed.commands.options import AsJson, Name, open_workspace
from domain_embed.console import print_json
from domain_embed.printing.evidence import (
    print_contrast,
    print_export,
    print_import,
    print_quality,
    print_report,
    report_json,
)

app = typer.Typer()

ASKED_ABOUT = ("undecided", "review_queue", "unjudged")


@app.command()
def report(
    name: Name,
    open_it: Annotated[bool, typer.Option("--open", help="Open the HTML report in a browser.")] = False,
    trec: Annotated[
        Path | None,
        typer.Option(help="Also write runs and judgments into this folder, as trec_eval reads them."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the latest evaluation: figures, comparisons with intervals, and the verdict."""
    from domain_embed.defs.runs import open_instance, timings

    workspace = open_workspace(name)
    rule = workspace.access_rule().rule
    stored = workspace.latest_report()
    if trec is not None:
        from domain_embed.evaluation.trec import export_trec

        folder = workspace.report_folder()
        export_trec(folder / "runs.parquet", folder / "qrels.parquet", trec, rule.notice if rule else "")
    if as_json:
        with open_instance(workspace.environment) as instance:
            print_json(report_json(stored, timings(instance, name)))
    else:
        print_report(stored)
    if open_it:
        typer.launch(stored["html"])


@app.command()
def compare(
    name: Name,
    first: Annotated[
        str, typer.Argument(help="A system, like tuned/hybrid or bm25; of an older report REPORT:SYSTEM.")
    ],
    second: Annotated[str, typer.Argument(help="The system it is compared to.")],
    as_json: AsJson = False,
) -> None:
    """Compare any two systems, query by query: what the first changes against the second, and how sure that is."""
    from domain_embed.evaluation.contrast import contrast, read_scores

    workspace = open_workspace(name)
    workspace.access_rule()
    settings = workspace.settings.evaluation
    scores = []
    for named in (first, second):
        version, _, system = named.rpartition(":")
        scores.append(read_scores(workspace.report_folder(version or None) / "scores.parquet", system))
    found = contrast(first, second, *scores, resamples=settings.resamples, seed=settings.seed)
    if as_json:
        print_json(asdict(found))
    else:
        frame = workspace.tables.read("splits").read(["query_id", "query"]).to_pydict()
        print_contrast(found, dict(zip(frame["query_id"], frame["query"], strict=True)))


@app.command()
def quality(
    name: Name,
    open_it: Annotated[bool, typer.Option("--open", help="Open the HTML page with all culprits in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what looks wrong with passages and judgments, what it costs, and what to do about it."""
    workspace = open_workspace(name)
    workspace.access_rule()
    summary = workspace.quality()
    if as_json:
        print_json(summary)
    else:
        print_quality(summary)
    if open_it:
        typer.launch(summary["html"])


@app.command()
def review(
    name: Name,
    sheet: Annotated[
        Path | None, typer.Argument(help="A .csv or .xlsx file; default: review.xlsx in the domain's folder.")
    ] = None,
    take_in: Annotated[bool, typer.Option("--import", help="Take the decisions of a filled-in sheet in.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most urgent ones to ask about.")] = 1000,
    reviewer: Annotated[str, typer.Option(help="With --import: who decided, where the sheet does not say.")] = "",
    as_json: AsJson = False,
) -> None:
    """Hand uncertain judgments to people as a sheet, and take their decisions in.

    Asked about are labels whose passage is not certain, suspect labels, made-up queries, and passages that the last
    evaluation ranked high and nobody has judged. Decisions are kept in the
    domain's folder; the next run goes by them.
    """
    from domain_embed.judgments.sheets import export_review, import_review

    workspace = open_workspace(name)
    path = sheet or workspace.folder / "review.xlsx"
    decisions = workspace.folder / workspace.settings.review.decisions
    if take_in:
        waiting = [workspace.tables.read(table) for table in ASKED_ABOUT if workspace.tables.has(table)]
        print_import(import_review(path, decisions, reviewer, undecided=waiting), as_json=as_json)
    else:
        waiting = [workspace.tables.read(table) for table in ("undecided", "review_queue")]
        if workspace.tables.has("unjudged"):
            waiting.append(workspace.tables.read("unjudged"))
        rule = workspace.access_rule().rule
        passages, notice = workspace.tables.read("passages"), rule.notice if rule else ""
        print_export(export_review(path, waiting, passages, decisions, limit, notice=notice), as_json=as_json)
