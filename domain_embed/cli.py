"""The command line: what a person or a script asks, and how the answer is printed. No logic of its own.

Heavy libraries are imported inside the commands that need them, so that `--help` and `plan` answer at once.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.table import Table

from domain_embed.console import (
    ask_for_files,
    console,
    errors,
    print_export,
    print_hits,
    print_import,
    print_json,
    print_new_domain,
    print_plan,
    print_quality,
    print_report,
    print_run,
    quiet_libraries,
    report_json,
    show_log,
)
from domain_embed.contracts.errors import DomainEmbedError, SettingsError, StoreError
from domain_embed.settings import SETTINGS_FILE, DomainSettings, Environment, json_schema, render_yaml

if TYPE_CHECKING:
    from domain_embed.contracts.records import Mode
    from domain_embed.stores.tracking import Tracking

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Fine-tune, re-embed, prove and promote an embedding model for your own domain.

A domain is a folder with a [bold]domain.yaml[/bold] in DOMAIN_EMBED_HOME (default: ./data). A first tour:
[bold]domain-embed demo[/bold], then [bold]domain-embed search aws "give a user permission to read a bucket"[/bold].

Exit codes: 0 done (also when a model is refused: that is a result), 1 unexpected, 2 settings or usage, 3 input data,
4 not made yet, 5 store, 6 model or training, 7 promotion or rollback refused, 130 interrupted.""",
)

Name = Annotated[str, typer.Argument(help="The domain: a folder of DOMAIN_EMBED_HOME.", metavar="NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, nothing else.")]


def main() -> None:
    """Runs the command line; an error the user can act on is printed without a traceback."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        app()
    except DomainEmbedError as error:
        errors.print(f"[bold red]error:[/bold red] {type(error).__name__}: ", end="")
        errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk can show anywhere
        errors.print(f"[bold red]error:[/bold red] {error}", highlight=False, soft_wrap=True)
        sys.exit(StoreError.exit_code)


@app.command()
def demo(
    fast: Annotated[bool, typer.Option("--fast", help="Twelve services and one epoch: a tour in two minutes.")] = False,
) -> None:
    """Fine-tune for a real domain: AWS operations found by what people want to do.

    Makes the domain from the installed awscli package, runs it, and shows the report and a search.
    """
    from domain_embed.demo.aws import FAST_SERVICES, extract_aws
    from domain_embed.new_domain import demo_settings

    environment = Environment.read()
    name = "aws-fast" if fast else "aws"
    folder = environment.domain_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    extracted = extract_aws(folder, services=FAST_SERVICES if fast else None)
    console.print(
        f"[bold]{name}[/bold]: {extracted.passages:,} operations and {extracted.queries:,} task titles "
        f"of {extracted.services} services, from awscli {extracted.awscli_version}"
    )
    if not (folder / SETTINGS_FILE).exists():
        (folder / SETTINGS_FILE).write_text(render_yaml(demo_settings(fast=fast)), encoding="utf-8")
    run(name)
    query = "give a user permission to read a bucket"
    console.print(f'\n[bold]domain-embed search {name} "{query}"[/bold]')
    search(name, query, k=3)


@app.command()
def init(
    name: Name,
    beir: Annotated[Path | None, typer.Option(help="A folder with corpus.jsonl, queries.jsonl and qrels/.")] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help="Documents: a folder of Markdown, HTML, text, PDF or DOCX files, or a table (JSONL, CSV, "
            "TSV, Parquet)."
        ),
    ] = None,
    judgments: Annotated[
        list[Path] | None,
        typer.Option(
            help="Judgments, recognised by their fields: query and passage_id, question and answer, tickets, "
            "annotations, clicks, or a BEIR folder. May be given several times."
        ),
    ] = None,
    ask: Annotated[
        bool | None, typer.Option("--ask/--no-ask", help="Ask for what was not given; default: in a terminal.")
    ] = None,
) -> None:
    """Make a domain: write its commented domain.yaml, pointing to your files where they are."""
    from domain_embed.new_domain import beir_settings, files_settings

    if beir is not None and (corpus is not None or judgments):
        raise SettingsError("--beir brings its own corpus and judgments", "use --beir alone")
    path = Environment.read().domain_folder(name) / SETTINGS_FILE
    if path.exists():
        raise SettingsError(f"{path} exists already", "edit it, or remove it first")
    if ask if ask is not None else sys.stdin.isatty() and beir is None and corpus is None and not judgments:
        corpus, judgments = ask_for_files(corpus, judgments or [])
    if judgments and corpus is None:
        raise SettingsError("--judgments without --corpus", "say where the documents are, too")
    settings = DomainSettings()
    if beir is not None:
        settings = beir_settings(beir.resolve())
    elif corpus is not None:
        settings = files_settings(corpus.resolve(), [one.resolve() for one in judgments or []])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_yaml(settings), encoding="utf-8")
    print_new_domain(path, settings)


@app.command()
def plan(name: Name, as_json: AsJson = False) -> None:
    """Show what is stale now and why, and what may run again after it. Nothing is run."""
    from domain_embed.defs.runs import make_plan, open_instance
    from domain_embed.stores.workspace import Workspace

    environment = Environment.read()
    environment.settings(name)
    with open_instance(environment) as instance:
        found = make_plan(instance, Workspace(environment, name))
    if as_json:
        print_json({
            "domain": name,
            "stale": {asset: list(found.statuses[asset].causes) for asset in found.stale},
            "may_run": list(found.may_run),
            "last_seconds": dict(found.last_seconds),
        })  # fmt: skip
    else:
        print_plan(name, found)


@app.command()
def run(
    name: Name,
    select: Annotated[str | None, typer.Option(help="Only these assets, separated by commas.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run them even where nothing has changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a domain up to date: run what is stale and what really changes after it, in one Dagster run."""
    environment = Environment.read()
    environment.settings(name)
    from domain_embed.definitions import build_definitions
    from domain_embed.defs.graph import RECIPES
    from domain_embed.defs.runs import make_plan, open_instance, run_assets
    from domain_embed.stores.workspace import Workspace

    show_log(quiet=as_json)
    workspace = Workspace(environment, name)
    with open_instance(environment) as instance:
        found = make_plan(instance, workspace)
        if select is not None:
            names = [part.strip() for part in select.split(",") if part.strip()]
        elif force:
            names = [recipe.name for recipe in RECIPES]
        else:
            names = [*found.stale, *found.may_run]
        outcome = None
        if names:
            if not as_json:
                print_plan(name, found)
            try:
                outcome = run_assets(instance, workspace, build_definitions(environment, [name]), names, force=force)
            except KeyboardInterrupt:
                errors.print("interrupted: what was made stays, and the same command goes on from there")
                raise typer.Exit(INTERRUPTED) from None
    print_run(name, outcome, workspace, as_json=as_json)


