"""The command line: what a person or a script asks, and how the answer is printed. No logic of its own.

Heavy libraries are imported inside the commands that need them, so that `--help` and `plan` answer at once.
"""

import atexit
import gc
import os
import sys

import typer

from domain_embed.commands import diagnosis, domains, evidence, export, serving, work
from domain_embed.console import errors
from domain_embed.contracts.errors import DomainEmbedError, StoreError

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

for commands in (domains, work, diagnosis, evidence, serving, export):
    app.add_typer(commands.app)


def main() -> None:
    """Runs the command line; an error the user can act on is printed without a traceback."""
    _spare_collections()
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


def _spare_collections() -> None:
    """Looks for garbage seldom, and not at all at the end.

    Importing Dagster makes some hundred thousand objects that stay: going through them for every 700 new ones, and once
    more before the process ends, took a third of the time of `status`.
    """
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)


if __name__ == "__main__":
    main()
