"""Judgment files: each documented shape gives the same rows, and what cannot be used is named."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import LABELS, normalized_query
from domain_embed.judgments.sources import query_id_of, read_source, source_name, source_paths
from domain_embed.settings import (
    AnnotationsSource,
    AnswersSource,
    BeirSource,
    ClicksSource,
    JudgmentSource,
    PairsSource,
    TicketsSource,
    TrecSource,
    TriplesSource,
)
from domain_embed_tests.scenario import write_lines

ROW = {"query": "make tea", "passage_id": "1"}


def pairs(folder: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    write_lines(folder / "judgments.jsonl", rows)
    return list(read_source(PairsSource(), folder))


def delimited(folder: Path, name: str, text: str) -> list[dict[str, Any]]:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return list(read_source(PairsSource(path=name), folder))


def columnar(folder: Path, columns: dict[str, Any]) -> list[dict[str, Any]]:
    pq.write_table(pa.table(columns), folder / "j.parquet")
    return list(read_source(PairsSource(path="j.parquet"), folder))


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
    assert pairs(tmp_path, row) == [
        {
            "query_id": "q1", "query": "make tea", "target": "1", "answer": None, "grade": 2, "source": "clicks",
            "confidence": 0.5, "created_at": "2026-01-02", "split": "test", "train_only": False, "filters": None,
        }
    ]  # fmt: skip


def test_a_bare_row_is_filled_up(tmp_path: Path) -> None:
    [row] = pairs(tmp_path, {"query": " make tea\n", "passage_id": 1})
    assert list(row) == LABELS.names
    assert row == {
        "query_id": query_id_of("make tea"), "query": "make tea", "target": "1", "answer": None, "grade": 1,
        "source": "judgments.jsonl", "confidence": 1.0, "created_at": None, "split": None, "train_only": False,
        "filters": None,
    }  # fmt: skip


OPTIONAL = st.sampled_from(["query_id", "grade", "confidence", "source", "created_at", "split"])


@given(blanks=st.dictionaries(OPTIONAL, st.sampled_from([None, "", " ", "\t"])))
def test_absent_null_and_blank_fields_are_alike(tmp_path: Path, blanks: dict[str, Any]) -> None:
    assert pairs(tmp_path, {**ROW, **blanks}) == pairs(tmp_path, ROW)


def test_absent_and_empty_cells_of_a_csv_file_are_alike(tmp_path: Path) -> None:
    header = "query_id,query,passage_id,grade,confidence,source,created_at,split\n"
    full = delimited(tmp_path, "j.csv", "\ufeff" + header + "\n,make tea,1,,,,,\n")
    assert full == delimited(tmp_path, "j.csv", "query,passage_id\nmake tea,1\n")


def test_queries_without_id_are_the_same_when_their_text_is_up_to_case_and_space(tmp_path: Path) -> None:
    rows = pairs(tmp_path, *({"query": text, "passage_id": "1"} for text in ("Make  TEA", "make\ttea ", "make coffee")))
    ids = [row["query_id"] for row in rows]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == "q-9651f6c2fd08"


@given(first=st.text("aAßİ \t\n\u00a0", max_size=8), second=st.text("aAßİ \t\n\u00a0", max_size=8))
def test_ids_are_equal_exactly_when_folded_texts_are(first: str, second: str) -> None:
    assert (query_id_of(first) == query_id_of(second)) == (normalized_query(first) == normalized_query(second))
    assert query_id_of(first) == query_id_of(f" {first}\n")


@pytest.mark.parametrize("alias", ["dev", "valid", "val", "validation"])
def test_validation_has_many_names(tmp_path: Path, alias: str) -> None:
    assert pairs(tmp_path, {**ROW, "split": alias})[0]["split"] == "validation"


@pytest.mark.parametrize("grade", [0, -1, 2.0, "3", 1000])
def test_whole_grades_are_passed_on_even_when_not_positive(tmp_path: Path, grade: Any) -> None:
    [row] = pairs(tmp_path, {**ROW, "grade": grade})
    assert row["grade"] == int(float(grade))
    assert isinstance(row["grade"], int)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2026-01-02", "2026-01-02"),
        ("20260102", "2026-01-02"),
        (" 2026-W01-5 ", "2026-01-02"),
        ("2026-01-02 03:04", "2026-01-02T03:04:00"),
        ("2026-01-02T03:04:05.5", "2026-01-02T03:04:05.500000"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:05+04:00", "2026-01-01T23:04:05+00:00"),
    ],
)
def test_times_are_kept_in_one_spelling_that_sorts(tmp_path: Path, written: str, kept: str) -> None:
    assert pairs(tmp_path, {**ROW, "created_at": written})[0]["created_at"] == kept


CSV_TEXT = 'query,passage_id,grade,confidence\r\n"tea, green",1,2,0.5\r\n"say ""hi""",2,1,1\r\n"two\nlines",3,1,1\r\n'


