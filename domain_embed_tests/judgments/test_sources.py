"""Judgment files: each documented shape gives the same rows, and what cannot be used is named."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.judgments.sources import query_id_of, read_source, source_paths
from domain_embed.settings import BeirSource, PairsSource
from domain_embed_tests.scenario import write_lines

ROW = {"query": "make tea", "passage_id": "1"}


def pairs(folder: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    write_lines(folder / "judgments.jsonl", rows)
    return list(read_source(PairsSource(), folder))


def delimited(folder: Path, name: str, text: str) -> list[dict[str, Any]]:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return list(read_source(PairsSource(path=name), folder))


def beir(folder: Path, queries: list[Any], **qrels: str) -> list[dict[str, Any]]:
    write_lines(folder / "queries.jsonl", queries)
    for split, text in qrels.items():
        (folder / f"{split}.tsv").write_text(text)
    return list(read_source(BeirSource(qrels={split: f"{split}.tsv" for split in qrels}), folder))  # type: ignore[misc]


# --- pairs ----------------------------------------------------------------------------------------------


def test_a_full_row_is_taken_as_it_is(tmp_path: Path) -> None:
    row = {
        "query_id": "q1", "query": "make tea", "passage_id": "1", "grade": 2, "source": "clicks", "confidence": 0.5,
        "created_at": "2026-01-02", "split": "test",
    }  # fmt: skip
    assert pairs(tmp_path, row) == [row]


def test_a_bare_row_is_filled_up(tmp_path: Path) -> None:
    assert pairs(tmp_path, {"query": " make tea\n", "passage_id": 1}) == [
        {
            "query_id": query_id_of("make tea"), "query": "make tea", "passage_id": "1", "grade": 1,
            "source": "judgments.jsonl", "confidence": 1.0, "created_at": None, "split": None,
        }
    ]  # fmt: skip


def test_queries_without_id_are_the_same_when_their_text_is_up_to_case_and_space(tmp_path: Path) -> None:
    rows = pairs(tmp_path, *({"query": text, "passage_id": "1"} for text in ("Make  TEA", "make\ttea ", "make coffee")))
    ids = [row["query_id"] for row in rows]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == "q-9651f6c2fd08"


@pytest.mark.parametrize("alias", ["dev", "valid", "val", "validation"])
def test_validation_has_many_names(tmp_path: Path, alias: str) -> None:
    assert pairs(tmp_path, {**ROW, "split": alias})[0]["split"] == "validation"


@pytest.mark.parametrize("grade", [0, -1, 2.0, "3", 1000])
def test_whole_grades_are_passed_on_even_when_not_positive(tmp_path: Path, grade: Any) -> None:
    [row] = pairs(tmp_path, {**ROW, "grade": grade})
    assert row["grade"] == int(float(grade))
    assert isinstance(row["grade"], int)


CSV_TEXT = 'query,passage_id,grade,confidence\r\n"tea, green",1,2,0.5\r\n"say ""hi""",2,1,1\r\n"two\nlines",3,1,1\r\n'


def test_csv_with_quotes_commas_and_line_breaks(tmp_path: Path) -> None:
    rows = delimited(tmp_path, "j.csv", CSV_TEXT)
    assert [row["query"] for row in rows] == ["tea, green", 'say "hi"', "two\nlines"]
    assert [row["passage_id"] for row in rows] == ["1", "2", "3"]
    assert [(row["grade"], row["confidence"]) for row in rows] == [(2, 0.5), (1, 1.0), (1, 1.0)]
    assert {row["source"] for row in rows} == {"j.csv"}


def test_a_quotation_mark_in_tsv_is_a_quotation_mark(tmp_path: Path) -> None:
    text = 'query\tpassage_id\n"exact phrase" search\t1\n5" nails\t2\n"open\t3\nplain, with comma\t4\n'
    rows = delimited(tmp_path, "j.TSV", text)
    assert [row["query"] for row in rows] == ['"exact phrase" search', '5" nails', '"open', "plain, with comma"]


