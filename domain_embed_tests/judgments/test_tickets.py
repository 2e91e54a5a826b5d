"""Tickets, chats and transcripts: what the customer asked, and the article that solved it."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.judgments.sources import LabelReport, query_id_of, read_source
from domain_embed.settings import TicketsSource
from domain_embed_tests.scenario import write_lines

TURNS = [
    {"speaker": "agent", "text": "Good morning!"},
    {"speaker": "Customer", "text": "My kettle leaks."},
    {"speaker": "customer", "text": "It is new."},
]


def tickets(folder: Path, *rows: dict[str, Any], **settings: Any) -> tuple[list[dict[str, Any]], LabelReport]:
    write_lines(folder / "tickets.jsonl", rows)
    report = LabelReport()
    return list(read_source(TicketsSource(**settings), folder, report)), report


def query_of(folder: Path, row: dict[str, Any], **settings: Any) -> str:
    [label], _ = tickets(folder, {"doc_id": "kettle", **row}, **settings)
    return str(label["query"])


def test_a_ticket_asks_and_its_article_answers(tmp_path: Path) -> None:
    row = {
        "ticket_id": 17, "doc_id": "kettle", "subject": "Kettle leaks", "text": "Since\nMonday.", "solved": True,
        "resolution": "Replace the seal.", "created_at": "2026-01-02T03:04:05Z",
    }  # fmt: skip
    labels, report = tickets(tmp_path, row, confidence=0.6)
    assert labels == [
        {
            "query_id": query_id_of("kettle leaks since monday."), "query": "Kettle leaks Since Monday.",
            "target": "kettle", "answer": "Replace the seal.", "grade": 1, "source": "tickets.jsonl",
            "confidence": 0.6, "created_at": "2026-01-02T03:04:05+00:00", "split": None, "train_only": False,
            "filters": None,
        }
    ]  # fmt: skip
    assert not report.left_out


@pytest.mark.parametrize(
    ("row", "query"),
    [
        ({"subject": "Kettle leaks"}, "Kettle leaks"),
        ({"text": "My kettle leaks."}, "My kettle leaks."),
        ({"turns": TURNS}, "My kettle leaks."),
        ({"subject": "Chat 7:", "turns": TURNS}, "Chat 7: My kettle leaks."),
        ({"subject": "Leak", "text": "It drips.", "turns": TURNS}, "Leak It drips."),
        ({"subject": "Leak", "text": "", "turns": []}, "Leak"),
        ({"turns": json.dumps(TURNS)}, "My kettle leaks."),
        ({"turns": [{"speaker": "customer", "text": " "}, {"speaker": "customer", "text": "Hello?"}]}, "Hello?"),
    ],
)
def test_the_query_is_the_subject_and_the_first_message(tmp_path: Path, row: dict[str, Any], query: str) -> None:
    assert query_of(tmp_path, row) == query


def test_long_messages_are_cut_to_their_first_words(tmp_path: Path) -> None:
    assert (
        query_of(tmp_path, {"subject": "Leak", "text": "it drips all night long"}, max_words=4) == "Leak it drips all"
    )
    chinese = {"subject": "车锁打不开", "text": "扫码之后没有反应"}
    assert query_of(tmp_path, chinese, max_words=7) == "车锁打不开 扫码"


def test_the_customer_may_have_another_name(tmp_path: Path) -> None:
    turns = [{"speaker": "customer", "text": "no"}, {"speaker": "USER", "text": "yes"}]
    assert query_of(tmp_path, {"turns": turns}, customer="user") == "yes"


def test_tickets_that_teach_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    labels, report = tickets(
        tmp_path,
        {"doc_id": "kettle", "subject": "a", "solved": False, "ticket_id": "T1"},
        {"doc_id": "kettle", "subject": "b", "solved": "no"},
        {"doc_id": None, "subject": "c", "ticket_id": "T3"},
        {"doc_id": "kettle", "turns": TURNS[:1]},
        {"doc_id": "kettle", "subject": "e", "solved": None},
    )
    assert [label["query"] for label in labels] == ["e"]
    assert report.sources["tickets:tickets.jsonl"].samples == [
        ("ticket not solved", "T1"),
        ("ticket not solved", "line 2"),
        ("ticket without an article", "T3"),
        ("ticket without a message", "line 4"),
    ]
    assert report.left_out == {"ticket not solved": 2, "ticket without an article": 1, "ticket without a message": 1}


def test_transcripts_in_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"doc_id": 3, "turns": TURNS, "solved": True}]), tmp_path / "t.parquet")
    [label] = read_source(TicketsSource(path="t.parquet"), tmp_path)
    assert (label["query"], label["target"], label["answer"]) == ("My kettle leaks.", "3", None)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"subject": "a"}, "no field 'doc_id' (fields: subject)"),
        ({"doc_id": "k"}, "no field 'subject' or 'text' or 'turns' (fields: doc_id)"),
        ({"doc_id": "k", "text": ["a"]}, "field 'text' must be a string, not a list"),
        ({"doc_id": "k", "turns": "hello"}, "field 'turns' is not valid JSON"),
        ({"doc_id": "k", "turns": "[" * 100_000}, "field 'turns' is not valid JSON"),
        ({"doc_id": "k", "turns": {"speaker": "customer"}}, "field 'turns' must be a list of objects"),
        ({"doc_id": "k", "turns": ["hello"]}, "field 'turns' must hold objects of `speaker` and `text`"),
        ({"doc_id": "k", "turns": [{"text": "a"}]}, "no field 'speaker' (fields: text)"),
        ({"doc_id": "k", "turns": [{"speaker": "customer", "text": 1.5}]}, "field 'text' must be a string"),
        (
            {"doc_id": "k", "subject": "a", "solved": "maybe"},
            "solved must be true or false (or 1, 0, yes, no), not 'maybe'",
        ),
        ({"doc_id": "k", "subject": "a", "created_at": "soon"}, "created_at must be a date or time in ISO 8601"),
    ],
)
def test_a_ticket_that_cannot_be_used_is_named(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        tickets(tmp_path, {"doc_id": "k", "subject": "fine"}, row)
    assert str(caught.value).startswith(f"{tmp_path / 'tickets.jsonl'}, line 2: {problem}")
