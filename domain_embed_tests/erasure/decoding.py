"""Everything a folder holds, decoded without the product's own code: what is in there somewhere is in here."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NO_TEXTS = (".safetensors", ".pt")


def decoded(folder: Path, *but: Path) -> Iterator[tuple[Path, str]]:
    """Every file with its whole content as one text, escapes of JSON resolved, white space folded."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in but and path.suffix not in NO_TEXTS:
            yield path, _plain("\n".join([*_cells(path), path.read_bytes().decode("utf-8", "ignore")]))


def holders(folder: Path, texts: list[str], *but: Path) -> dict[str, list[str]]:
    """The files that hold one of the texts, with which."""
    wanted = {text: _plain(text) for text in texts}
    found = {}
    for path, content in decoded(folder, *but):
        if held := [text for text, plain in wanted.items() if plain in content]:
            found[str(path.relative_to(folder))] = held
    return found


def _cells(path: Path) -> Iterator[str]:
    start = path.read_bytes()[:16]
    if start.startswith(b"PAR1"):
        yield from (str(value) for row in pq.read_table(path).to_pylist() for value in row.values())
    elif start.startswith(b"ARROW1"):
        rows = pa.ipc.open_file(path).read_all()
        yield from (str(value) for value in rows["content_hash"].to_pylist())
    elif start.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(path)) as database:
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                yield from (str(cell) for row in database.execute(f'SELECT * FROM "{table}"') for cell in row)


def _plain(text: str) -> str:
    if "\\u" in text:
        text = "".join(_resolved(part) for part in text.split("\n"))
    return " ".join(text.replace("\\n", " ").replace("&#39;", "'").replace("&amp;", "&").split())


def _resolved(line: str) -> str:
    try:
        return str(json.loads(f'"{line}"'))
    except ValueError:
        return line