def test_empty_cells_of_optional_columns_are_not_given(tmp_path: Path) -> None:
    header = "query_id,query,passage_id,source,created_at,split\n"
    [row] = delimited(tmp_path, "j.csv", "\ufeff" + header + "\n,make tea,1,,,\n")
    assert row["query_id"] == query_id_of("make tea")
    assert (row["source"], row["created_at"], row["split"]) == ("j.csv", None, None)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"passage_id": "1"}, "no field 'query' (fields: passage_id)"),
        ({"query": "q"}, "no field 'passage_id' (fields: query)"),
        ({**ROW, "query": " \t"}, "the query is empty"),
        ({**ROW, "query": ["a"]}, "field 'query' must be a string, not a list"),
        ({**ROW, "grade": "high"}, "the grade must be a whole number, not 'high'"),
        ({**ROW, "grade": 1.5}, "the grade must be a whole number, not 1.5"),
        ({**ROW, "grade": True}, "the grade must be a whole number, not True"),
        ({**ROW, "grade": math.inf}, "the grade must be a whole number, not inf"),
        ({**ROW, "grade": math.nan}, "the grade must be a whole number, not nan"),
        ({**ROW, "grade": 10**400}, "the grade must be a whole number, not 1000"),
        ({**ROW, "grade": 1001}, "the grade must be a whole number, not 1001"),
        ({**ROW, "grade": [1]}, "the grade must be a whole number, not [1]"),
        ({**ROW, "confidence": "sure"}, "the confidence must be between 0 and 1, not 'sure'"),
        ({**ROW, "confidence": 1.1}, "the confidence must be between 0 and 1, not 1.1"),
        ({**ROW, "confidence": -0.1}, "the confidence must be between 0 and 1, not -0.1"),
        ({**ROW, "confidence": math.nan}, "the confidence must be between 0 and 1, not nan"),
        ({**ROW, "confidence": 10**400}, "the confidence must be between 0 and 1, not 1000"),
        ({**ROW, "split": "Test"}, "the split must be one of train, validation, test, not 'Test'"),
        ({**ROW, "split": 1}, "the split must be one of train, validation, test, not '1'"),
        ({**ROW, "query_id": {}}, "field 'query_id' must be a string, not an object"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        pairs(tmp_path, ROW, row)
    assert str(caught.value).startswith(f"{tmp_path / 'judgments.jsonl'}, line 2: {problem}")


@pytest.mark.parametrize(
    ("name", "text", "line", "problem"),
    [
        ("j.tsv", "query\tpassage_id\na\t1\n\nb\n", 4, "expected 2 columns like the header"),
        ("j.tsv", "query\tpassage_id\na\t1\t9\n", 2, "expected 2 columns like the header"),
        ("j.csv", "query,passage_id,grade\na,1,\n", 2, "the grade must be a whole number, not ''"),
        ("j.csv", "question,passage_id\na,1\n", 2, "no field 'query' (fields: question, passage_id)"),
        ("j.csv", "query,passage_id\na,1\nb" + 200_000 * "b" + ",1\n", 3, "malformed row: field larger than"),
    ],
)  # fmt: skip
def test_a_delimited_row_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, text: str, line: int, problem: str
) -> None:
    with pytest.raises(InputError) as caught:
        delimited(tmp_path, name, text)
    assert str(caught.value).startswith(f"{tmp_path / name}, line {line}: {problem}")


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    (tmp_path / "j.csv").write_bytes(b"query,passage_id\nna\xefve,1\n")
    with pytest.raises(InputError, match=r"j.csv, line 2: not UTF-8 \(byte 0xef at column 3\)"):
        list(read_source(PairsSource(path="j.csv"), tmp_path))


@pytest.mark.parametrize("name", ["j.json", "j.xlsx", "j"])
def test_other_kinds_of_file_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"judgments must be a .jsonl, .csv or .tsv file"):
        delimited(tmp_path, name, "x")


@pytest.mark.parametrize("source", [PairsSource(path="no.csv"), PairsSource(), BeirSource(qrels={"test": "t.tsv"})])
def test_a_missing_file_is_named(tmp_path: Path, source: PairsSource | BeirSource) -> None:
    with pytest.raises(InputError, match=f"{tmp_path / source_paths(source)[0]} cannot be read: No such file"):
        list(read_source(source, tmp_path))


# --- BEIR -----------------------------------------------------------------------------------------------

QUERIES = [{"_id": "q1", "text": "make tea"}, {"_id": 2, "text": "make coffee"}]
HEADER = "query-id\tcorpus-id\tscore\n"


