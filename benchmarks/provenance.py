"""What kept figures were made of: the commit and the machine; and the files they and their page are kept in."""

import argparse
import json
import os
import platform
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.domains import DATASETS, Domain, cut_asked, domains


def commit() -> str:
    """The commit that is measured, marked where files were changed since."""
    here = Path(__file__).parent
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=here, check=True, capture_output=True, text=True
    )
    return told.stdout.strip()


def machine() -> str:
    """What it runs on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def kept_sets(path: Path | None) -> dict[str, Any]:
    """The figures by set that a file holds; none where there is no file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))["sets"]) if path is not None and path.exists() else {}


def keep_figures(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Writes them as JSON with one line for each list of numbers; nothing where there is no path."""
    if path is not None:
        lists = re.compile(r"\[[-+.\deE,\s]+\]")
        told = lists.sub(lambda found: re.sub(r"\s+", " ", found[0]), json.dumps(figures, indent=1))
        path.write_text(told + "\n", encoding="utf-8")


def add_files(parser: argparse.ArgumentParser) -> None:
    """The options that say where figures and their page are kept."""
    parser.add_argument("--json", type=Path, help="all figures; those of other sets that are there stay")
    parser.add_argument("--table", type=Path, help="a Markdown file")


def measure_sets(
    arguments: argparse.Namespace, measure: Callable[[Domain], Mapping[str, Any]], made: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures of each set that is asked for and there, beside those that are kept; kept after each.

    `made` is noted with each set, beside the commit: what else it was measured with.
    """
    found: dict[str, Any] = {"machine": machine(), "sets": kept_sets(arguments.json)}
    for name in arguments.domains:
        if name != "aws" and not (DATASETS / name / "corpus.jsonl").exists():
            print(f"{name} is left out: {DATASETS / name} has no corpus.jsonl")
            continue
        with domains([name], cut_asked(arguments)) as (domain,):
            found["sets"][name] = {**measure(domain), "commit": commit(), **made}
        keep_figures(arguments.json, found)
    return found


def show_page(told: str, path: Path | None) -> None:
    """Prints a page of figures, and keeps it where that is asked for."""
    if path is not None:
        path.write_text(told, encoding="utf-8")
    print(told)
