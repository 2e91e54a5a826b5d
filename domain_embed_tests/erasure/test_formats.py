"""Every string of a file is found, and replaced without harm to the rest."""

import csv
import io
import json
import sqlite3
import zlib
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain_embed.erasure.databases import compact, database_strings, walk_database
from domain_embed.erasure.formats import (
    printable,
    strings_of,
    walk_delimited,
    walk_json,
    walk_json_lines,
    walk_lines,
    walk_page,
    walk_parquet,
    walk_workbook,
)

SECRET = "fence it and run promote"


def change(text: str) -> str:
    return "[erased]" if SECRET in " ".join(text.split()) else text


def test_json_keeps_its_shape_and_json_within_it() -> None:
    content = {"a": [1, None, SECRET], SECRET: 2, "inner": json.dumps({"deep": [f"… {SECRET} …"], "b": True})}
    found = json.loads(walk_json(json.dumps(content).encode(), change))
    assert found["a"] == [1, None, "[erased]"]
    assert found["[erased]"] == 2
    assert json.loads(found["inner"]) == {"deep": ["[erased]"], "b": True}


@pytest.mark.parametrize("walker", [walk_json, walk_json_lines, walk_page, walk_lines, walk_delimited])
def test_what_holds_nothing_stays_byte_for_byte(walker: object) -> None:
    for data in (b"", b'{"a":  1}\n', b"<p class=x>1 &lt; 2</p>", b"a;b\r\n1;2\r\n", b"\xff\xfe{"):
        assert walker(data, change) == data  # type: ignore[operator]


def test_damaged_lines_are_looked_at_as_text() -> None:
    data = b'{"a": 1}\n{"text": "' + SECRET.encode() + b"\n"
    assert walk_json_lines(data, change) == b'{"a": 1}\n[erased]\n'


def test_pages_lose_text_attributes_and_sentences_that_markup_interrupts() -> None:
    page = (
        f'<!doctype html><title>{SECRET}</title><style>p > a {{}}</style><p title="{SECRET}">kept &amp; safe</p>'
        "<p>fence it <b>and run</b> promote</p><p>1 &lt; 2</p>"
    )
    found = walk_page(page.encode(), change).decode()
    assert "promote" not in found
    assert "kept &amp; safe" in found
    assert "<style>p > a {}</style>" in found
    assert "<p>1 &lt; 2</p>" in found


def test_cells_and_workbooks() -> None:
    rows = [["query", "passage"], ["how, then", f"a\n{SECRET}"], ["x", "y"]]
    out = io.StringIO()
    csv.writer(out, delimiter=";").writerows(rows)
    found = walk_delimited(out.getvalue().encode(), change).decode()
    assert list(csv.reader(io.StringIO(found), delimiter=";")) == [rows[0], ["how, then", "[erased]"], rows[2]]
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["kept", SECRET])
    file = io.BytesIO()
    book.save(file)
    walked = openpyxl.load_workbook(io.BytesIO(walk_workbook(file.getvalue(), change)))
    assert walked.active is not None
    assert [[cell.value for cell in row] for row in walked.active.iter_rows()] == [["kept", "[erased]"]]


def test_parquet_keeps_types_and_metadata() -> None:
    table = pa.table(
        {
            "text": ["kept", SECRET, None],
            "kind": pa.array(["x", SECRET, "x"]).dictionary_encode(),
            "many": pa.array([[SECRET, "a"], [], None], pa.list_(pa.string())),
            "number": [1, 2, 3],
        }
    ).replace_schema_metadata({"made": "by us"})
    file = io.BytesIO()
    pq.write_table(table, file)
    found = pq.read_table(io.BytesIO(walk_parquet(file.getvalue(), change)))
    assert found.schema.metadata[b"made"] == b"by us"
    assert found.schema.types == table.schema.types
    assert found.to_pylist()[1] == {"text": "[erased]", "kind": "[erased]", "many": [], "number": 2}
    assert found["many"].to_pylist() == [["[erased]", "a"], [], None]


def test_a_database_forgets_cells_and_free_pages(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, event TEXT, body BLOB)")
        database.execute("INSERT INTO events VALUES (1, ?, NULL)", [json.dumps({"label": "sample", "data": SECRET})])
        database.execute("INSERT INTO events VALUES (2, ?, NULL)", [f"{SECRET}, deleted before"])
        database.execute("INSERT INTO events VALUES (3, 'kept', ?)", [zlib.compress(b"snapshot of the job")])
        database.execute("DELETE FROM events WHERE id = 2")
    database.close()
    assert any(SECRET in text for text in database_strings(path))
    assert walk_database(path, change) == 1
    compact(path)
    texts = list(database_strings(path))
    assert not any(SECRET in text for text in texts)
    assert "snapshot of the job" in texts
    assert '{"label": "sample", "data": "[erased]"}' in texts


def test_bytes_of_no_known_format_are_read_as_far_as_they_are_text(tmp_path: Path) -> None:
    data = b"\x00\x01" + "ein Satz über Größen".encode() + b"\x00\xff\xfeshort"
    assert list(printable(data)) == ["ein Satz über Größen"]
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1" + SECRET.encode())
    assert any(SECRET in text for text in strings_of(path))
