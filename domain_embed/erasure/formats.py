"""Every string of a file, whatever its format: to look at them, or to write the file again with some replaced.

A walker takes the bytes of a file and a function from string to string, and gives the bytes with what that returned.
"""

import csv
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

Change: TypeAlias = Callable[[str], str]
Walker: TypeAlias = Callable[[bytes, Change], bytes]

_PRINTABLE = re.compile(
    rb"(?:[\t\n\r\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}){12,}"
)
_TOGETHER = 6
"""So many text nodes in a row of a page are looked at together: markup may stand in the middle of a sentence."""


def walk_value(value: Any, change: Change) -> Any:
    """A value of JSON with its strings replaced, keys as well; a string that is JSON itself is gone into."""
    match value:
        case str():
            return _walk_text(value, change)
        case list() | tuple():
            return [walk_value(item, change) for item in value]
        case Mapping():
            return {change(str(key)): walk_value(item, change) for key, item in value.items()}
    return value


def _walk_text(text: str, change: Change) -> str:
    if text[:1] in ("{", "[") and (inner := _parsed(text)) is not None:
        walked = walk_value(inner, change)
        return text if walked == inner else json.dumps(walked)
    return change(text)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def walk_json(data: bytes, change: Change) -> bytes:
    """One JSON value; as lines where it is none."""
    value = _parsed(data.decode("utf-8", "replace"))
    if value is None:
        return walk_lines(data, change)
    walked = walk_value(value, change)
    return data if walked == value else json.dumps(walked, indent=1).encode()


def walk_json_lines(data: bytes, change: Change) -> bytes:
    """A JSON value a line; a line that is none counts as one string."""
    return b"".join(_walk_line(line, change) for line in data.splitlines(keepends=True))


def _walk_line(line: bytes, change: Change) -> bytes:
    text = line.decode("utf-8", "replace")
    value = _parsed(text)
    if not isinstance(value, dict | list):
        return walk_lines(line, change)
    walked = walk_value(value, change)
    return line if walked == value else json.dumps(walked, ensure_ascii=False).encode() + b"\n"


def walk_lines(data: bytes, change: Change) -> bytes:
    """Every line is a string; where the whole is more than its lines, it is one."""
    text = data.decode("utf-8", "replace")
    changed = "".join(_keeping_end(line, change) for line in text.splitlines(keepends=True))
    if change(changed) != changed:  # a sentence that goes over several lines
        return change(changed).encode()
    return data if changed == text else changed.encode()


def _keeping_end(line: str, change: Change) -> str:
    body = line.rstrip("\r\n")
    return change(body) + line[len(body) :]


def walk_delimited(data: bytes, change: Change) -> bytes:
    """The cells of a CSV or TSV file."""
    text = data.decode("utf-8-sig", "replace")
    if "\x00" in text:
        return walk_lines(data, change)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return walk_lines(data, change)
    walked = [[change(cell) for cell in row] for row in rows]
    if walked == rows:
        return data
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n" if "\r\n" in text else "\n").writerows(walked)
    return (b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b"") + out.getvalue().encode()


def walk_page(data: bytes, change: Change) -> bytes:
    """The text nodes and attributes of an HTML page."""
    text = data.decode("utf-8", "replace")
    parser = _Page(change)
    parser.feed(text)
    parser.close()
    parser.join_nodes()
    return "".join(parser.parts).encode() if parser.changed else data


