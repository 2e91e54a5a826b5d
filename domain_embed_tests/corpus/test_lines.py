"""Rows of JSONL, CSV, TSV and Parquet: lines are counted right, and one bad row need not end the file."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.lines import ROW_SUFFIXES, read_rows


def file(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    return list(read_rows(path))


def rows_and_errors(path: Path) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    errors: list[InputError] = []
    found = list(read_rows(path, on_error=errors.append))
    return found, [str(error).removeprefix(f"{path}, ") for error in errors]


class Bytes:
    """Counts what a reader says that it has read."""

    total = 0

    def update(self, n: int) -> None:
        self.total += n


# --- what is read ---------------------------------------------------------------------------------------


def test_jsonl_rows_have_the_number_of_their_line(tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n\n{"a": [2]}\n')
    assert rows(path) == [(1, {"a": 1}), (3, {"a": [2]})]


def test_a_quoted_csv_cell_keeps_its_line_breaks_and_blank_lines(tmp_path: Path) -> None:
    path = file(tmp_path, "a.csv", '\ufeffid,text\n1,"first\n\n  \nsecond"\n\n , \n2,"say ""hi"""\r\n')
    assert rows(path) == [(2, {"id": "1", "text": "first\n\n  \nsecond"}), (8, {"id": "2", "text": 'say "hi"'})]


def test_a_tsv_has_no_quoting(tmp_path: Path) -> None:
    path = file(tmp_path, "a.TSV", 'id\ttext\n1\t5" disk\n2\t"\n')
    assert rows(path) == [(2, {"id": "1", "text": '5" disk'}), (3, {"id": "2", "text": '"'})]


def test_a_csv_cell_may_be_as_long_as_a_document(tmp_path: Path) -> None:
    text = "word " * 200_000
    assert rows(file(tmp_path, "a.csv", f"id,text\n1,{text}\n")) == [(2, {"id": "1", "text": text})]


def test_parquet_rows_are_typed_and_null_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": [1, None], "list": [["a"], None], "struct": [{"x": 1.5}, None]}), path)
    assert rows(path) == [
        (1, {"n": 1, "list": ["a"], "struct": {"x": 1.5}}),
        (2, {"n": None, "list": None, "struct": None}),
    ]


def test_parquet_is_read_batch_by_batch_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": range(2000)}), path, row_group_size=700)
    assert rows(path) == [(n + 1, {"n": n}) for n in range(2000)]


def test_the_bytes_read_are_reported(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.csv", "a.tsv"):
        path, progress = file(tmp_path, name, '{"a": 1}\n\n{"b": 2}\n'), Bytes()
        list(read_rows(path, on_error=lambda error: None, progress=progress))
        assert progress.total == path.stat().st_size


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.xlsx", "a.json", "a"])
def test_another_suffix_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        InputError, match=r"a: rows cannot be read|a\.\w+: rows cannot be read from a \.\w+ file"
    ) as caught:
        read_rows(tmp_path / name)
    assert "use one of .jsonl, .csv, .tsv, .parquet" in str(caught.value)


@pytest.mark.parametrize("suffix", ROW_SUFFIXES)
def test_a_file_that_cannot_be_opened_is_named_whatever_happens_to_bad_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"missing{suffix}"
    with pytest.raises(InputError, match=f"{path} cannot be read: No such file or directory"):
        list(read_rows(path, on_error=lambda error: None))


def test_after_a_bad_line_reading_goes_on(tmp_path: Path) -> None:
    path = file(tmp_path, "a.jsonl", b'{"a": 1}\n{oops\n\xff\n[]\n{"a": 2}\n')
    found, errors = rows_and_errors(path)
    assert found == [(1, {"a": 1}), (5, {"a": 2})]
    assert errors == [
        "line 2: malformed JSON: Expecting property name enclosed in double quotes at column 2",
        "line 3: not UTF-8 (byte 0xff at column 1)\n  → save the file as UTF-8",
        "line 4: expected a JSON object, found a list",
    ]
    with pytest.raises(InputError, match="line 2"):
        rows(path)


def test_after_a_bad_csv_row_reading_goes_on_with_the_right_line_numbers(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "a.csv",
        b'id,text\n1,"a\n\nb"\n2\n3,x,y\n4,"caf\xe9\nau lait"\n5,"x"y\n6,"fine\n"\n7,"open\nto the end\n',
    )
    found, errors = rows_and_errors(path)
    assert found == [(2, {"id": "1", "text": "a\n\nb"}), (10, {"id": "6", "text": "fine\n"})]
    assert errors == [
        "line 5: expected 2 columns like the header, found 1",
        "line 6: expected 2 columns like the header, found 3",
        "line 7: not UTF-8 (byte 0xe9 at column 7)\n  → save the file as UTF-8",
        "line 9: malformed row: ',' expected after '\"'",
        "line 12: malformed row: unexpected end of data",
    ]
    with pytest.raises(InputError, match="line 5: expected 2 columns"):
        rows(path)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"id,text,id", "line 1: column 'id' occurs twice"),
        (b"id,\xff", "line 1: not UTF-8"),
        (b'"a"b,c', "line 1"),
    ],
)
def test_a_bad_header_spoils_the_file(tmp_path: Path, header: bytes, problem: str) -> None:
    path = file(tmp_path, "a.csv", header + b"\n1,2,3\n")
    with pytest.raises(InputError) as caught:
        rows_and_errors(path)
    assert problem in str(caught.value)


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": range(2000)}), path)
    whole = path.read_bytes()
    for broken in (b"", b"PAR1", whole[:-20], b"\x00" * len(whole)):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=f"{path}: not a readable Parquet file after row 0"):
            rows(path)


# --- whatever the bytes are -----------------------------------------------------------------------------


@given(cells=st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=5))
def test_what_a_csv_writer_wrote_is_read_again(tmp_path: Path, cells: list[tuple[str, str]]) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8", errors="replace", newline="") as out:
        csv.writer(out).writerows([("a", "b"), *cells])
    written = [tuple(cell.encode(errors="replace").decode() for cell in pair) for pair in cells]
    kept = [pair for pair in written if any(cell.strip() for cell in pair)]
    assert [tuple(row.values()) for _, row in read_rows(path)] == kept


def valid_files() -> Iterator[tuple[str, bytes]]:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": ["x", None, "é"], "n": [1, 2, 3]}), sink)
    yield "a.parquet", sink.getvalue().to_pybytes()
    yield "a.jsonl", '{"a": "é", "b": [1, {"c": null}]}\n{"a": 2}\n'.encode()
    yield "a.csv", 'a,b\n"x\n\ny",é\n1,2\n'.encode()
    yield "a.tsv", 'a\tb\n"\té\n'.encode()


VALID = dict(valid_files())


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid file with a few bytes replaced, or cut, or bytes that never were one."""
    name = draw(st.sampled_from(sorted(VALID)))
    content = bytearray(VALID[name])
    for _ in range(draw(st.integers(0, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    cut = bytes(content[: draw(st.integers(0, len(content)))])
    return name, draw(st.sampled_from([bytes(content), cut]) | st.binary(max_size=60))


@given(content=damaged())
def test_no_bytes_raise_anything_but_input_errors(tmp_path: Path, content: tuple[str, bytes]) -> None:
    path = file(tmp_path, *content)
    for on_error in (None, lambda error: None):
        try:
            for number, row in read_rows(path, on_error=on_error):
                assert number > 0
                assert isinstance(row, dict)
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
