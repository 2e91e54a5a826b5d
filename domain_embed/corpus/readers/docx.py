"""DOCX: styled headings become Markdown's, by way of HTML."""

import io
import zipfile
import zlib
from pathlib import Path
from xml.parsers.expat import ExpatError

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.readers.file_text import FileText, refusing
from domain_embed.corpus.readers.html import html_text

STYLES = "p[style-name='Title'] => h1:fresh"
MAX_XML_BYTES = 1 << 25
"""Unpacked, that is thousands of pages; parsed it takes some fifty times as much memory, and a few kilobytes of zip can
stand for gigabytes. Any part may be the document, whatever its name: what counts is by how much unpacking makes it
larger, which is next to nothing for pictures."""


def read_docx(data: bytes, path: Path) -> FileText:
    """The text with lists and tables; pictures are left out."""
    import mammoth

    with refusing(path, "DOCX", zipfile.BadZipFile, zlib.error, ExpatError):
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            size = sum(max(0, part.file_size - part.compress_size) for part in parts.infolist())
        if size > MAX_XML_BYTES:
            raise InputError.at(path, f"holds {size:,} bytes of text, more than {MAX_XML_BYTES:,}", hint="split it")
        no_image = mammoth.images.img_element(lambda image: {"src": ""})
        return html_text(mammoth.convert_to_html(io.BytesIO(data), style_map=STYLES, convert_image=no_image).value)
