"""What kept figures were made of: the commit and the machine; and the file they are kept in."""

import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


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
