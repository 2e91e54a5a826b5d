"""Corpus files to documents: every row is used, or refused by name; nothing but InputError ever comes out."""

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import DOCUMENTS, content_hash
from domain_embed.corpus import batches, documents
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.settings import CorpusSettings
from domain_embed_tests import scenario
from domain_embed_tests.corpus.readers.files import pdf
from domain_embed_tests.scenario import write_lines

GOOD = {"_id": "1", "title": "Tea", "text": "Boil water."}


def read(*files: Path, root: Path | None = None, **settings: Any) -> tuple[list[dict[str, Any]], ReadReport]:
    """The documents in files, their paths taken relative to the folder of the first one."""
    report = ReadReport()
    found = read_documents(files, report, CorpusSettings(**settings), root or files[0].parent)
    table = pa.Table.from_batches(found, schema=DOCUMENTS)
    return table.to_pylist(), report


def corpus(folder: Path, *rows: Any, name: str = "corpus.jsonl") -> Path:
    """A file of JSON values, or of lines as they are when they are bytes."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path = folder / name
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


# --- what is read ---------------------------------------------------------------------------------------


def test_a_document_has_its_text_stripped_its_metadata_sorted_and_a_hash_of_its_content(tmp_path: Path) -> None:
    path = corpus(tmp_path, {"_id": "1", "title": " Tea ", "text": "\tBoil water.\n", "metadata": {"b": [1], "a": "é"}})
    rows, report = read(path)
    assert rows == [
        {
            "doc_id": "1",
            "title": "Tea",
            "text": "Boil water.",
            "metadata": '{"a": "é", "b": [1]}',
            "content_hash": content_hash("Tea", "Boil water."),
        }
    ]
    assert report == ReadReport(read=1)


def test_the_scenario_is_read_whole_and_in_order(tmp_path: Path) -> None:
    rows, report = read(scenario.write_domain(tmp_path) / "corpus.jsonl")
    assert [row["doc_id"] for row in rows] == [passage.passage_id for passage in scenario.CORPUS]
    assert report == ReadReport(read=40)
    assert rows[0]["metadata"] == '{"team": "data", "year": 2021}'


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": "x", "text": "t"}, ("x", "", "t")),
        ({"_id": "x", "id": "y", "text": "t"}, ("x", "", "t")),
        ({"_id": None, "id": "y", "text": "t", "title": None, "metadata": None}, ("y", "", "t")),
        ({"_id": 7, "title": 2024, "text": "t"}, ("7", "2024", "t")),
        ({"_id": "x", "title": "only a title", "text": ""}, ("x", "only a title", "")),
        ({"_id": "x", "text": "t", "extra": [1, {"a": 2}]}, ("x", "", "t")),
    ],
)
def test_shapes_of_a_row_that_are_understood(tmp_path: Path, row: dict[str, Any], expected: tuple[str, ...]) -> None:
    [read_row], _ = read(corpus(tmp_path, row))
    assert (read_row["doc_id"], read_row["title"], read_row["text"]) == expected
    assert read_row["metadata"] == "{}"


def test_blank_lines_carriage_returns_and_a_byte_order_mark_are_no_content(tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"_id": "1", "text": "a"}\r\n\r\n   \n{"_id": "2", "text": "b"}')
    assert [(row["doc_id"], row["text"]) for row in read(path)[0]] == [("1", "a"), ("2", "b")]


def test_a_million_characters_are_one_document(tmp_path: Path) -> None:
    text = "word " * 200_000
    [row], _ = read(corpus(tmp_path, {"_id": "1", "text": text}))
    assert row["text"] == text.strip()


def test_batches_are_bounded_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 3)
    path = corpus(tmp_path, *({"_id": str(n), "text": "t"} for n in range(7)))
    found = list(read_documents([path], ReadReport(), CorpusSettings(), tmp_path))
    assert [len(batch) for batch in found] == [3, 3, 1]
    assert [key for batch in found for key in batch["doc_id"].to_pylist()] == list("0123456")


def test_documents_without_text_are_left_out_and_counted(tmp_path: Path) -> None:
    rows, report = read(corpus(tmp_path, {"_id": "empty", "text": " \n"}, GOOD, {"_id": "2", "title": "", "text": ""}))
    assert [row["doc_id"] for row in rows] == ["1"]
    assert report.read == 1
    assert report.left_out == {"without text": 2}
    assert report.samples == [
        ("without text", "empty (corpus.jsonl, line 1)"),
        ("without text", "2 (corpus.jsonl, line 3)"),
    ]


# --- what is refused ------------------------------------------------------------------------------------

BAD_ROWS = [
    (b'{"_id": "2", "text": "a}', "malformed JSON: Unterminated string starting at column 22"),
    (b"{'_id': '2'}", "malformed JSON: Expecting property name enclosed in double quotes at column 2"),
    (b"[" * 100_000, "malformed JSON: nested too deeply"),
    (b'{"_id": ' + b"1" * 5000 + b"}", "malformed JSON: a number has too many digits"),
    (b"[1, 2]", "expected a JSON object, found a list"),
    (b'"text"', "expected a JSON object, found a string"),
    (b"3", "expected a JSON object, found a number"),
    (b"1.5", "expected a JSON object, found a number"),
    (b"true", "expected a JSON object, found a boolean"),
    (b"null", "expected a JSON object, found null"),
    (b'{"_id": "2", "text": "caf\xe9"}', "not UTF-8 (byte 0xe9 at column 26)"),
    ({"_id": "2", "body": "a"}, "no field 'text' (fields: _id, body)"),
    ({"text": "a"}, "no field '_id' or 'id' (fields: text)"),
    ({"_id": "", "text": "a"}, "the document id is empty"),
    ({"_id": "2", "text": ["a"]}, "field 'text' must be a string, not a list"),
    ({"_id": "2", "text": {"a": 1}}, "field 'text' must be a string, not an object"),
    ({"_id": "2", "text": "a", "title": True}, "field 'title' must be a string, not a boolean"),
    ({"_id": 1.5, "text": "a"}, "field '_id' must be a string, not a number"),
    ({"_id": "2", "text": "a", "metadata": ["tag"]}, "field 'metadata' must be an object"),
    (b'{"_id": "2", "text": "\\ud83d"}', "field 'text' holds an unpaired surrogate, not text"),
    (b'{"_id": "2", "text": "a", "metadata": {"a": NaN}}', "document '2': the metadata holds NaN or infinity"),
    (b'{"_id": "2", "text": "a", "metadata": {"a": [1e999]}}', "document '2': the metadata holds NaN or infinity"),
    (
        b'{"_id": "2", "text": "a", "metadata": {"\\udc00": 1}}',
        "document '2': the metadata holds an unpaired surrogate",
    ),
    ({"_id": "2", "text": "a", "metadata": {'a"b': 1}}, "document '2': the metadata key 'a\"b' holds a quotation mark"),
]


@pytest.mark.parametrize(("row", "problem"), BAD_ROWS, ids=[problem[:40] for _, problem in BAD_ROWS])
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: Any, problem: str) -> None:
    path = corpus(tmp_path, GOOD, row)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line 2: {problem}")


def test_rows_that_cannot_be_used_may_be_skipped_and_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "SAMPLES_KEPT", 20)
    path = corpus(tmp_path, *(row for row, _ in BAD_ROWS), GOOD)
    rows, report = read(path, bad_rows="skip")
    assert [row["doc_id"] for row in rows] == ["1"]
    assert report.left_out == {"unreadable": len(BAD_ROWS)}
    assert len(report.samples) == 20
    reason, culprit = report.samples[4]
    assert reason == "unreadable"
    assert culprit == f"{path}, line 5: expected a JSON object, found a list"


@pytest.mark.parametrize("bad_rows", ["fail", "skip"])
def test_an_id_that_occurs_twice_names_both_places(tmp_path: Path, bad_rows: Literal["fail", "skip"]) -> None:
    first = corpus(tmp_path, {"_id": "0", "text": "a"}, GOOD, name="first.jsonl")
    second = corpus(tmp_path, {**GOOD, "text": "other"}, name="second.jsonl")
    with pytest.raises(InputError) as caught:
        read(first, second, bad_rows=bad_rows)
    message = str(caught.value)
    assert message.startswith(f"{second}, line 1: document id '1' occurs twice, first in first.jsonl, line 2")


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_corpus_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"the corpus holds no document: {path}"):
        read(path)


def test_a_corpus_of_empty_and_unreadable_rows_says_how_many(tmp_path: Path) -> None:
    path = corpus(tmp_path, {"_id": "1", "text": ""}, {"_id": "2", "text": " "}, b"{")
    with pytest.raises(InputError, match=r"the corpus holds no document \(2 without text, 1 unreadable\)"):
        read(path, bad_rows="skip")


@pytest.mark.parametrize("bad_rows", ["fail", "skip"])
def test_a_file_that_cannot_be_opened_is_never_skipped(tmp_path: Path, bad_rows: Literal["fail", "skip"]) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    for path in (tmp_path / "missing.jsonl", tmp_path / "folder.jsonl"):
        with pytest.raises(InputError, match=f"{path} cannot be read"):
            read(path, bad_rows=bad_rows)


ANY_TEXT = st.text(st.characters(), max_size=5)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(ANY_TEXT, inner, max_size=2),
    max_leaves=4,
)
ROWS = st.dictionaries(st.sampled_from(["_id", "id", "title", "text", "metadata", "x"]), JSON_VALUES, max_size=5)


def read_or_refuse(path: Path, bad_rows: Literal["fail", "skip"]) -> None:
    try:
        rows, report = read(path, bad_rows=bad_rows)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert len(rows) == report.read > 0
        for row in rows:
            json.loads(row["metadata"])


@given(content=st.binary(max_size=80), bad_rows=st.sampled_from(["fail", "skip"]))
def test_no_bytes_raise_anything_but_input_errors(
    tmp_path: Path, content: bytes, bad_rows: Literal["fail", "skip"]
) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(content)
    read_or_refuse(path, bad_rows)


@given(rows=st.lists(ROWS | JSON_VALUES, max_size=4), bad_rows=st.sampled_from(["fail", "skip"]))
def test_no_values_raise_anything_but_input_errors(
    tmp_path: Path, rows: list[Any], bad_rows: Literal["fail", "skip"]
) -> None:
    read_or_refuse(write_lines(tmp_path / "corpus.jsonl", rows), bad_rows)


# --- rows of other files --------------------------------------------------------------------------------


def test_fields_are_taken_as_the_settings_name_them(tmp_path: Path) -> None:
    row = {"key": 7, "subject": "Leave", "question": "How long?", "answer": "Thirty days.", "text": "unused", "team": 3}
    [read_row], _ = read(
        corpus(tmp_path, row), id_field="key", title_field="subject", text_fields=("question", "answer"),
        metadata_fields=("team",),
    )  # fmt: skip
    assert read_row["doc_id"] == "7"
    assert read_row["title"] == "Leave"
    assert read_row["text"] == "How long?\n\nThirty days."
    assert json.loads(read_row["metadata"]) == {"team": 3}


def test_one_of_several_text_fields_is_enough_but_one_must_be_there(tmp_path: Path) -> None:
    path = corpus(tmp_path, {"_id": "1", "body": "a"}, {"_id": "2", "answer": "b", "body": None}, {"_id": "3"})
    rows, report = read(path, text_fields=("body", "answer"), bad_rows="skip")
    assert [row["text"] for row in rows] == ["a", "b"]
    assert report.samples == [("unreadable", f"{path}, line 3: no field 'body' or 'answer' (fields: _id)")]


def test_a_star_keeps_every_other_field_and_the_metadata_object_wins(tmp_path: Path) -> None:
    row = {**GOOD, "team": "a", "empty": "", "none": None, "tags": ["x", "y"], "metadata": {"team": "b", "year": 1}}
    [read_row], _ = read(corpus(tmp_path, row), metadata_fields=("*",))
    assert json.loads(read_row["metadata"]) == {"tags": ["x", "y"], "team": "b", "year": 1}


def test_a_csv_is_read_by_its_header_with_types_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_text(
        'id,title,text,year,public,day,groups\n1,Tea,"Boil, then\n\npour ""it"".",2024,yes,2024-05-01T10:00,a\n'
        '2,Egg,"Ten minutes.",,no,,\n',
        encoding="utf-8",
    )
    rows, _ = read(path, metadata_fields=("*",), metadata_types={"year": "int", "public": "bool", "day": "date"})
    assert [row["text"] for row in rows] == ['Boil, then\n\npour "it".', "Ten minutes."]
    assert [json.loads(row["metadata"]) for row in rows] == [
        {"day": "2024-05-01", "groups": "a", "public": True, "year": 2024},
        {"public": False},
    ]


def test_a_csv_cell_may_hold_the_metadata_object(tmp_path: Path) -> None:
    path = tmp_path / "docs.csv"
    path.write_text('id,text,metadata\n1,a,"{""team"": ""x""}"\n2,b,\n3,c,oops\n4,d,[1]\n', encoding="utf-8")
    rows, report = read(path, bad_rows="skip")
    assert [row["metadata"] for row in rows] == ['{"team": "x"}', "{}"]
    assert [culprit for _, culprit in report.samples] == [
        f"{path}, line 4: field 'metadata' is not JSON",
        f"{path}, line 5: field 'metadata' must be an object",
    ]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "docs.parquet"
    table = pa.table(
        {
            "id": [1, 2],
            "text": ["a", "b"],
            "year": [2024, None],
            "groups": [["hr", "it"], []],
            "changed": pa.array([date(2024, 5, 1), None]),
            "at": pa.array([datetime(2024, 5, 1, 23, 30), None]),
            "price": pa.array([Decimal("1.50"), None]),
        }
    )
    pq.write_table(table, path)
    rows, _ = read(path, metadata_fields=("*",))
    assert [row["doc_id"] for row in rows] == ["1", "2"]
    assert [json.loads(row["metadata"]) for row in rows] == [
        {"at": "2024-05-01", "changed": "2024-05-01", "groups": ["hr", "it"], "price": 1.5, "year": 2024},
        {"groups": []},
    ]


def test_metadata_that_is_not_of_its_type_names_the_document(tmp_path: Path) -> None:
    path = corpus(tmp_path, GOOD, {"_id": "2", "text": "a", "metadata": {"year": "soon"}})
    with pytest.raises(InputError) as caught:
        read(path, metadata_types={"year": "int"})
    assert str(caught.value) == f"{path}, line 2: document '2': metadata 'year' cannot be read as int: 'soon'"


# --- files that hold one document -----------------------------------------------------------------------


def write_files(folder: Path, **contents: str | bytes) -> list[Path]:
    """Files by name, `__` for a slash and `_` before the suffix for a dot."""
    paths = []
    for name, content in contents.items():
        path = folder / ".".join(name.replace("__", "/").rsplit("_", 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        paths.append(path)
    return paths


def test_a_file_is_a_document_with_its_path_as_id_and_its_path_as_metadata(tmp_path: Path) -> None:
    files = write_files(
        tmp_path, hr__2024__leave_md="---\nowner: Ann\nyear: 1999\n---\n# Leave\nThirty days.", news_txt="Hello."
    )
    rows, report = read(
        *files, root=tmp_path, path_metadata=(r"(?P<department>[^/]+)/(?P<year>\d{4})/", r"\.(?P<kind>\w+)$"),
        metadata_types={"year": "int"},
    )  # fmt: skip
    assert [(row["doc_id"], row["title"], row["text"]) for row in rows] == [
        ("hr/2024/leave.md", "Leave", "Thirty days."),
        ("news.txt", "news", "Hello."),
    ]
    assert json.loads(rows[0]["metadata"]) == {"department": "hr", "kind": "md", "owner": "Ann", "year": 1999}
    assert json.loads(rows[1]["metadata"]) == {"kind": "txt"}
    assert report == ReadReport(read=2)


def test_files_elsewhere_are_called_by_their_path_below_the_named_directory(tmp_path: Path) -> None:
    files = write_files(tmp_path, docs__hr__leave_md="a", docs__b_md="b")
    for pattern in (f"{tmp_path}/docs", f"{tmp_path}/docs/**/*.md"):
        rows, _ = read(*files, root=tmp_path / "domain", paths=(pattern,))
        assert [row["doc_id"] for row in rows] == ["hr/leave.md", "b.md"]
    rows, _ = read(files[0], root=tmp_path / "domain", paths=(str(files[0]),))
    assert [row["doc_id"] for row in rows] == ["leave.md"]


def test_two_files_of_one_name_in_different_directories_are_refused(tmp_path: Path) -> None:
    files = write_files(tmp_path, one__a_md="a", two__a_md="b")
    with pytest.raises(InputError, match=r"two/a.md: document id 'a.md' occurs twice, first in a.md"):
        read(*files, root=tmp_path / "domain", paths=(f"{tmp_path}/one", f"{tmp_path}/two"))


def test_files_that_cannot_be_read_are_skipped_counted_and_named(tmp_path: Path) -> None:
    files = write_files(
        tmp_path, good_md="text", latin_txt="caf\xe9".encode("latin-1"), broken_pdf=b"%PDF-1.4 nothing",
        broken_docx=b"no zip", empty_txt=" \n",
    )  # fmt: skip
    rows, report = read(*files)
    assert [row["doc_id"] for row in rows] == ["good.md"]
    assert report.left_out == {"unreadable": 3, "without text": 1}
    assert report.samples[0] == (
        "unreadable", f"{files[1]}, line 1: not UTF-8 (byte 0xe9)\n  → save the file as UTF-8",
    )  # fmt: skip
    assert report.samples[1][1].startswith(f"{files[2]}: cannot be read as PDF (")
    assert report.samples[2][1].startswith(f"{files[3]}: cannot be read as DOCX (BadZipFile")
    assert report.samples[3] == ("without text", "empty.txt")
    assert report.recorded[0] == report.samples[0]
    assert report.recorded[1][1].startswith(f"{files[2]}: cannot be read as PDF (…)")
    assert report.recorded[3] == report.samples[3]


@pytest.mark.parametrize("name", ["latin.txt", "latin.md", "broken.pdf", "broken.docx", "bad.html"])
def test_files_that_cannot_be_read_fail_when_asked_to(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"caf\xe9")
    with pytest.raises(InputError) as caught:
        read(path, bad_files="fail")
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("bad_files", ["fail", "skip"])
def test_a_file_of_an_unknown_kind_is_refused_before_anything_is_read(tmp_path: Path, bad_files: str) -> None:
    files = write_files(tmp_path, a_md="a", picture_png=b"png")
    with pytest.raises(InputError, match=r"no reader for these files: .*picture.png\n.*known are \.jsonl, .*\.docx"):
        read(*files, bad_files=bad_files)


def test_a_scan_is_left_out_with_a_reason_that_says_so(tmp_path: Path) -> None:
    files = write_files(tmp_path, scan_pdf=pdf([[], []]), text_pdf=pdf([["Text"]]))
    rows, report = read(*files, bad_files="fail")
    assert [row["doc_id"] for row in rows] == ["text.pdf"]
    assert report.samples == [("without text, perhaps a scan", "scan.pdf")]


def test_a_long_text_closes_its_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_CHARACTERS", 10)
    files = write_files(tmp_path, a_txt="short", b_txt="long enough", c_txt="x")
    found = read_documents(files, ReadReport(), CorpusSettings(), tmp_path)
    assert [batch["doc_id"].to_pylist() for batch in found] == [["a.txt", "b.txt"], ["c.txt"]]
