"""HTML pages: the main text as Markdown, without navigation, scripts and styles."""

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.readers.file_text import FileText, cleaned, refusing

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

DROPPED_TAGS = [
    "script", "style", "noscript", "template", "nav", "aside", "header", "footer", "form", "button", "svg", "iframe",
    "object", "video", "audio", "canvas", "title", "meta", "link",
]  # fmt: skip
METADATA_NAMES = ("author", "category", "date", "department", "description", "keywords", "subject")
INLINE_TAGS = [
    "a", "abbr", "b", "code", "del", "em", "i", "kbd", "mark", "s", "samp", "small", "strong", "sub", "sup", "u",
]  # fmt: skip
"""Their marks and addresses say nothing about what a text is about: only their words are kept."""
PERMALINKS = {"¶", "#", "§", "🔗"}
MAX_BYTES = 1 << 25
"""Parsed, a page takes some fifty times as much memory."""
_LONG_BLANKS = re.compile(r"\s{100,}")
"""No text needs so many in a row, and the time that turning them into Markdown takes grows with their square."""
WESTERN = ("ascii", "us-ascii", "iso-8859-1", "latin-1", "latin1")


def read_html(data: bytes, path: Path) -> FileText:
    """The page's text in the encoding it declares, UTF-8 if it declares none."""
    if len(data) > MAX_BYTES:
        raise InputError.at(path, f"holds {len(data):,} bytes, more than {MAX_BYTES:,}", hint="split the page")
    html = _decoded(data, path)
    with refusing(path, "HTML"):
        return html_text(html)


def html_text(html: str) -> FileText:
    """Title, text as Markdown with `#` headings, and the `<meta>` entries that describe the document."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    with warnings.catch_warnings():  # of pages that look like XML, or like a file's name
        warnings.simplefilter("ignore")
        soup = BeautifulSoup(_LONG_BLANKS.sub(_short_blanks, html), "html.parser")
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    metadata = _meta(soup)
    _drop_furniture(soup)
    converter = MarkdownConverter(
        heading_style="ATX", bullets="-", strip=INLINE_TAGS,
        escape_asterisks=False, escape_underscores=False, escape_misc=False,
    )  # fmt: skip
    text = "\n".join(line.rstrip(" \t") for line in cleaned(converter.convert_soup(soup)).split("\n"))
    return FileText(cleaned(title), re.sub(r"\n{3,}", "\n\n", text), metadata)


def _short_blanks(match: re.Match[str]) -> str:
    return "\n\n" if "\n" in match[0] else " "


def _decoded(data: bytes, path: Path) -> str:
    from bs4.dammit import EncodingDetector

    content, encoding = EncodingDetector.strip_byte_order_mark(data)
    encoding = encoding or EncodingDetector.find_declared_encoding(content, is_html=True) or "utf-8"
    if encoding in WESTERN:  # browsers read these as Windows' superset of them, and so do the pages' authors
        encoding = "cp1252"
    try:
        return content.decode(encoding)
    except (ValueError, LookupError):
        hint = 'save the page in that encoding, or declare its own: <meta charset="...">'
        raise InputError.at(path, f"the page is not in the encoding {encoding}", hint=hint) from None


def _meta(soup: "BeautifulSoup") -> dict[str, str]:
    found: dict[str, str] = {}
    for tag in soup.find_all("meta"):
        name, content = str(tag.get("name") or "").strip().casefold(), str(tag.get("content") or "").strip()
        if name in METADATA_NAMES and content:
            found.setdefault(name, cleaned(content))
    return found


def _drop_furniture(soup: "BeautifulSoup") -> None:
    from bs4.element import PreformattedString

    for node in soup.find_all(string=lambda text: isinstance(text, PreformattedString)):
        node.extract()  # comments, declarations, processing instructions
    for tag in soup.find_all(DROPPED_TAGS):
        # The header of an article holds its heading; the header of a page holds the site's.
        if tag.name not in ("header", "footer") or not tag.find_parent(["article", "main"]):
            tag.decompose()
    for link in soup.find_all("a"):
        if link.get_text(strip=True) in PERMALINKS:
            link.decompose()
    for image in soup.find_all("img"):
        image.replace_with(str(image.get("alt") or ""))
