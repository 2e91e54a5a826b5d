"""Commands that make a domain and describe its settings."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from domain_embed.commands.options import Name
from domain_embed.commands.serving import search
from domain_embed.commands.work import run
from domain_embed.console import ask_for_files, console, line
from domain_embed.contracts.errors import SettingsError
from domain_embed.printing.work import print_new_domain

app = typer.Typer()


@app.command()
def demo(
    fast: Annotated[bool, typer.Option("--fast", help="Twelve services and one epoch: a short tour.")] = False,
) -> None:
    """Fine-tune for a real domain: AWS operations found by what people want to do.

    Makes the domain from the installed awscli package, runs it, and shows the report and a search.
    """
    from domain_embed.demo.aws import FAST_SERVICES, extract_aws
    from domain_embed.new_domain import demo_settings
    from domain_embed.settings import SETTINGS_FILE, Environment, render_yaml

    environment = Environment.read()
    name = "aws-fast" if fast else "aws"
    folder = environment.domain_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    extracted = extract_aws(folder, services=FAST_SERVICES if fast else None)
    console.print(
        line(
            (name, "bold"),
            f": {extracted.passages:,} operations and {extracted.queries:,} task titles of {extracted.services} "
            f"services, from awscli {extracted.awscli_version}",
        )
    )
    if not (folder / SETTINGS_FILE).exists():
        (folder / SETTINGS_FILE).write_text(render_yaml(demo_settings(fast=fast)), encoding="utf-8")
    run(name)
    query = "give a user permission to read a bucket"
    console.print(line("\n", (f'domain-embed search {name} "{query}"', "bold")))
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
    from domain_embed.new_domain import NewDomain, beir_settings, files_domain
    from domain_embed.settings import SETTINGS_FILE, DomainSettings, Environment, render_yaml

    if beir is not None and (corpus is not None or judgments):
        raise SettingsError("--beir brings its own corpus and judgments", "use --beir alone")
    path = Environment.read().new_domain_folder(name) / SETTINGS_FILE
    if path.exists():
        raise SettingsError(f"{path} exists already", "edit it, or remove it first")
    if ask if ask is not None else sys.stdin.isatty() and beir is None and corpus is None and not judgments:
        corpus, judgments = ask_for_files(corpus, judgments or [])
    if judgments and corpus is None:
        raise SettingsError("--judgments without --corpus", "say where the documents are, too")
    made = NewDomain(DomainSettings())
    if beir is not None:
        made = NewDomain(beir_settings(beir.resolve()))
    elif corpus is not None:
        made = files_domain(corpus.resolve(), [one.resolve() for one in judgments or []])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_yaml(made.settings), encoding="utf-8")
    print_new_domain(path, made)


@app.command()
def schema() -> None:
    """Print the JSON schema of domain.yaml, for editors."""
    from domain_embed.settings import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