def test_beir_layout(tmp_path: Path) -> None:
    rows = beir(tmp_path, QUERIES, test=HEADER + "q1\td1\t2\nq1\td2\t0\n", train=HEADER + "2\td3\t1\n")
    assert [(row["query_id"], row["query"], row["passage_id"], row["grade"], row["split"]) for row in rows] == [
        ("2", "make coffee", "d3", 1, "train"),
        ("q1", "make tea", "d1", 2, "test"),
        ("q1", "make tea", "d2", 0, "test"),
    ]
    assert {(row["confidence"], row["created_at"]) for row in rows} == {(1.0, None)}
    assert [row["source"] for row in rows] == ["train.tsv", "test.tsv", "test.tsv"]


@pytest.mark.parametrize(
    ("queries", "qrels", "said"),
    [
        (QUERIES, HEADER + "q9\td1\t1\n", "test.tsv, line 2: query 'q9' is not in queries.jsonl"),
        ([*QUERIES, QUERIES[0]], HEADER, "queries.jsonl, line 3: query id 'q1' occurs twice"),
        ([{"_id": "q1"}], HEADER, "queries.jsonl, line 1: no field 'text' (fields: _id)"),
        (QUERIES, "q1\td1\t1\n2\td1\t1\n", "test.tsv, line 2: no field 'query-id' (fields: q1, d1, 1)"),
        (QUERIES, HEADER + "q1\td1\tx\n", "test.tsv, line 2: the grade must be a whole number, not 'x'"),
        (QUERIES, "query-id\tcorpus-id\nq1\td1\n", "test.tsv, line 2: the grade must be a whole number, not None"),
        (QUERIES, HEADER + "q1 0 d1 1\n", "test.tsv, line 2: expected 3 columns like the header"),
    ],
)
def test_beir_files_that_cannot_be_used_are_named(tmp_path: Path, queries: list[Any], qrels: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        beir(tmp_path, queries, test=qrels)
    assert str(caught.value).startswith(f"{tmp_path}/{said}")


def test_the_files_of_a_source_are_known_without_reading() -> None:
    assert source_paths(PairsSource(path="a.csv")) == ["a.csv"]
    assert source_paths(BeirSource(qrels={"train": "a.tsv", "test": "b.tsv"})) == ["queries.jsonl", "a.tsv", "b.tsv"]


# --- nothing else comes out -----------------------------------------------------------------------------

SNIPPETS = st.lists(
    st.sampled_from(
        [b"query", b"passage_id", b"grade", b"confidence", b"split", b"query-id", b"corpus-id", b"score", b"\n", b"\r",
         b",", b"\t", b'"', b"1", b"-9", b"1e999", b"nan", b"{", b"}", b":", b'"query"', b'"passage_id"',
         b'{"_id": "q",', b'"text": "t"}', b"\xff", b"\x00", b"\xef\xbb\xbf", b"\\ud800", b"null", b"[]", b" "]
    ) | st.binary(max_size=3),
    max_size=25,
).map(b"".join)  # fmt: skip


@given(content=SNIPPETS, name=st.sampled_from(["j.jsonl", "j.csv", "j.tsv"]))
def test_no_bytes_raise_anything_but_input_errors(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    try:
        rows = list(read_source(PairsSource(path=name), tmp_path))
    except InputError as error:
        assert name in str(error)  # noqa: PT017
    else:
        assert all(row["query"].strip() and 0 <= row["confidence"] <= 1 for row in rows)


@given(prefix=st.sampled_from([b"query,passage_id\n", b"query,passage_id,grade,confidence,split\n"]), content=SNIPPETS)
def test_no_rows_below_a_good_header_raise_anything_but_input_errors(
    tmp_path: Path, prefix: bytes, content: bytes
) -> None:
    (tmp_path / "j.csv").write_bytes(prefix + content)
    try:
        list(read_source(PairsSource(path="j.csv"), tmp_path))
    except InputError as error:
        assert "j.csv" in str(error)  # noqa: PT017


@given(queries=SNIPPETS, qrels=SNIPPETS, header=st.booleans())
def test_no_beir_bytes_raise_anything_but_input_errors(
    tmp_path: Path, queries: bytes, qrels: bytes, header: bool
) -> None:
    (tmp_path / "queries.jsonl").write_bytes(b'{"_id": "1", "text": "t"}\n' + queries if header else queries)
    (tmp_path / "t.tsv").write_bytes(HEADER.encode() + qrels if header else qrels)
    try:
        list(read_source(BeirSource(qrels={"test": "t.tsv"}), tmp_path))
    except InputError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017
