"""Corpus files to documents: every row is used, or refused by name; nothing but InputError ever comes out."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import DOCUMENTS, PASSAGES, content_hash
from domain_embed.corpus import documents
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.corpus.passages import whole_documents
from domain_embed_tests import scenario
from domain_embed_tests.scenario import write_lines

GOOD = {"_id": "1", "title": "Tea", "text": "Boil water."}


def read(*files: Path, bad_rows: Literal["fail", "skip"] = "fail") -> tuple[list[dict[str, Any]], ReadReport]:
    report = ReadReport()
    table = pa.Table.from_batches(read_documents(files, report, bad_rows=bad_rows), schema=DOCUMENTS)
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
    monkeypatch.setattr(documents, "BATCH_ROWS", 3)
    path = corpus(tmp_path, *({"_id": str(n), "text": "t"} for n in range(7)))
    batches = list(read_documents([path], ReadReport()))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert [key for batch in batches for key in batch["doc_id"].to_pylist()] == list("0123456")


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
    (b'{"_id": "2", "text": "a", "metadata": {"a": NaN}}', "field 'metadata' holds NaN, infinity or an unpaired"),
    (b'{"_id": "2", "text": "a", "metadata": {"a": [1e999]}}', "field 'metadata' holds NaN, infinity or an unpaired"),
    (b'{"_id": "2", "text": "a", "metadata": {"\\udc00": 1}}', "field 'metadata' holds NaN, infinity or an unpaired"),
]


@pytest.mark.parametrize(("row", "problem"), BAD_ROWS, ids=[problem[:40] for _, problem in BAD_ROWS])
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: Any, problem: str) -> None:
    path = corpus(tmp_path, GOOD, row)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line 2: {problem}")


def test_rows_that_cannot_be_used_may_be_skipped_and_are_counted(tmp_path: Path) -> None:
    path = corpus(tmp_path, *(row for row, _ in BAD_ROWS), GOOD)
    rows, report = read(path, bad_rows="skip")
    assert [row["doc_id"] for row in rows] == ["1"]
    assert report.left_out == {"unreadable": len(BAD_ROWS)}
    assert len(report.samples) == documents.SAMPLES_KEPT
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
    for path in (tmp_path / "missing.jsonl", tmp_path):
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


# --- passages -------------------------------------------------------------------------------------------


def test_whole_documents_are_passages_with_the_documents_id(tmp_path: Path) -> None:
    def batches() -> Iterable[pa.RecordBatch]:
        return read_documents([corpus(tmp_path, GOOD, {"_id": "2", "text": "b"})], ReadReport())

    passages = pa.Table.from_batches(whole_documents(batches()))
    assert passages.schema == PASSAGES
    assert passages["passage_id"].to_pylist() == ["1", "2"]
    assert passages.drop_columns("passage_id") == pa.Table.from_batches(batches())
