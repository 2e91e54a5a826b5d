"""Readers of files that hold one document: each gives text whose headings are Markdown's."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.headings import Heading, find_headings
from domain_embed.corpus.readers.docx import read_docx
from domain_embed.corpus.readers.file_text import FileText, cleaned
from domain_embed.corpus.readers.html import read_html
from domain_embed.corpus.readers.markdown import read_markdown, read_text
from domain_embed.corpus.readers.pdf import read_pdf
from domain_embed.files import open_regular

READERS: dict[str, Callable[[bytes, Path], FileText]] = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".txt": read_text,
    ".pdf": read_pdf,
    ".docx": read_docx,
}
FILE_SUFFIXES = tuple(READERS)
MEGABYTE = 1 << 20


def read_file(path: Path, *, max_mb: int = 128, roots: Sequence[str] | None = None) -> FileText:
    """The document in a file, always with a title: the file's own, else its first heading, else its name in words.

    A heading that repeats the title at the very start is not part of the text.

    Args:
        path: The file.
        max_mb: The longest file that is read, and the longest text that may come of it, in megabytes.
        roots: Real paths below which the file must lie; see `files.open_regular`.

    Raises:
        InputError: For a file that cannot be opened, decoded or parsed, for an encrypted one, and for one too long.
    """
    try:
        with open_regular(path, roots) as opened:
            _require_short(path, os.fstat(opened.fileno()).st_size, "bytes", max_mb)
            data = opened.read()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "check the path in domain.yaml") from None
    file = READERS[path.suffix.lower()](data, path)
    _require_short(path, len(file.text), "characters of text", max_mb)
    first = next(find_headings(file.text), None)
    title = " ".join(cleaned(file.title).split()) or _heading_title(first) or _words(path.stem)
    repeated = first is not None and first.start == 0 and _folded(first.title) == _folded(title)
    return FileText(title, file.text[first.end :].strip() if first and repeated else file.text, file.metadata)


def _require_short(path: Path, found: int, unit: str, max_mb: int) -> None:
    if found > max_mb * MEGABYTE:
        hint = "raise corpus.max_file_mb, or split it"
        raise InputError.at(path, f"holds {found:,} {unit}, more than {max_mb} million", hint=hint)


def _heading_title(heading: Heading | None) -> str:
    """The heading as a title; one with a number in the middle of the text is a chapter's, as after a PDF's cover."""
    if heading is None or (heading.start > 0 and re.match(r"\d{1,2}(\.\d+)*\.?\s", heading.title)):
        return ""
    return heading.title


def _words(stem: str) -> str:
    return re.sub(r"[\s_.-]+", " ", stem).strip() or stem


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