def test_csv_with_quotes_commas_and_line_breaks(tmp_path: Path) -> None:
    rows = delimited(tmp_path, "j.csv", CSV_TEXT)
    assert [row["query"] for row in rows] == ["tea, green", 'say "hi"', "two\nlines"]
    assert [row["target"] for row in rows] == ["1", "2", "3"]
    assert [(row["grade"], row["confidence"]) for row in rows] == [(2, 0.5), (1, 1.0), (1, 1.0)]
    assert {row["source"] for row in rows} == {"j.csv"}


def test_a_quotation_mark_in_tsv_is_a_quotation_mark(tmp_path: Path) -> None:
    text = 'query\tpassage_id\n"exact phrase" search\t1\n5" nails\t2\n"open\t3\nplain, with comma\t4\n'
    rows = delimited(tmp_path, "j.TSV", text)
    assert [row["query"] for row in rows] == ['"exact phrase" search', '5" nails', '"open', "plain, with comma"]


def test_typed_cells_of_parquet(tmp_path: Path) -> None:
    vienna = timezone(timedelta(hours=1))
    rows = columnar(
        tmp_path,
        {
            "query": ["a", "b", "c"],
            "passage_id": [1, 2, 3],
            "grade": pa.array([2, None, 0], pa.int8()),
            "confidence": pa.array([0.5, None, 1.0], pa.float64()),
            "created_at": pa.array([datetime(2026, 1, 2, 3, tzinfo=vienna), None, datetime(2026, 1, 2, tzinfo=UTC)]),
        },
    )
    assert [(row["target"], row["grade"], row["confidence"], row["created_at"]) for row in rows] == [
        ("1", 2, 0.5, "2026-01-02T02:00:00+00:00"),
        ("2", 1, 1.0, None),
        ("3", 0, 1.0, "2026-01-02T00:00:00+00:00"),
    ]
    [row] = columnar(tmp_path, {"query": ["a"], "passage_id": ["p"], "created_at": [date(2026, 1, 2)]})
    assert row["created_at"] == "2026-01-02"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"passage_id": "1"}, "no field 'query' (fields: passage_id)"),
        ({"query": "q"}, "no field 'passage_id' (fields: query)"),
        ({**ROW, "passage_id": ""}, "field 'passage_id' is empty"),
        ({**ROW, "passage_id": None}, "field 'passage_id' is empty"),
        ({**ROW, "query": " \t"}, "field 'query' is empty"),
        ({**ROW, "query": ["a"]}, "field 'query' must be a string, not a list"),
        ({**ROW, "query": "\ud800"}, "field 'query' holds an unpaired surrogate"),
        ({**ROW, "grade": "high"}, "the grade must be a whole number, not 'high'"),
        ({**ROW, "grade": 1.5}, "the grade must be a whole number, not 1.5"),
        ({**ROW, "grade": "often"}, "the grade must be a whole number, not 'often'"),
        ({**ROW, "grade": math.inf}, "the grade must be a whole number, not inf"),
        ({**ROW, "grade": math.nan}, "the grade must be a whole number, not nan"),
        ({**ROW, "grade": 10**400}, "the grade must be a whole number, not 1000"),
        ({**ROW, "grade": 1001}, "the grade must be a whole number, not 1001"),
        ({**ROW, "grade": [1]}, "the grade must be a whole number, not [1]"),
        ({**ROW, "confidence": "sure"}, "the confidence must be between 0 and 1, not 'sure'"),
        ({**ROW, "confidence": True}, "the confidence must be between 0 and 1, not True"),
        ({**ROW, "confidence": 1.1}, "the confidence must be between 0 and 1, not 1.1"),
        ({**ROW, "confidence": -0.1}, "the confidence must be between 0 and 1, not -0.1"),
        ({**ROW, "confidence": math.nan}, "the confidence must be between 0 and 1, not nan"),
        ({**ROW, "confidence": 10**400}, "the confidence must be between 0 and 1, not 1000"),
        ({**ROW, "split": "fold 3"}, "the split must be one of train, validation, test, not 'fold 3'"),
        ({**ROW, "split": 1}, "the split must be one of train, validation, test, not '1'"),
        ({**ROW, "query_id": {}}, "field 'query_id' must be a string, not an object"),
        ({**ROW, "created_at": "yesterday"}, "created_at must be a date or time in ISO 8601, not 'yesterday'"),
        ({**ROW, "created_at": "2026-02-30"}, "created_at must be a date or time in ISO 8601, not '2026-02-30'"),
        ({**ROW, "created_at": "1711101191234"}, "created_at must be a date or time in ISO 8601, not '1711101191234'"),
        ({**ROW, "created_at": 1767312000}, "created_at must be a date or time in ISO 8601, not 1767312000"),
        ({**ROW, "created_at": "0001-01-01T00:00+12:00"}, "created_at must be a date or time in ISO 8601"),
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
        ("j.csv", "query,passage_id\na,\n", 2, "field 'passage_id' is empty"),
        ("j.csv", "question,passage_id\na,1\n", 2, "no field 'query' (fields: question, passage_id)"),
        ("j.csv", 'query,passage_id,grade\n"two\nlines",1,1\nb,1,x\n', 4, "the grade must be a whole number, not 'x'"),
    ],
)
def test_a_delimited_row_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, text: str, line: int, problem: str
) -> None:
    with pytest.raises(InputError) as caught:
        delimited(tmp_path, name, text)
    assert str(caught.value).startswith(f"{tmp_path / name}, line {line}: {problem}")


