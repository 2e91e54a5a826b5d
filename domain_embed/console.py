"""The terminal: asking, logging, and printing for people or for scripts."""

import json
import logging
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.logging import RichHandler

console = Console()
errors = Console(stderr=True)


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
    logger.handlers = [RichHandler(console=errors, show_path=False, show_level=False, log_time_format="%X")]
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
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False))


def print_bullets(lines: Iterable[str]) -> None:
    """One line each, as it is."""
    for line in lines:
        console.print(f"  • {line}", markup=False, highlight=False)