@app.command()
def report(
    name: Name,
    open_it: Annotated[bool, typer.Option("--open", help="Open the HTML report in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the latest evaluation: figures, comparisons with intervals, and the verdict."""
    from domain_embed.defs.runs import open_instance, timings
    from domain_embed.stores.workspace import Workspace

    environment = Environment.read()
    environment.settings(name)
    stored = Workspace(environment, name).latest_report()
    if as_json:
        with open_instance(environment) as instance:
            print_json(report_json(stored, timings(instance, name)))
    else:
        print_report(stored)
    if open_it:
        typer.launch(stored["html"])


@app.command()
def quality(
    name: Name,
    open_it: Annotated[bool, typer.Option("--open", help="Open the HTML page with all culprits in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what looks wrong with passages and judgments, what it costs, and what to do about it."""
    from domain_embed.stores.workspace import Workspace

    environment = Environment.read()
    environment.settings(name)
    summary = Workspace(environment, name).quality()
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

    Asked about are labels whose passage is not certain, suspect labels and made-up queries. Decisions are kept in the
    domain's folder; the next run goes by them.
    """
    from domain_embed.judgments.sheets import export_review, import_review
    from domain_embed.stores.workspace import Workspace

    environment = Environment.read()
    workspace, settings = Workspace(environment, name), environment.settings(name)
    path = sheet or workspace.folder / "review.xlsx"
    decisions = workspace.folder / settings.review.decisions
    if take_in:
        taken = import_review(path, decisions, reviewer)
        print_import(taken, as_json=as_json)
    else:
        waiting = [workspace.tables.read(table) for table in ("undecided", "review_queue")]
        print_export(export_review(path, waiting, workspace.tables.read("passages"), decisions, limit), as_json=as_json)


@app.command()
def search(
    name: Name,
    query: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many passages.")] = 10,
    mode: Annotated[str | None, typer.Option(help="dense, sparse or hybrid; default: retrieval.mode.")] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="key=value on metadata; a repeated key means any of them.")
    ] = None,
    version: Annotated[str, typer.Option(help="champion (what is live), challenger or base.")] = "champion",
    as_json: AsJson = False,
) -> None:
    """Search the live collection, or another version of it, with the model that made it."""
    from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace

    aliases = {"champion": LIVE, "challenger": CHALLENGER, "base": BASE}
    if version not in aliases:
        raise SettingsError(f"--version {version!r} is not one of {', '.join(aliases)}")
    if mode not in (None, "dense", "sparse", "hybrid"):
        raise SettingsError(f"--mode {mode!r} is not one of dense, sparse, hybrid")
    environment = Environment.read()
    environment.settings(name)
    workspace = Workspace(environment, name)
    collection = workspace.aliased(aliases[version])
    from domain_embed.retrieval.searcher import parse_filters

    quiet_libraries()
    searcher = workspace.searcher(collection)
    where = parse_filters(filters or [], searcher.collection.info.metadata_types)
    hits = searcher.search(query, k, mode=cast("Mode | None", mode), where=where or None)
    if as_json:
        rows = [
            {"rank": rank, "passage_id": hit.passage_id, "score": hit.score, "title": hit.title, "text": hit.text,
             "metadata": dict(hit.metadata)}
            for rank, hit in enumerate(hits, start=1)
        ]  # fmt: skip
        print_json({"domain": name, "collection": collection, "query": query, "hits": rows})
        return
    print_hits(hits)


@app.command()
def versions(name: Name, as_json: AsJson = False) -> None:
    """List the collections, oldest first: their model, size and age, and which one is live."""
    from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace

    environment = Environment.read()
    environment.settings(name)
    store = Workspace(environment, name).vector_store
    names = {"live": store.alias(LIVE), "challenger": store.alias(CHALLENGER), "base": store.alias(BASE)}
    rows: list[dict[str, Any]] = [
        {
            "collection": info.name,
            "model": info.model,
            "fingerprint": info.fingerprint,
            "passages": info.count,
            "built_at": info.built_at,
            "aliases": [alias for alias, target in names.items() if target == info.name],
        }
        for info in store.collections()
    ]
    if as_json:
        print_json({"domain": name, "collections": rows})
        return
    table = Table("collection", "model", "passages", "built", "")
    for row in rows:
        marks = ", ".join(f"[bold green]{a}[/bold green]" if a == "live" else a for a in row["aliases"])
        table.add_row(row["collection"], row["fingerprint"], f"{row['passages']:,}", row["built_at"], marks)
    console.print(table)


@app.command()
def rollback(name: Name, as_json: AsJson = False) -> None:
    """Put the previous live model back, at once. The model rolled back from is not promoted again by itself."""
    from dataclasses import asdict

    from domain_embed.promotion.champion import PromotionLog, roll_back
    from domain_embed.stores.workspace import LIVE, Workspace

    environment = Environment.read()
    environment.settings(name)
    workspace = Workspace(environment, name)
    move = roll_back(workspace.vector_store, PromotionLog(workspace.promotions), LIVE)
    _tracking(environment).set_alias(name, "champion", move.fingerprint)
    if as_json:
        print_json(asdict(move))
    else:
        console.print(f"live again: [bold]{move.target}[/bold] (model {move.fingerprint}); was {move.source}")


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Of Dagster.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="Of MLflow.")] = 5000,
    host: Annotated[str, typer.Option(help="Where both listen.")] = "127.0.0.1",
) -> None:
    """Start Dagster's UI with all domains, and MLflow's for the figures. Ends with Ctrl-C."""
    from domain_embed.servers import serve_ui

    serve_ui(Environment.read(), host=host, port=port, mlflow_port=mlflow_port)


@app.command()
def schema() -> None:
    """Print the JSON schema of domain.yaml, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2))


def _tracking(environment: Environment) -> "Tracking":
    from domain_embed.stores.tracking import Tracking
    from domain_embed.stores.workspace import STORE_FOLDER

    return Tracking(environment.mlflow_tracking_uri, environment.home / STORE_FOLDER / "mlflow")


if __name__ == "__main__":
    main()