def test_a_parquet_row_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"j.parquet, line 2: the grade must be a whole number, not 1001"):
        columnar(tmp_path, {"query": ["a", "b"], "passage_id": ["p", "p"], "grade": [1, 1001]})


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    (tmp_path / "j.csv").write_bytes(b"query,passage_id\nna\xefve,1\n")
    with pytest.raises(InputError, match=r"j.csv, line 2: not UTF-8 \(byte 0xef at column 3\)"):
        list(read_source(PairsSource(path="j.csv"), tmp_path))


@pytest.mark.parametrize("name", ["j.json", "j.xlsx", "j"])
def test_other_kinds_of_file_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"\.jsonl, \.csv, \.tsv, \.parquet"):
        delimited(tmp_path, name, "x")


# --- answers --------------------------------------------------------------------------------------------


def answers(folder: Path, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    write_lines(folder / "answers.jsonl", rows)
    return list(read_source(AnswersSource(), folder))


def test_answers_are_looked_up_in_their_document_or_anywhere(tmp_path: Path) -> None:
    anywhere, inside = answers(
        tmp_path,
        {"question": " How hot? ", "answer": " 80 degrees.\n"},
        {
            "question": "How long?", "answer": "Three minutes", "doc_id": 7, "confidence": 0.9, "source": "faq",
            "created_at": "2026-01-02", "split": "dev",
        },
    )  # fmt: skip
    assert anywhere == {
        "query_id": query_id_of("how hot?"), "query": "How hot?", "target": None, "answer": "80 degrees.", "grade": 1,
        "source": "answers.jsonl", "confidence": 1.0, "created_at": None, "split": None, "train_only": False,
        "filters": None,
    }  # fmt: skip
    assert inside == {
        "query_id": query_id_of("how long?"), "query": "How long?", "target": "7", "answer": "Three minutes",
        "grade": 1, "source": "faq", "confidence": 0.9, "created_at": "2026-01-02", "split": "validation",
        "train_only": False, "filters": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"answer": "a"}, "no field 'question' (fields: answer)"),
        ({"question": "q"}, "no field 'answer' (fields: question)"),
        ({"question": "q", "answer": " "}, "field 'answer' is empty"),
        ({"question": "q", "answer": "a", "doc_id": []}, "field 'doc_id' must be a string, not a list"),
        ({"question": "q", "answer": "a", "confidence": 2}, "the confidence must be between 0 and 1, not 2"),
    ],
)
def test_an_answer_that_cannot_be_used_is_named(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        answers(tmp_path, row)
    assert str(caught.value).startswith(f"{tmp_path / 'answers.jsonl'}, line 1: {problem}")


# --- BEIR -----------------------------------------------------------------------------------------------

QUERIES = [{"_id": "q1", "text": "make tea"}, {"_id": 2, "text": "make coffee"}]
HEADER = "query-id\tcorpus-id\tscore\n"


def test_beir_layout(tmp_path: Path) -> None:
    rows = beir(tmp_path, QUERIES, test=HEADER + "q1\td1\t2\nq1\td2\t0\n", train=HEADER + "2\td3\t1\n")
    assert [(row["query_id"], row["query"], row["target"], row["grade"], row["split"]) for row in rows] == [
        ("2", "make coffee", "d3", 1, "train"),
        ("q1", "make tea", "d1", 2, "test"),
        ("q1", "make tea", "d2", 0, "test"),
    ]
    assert {(row["confidence"], row["created_at"], row["answer"]) for row in rows} == {(1.0, None, None)}
    assert [row["source"] for row in rows] == ["train.tsv", "test.tsv", "test.tsv"]


@pytest.mark.parametrize(
    ("queries", "qrels", "said"),
    [
        (QUERIES, HEADER + "q9\td1\t1\n", "test.tsv, line 2: query 'q9' is not in queries.jsonl"),
        ([*QUERIES, QUERIES[0]], HEADER, "queries.jsonl, line 3: query id 'q1' occurs twice"),
        ([{"_id": "q1"}], HEADER, "queries.jsonl, line 1: no field 'text' (fields: _id)"),
        (QUERIES, "q1\td1\t1\n2\td1\t1\n", "test.tsv, line 2: no field 'query-id' (fields: q1, d1, 1)"),
        (QUERIES, HEADER + "q1\td1\tx\n", "test.tsv, line 2: the score must be a whole number, not 'x'"),
        (QUERIES, HEADER + "q1\td1\t\n", "test.tsv, line 2: field 'score' is empty"),
        (QUERIES, "query-id\tcorpus-id\nq1\td1\n", "test.tsv, line 2: no field 'score' (fields: query-id, corpus-id)"),
        (QUERIES, HEADER + "q1 0 d1 1\n", "test.tsv, line 2: expected 3 columns like the header"),
    ],
)
def test_beir_files_that_cannot_be_used_are_named(tmp_path: Path, queries: list[Any], qrels: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        beir(tmp_path, queries, test=qrels)
    assert str(caught.value).startswith(f"{tmp_path}/{said}")


# --- TREC -----------------------------------------------------------------------------------------------

TOPICS = '301\tInternational "Organized" Crime\n302 \tPoliomyelitis and Post-Polio\n'


def trec(folder: Path, topics: str, qrels: str) -> list[dict[str, Any]]:
    (folder / "topics.tsv").write_text(topics)
    (folder / "qrels.txt").write_text(qrels)
    return list(read_source(TrecSource(), folder))


def test_trec_topics_and_qrels(tmp_path: Path) -> None:
    rows = trec(tmp_path, TOPICS, "301 0 FBIS3-10082 1\n301\t0\tFBIS3-10169\t0\n\n302  Q0 FT921-1 2 \n302 0 X -2\n")
    assert [(row["query_id"], row["query"], row["target"], row["grade"]) for row in rows] == [
        ("301", 'International "Organized" Crime', "FBIS3-10082", 1),
        ("301", 'International "Organized" Crime', "FBIS3-10169", 0),
        ("302", "Poliomyelitis and Post-Polio", "FT921-1", 2),
        ("302", "Poliomyelitis and Post-Polio", "X", 0),
    ]
    assert {(row["source"], row["confidence"], row["split"]) for row in rows} == {("qrels.txt", 1.0, None)}


@pytest.mark.parametrize(
    ("topics", "qrels", "said"),
    [
        (
            TOPICS,
            "301 0 d\n",
            "qrels.txt, line 1: expected 4 columns (query id, iteration, document id, grade), found 3",
        ),
        (TOPICS, "301 0 d 1\n303 0 d 1\n", "qrels.txt, line 2: query '303' is not in topics.tsv"),
        (TOPICS, "301 0 d x\n", "qrels.txt, line 1: the grade must be a whole number, not 'x'"),
        ("301 crime\n", "", "topics.tsv, line 1: expected 2 columns (query id, text), found 1"),
        ("301\t \n", "", "topics.tsv, line 1: field 'text' is empty"),
        ("301\ta\n301\tb\n", "", "topics.tsv, line 2: query id '301' occurs twice"),
    ],
)
def test_trec_files_that_cannot_be_used_are_named(tmp_path: Path, topics: str, qrels: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        trec(tmp_path, topics, qrels)
    assert str(caught.value).startswith(f"{tmp_path}/{said}")


# --- triples --------------------------------------------------------------------------------------------


def triples(folder: Path, text: str, queries: str | None = None) -> list[dict[str, Any]]:
    (folder / "triples.tsv").write_text(text)
    if queries is not None:
        (folder / "queries.tsv").write_text(queries)
    return list(read_source(TriplesSource(queries=None if queries is None else "queries.tsv"), folder))


def test_triples_of_texts_are_looked_up(tmp_path: Path) -> None:
    rows = triples(tmp_path, "make tea\tBoil water.\tFry an egg.\n")
    assert [(row["query"], row["target"], row["answer"], row["grade"]) for row in rows] == [
        ("make tea", None, "Boil water.", 1),
        ("make tea", None, "Fry an egg.", 0),
    ]
    assert {(row["query_id"], row["source"]) for row in rows} == {(query_id_of("make tea"), "triples.tsv")}


def test_triples_of_ids(tmp_path: Path) -> None:
    rows = triples(tmp_path, "9\t11\t12\n9\t11\t13\n", queries="8\tmake coffee\n9\tmake tea\n")
    assert [(row["query_id"], row["query"], row["target"], row["answer"], row["grade"]) for row in rows] == [
        ("9", "make tea", "11", None, 1),
        ("9", "make tea", "12", None, 0),
        ("9", "make tea", "11", None, 1),
        ("9", "make tea", "13", None, 0),
    ]


@pytest.mark.parametrize(
    ("text", "queries", "said"),
    [
        ("a\tb\n", None, "triples.tsv, line 1: expected 3 columns (query, positive, negative), found 2"),
        ("a\tb\tc\n\tb\tc\n", None, "triples.tsv, line 2: field 'query' is empty"),
        ("a\tb\t\n", None, "triples.tsv, line 1: field 'negative' is empty"),
        ("9\t1\t2\n", "8\tmake coffee\n", "triples.tsv, line 1: query '9' is not in queries.tsv"),
    ],
)
def test_triples_that_cannot_be_used_are_named(tmp_path: Path, text: str, queries: str | None, said: str) -> None:
    with pytest.raises(InputError) as caught:
        triples(tmp_path, text, queries)
    assert str(caught.value).startswith(f"{tmp_path}/{said}")


# --- all ------------------------------------------------------------------------------------------------

SOURCES: dict[str, tuple[JudgmentSource, list[str]]] = {
    "pairs": (PairsSource(path="a.csv"), ["a.csv"]),
    "beir": (BeirSource(qrels={"train": "a.tsv", "test": "b.tsv"}), ["queries.jsonl", "a.tsv", "b.tsv"]),
    "trec": (TrecSource(), ["topics.tsv", "qrels.txt"]),
    "triples": (TriplesSource(), ["triples.tsv"]),
    "triples of ids": (TriplesSource(queries="q.tsv"), ["triples.tsv", "q.tsv"]),
    "answers": (AnswersSource(), ["answers.jsonl"]),
    "tickets": (TicketsSource(), ["tickets.jsonl"]),
    "annotations": (AnnotationsSource(), ["annotations.csv"]),
    "clicks": (ClicksSource(path="log.parquet"), ["log.parquet"]),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_the_files_of_a_source_are_known_without_reading(kind: str) -> None:
    source, paths = SOURCES[kind]
    assert source_paths(source) == paths
    assert source_name(source) == f"{kind.removesuffix(' of ids')}:{paths[0]}"


@pytest.mark.parametrize("kind", SOURCES)
def test_a_missing_file_is_named(tmp_path: Path, kind: str) -> None:
    source, paths = SOURCES[kind]
    with pytest.raises(InputError, match=f"({'|'.join(paths)}) cannot be read: No such file"):
        list(read_source(source, tmp_path))


@pytest.mark.parametrize("kind", SOURCES)
def test_an_empty_file_gives_nothing(tmp_path: Path, kind: str) -> None:
    source, paths = SOURCES[kind]
    for path in paths:
        if path.endswith(".parquet"):
            pq.write_table(pa.table({"search_id": pa.array([], pa.string())}), tmp_path / path)
        else:
            (tmp_path / path).touch()
    assert list(read_source(source, tmp_path)) == []
