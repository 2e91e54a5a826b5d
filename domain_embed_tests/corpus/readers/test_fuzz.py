"""Whatever the bytes of a file are, a reader gives text or an InputError that names the file."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.readers import FILE_SUFFIXES, read_file
from domain_embed_tests.corpus.readers.files import docx, pdf
from domain_embed_tests.corpus.readers.test_html import PAGE

MARKDOWN = "---\ntitle: a\ntags: [x, {y: 2024-05-01}]\n---\n# B\n\n~~~\ncode\n~~~\n\nunder\n---\ntext é\n"
VALID = {
    ".md": MARKDOWN.encode(),
    ".markdown": MARKDOWN.encode(),
    ".txt": MARKDOWN.encode(),
    ".html": PAGE.encode(),
    ".htm": PAGE.encode(),
    ".pdf": pdf([["Handbook", "Welcome."], ["Leave"]], title="Handbook", outline={"Handbook": 0, "Leave": 1}),
    ".docx": docx([("Title", "Handbook"), ("Normal", "Welcome."), ("Heading 1", "Leave")]),
}


MARKS = st.sampled_from([b"<", b"]", b">>", b"&#xd800;", b"&", b"[[[[", b"99999999999", b"<p>" * 3000])


@st.composite
def damaged(draw: st.DrawFn, valid: bytes) -> bytes:
    """A valid file with some bytes replaced, inserted or cut out; or bytes that never were one."""
    content = bytearray(valid)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        replaced = draw(st.integers(0, 1) | st.integers(0, 200))
        content[at : at + replaced] = draw(st.binary(max_size=8) | MARKS)
    return draw(st.sampled_from([bytes(content), draw(st.binary(max_size=120))]))


def read_or_refuse(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        file = read_file(path)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert file.title
        assert file.text == file.text.encode().decode().strip()


@pytest.mark.parametrize("suffix", FILE_SUFFIXES)
@given(data=st.data())
def test_no_bytes_raise_anything_but_input_errors(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    read_or_refuse(tmp_path / f"a{suffix}", data.draw(damaged(VALID[suffix])))


@settings(max_examples=20)
@given(data=st.data())
def test_no_damage_inside_a_docx_raises_anything_but_input_errors(tmp_path: Path, data: st.DataObject) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(VALID[".docx"])) as parts, zipfile.ZipFile(out, "w") as broken:
        names = sorted(part.filename for part in parts.infolist())
        victim = data.draw(st.sampled_from(names))
        for name in names:
            content = parts.read(name)
            broken.writestr(name, data.draw(damaged(content)) if name == victim else content)
    read_or_refuse(tmp_path / "a.docx", out.getvalue())
