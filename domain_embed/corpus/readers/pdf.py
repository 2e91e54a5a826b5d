"""PDF: the text of the pages, with the headings that the outline (the bookmarks) names."""

import io
import logging
import re
import struct
import unicodedata
import zlib
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.readers.file_text import FileText, cleaned, refusing

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

MEANINGLESS_TITLES = re.compile(r"untitled.*|\(?anonymous\)?|(document|dokument)\s*\d*|.*\.(docx?|pdf|tex|dvi)", re.I)
"""What programs write into the title when nobody did."""
LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
"""Typesetting's single letters for ff, fi, fl, ffi, ffl: no query and no vocabulary holds them."""


def read_pdf(data: bytes, path: Path) -> FileText:
    """The pages' text, an empty line between two; empty when the pages are pictures."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    # pypdf warns of every oddity of every file, on standard error.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    with refusing(path, "PDF", PyPdfError, DependencyError, zlib.error, struct.error):
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError.at(path, "the PDF is encrypted", hint="save it without a password, or leave it out")
        headings = _headings_by_page(reader)
        pages = [_page_text(page.extract_text(), headings.get(n, ())) for n, page in _distinct_pages(reader)]
        title = cleaned(str((reader.metadata and reader.metadata.title) or ""))
    return FileText("" if MEANINGLESS_TITLES.fullmatch(title) else title, cleaned("\n\n".join(filter(None, pages))))


def _distinct_pages(reader: "PdfReader") -> Iterator[tuple[int, "PageObject"]]:
    """(0-based number, page), each page once: a few bytes can name one page a million times."""
    seen: set[int] = set()
    for number, page in enumerate(reader.pages):
        where = page.indirect_reference.idnum if page.indirect_reference else -number
        if where not in seen:
            seen.add(where)
            yield number, page


def _headings_by_page(reader: "PdfReader") -> dict[int, list[tuple[int, str]]]:
    """(level, title) of the outline's entries by 0-based page."""
    found: dict[int, list[tuple[int, str]]] = {}
    for level, entry in _outline_entries(reader.outline, 1):
        page = reader.get_destination_page_number(entry)
        if page is not None:
            found.setdefault(page, []).append((level, str(entry.title or "")))
    return found


def _outline_entries(entries: Iterable[Any], level: int) -> Iterator[tuple[int, Any]]:
    for entry in entries:
        if isinstance(entry, list):
            yield from _outline_entries(entry, min(level + 1, 6))
        else:
            yield level, entry


def _page_text(text: str, headings: Iterable[tuple[int, str]]) -> str:
    lines = text.translate(LIGATURES).split("\n")
    rows: defaultdict[str, deque[int]] = defaultdict(deque)
    for row, line in enumerate(lines):
        rows[_folded(line)].append(row)
    for level, title in headings:
        if (folded := _folded(title)) and rows[folded]:
            lines[rows[folded].popleft()] = f"\n{'#' * level} {' '.join(title.split())}\n"
    return cleaned("\n".join(lines))


def _folded(text: str) -> str:
    return "".join(text.split()).casefold()
