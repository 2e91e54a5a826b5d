"""What a file that holds one document gives, and the refusal of files that cannot be read."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import InputError, excerpt

PARSER_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip
"""What parsers let through, beside their own errors, on bytes that no program wrote for them."""
SHOWN_CHARACTERS = 160


@dataclass(frozen=True)
class FileText:
    """A document as its file says it: `title` is empty when the file names none, headings of `text` are Markdown's."""

    title: str
    text: str
    metadata: Mapping[Any, Any] = field(default_factory=dict)


@contextmanager
def refusing(path: Path, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Turns a parser's errors, `errors` being its own ones, into an InputError that names the file."""
    refused: tuple[type[Exception], ...] = (*PARSER_ERRORS, *errors)
    try:
        yield
    except RecursionError:
        raise InputError.at(path, f"cannot be read as {kind}: nested too deeply") from None
    except refused as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:SHOWN_CHARACTERS]
        hint = "open it in the program that made it and save it again, or leave it out"
        raise InputError.at(path, f"cannot be read as {kind} ({excerpt(reason)})", hint=hint) from error


def decode_text(data: bytes, path: Path) -> str:
    """The bytes as text without byte order mark; anything but UTF-8 is an InputError that names the line."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = f"not UTF-8 (byte 0x{error.object[error.start]:02x})"
        raise InputError.at(path, problem, line=line, hint="save the file as UTF-8") from None


def cleaned(text: str) -> str:
    """The text with plain line feeds, without NUL and unpaired surrogates, and stripped."""
    text = re.sub(r"\r\n?", "\n", text).replace("\x00", "")
    return text.encode("utf-8", errors="ignore").decode("utf-8").strip()
