"""Real files of each kind, made in the test."""

import io
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from docx import Document
from docx.oxml.ns import qn
from docx.shared import Pt
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas


def pdf(
    pages: Iterable[Iterable[str]],
    *,
    title: str | None = None,
    outline: Mapping[str, int] = MappingProxyType({}),
    password: str = "",
) -> bytes:
    """A PDF of lines per page; the lines named in `outline` are bookmarks of that level, from 0."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, encrypt=password or None)
    if title is not None:
        canvas.setTitle(title)
    for page in pages:
        for row, line in enumerate(page):
            canvas.drawString(72, 760 - 20 * row, line)
            if line in outline:
                canvas.bookmarkHorizontal(line, 72, 760 - 20 * row)
                canvas.addOutlineEntry(line, line, level=outline[line])
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def docx(blocks: Iterable[tuple[str, str]]) -> bytes:
    """A DOCX of (style, text) paragraphs."""
    document = Document()
    for style in list(document.styles.element):  # the template's many table styles take most of the time to read
        if style.tag == qn("w:latentStyles") or style.get(qn("w:type")) == "table":
            document.styles.element.remove(style)
    for style, text in blocks:
        document.add_paragraph(text, style=style).paragraph_format.space_after = Pt(6)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()
