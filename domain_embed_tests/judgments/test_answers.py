"""Answers of a language model: nothing is lost or asked twice, and queries are found in whatever shape they come."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import StoreError
from domain_embed.judgments.answers import AnswerCache, cache_key, parse_queries

TWO = ["how do I make tea", "tea without a kettle"]


@pytest.mark.parametrize(
    "answer",
    [
        '["how do I make tea", "tea without a kettle"]',
        ' [ "how do I  make\\ntea",\n"tea without a kettle" ] ',
        'Here are two queries:\n```json\n["how do I make tea", "tea without a kettle"]\n```\nAnything else?',
        '{"queries": ["how do I make tea", "tea without a kettle"]}',
        '[{"query": "how do I make tea"}, {"query": "tea without a kettle"}]',
        '["how do I make tea", "tea without a kettle", "and a third',
        '["how do I make tea", 3, null, "", "tea without a kettle"]',
        "<think>Two queries [maybe three]?\n- first</think>\nhow do I make tea\ntea without a kettle",
        "1. how do I make tea\n2. tea without a kettle",
        "1) how do I make tea\n\n2) tea without a kettle\n",
        "[1] how do I make tea\n[2] tea without a kettle",
        "(1) how do I make tea\n(2) tea without a kettle",
        "- how do I make tea\n- tea without a kettle",
        "* **how do I make tea**\n* **tea without a kettle**",
        "• „how do I make tea“\n• «tea without a kettle»",
        "Query 1: how do I make tea\nQuery 2: tea without a kettle",
        'Sure, two queries:\n"how do I make tea",\n"tea without a kettle"',
        "how do I make tea\r\ntea without a kettle\r\ntea with a kettle",
    ],
)
def test_queries_are_found_in_every_shape(answer: str) -> None:
    assert parse_queries(answer, 2) == TWO


@pytest.mark.parametrize(
    "answer",
    [
        "", " \n", "[]", "{}", "```\n```", "...", '[""]', "Here they are:", "[\n]",
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot assist with this request.",
        "Sorry, but I can't provide queries about this topic.",
        "As an AI language model, I have no opinion.",
        "Unfortunately I am unable to do that.\nAsk me something else.",
        "I will not comply.",
        "long " * 200,
    ],
)  # fmt: skip
def test_a_refusal_has_no_queries(answer: str) -> None:
    assert parse_queries(answer, 2) == []


@pytest.mark.parametrize(
    "query",
    [
        "3.5 inch disk is not found", "2 replicas or 3", "sorry, too many clients already", "I can't log in",
        "how do I use list[int]", "-v prints nothing", "C++ and C#", "what does 'restrict' mean?", "查询如何工作",
    ],
)  # fmt: skip
def test_a_query_keeps_what_looks_like_a_shape(query: str) -> None:
    assert parse_queries(query, 2) == [query]


@given(
    answer=st.text()
    | st.lists(st.sampled_from(['["', '"]', '", "', "[", "{", "1. ", "\n", "x", "\\ud800"])).map("".join)
)
def test_every_answer_can_be_read(answer: str) -> None:
    queries = parse_queries(answer, 2)
    assert len(queries) <= 2
    assert all(query == " ".join(query.split()) and query and query.encode() for query in queries)


# --- the cache ------------------------------------------------------------------------------------------


def test_answers_are_kept_at_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.jsonl"
    with AnswerCache.open(path) as cache:
        assert cache.get("a") is None
        cache.put("a", "größer\n")
        assert path.read_bytes().count(b"\n") == 1  # before the file is closed
        assert cache.get("a") == "größer\n"
    with AnswerCache.open(path) as cache:
        cache.put("b", "")
    with AnswerCache.open(path) as cache:
        assert [cache.get(key) for key in "abc"] == ["größer\n", "", None]


def test_every_answer_before_a_crash_is_kept_wherever_it_struck(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with AnswerCache.open(path) as cache:
        for key in "abc":
            cache.put(key, f"answer to {key}")
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        complete = sum(len(line) - 1 <= length - start for start, line in _lines_of(whole))
        with AnswerCache.open(path) as cache:
            assert [cache.get(key) is not None for key in "abc"] == [n < complete for n in range(3)]
            cache.put("d", "after the crash")
        with AnswerCache.open(path) as cache:
            assert cache.get("d") == "after the crash"
            assert [cache.get(key) is not None for key in "abc"] == [n < complete for n in range(3)]


def _lines_of(content: bytes) -> list[tuple[int, bytes]]:
    found, start = [], 0
    for line in content.splitlines(keepends=True):
        found.append((start, line))
        start += len(line)
    return found


@given(content=st.binary(max_size=100) | st.sampled_from([b"[]\n", b"3\n", b'{"key": 1}\n', b'{"key": "a"}']))
def test_a_damaged_cache_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(content)
    with AnswerCache.open(path) as cache:
        cache.put("a", "answer")
    with AnswerCache.open(path) as cache:
        assert cache.get("a") == "answer"


def test_a_cache_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"), AnswerCache.open(tmp_path):
        pass


def test_a_key_stands_for_all_that_is_asked() -> None:
    asked = ("hash", "model", "prompt", 2, ("a", "b"))
    others = [
        ("other", *asked[1:]), ("hash", "other", *asked[2:]), ("hash", "model", "other", *asked[3:]),
        (*asked[:3], 3, asked[4]), (*asked[:4], ("a",)), (*asked[:4], ("a b",)), (*asked[:4], ()),
    ]  # fmt: skip
    assert cache_key(*asked) == cache_key("hash", "model", "prompt", 2, ["a", "b"])
    assert len({cache_key(*one) for one in [asked, *others]}) == 8
