"""HTML: the main text, its headings, and nothing of what stands around it."""

from pathlib import Path

import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.readers import html, read_file
from domain_embed.corpus.readers.file_text import FileText

PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>Leave &amp; pay</title>
<meta name="Author" content="Ann"><meta name="date" content="2024-05-01"><meta name="viewport" content="wide">
<style>p { color: red }</style><script>alert("x")</script></head>
<body><header><h1>Intranet</h1></header><nav><a href="/">Home</a></nav>
<main><article><header><h1>Leave &amp; pay</h1></header>
<p>You get <b>thirty</b> <a href="/days">days</a>_off.</p>
<h2 id="sick">Sick <a href="#sick">¶</a></h2>
<ul><li>Call <code>HR</code></li><li>Rest</li></ul>
<pre># not a heading
run   it</pre>
<table><tr><th>Year</th><th>Days</th></tr><tr><td>2024</td><td>30</td></tr></table>
<img src="data:image/png;base64,AAAA" alt="A beach"></article></main>
<aside>Advert</aside><footer>Imprint</footer></body></html>"""


def read(folder: Path, content: str | bytes, name: str = "page.html") -> FileText:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_file(path)


def test_a_page_gives_its_main_text_as_markdown(tmp_path: Path) -> None:
    file = read(tmp_path, PAGE)
    assert file.title == "Leave & pay"
    assert file.metadata == {"author": "Ann", "date": "2024-05-01"}
    assert file.text == (
        "You get thirty days_off.\n\n## Sick\n\n- Call HR\n- Rest\n\n```\n# not a heading\nrun   it\n```\n\n"
        "| Year | Days |\n| --- | --- |\n| 2024 | 30 |\n\nA beach"
    )


def test_a_fragment_is_a_page_too(tmp_path: Path) -> None:
    file = read(tmp_path, "<h2>Tea</h2>Boil<br>water", name="a_page.HTM")
    assert (file.title, file.text) == ("Tea", "Boil\nwater")


@pytest.mark.parametrize(
    "content",
    [
        '<meta charset="iso-8859-1"><p>caf\xe9 \x93 \x94'.encode("latin-1"),
        '<?xml version="1.0" encoding="windows-1252"?><p>caf\xe9 \x93 \x94'.encode("latin-1"),
        "\ufeff<p>café “ ”".encode(),
        "<p>café “ ”".encode("utf-16"),
        "<p>café “ ”".encode(),
    ],
)
def test_the_declared_encoding_is_used(tmp_path: Path, content: bytes) -> None:
    assert read(tmp_path, content).text == "café “ ”"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"<p>caf\xe9", "utf-8"),
        (b'<meta charset="utf-8"><p>caf\xe9', "utf-8"),
        (b'<meta charset="klingon"><p>a', "klingon"),
        (b'<meta charset="hex"><p>a', "hex"),
        (b'<meta http-equiv="content-type" content="text/html; charset=shift_jis"><p>\x80\xff', "shift_jis"),
    ],
)
def test_bytes_in_another_encoding_than_declared_are_refused(tmp_path: Path, content: bytes, encoding: str) -> None:
    with pytest.raises(InputError, match=f"page.html: the page is not in the encoding {encoding}"):
        read(tmp_path, content)


def test_nesting_beyond_reason_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"page.html: cannot be read as HTML: nested too deeply"):
        read(tmp_path, "<div>" * 5000 + "text")


def test_a_page_that_would_not_fit_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MAX_BYTES", 100)
    with pytest.raises(InputError, match=r"page.html: holds [\d,]+ bytes, more than 100"):
        read(tmp_path, PAGE)
