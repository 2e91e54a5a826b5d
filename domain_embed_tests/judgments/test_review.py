"""Review: the most urgent is asked first, and what somebody decided is never lost, repeated or asked again."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError, StoreError
from domain_embed.contracts.tables import PASSAGES, UNDECIDED
from domain_embed.judgments.review import (
    Decision,
    Decisions,
    Item,
    Recorded,
    read_decisions,
    record_decisions,
    review_items,
)
from domain_embed.stores.tables import TableStore
from domain_embed_tests.encoding.fakes import MemoryTable
from domain_embed_tests.scenario import write_lines

TEA = Decision("Make tea", "p-tea", "relevant", 2, "anna", "2026-01-01T10:00:00+00:00", "well said")
COFFEE = Decision("make coffee", "p-coffee", "not_relevant")
EGG = Decision("boil an egg", "p-egg", "unsure")


def undecided(*rows: dict[str, Any]) -> MemoryTable:
    defaults = {"query_id": "q", "grade": 1, "source": "clicks", "confidence": 0.4, "reason": "low confidence"}
    return MemoryTable(pa.Table.from_pylist([{**defaults, **row} for row in rows], schema=UNDECIDED))


def passages(*ids: str) -> MemoryTable:
    rows = [
        {
            "passage_id": one, "doc_id": one, "title": f"Title of {one}", "text": f"Text of {one}", "metadata": "{}",
            "content_hash": one, "heading": "", "start": 0, "end": 1,
        }
        for one in ids
    ]  # fmt: skip
    return MemoryTable(pa.Table.from_pylist(rows, schema=PASSAGES))


# --- what is asked --------------------------------------------------------------------------------------


def test_an_item_says_all_that_is_needed_to_decide() -> None:
    row = {
        "query_id": "q7",
        "query": "Make tea",
        "passage_id": "p",
        "grade": 2,
        "source": "web",
        "reason": "why not",
    }
    assert list(review_items([undecided(row)], passages("p"), Decisions())) == [
        Item("q7", "Make tea", "p", "Title of p", "Text of p", "why not", "web", 2, 0.4)
    ]


def test_suspects_come_first_then_the_least_certain_then_made_up_queries() -> None:
    labels = undecided(
        {"query": "heading", "passage_id": "p", "source": "headings", "confidence": 0.3},
        {"query": "made up", "passage_id": "p", "source": "synthetic:m@1", "confidence": 0.1},
        {"query": "likely", "passage_id": "p", "confidence": 0.4},
        {"query": "unlikely", "passage_id": "p", "confidence": 0.2},
    )
    suspects = undecided({"query": "suspect", "passage_id": "p", "confidence": 1.0, "reason": "suspect label: 4,000"})
    found = [item.query for item in review_items([labels, suspects], passages("p"), Decisions())]
    assert found == ["suspect", "unlikely", "likely", "made up", "heading"]
    assert found[:3] == [item.query for item in review_items([labels, suspects], passages("p"), Decisions(), limit=3)]


def test_a_query_and_a_passage_are_asked_about_once_for_the_most_urgent_reason() -> None:
    labels = undecided(
        {"query": "Make  TEA", "passage_id": "p"},
        {"query": "make tea", "passage_id": "p", "reason": "suspect label"},
        {"query": "make tea", "passage_id": "other"},
    )
    found = list(review_items([labels], passages("p", "other"), Decisions()))
    assert [(item.passage_id, item.reason) for item in found] == [("p", "suspect label"), ("other", "low confidence")]


def test_what_is_decided_is_not_asked_again_and_unsure_is_decided() -> None:
    labels = undecided(
        {"query": "MAKE  tea", "passage_id": "p-tea"},
        {"query": "boil an egg", "passage_id": "p-egg"},
        {"query": "make tea", "passage_id": "p-egg"},
    )
    found = list(review_items([labels], passages("p-tea", "p-egg"), Decisions([TEA, EGG])))
    assert [(item.query, item.passage_id) for item in found] == [("make tea", "p-egg")]


def test_a_passage_that_is_gone_is_not_asked_about_and_takes_no_place() -> None:
    labels = undecided({"query": "a", "passage_id": "gone", "confidence": 0.1}, {"query": "b", "passage_id": "here"})
    assert [item.query for item in review_items([labels], passages("here"), Decisions(), limit=1)] == ["b"]


def test_stored_tables_are_reviewed_together(tmp_path: Path) -> None:
    store = TableStore(tmp_path)
    waiting = [
        store.write_table(name, undecided({"query": name, "passage_id": "p"}).read()) for name in ("first", "second")
    ]
    stored = store.write_table("passages", passages("p", "other").read())
    assert [item.query for item in review_items(waiting, stored, Decisions())] == ["first", "second"]


def test_nothing_undecided_is_nothing_to_review() -> None:
    assert list(review_items([], passages("p"), Decisions())) == []
    assert list(review_items([undecided()], passages("p"), Decisions())) == []


# --- what was decided -----------------------------------------------------------------------------------


def test_the_last_decision_holds_however_the_query_is_written() -> None:
    decisions = Decisions([TEA, COFFEE, replace(TEA, query="make   TEA", verdict="unsure", grade=None)])
    assert len(decisions) == 2
    assert decisions.verdict(" MAKE tea", "p-tea") == "unsure"
    assert decisions.verdict("make coffee", "p-coffee") == "not_relevant"
    assert decisions.verdict("make coffee", "p-tea") is None
    assert Decisions().verdict("make tea", "p-tea") is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"query": " \n"}, "needs a query"),
        ({"passage_id": ""}, "needs a query and a passage id"),
        ({"verdict": "maybe"}, "must be one of relevant, not_relevant, unsure, not 'maybe'"),
        ({"grade": 0}, "grade 0 contradicts the verdict 'relevant'"),
        ({"grade": 1001}, "grade 1001 contradicts"),
        ({"verdict": "not_relevant", "grade": 1}, "grade 1 contradicts the verdict 'not_relevant'"),
        ({"verdict": "unsure", "grade": 0}, "grade 0 contradicts the verdict 'unsure'"),
    ],
)
def test_a_decision_does_not_contradict_itself(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(TEA, **changes)


# --- the file of decisions ------------------------------------------------------------------------------


def test_recorded_decisions_are_read_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "decisions.jsonl"
    assert record_decisions(path, [TEA, COFFEE, EGG]) == Recorded(new=3, changed=0, known=0)
    assert list(read_decisions(path)) == [TEA, COFFEE, EGG]
    assert len(read_decisions(tmp_path / "none.jsonl")) == 0


def test_recording_twice_adds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    record_decisions(path, [TEA, COFFEE])
    content = path.read_bytes()
    later = replace(TEA, query="MAKE TEA", decided_at="2026-02-02", reviewer="bert")
    assert record_decisions(path, [TEA, COFFEE, later]) == Recorded(new=0, changed=0, known=3)
    assert path.read_bytes() == content


def test_a_changed_decision_is_added_and_the_old_one_stays_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    record_decisions(path, [TEA, COFFEE])
    before = path.read_bytes()
    other = replace(TEA, verdict="not_relevant", grade=None, decided_at="2026-02-02")
    assert record_decisions(path, [other, EGG]) == Recorded(new=1, changed=1, known=0)
    assert path.read_bytes().startswith(before)
    assert read_decisions(path).verdict("make tea", "p-tea") == "not_relevant"


def test_an_overruled_decision_does_not_come_back_by_being_recorded_again(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    overruling = replace(TEA, verdict="unsure", grade=None, decided_at="2026-02-02")
    changed_back = replace(TEA, decided_at="2026-03-03")
    for decision in (TEA, overruling):
        record_decisions(path, [decision])
    assert record_decisions(path, [TEA]) == Recorded(new=0, changed=0, known=1)
    assert read_decisions(path).verdict("make tea", "p-tea") == "unsure"
    assert record_decisions(path, [changed_back]) == Recorded(new=0, changed=1, known=0)
    assert read_decisions(path).verdict("make tea", "p-tea") == "relevant"


def test_a_last_line_without_end_is_not_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text('{"query": "make tea", "passage_id": "p-tea", "verdict": "relevant"}')
    assert record_decisions(path, [COFFEE]).new == 1
    assert [decision.query for decision in read_decisions(path)] == ["make tea", "make coffee"]


def test_several_people_may_record_at_once(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    batches = [[replace(COFFEE, query=f"query {who} {n}") for n in range(10)] for who in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert sum(recorded.new for recorded in pool.map(lambda batch: record_decisions(path, batch), batches)) == 40
    assert len(read_decisions(path)) == 40


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "malformed JSON"),
        ("[]", "expected a JSON object, found a list"),
        ('{"passage_id": "p", "verdict": "unsure"}', "no field 'query'"),
        ('{"query": "q", "verdict": "unsure"}', "no field 'passage_id'"),
        ('{"query": "q", "passage_id": "p"}', "no field 'verdict'"),
        ('{"query": " ", "passage_id": "p", "verdict": "unsure"}', "a decision needs a query and a passage id"),
        ('{"query": "q", "passage_id": "p", "verdict": "yes"}', "the verdict must be one of"),
        (
            '{"query": "q", "passage_id": "p", "verdict": "relevant", "grade": "2"}',
            "a whole number or null, not '2'",
        ),
        ('{"query": "q", "passage_id": "p", "verdict": "relevant", "grade": true}', "must be a whole number or null"),
        ('{"query": "q", "passage_id": "p", "verdict": "relevant", "grade": -1}', "grade -1 contradicts"),
        ('{"query": "q", "passage_id": "p", "verdict": "unsure", "note": []}', "field 'note' must be a string"),
    ],
)
def test_a_line_that_cannot_be_used_is_named_and_nothing_is_recorded(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_text(f'{{"query": "q", "passage_id": "p", "verdict": "unsure"}}\n\n{line}\n')
    content = path.read_bytes()
    for use in (lambda: read_decisions(path), lambda: record_decisions(path, [TEA])):
        with pytest.raises(InputError) as caught:
            use()
        assert str(caught.value).startswith(f"{path}, line 3: ")
        assert problem in str(caught.value)
    assert path.read_bytes() == content


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"decisions.jsonl cannot be written"):
        record_decisions(tmp_path / "file" / "decisions.jsonl", [TEA])


FIELDS = {
    "query": st.text(min_size=1).filter(str.strip),
    "passage_id": st.text(min_size=1),
    "reviewer": st.text(),
    "decided_at": st.text(),
    "note": st.text(),
}


IDENTITY = itemgetter("query", "passage_id")


@given(
    fields=st.lists(
        st.fixed_dictionaries(FIELDS), max_size=5, unique_by=lambda one: Decision(*IDENTITY(one), "unsure").identity
    ),
    grade=st.none() | st.integers(1, 1000),
)
def test_any_text_is_read_as_it_was_recorded(
    tmp_path_factory: Any, fields: list[dict[str, str]], grade: int | None
) -> None:
    path = tmp_path_factory.mktemp("any") / "decisions.jsonl"
    decisions = [Decision(verdict="relevant", grade=grade, **one) for one in fields]
    record_decisions(path, decisions)
    found = read_decisions(path)
    for decision in Decisions(decisions):
        recorded = found.about(decision.query, decision.passage_id)
        assert recorded is not None
        assert recorded.answer == decision.answer


SNIPPETS = st.lists(
    st.sampled_from([
        b'{"query": "q", "passage_id": "p", "verdict": "relevant"}', b'"query"', b'"passage_id": ', b'"verdict"',
        b"\n", b"{", b"}", b":", b",", b'"grade": 1e999', b'"grade": 2', b"null", b"[]", b"\xff", b"\xef\xbb\xbf",
        b'"\\ud800"', b'"unsure"', b"1" * 5000,
    ]) | st.binary(max_size=4),
    max_size=20,
).map(b"".join)  # fmt: skip


@given(content=SNIPPETS)
def test_no_bytes_raise_anything_but_input_errors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(content)
    try:
        decisions = read_decisions(path)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert all(decision.query.strip() for decision in decisions)


@given(position=st.integers(0, 400), byte=st.integers(0, 255))
def test_no_changed_byte_raises_anything_but_input_errors(tmp_path: Path, position: int, byte: int) -> None:
    path = write_lines(tmp_path / "decisions.jsonl", [vars(TEA), vars(COFFEE), vars(EGG)])
    content = bytearray(path.read_bytes())
    content[position % len(content)] = byte
    path.write_bytes(content)
    try:
        read_decisions(path)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    record_decisions(tmp_path / "d.jsonl", [replace(TEA, note="größer")])
    [line] = (tmp_path / "d.jsonl").read_text(encoding="utf-8").splitlines()
    assert "größer" in line
    assert json.loads(line) == vars(replace(TEA, note="größer"))
