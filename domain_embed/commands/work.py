"""Commands that bring a domain up to date."""

from typing import Annotated

import typer

from domain_embed.commands.options import AsJson, Name, interruptible, open_workspace
from domain_embed.console import console, print_json, show_log
from domain_embed.contracts.errors import SettingsError
from domain_embed.printing.work import (
    model_words,
    notes_json,
    print_notes,
    print_plan,
    print_run,
    print_statuses,
    training_json,
    training_words,
)

app = typer.Typer()


@app.command()
def plan(name: Name, as_json: AsJson = False) -> None:
    """Show what is stale now and why, and what may run again after it. Nothing is run."""
    from domain_embed.defs.notes import notes_of
    from domain_embed.defs.runs import make_plan, open_instance
    from domain_embed.defs.training_time import training_time

    workspace = open_workspace(name)
    with open_instance(workspace.environment) as instance:
        found = make_plan(instance, workspace)
    notes, model = notes_of(workspace, workspace.settings), workspace.settings.model
    training = training_time(workspace)
    if as_json:
        print_json({
            "domain": name,
            "model": {"base": model.base, "query_prompt": model.query_prompt, "document_prompt": model.document_prompt},
            "stale": {asset: list(found.statuses[asset].causes) for asset in found.stale},
            "may_run": list(found.may_run),
            "last_seconds": dict(found.last_seconds),
            "estimate_seconds": found.estimate_seconds,
            "training": training_json(training),
            "notes": notes_json(notes),
        })  # fmt: skip
    else:
        console.print(f"model: {model_words(model)}", soft_wrap=True)
        print_plan(name, found)
        if training is not None and "checkpoint" in (*found.stale, *found.may_run):
            console.print(training_words(training), soft_wrap=True)
        print_notes(notes)


@app.command()
def status(
    names: Annotated[list[str] | None, typer.Argument(help="Only these domains.", metavar="[NAME]...")] = None,
    as_json: AsJson = False,
) -> None:
    """Show all domains: what is live, what is stale, the last verdict and its age. Nothing is run.

    A domain whose settings cannot be used is named with its error beside the others, and the exit code is then 2.
    """
    from dataclasses import asdict

    from domain_embed.defs.overview import domain_statuses
    from domain_embed.defs.runs import open_instance
    from domain_embed.settings import Environment

    environment = Environment.read()
    with open_instance(environment) as instance:
        found = domain_statuses(instance, environment, names)
    if as_json:
        print_json({"home": str(environment.home), "domains": [asdict(one) for one in found]})
    else:
        print_statuses(found)
    if any(one.error for one in found):
        raise typer.Exit(SettingsError.exit_code)


@app.command()
def run(
    name: Name,
    select: Annotated[str | None, typer.Option(help="Only these assets, separated by commas.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run them even where nothing has changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a domain up to date: run what is stale and what really changes after it, in one Dagster run."""
    workspace = open_workspace(name)
    from domain_embed.definitions import build_definitions
    from domain_embed.defs.graph import RECIPES
    from domain_embed.defs.notes import notes_of
    from domain_embed.defs.runs import open_instance, plan_run, run_assets

    show_log(quiet=as_json)
    with open_instance(workspace.environment) as instance:
        definitions = build_definitions(workspace.environment, [name])
        with interruptible():
            found = plan_run(instance, workspace, definitions)
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
            with interruptible():
                outcome = run_assets(instance, workspace, definitions, names, force=force)
    print_run(name, outcome, workspace, notes_of(workspace, workspace.settings), as_json=as_json)
