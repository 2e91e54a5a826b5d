"""The command about who may see which passages."""

from typing import Annotated

import typer

from domain_embed.commands.options import AsJson, Name, open_workspace
from domain_embed.console import console, line, print_json
from domain_embed.printing.access import print_access

app = typer.Typer()


@app.command()
def access(
    name: Name,
    open_it: Annotated[
        bool, typer.Option("--open", help="Open a domain to everybody whose rule is no longer in domain.yaml.")
    ] = False,
    reason: Annotated[str, typer.Option(help="With --open: why, for the record.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show who may see which passages: the rule in force, that of each collection, and how many passages name groups.

    A rule that is taken out of domain.yaml stays in force, and nothing is given out, until it is put back or the domain
    is opened with --open. Both are recorded in the audit trail.
    """
    from domain_embed.access_state import access_state, open_to_everybody

    workspace = open_workspace(name)
    if open_it:
        open_to_everybody(workspace, reason)
        if not as_json:
            console.print(line((name, "bold"), " is open to everybody"))
    state = access_state(workspace)
    if as_json:
        print_json(state)
    else:
        print_access(state)
