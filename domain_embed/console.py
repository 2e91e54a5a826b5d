"""The terminal: asking, logging, and printing for people or for scripts.

What is printed comes from documents, queries, file names and servers. It is shown as it is: no markup in it is taken
for ours, and no character in it moves the cursor, turns the line around or hides. Style is given beside a text
(`line`), never within it.
"""

import logging
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from domain_embed.contracts.logs import protect_logger
from domain_embed.contracts.shown import visible, visible_json


class PlainConsole(Console):
    """Prints every string as it is, in tables, too: without markup, emoji codes and highlights, hidden ones visible."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string that is printed passes here on its way to being text."""
        return super().render_str(visible(text), **options)


class PlainLog(RichHandler):
    """Log lines, of whatever they tell."""

    def render_message(self, record: logging.LogRecord, message: str) -> Any:
        """As the handler does, with what is hidden visible."""
        return super().render_message(record, visible(message))


console = PlainConsole()
errors = PlainConsole(stderr=True)


def line(*parts: str | tuple[str, str]) -> Text:
    """Parts one after the other, each as it is; a pair is a text and its style. Line feeds in a pair are shown."""
    return Text.assemble(*(
        visible(part) if isinstance(part, str) else (visible(part[0], one_line=True), part[1]) for part in parts
    ))  # fmt: skip


def ask_for_files(corpus: Path | None, judgments: Sequence[Path]) -> tuple[Path | None, list[Path]]:
    """Asks a person for the documents and judgments that were not given; nothing entered means none."""
    if corpus is None:
        answer = typer.prompt("Documents: a folder of files, or a table", default="", show_default=False)
        corpus = Path(answer).expanduser() if answer else None
    found = list(judgments)
    while corpus is not None and not judgments:
        answer = typer.prompt("Judgments: a file, or enter for no more", default="", show_default=False)
        if not answer:
            break
        found.append(Path(answer).expanduser())
    return corpus, found


def show_log(*, quiet: bool) -> None:
    """What the stages report, on standard error; libraries stay silent."""
    quiet_libraries()
    logger = logging.getLogger("domain_embed")
    logger.handlers = [PlainLog(console=errors, show_path=False, show_level=False, log_time_format="%X")]
    protect_logger()
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


def quiet_libraries() -> None:
    """Only errors of the libraries underneath."""
    warnings.filterwarnings("ignore")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    for name in ("mlflow", "alembic", "transformers", "sentence_transformers", "dagster"):
        logging.getLogger(name).setLevel(logging.ERROR)


def print_json(content: object) -> None:
    """For scripts: JSON and nothing else."""
    typer.echo(visible_json(content))


def print_bullets(lines: Iterable[str]) -> None:
    """One line each, as it is."""
    for told in lines:
        console.print(f"  • {told}")
