"""The command line: what a person or a script asks, and how the answer is printed. No logic of its own.

Heavy libraries are imported inside the commands that need them, so that `--help` and `plan` answer at once.
"""

import atexit
import gc
import os
import sys
from typing import Any, NoReturn

import typer

from domain_embed.commands import access, audit, diagnosis, domains, erasure, evidence, export, servers, serving, work
from domain_embed.console import errors, line
from domain_embed.contracts.errors import DomainEmbedError, SettingsError, StoreError
from domain_embed.contracts.secrets import redact
from domain_embed.process import print_error, protect_process

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="""Fine-tune, re-embed, prove and promote an embedding model for your own domain.

A domain is a folder with a [bold]domain.yaml[/bold] in DOMAIN_EMBED_HOME (default: ./data). A first tour:
[bold]domain-embed demo[/bold], then [bold]domain-embed search aws "give a user permission to read a bucket"[/bold].

Exit codes: 0 done (also when a model is refused: that is a result), 1 unexpected, 2 settings or usage, 3 input data,
4 not made yet, 5 store, 6 model or training, 7 promotion or rollback refused, 8 access refused,
130 interrupted.""",
)

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""What typer raises for arguments that it cannot use; it exports this kind of it alone."""

for commands in (domains, work, diagnosis, evidence, serving, access, export, servers, audit, erasure):
    app.add_typer(commands.app)


def main() -> None:
    """Runs the command line; an error the user can act on is printed without a traceback."""
    _spare_collections()
    protect_process()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        sys.exit(app(standalone_mode=False))  # typer would print arguments that it cannot use as they are
    except USAGE_ERROR as error:
        _explain(error)
        sys.exit(SettingsError.exit_code)
    except typer.Abort:
        errors.print("aborted")
        sys.exit(1)
    except DomainEmbedError as error:
        _fail(f"{type(error).__name__}: {error}", error.exit_code)
    except OSError as error:  # a full disk can show anywhere
        _fail(redact(str(error)), StoreError.exit_code)
    except Exception as error:  # noqa: BLE001 - a mistake of ours or a library's: printed whole, and without secrets
        print_error(error)
        sys.exit(DomainEmbedError.exit_code)


def _explain(error: Any) -> None:
    """How the command is used, and what was wrong; nothing where help has been printed already."""
    if error.format_message():
        errors.print(error.ctx.get_usage() if error.ctx else "")
        errors.print(line(("error: ", "bold red"), redact(error.format_message())), soft_wrap=True)


def _fail(message: str, exit_code: int) -> NoReturn:
    errors.print(line(("error: ", "bold red"), message), soft_wrap=True)
    sys.exit(exit_code)


def _spare_collections() -> None:
    """Looks for garbage seldom, and not at all at the end.

    Importing Dagster makes some hundred thousand objects that stay: going through them for every 700 new ones, and once
    more before the process ends, took a third of the time of `status`.
    """
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)


if __name__ == "__main__":
    main()
