"""The command that finds out why queries fail, and what to do about it, without training anything."""

from typing import Annotated

import typer

from domain_embed.commands.options import AsJson, Name, interruptible, open_workspace
from domain_embed.console import print_json, show_log
from domain_embed.printing.evidence import print_diagnosis

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
    workspace = open_workspace(name)
    from domain_embed.definitions import build_definitions
    from domain_embed.defs.runs import make_plan, open_instance, run_assets, upstream

    show_log(quiet=as_json)
    with open_instance(workspace.environment) as instance:
        found = make_plan(instance, workspace)
        names = [asset for asset in upstream("diagnosis") if asset in {*found.stale, *found.may_run}]
        if names:
            with interruptible():
                run_assets(instance, workspace, build_definitions(workspace.environment, [name]), names)
    stored = workspace.diagnosis()
    if as_json:
        print_json(stored)
    else:
        print_diagnosis(stored)
    if open_it:
        typer.launch(stored["html"])
