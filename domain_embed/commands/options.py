"""What several commands are asked in the same words, and do in the same way."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from domain_embed.console import errors

if TYPE_CHECKING:
    from domain_embed.settings import Environment
    from domain_embed.stores.tracking import Tracking
    from domain_embed.stores.workspace import Workspace

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

Name = Annotated[str, typer.Argument(help="The domain: a folder of DOMAIN_EMBED_HOME.", metavar="NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, nothing else.")]


def open_workspace(name: str) -> "Workspace":
    """The workspace of a domain whose settings can be used. Raises SettingsError when there is none."""
    from domain_embed.settings import Environment

    environment = Environment.read()
    environment.settings(name)  # before heavy imports: a typo is told at once
    from domain_embed.stores.workspace import Workspace

    return Workspace.open(environment, name)


def open_tracking(environment: "Environment") -> "Tracking":
    """Where MLflow keeps runs and models."""
    from domain_embed.stores.tracking import Tracking
    from domain_embed.stores.workspace import STORE_FOLDER

    return Tracking(environment.mlflow_tracking_uri, environment.home / STORE_FOLDER / "mlflow")


@contextmanager
def interruptible() -> Iterator[None]:
    """Turns Ctrl-C in the middle of a run into a message and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        errors.print("interrupted: what was made stays, and the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None
