"""SQLite files of the store: every cell can be read, and what was replaced is gone from the free pages as well."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from domain_embed.erasure.formats import Change, inflated, printable, walk_value

HEADER = b"SQLite format 3\x00"
WAIT_SECONDS = 30.0


def is_database(path: Path) -> bool:
    """Whether a file is one of SQLite's."""
    with path.open("rb") as file:
        return file.read(len(HEADER)) == HEADER


def database_strings(path: Path) -> Iterator[str]:
    """Every text in the database, also in blobs packed by zlib, and what can be read in its pages, free ones too."""
    with closing(_connect(path, write=False)) as database:
        for table in _tables(database):
            for row in database.execute(f"SELECT * FROM {_name(table)}"):
                yield from (text for cell in row for text in _texts(cell))
    for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-journal")):
        if part.exists():
            yield from printable(part.read_bytes())


def walk_database(path: Path, change: Change) -> int:
    """Replaces strings in every table; returns how many rows have changed. A cell of JSON stays JSON."""
    changed = 0
    with closing(_connect(path, write=True)) as database, database:
        database.execute("PRAGMA secure_delete = ON")
        for table in _tables(database):
            columns = [str(row[1]) for row in database.execute(f"PRAGMA table_info({_name(table)})")]
            changed += sum(_walk_rows(database, table, column, change) for column in columns)
    return changed


def compact(path: Path) -> None:
    """Writes the database again without free pages, and empties its journal. Raises sqlite3.Error when it is in use."""
    with closing(_connect(path, write=True)) as database:
        database.execute("PRAGMA secure_delete = ON")
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def tables_with(database: sqlite3.Connection, column: str) -> list[str]:
    """The names, quoted, of the tables that have a column."""
    names = map(_name, _tables(database))
    return [one for one in names if column in {row[1] for row in database.execute(f"PRAGMA table_info({one})")}]


def _walk_rows(database: sqlite3.Connection, table: str, column: str, change: Change) -> int:
    rows = database.execute(f"SELECT rowid, {_name(column)} FROM {_name(table)} WHERE typeof({_name(column)}) = 'text'")
    news = [(new, rowid) for rowid, text in rows if (new := walk_value(text, change)) != text]
    database.executemany(f"UPDATE {_name(table)} SET {_name(column)} = ? WHERE rowid = ?", news)
    return len(news)


def _texts(cell: object) -> Iterator[str]:
    if isinstance(cell, str):
        yield cell
    elif isinstance(cell, bytes):
        yield from printable(inflated(cell))


def _tables(database: sqlite3.Connection) -> list[str]:
    found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%WITHOUT ROWID%'")
    return [str(name) for (name,) in found]


def _connect(path: Path, *, write: bool) -> sqlite3.Connection:
    mode = "rw" if write else "ro"
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode={mode}", uri=True, timeout=WAIT_SECONDS)


def _name(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"'
