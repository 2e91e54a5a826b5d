"""Small files: replaced in one step, and read with an error that names them."""

import json
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import StoreError

RECORD_FILE = "domain_embed.json"
"""Beside a model that was trained here: what went in, and how its training went."""


def replace_file(path: Path, content: str | bytes) -> None:
    """Replaces a file in one step. Raises StoreError when it cannot be written; the old one then stays."""
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):  # the reason to report is the first
            draft.unlink()
        raise StoreError(f"{path} cannot be written: {error}", "free space or fix permissions") from error


def keep_file(path: Path, content: str | bytes) -> None:
    """As `replace_file`, for what this package keeps: its folder is made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}", "free space or fix permissions") from error
    replace_file(path, content)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object this package wrote. Raises StoreError when it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}", "delete it and run again with --force") from None
    if not isinstance(content, dict):
        raise StoreError(f"{path} is damaged: it holds no object", "delete it and run again with --force")
    return content
