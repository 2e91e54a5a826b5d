"""PDF: the pages' text, headings where the outline names them, and no text where there is none."""

from pathlib import Path

import pytest
from matplotlib import get_data_path
from pypdf import PdfWriter
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.readers import read_file
from domain_embed.corpus.readers.file_text import FileText
from domain_embed_tests.corpus.readers.files import pdf

PAGES = [["Staff handbook", "Welcome."], ["Leave", "Thirty days.", "Sick leave", "Call in the morning."]]


def read(folder: Path, content: bytes) -> FileText:
    path = folder / "staff-handbook.pdf"
    path.write_bytes(content)
    return read_file(path)


def test_pages_give_their_lines_and_the_title_is_the_pdfs(tmp_path: Path) -> None:
    file = read(tmp_path, pdf(PAGES, title="The handbook"))
    assert file == FileText(
        "The handbook", "Staff handbook\nWelcome.\n\nLeave\nThirty days.\nSick leave\nCall in the morning."
    )


def test_the_outline_makes_headings(tmp_path: Path) -> None:
    outline = {"Staff handbook": 0, "Leave": 1, "Sick leave": 2}
    file = read(tmp_path, pdf(PAGES, outline=outline))
    assert file.title == "Staff handbook"
    assert file.text == "Welcome.\n\n## Leave\n\nThirty days.\n\n### Sick leave\n\nCall in the morning."


def test_a_numbered_chapter_after_a_cover_is_not_the_title(tmp_path: Path) -> None:
    file = read(tmp_path, pdf([["Cover"], ["1. Leave", "Thirty days."]], outline={"1. Leave": 0}))
    assert (file.title, file.text) == ("staff handbook", "Cover\n\n# 1. Leave\n\nThirty days.")


@pytest.mark.parametrize("title", [None, "untitled", "Microsoft Word - handbook.docx", "(anonymous)", "Document1", ""])
def test_a_title_that_nobody_gave_is_none(tmp_path: Path, title: str | None) -> None:
    assert read(tmp_path, pdf(PAGES, title=title)).title == "staff handbook"


def test_ligatures_become_letters(tmp_path: Path) -> None:
    pdfmetrics.registerFont(TTFont("DejaVu", Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"))
    canvas = Canvas(str(tmp_path / "a.pdf"))
    canvas.setFont("DejaVu", 12)
    canvas.drawString(72, 700, "o\ufb03ce di\ufb00erence")
    canvas.save()
    assert read_file(tmp_path / "a.pdf").text == "office difference"


def test_pages_without_text_give_none(tmp_path: Path) -> None:
    assert read(tmp_path, pdf([[], []], title="Scan")) == FileText("Scan", "")
    assert read(tmp_path, pdf([[], ["Text"], []])).text == "Text"


def test_an_encrypted_pdf_is_refused_and_one_that_opens_without_a_password_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"staff-handbook.pdf: the PDF is encrypted\n  → save it without a password"):
        read(tmp_path, pdf(PAGES, password="secret"))
    plain = tmp_path / "plain.pdf"
    plain.write_bytes(pdf([["Text"]]))
    writer = PdfWriter(clone_from=plain)
    writer.encrypt(user_password="", owner_password="owner", algorithm="RC4-128")
    writer.write(tmp_path / "owner.pdf")
    assert read_file(tmp_path / "owner.pdf").text == "Text"


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", b"no pdf at all", pdf(PAGES)[:200]])
def test_a_broken_pdf_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"staff-handbook.pdf: cannot be read as PDF \(\w+: "):
        read(tmp_path, content)
