"""The command that takes texts away again."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from domain_embed.commands.options import AsJson, Name
from domain_embed.console import print_json, show_log
from domain_embed.contracts.errors import SettingsError, StoreError
from domain_embed.printing.erasure import print_erasure

if TYPE_CHECKING:
    from domain_embed.settings import Environment

app = typer.Typer()


@app.command()
def erase(
    name: Name,
    documents: Annotated[
        list[str] | None,
        typer.Argument(help="Their ids; none: everything made of the domain.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove documents from everything that is made of a domain, or all that is made of it. It cannot be undone.

    Says what it could not reach. Exit code 5 when something it can reach is not done: the same command goes on.
    """
    show_log(quiet=as_json)
    from domain_embed.erasure.erase import erase_documents, erase_domain, require_known
    from domain_embed.settings import Environment

    environment = Environment.read()
    require_known(environment, name)
    if not yes and not dry_run:
        _confirm(environment, name, documents or [])
    if documents:
        outcome = erase_documents(environment, name, documents, dry=dry_run)
    else:
        outcome = erase_domain(environment, name, dry=dry_run)
    if as_json:
        print_json({**asdict(outcome), "finished": outcome.finished})
    else:
        print_erasure(outcome)
    if not outcome.finished:
        raise typer.Exit(StoreError.exit_code)


def _confirm(environment: "Environment", name: str, documents: list[str]) -> None:
    """Asks a person on a terminal; raises SettingsError where there is none."""
    if not sys.stdin.isatty():
        raise SettingsError("erasing cannot be undone, and nobody is there to be asked", "say --yes, or try --dry-run")
    if documents:
        typer.confirm(f"Erase {len(documents)} documents of {name}? It cannot be undone.", abort=True)
        return
    typed = typer.prompt(f"Everything made of {name} in {environment.home} will be removed. Type its name")
    if typed != name:
        raise SettingsError(f"{typed!r} is not {name!r}: nothing was removed")
