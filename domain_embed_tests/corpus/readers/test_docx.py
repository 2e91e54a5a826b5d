"""DOCX: styles become headings, lists and tables stay, pictures go."""

import io
import zipfile
from pathlib import Path

import pytest
from docx import Document
from PIL import Image

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.readers import docx as docx_reader
from domain_embed.corpus.readers import read_file
from domain_embed.corpus.readers.file_text import FileText
from domain_embed_tests.corpus.readers.files import docx


def read(folder: Path, content: bytes) -> FileText:
    path = folder / "staff-handbook.docx"
    path.write_bytes(content)
    return read_file(path)


def test_styles_become_headings_and_lists(tmp_path: Path) -> None:
    blocks = [
        ("Title", "Handbook"), ("Normal", "Welcome."), ("Heading 1", "Leave"), ("List Bullet", "Thirty days"),
        ("List Bullet", "Paid"), ("Heading 2", "Sick_leave"), ("Normal", "Call * in."),
    ]  # fmt: skip
    file = read(tmp_path, docx(blocks))
    assert file.title == "Handbook"
    assert file.text == "Welcome.\n\n# Leave\n\n- Thirty days\n- Paid\n\n## Sick_leave\n\nCall * in."


def test_without_headings_the_file_gives_the_title(tmp_path: Path) -> None:
    assert read(tmp_path, docx([("Normal", "Welcome.")])) == FileText("staff handbook", "Welcome.")


def test_tables_stay_and_pictures_go(tmp_path: Path) -> None:
    document, picture, out = Document(), io.BytesIO(), io.BytesIO()
    table = document.add_table(rows=1, cols=2)
    table.cell(0, 0).text, table.cell(0, 1).text = "Year", "2024"
    Image.new("RGB", (4, 4)).save(picture, "PNG")
    document.add_picture(picture)
    document.save(out)
    file = read(tmp_path, out.getvalue())
    assert "| Year | 2024 |" in file.text
    assert "base64" not in file.text
    assert "![" not in file.text


def test_a_file_that_is_no_docx_is_refused(tmp_path: Path) -> None:
    other_zip = io.BytesIO()
    with zipfile.ZipFile(other_zip, "w") as parts:
        parts.writestr("hello.txt", "hello")
    for content in (b"", b"no zip", docx([("Normal", "Welcome.")])[:-200], other_zip.getvalue()):
        with pytest.raises(InputError, match=r"staff-handbook.docx: cannot be read as DOCX \(\w+: "):
            read(tmp_path, content)


def test_a_zip_that_unpacks_to_very_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docx_reader, "MAX_XML_BYTES", 1000)
    with pytest.raises(InputError, match=r"staff-handbook.docx: holds [\d,]+ bytes of text, more than 1,000"):
        read(tmp_path, docx([("Normal", "Welcome.")]))
