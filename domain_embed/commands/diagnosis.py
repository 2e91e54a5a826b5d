"""Commands that find out why queries fail, and what to do about it; nothing that serves is touched."""

from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from domain_embed.commands.options import AsJson, Name, interruptible, open_tracking, open_workspace
from domain_embed.console import print_json, show_log
from domain_embed.printing.evidence import print_diagnosis, print_saturation

if TYPE_CHECKING:
    from domain_embed.stores.workspace import Workspace

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
    from domain_embed.diagnosis.estimate import for_training

    workspace = open_workspace(name)
    workspace.access_rule()
    show_log(quiet=as_json)
    _bring_up_to_date(workspace, "diagnosis")
    stored = for_training(workspace.diagnosis(), workspace.settings.training)
    if as_json:
        print_json(stored)
    else:
        print_diagnosis(stored)
    if open_it:
        typer.launch(stored["html"])


@app.command()
def saturation(
    name: Name,
    more: Annotated[int, typer.Option(help="Labels whose worth is to be told.", min=1)] = 1000,
    as_json: AsJson = False,
) -> None:
    """Measure what more labels would be worth: the domain's training on an eighth, a quarter, half and all its pairs.

    Takes about twice as long as training, leaves what is live as it is, and shows in the next report.
    """
    from dataclasses import asdict

    from domain_embed.defs.model import learns_from_reranker
    from domain_embed.label_worth import learning_curve

    workspace = open_workspace(name)
    show_log(quiet=as_json)
    _bring_up_to_date(workspace, "hard_negatives", *(["reranker"] if learns_from_reranker(workspace.settings) else []))
    with (
        interruptible(),
        open_tracking(workspace.environment).asset_run(name, f"saturation {uuid4().hex}", "saturation") as tracker,
    ):
        found = learning_curve(workspace, tracker)
    if as_json:
        gain, ci95 = found.worth(more)
        print_json({"domain": name, **asdict(found), "worth": {"labels": more, "gain": gain, "ci95": ci95}})
    else:
        print_saturation(found, more)


def _bring_up_to_date(workspace: "Workspace", *assets: str) -> None:
    """Runs what of these assets and their sources is stale."""
    from domain_embed.definitions import build_definitions
    from domain_embed.defs.runs import open_instance, run_stale, upstream

    wanted = {one for asset in assets for one in upstream(asset, workspace.settings)}
    with open_instance(workspace.environment) as instance, interruptible():
        run_stale(instance, workspace, build_definitions(workspace.environment, [workspace.domain]), wanted)