class _Page(HTMLParser):
    """Parts of a page as they are written, the text nodes among them replaced where they change."""

    def __init__(self, change: Change) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.changed = False
        self._change = change
        self._texts: list[tuple[int, str]] = []  # place among the parts, and the text
        self._verbatim = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        written = self.get_starttag_text() or ""
        walked = [(name, None if value is None else self._walked(value)) for name, value in attrs]
        if walked != attrs:
            told = "".join(f" {name}" if value is None else f' {name}="{escape(value)}"' for name, value in walked)
            written = f"<{tag}{told}>"
        self.parts.append(written)
        self._verbatim = tag in self.CDATA_CONTENT_ELEMENTS

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"</{tag}>")
        self._verbatim = False

    def handle_data(self, data: str) -> None:
        walked = self._walked(data)
        if not self._verbatim and data.strip():
            self._texts.append((len(self.parts), walked))
        self.parts.append(walked if self._verbatim else escape(walked, quote=False))

    def handle_comment(self, data: str) -> None:
        self.parts.append(f"<!--{self._walked(data)}-->")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        self.parts.append(f"<?{data}>")

    def unknown_decl(self, data: str) -> None:
        self.parts.append(f"<![{data}]>")

    def join_nodes(self) -> None:
        """Replaces neighbours that only together hold something; as few of them as hold it."""
        for size in range(2, _TOGETHER + 1):
            for start in range(len(self._texts) - size + 1):
                together = self._texts[start : start + size]
                joined = " ".join(text for _, text in together)
                changed = self._change(joined)
                if changed != joined:
                    self._texts[start : start + size] = [(place, changed) for place, _ in together]
                    for place, _ in together:
                        self.parts[place] = escape(changed, quote=False)
                    self.changed = True

    def _walked(self, text: str) -> str:
        plain = unescape(text)
        changed = self._change(plain)
        self.changed |= changed != plain
        return changed if changed != plain else text


def walk_parquet(data: bytes, change: Change) -> bytes:
    """The strings of a Parquet file, dictionaries, lists and structures included."""
    table = pq.read_table(pa.BufferReader(data))
    walked = walk_table(table, change)
    if walked is table:
        return data
    out = io.BytesIO()
    pq.write_table(walked, out, compression="zstd")
    return out.getvalue()


def walk_table(table: pa.Table, change: Change) -> pa.Table:
    """A table with its strings replaced; the same object where none is."""
    found = table
    for number, field in enumerate(table.schema):
        column = _walk_column(table.column(number), change)
        if column is not None:
            found = found.set_column(number, field, column)
    return found


def _walk_column(column: pa.ChunkedArray, change: Change) -> pa.ChunkedArray | None:
    """None where nothing is replaced. Each distinct string is looked at once."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        distinct = column.unique().to_pylist()
        replaced = {text: new for text in distinct if text is not None and (new := _walk_text(text, change)) != text}
        if not replaced:
            return None
        values = [replaced.get(text, text) if text is not None else None for text in column.to_pylist()]
    elif pa.types.is_nested(kind):
        before = column.to_pylist()
        values = [walk_value(value, change) for value in before]
        if values == before:
            return None
    else:
        return None
    return pa.chunked_array([pa.array(values, kind).cast(column.type)])


def walk_workbook(data: bytes, change: Change) -> bytes:
    """The cells of an .xlsx workbook, and its comments."""
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(data))
    changed = False
    for cell in (cell for sheet in book.worksheets for row in sheet.iter_rows() for cell in row):
        if isinstance(cell.value, str) and (new := change(cell.value)) != cell.value:
            cell.value, changed = new, True
        if cell.comment is not None and (told := change(cell.comment.text)) != cell.comment.text:
            cell.comment.text, changed = told, True
    if not changed:
        return data
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


WALKERS: dict[str, Walker] = {
    ".json": walk_json,
    ".jsonl": walk_json_lines,
    ".html": walk_page,
    ".htm": walk_page,
    ".csv": walk_delimited,
    ".tsv": walk_delimited,
    ".parquet": walk_parquet,
    ".xlsx": walk_workbook,
    **dict.fromkeys((".txt", ".md", ".log", ".out", ".err", ".yaml", ".yml"), walk_lines),
}


_NOT_EMPTY = re.compile(rb"[^\x00]{12,}")
"""Most of a shard's files is empty space, which is passed over quickly."""


def printable(data: bytes) -> Iterator[str]:
    """What can be read in any bytes, as text in UTF-8; compressed strings, too, where they stand in one piece."""
    for part in _NOT_EMPTY.finditer(data):
        for found in _PRINTABLE.finditer(part[0]):
            yield found[0].decode("utf-8", "replace")


def inflated(data: bytes) -> bytes:
    """What zlib has packed; other bytes as they are."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def strings_of(path: Path) -> Iterator[str]:
    """Every string of a file, by its format; of other files, and damaged ones, what can be read in their bytes."""
    data = path.read_bytes()
    walker = WALKERS.get(path.suffix.lower())
    seen: list[str] = []

    def note(text: str) -> str:
        seen.append(text)
        return text

    if walker is None:
        return printable(data)
    try:
        walker(data, note)
    except Exception:  # noqa: BLE001  # each format's library has errors of its own
        return printable(data)
    return iter(seen)
