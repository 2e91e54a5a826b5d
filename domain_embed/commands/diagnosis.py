"""The command that finds out why queries fail, and what to do about it, without training anything."""

from typing import Annotated

import typer

from domain_embed.commands.options import INTERRUPTED, AsJson, Name
from domain_embed.console import errors, print_diagnosis, print_json, show_log
from domain_embed.settings import Environment

app = typer.Typer()


@app.command()
def diagnose(
    name: Name,
    open_it: Annotated[bool, typer.Option("--open", help="Open the HTML page in a browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show why queries fail, what each lever would gain and cost, and which one to pull. Nothing is trained.

    What the diagnosis reads is brought up to date first: passages, the base model's collection, judgments, splits.
    """
    environment = Environment.read()
    environment.settings(name)
    from domain_embed.definitions import build_definitions
    from domain_embed.defs.runs import make_plan, open_instance, run_assets, upstream
    from domain_embed.stores.workspace import Workspace

    show_log(quiet=as_json)
    workspace = Workspace(environment, name)
    with open_instance(environment) as instance:
        found = make_plan(instance, workspace)
        names = [asset for asset in upstream("diagnosis") if asset in {*found.stale, *found.may_run}]
        if names:
            try:
                run_assets(instance, workspace, build_definitions(environment, [name]), names)
            except KeyboardInterrupt:
                errors.print("interrupted: what was made stays, and the same command goes on from there")
                raise typer.Exit(INTERRUPTED) from None
    stored = workspace.diagnosis()
    if as_json:
        print_json(stored)
    else:
        print_diagnosis(stored)
    if open_it:
        typer.launch(stored["html"])
