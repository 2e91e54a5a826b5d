"""Documents to passages: nothing is lost, places are right, and ids stay with their text."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from domain_embed.contracts.records import embedded_text
from domain_embed.contracts.tables import DOCUMENTS, PASSAGES, content_hash
from domain_embed.corpus import batches, chunking
from domain_embed.corpus.chunking import ChunkReport, chunk_documents
from domain_embed.corpus.cuts import grapheme_end
from domain_embed.corpus.headings import find_headings
from domain_embed.settings import ChunkingSettings
from domain_embed_tests import scenario

LIMIT = 64
METADATA = '{"n": 1}'
SENTENCES = " ".join(f"Sentence number {n} says something about subject {n % 7}." for n in range(60))
GUIDE = f"""Start here.

# Leave

## Sick leave

Call in the morning.

```
# not a heading
```

## Holiday

{SENTENCES}

# Pay

Paid monthly."""


@pytest.fixture(scope="session")
def tokenizer(minilm_path: str) -> Tokenizer:
    return Tokenizer.from_file(str(Path(minilm_path) / "tokenizer.json"))


def documents(*titles_and_texts: tuple[str, str]) -> pa.RecordBatch:
    rows = [
        {
            "doc_id": f"d{n}",
            "title": title,
            "text": text,
            "metadata": '{"n": 1}',
            "content_hash": content_hash(title, text),
        }
        for n, (title, text) in enumerate(titles_and_texts, start=1)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)


def chunk(
    source: Sequence[pa.RecordBatch], tokenizer: Tokenizer, limit: int = LIMIT, **settings: Any
) -> tuple[list[dict[str, Any]], ChunkReport]:
    report = ChunkReport()
    table = pa.Table.from_batches(chunk_documents(source, ChunkingSettings(**settings), tokenizer, limit, report))
    assert table.schema == PASSAGES
    assert report.passages == len(table)
    return table.to_pylist(), report


@cache
def untruncated(tokenizer_json: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def token_count(tokenizer: Tokenizer, text: str) -> int:
    return len(untruncated(tokenizer.to_str()).encode(text))


# --- none -----------------------------------------------------------------------------------------------


def test_whole_documents_are_passages_with_the_documents_id(tokenizer: Tokenizer) -> None:
    batch = documents(("Tea", "Boil water. é"), ("", "b"))
    passages, _ = chunk([batch], tokenizer)
    for passage, document in zip(passages, batch.to_pylist(), strict=True):
        assert passage == {
            "passage_id": document["doc_id"], **document, "heading": "", "start": 0, "end": len(document["text"])
        }  # fmt: skip


# --- headings -------------------------------------------------------------------------------------------


def test_sections_become_passages_with_the_headings_in_their_title(tokenizer: Tokenizer) -> None:
    passages, report = chunk([documents(("Handbook", GUIDE))], tokenizer, strategy="headings", limit=512)
    assert [(passage["heading"], passage["title"]) for passage in passages][:2] == [
        ("", "Handbook"),
        ("Leave > Sick leave", "Handbook > Leave > Sick leave"),
    ]
    assert passages[1]["text"] == "Call in the morning.\n\n```\n# not a heading\n```"
    assert [passage["heading"] for passage in passages[2:-1]] == ["Leave > Holiday"] * (len(passages) - 3)
    assert passages[-1]["heading"] == "Pay"
    assert {passage["doc_id"] for passage in passages} == {"d1"}
    assert {passage["metadata"] for passage in passages} == {METADATA}
    assert all(passage["content_hash"] == content_hash(passage["title"], passage["text"]) for passage in passages)
    assert report.longer_than_limit == 0


def test_long_sections_are_cut_between_sentences_to_the_budget(tokenizer: Tokenizer) -> None:
    passages, report = chunk([documents(("Handbook", GUIDE))], tokenizer, strategy="headings")
    holiday = [passage for passage in passages if passage["heading"] == "Leave > Holiday"]
    assert len(holiday) == 10
    assert all(passage["text"].startswith("Sentence") and passage["text"].endswith(".") for passage in holiday)
    counts = [token_count(tokenizer, embedded_text(passage["title"], passage["text"])) for passage in passages]
    assert max(counts) <= LIMIT
    assert report.tokens == sum(counts)


def test_a_document_without_a_title_has_its_headings_as_title(tokenizer: Tokenizer) -> None:
    [passage], _ = chunk([documents(("", "# A\n## B\ntext"))], tokenizer, strategy="headings")
    assert (passage["title"], passage["heading"], passage["text"]) == ("A > B", "A > B", "text")


@pytest.mark.parametrize("text", ["# A\n\n## B", "", "#", "   "])
def test_a_document_of_headings_or_of_nothing_is_still_one_passage(tokenizer: Tokenizer, text: str) -> None:
    [passage], _ = chunk([documents(("Handbook", text))], tokenizer, strategy="headings")
    assert (passage["title"], passage["heading"], passage["text"]) == ("Handbook", "", text.strip())


# --- sentences ------------------------------------------------------------------------------------------


def test_sentences_fill_the_budget_whatever_the_headings(tokenizer: Tokenizer) -> None:
    passages, _ = chunk([documents(("Handbook", GUIDE))], tokenizer, strategy="sentences")
    assert {passage["title"] for passage in passages} == {"Handbook"}
    assert {passage["heading"] for passage in passages} == {""}
    assert passages[0]["text"].startswith("Start here.\n\n# Leave")
    assert all(token_count(tokenizer, embedded_text(one["title"], one["text"])) <= LIMIT for one in passages)


def test_overlap_repeats_the_end_of_a_passage_in_the_next(tokenizer: Tokenizer) -> None:
    plain, _ = chunk([documents(("", SENTENCES))], tokenizer, strategy="sentences", max_tokens=64)
    passages, _ = chunk([documents(("", SENTENCES))], tokenizer, strategy="sentences", max_tokens=64, overlap_tokens=24)
    assert len(passages) > len(plain)
    for before, after in pairwise(passages):
        assert before["start"] < after["start"] < before["end"] < after["end"]


def test_a_title_longer_than_the_budget_leaves_sixteen_tokens_and_is_reported(tokenizer: Tokenizer) -> None:
    title = "word " * 100
    passages, report = chunk([documents((title, SENTENCES))], tokenizer, strategy="sentences")
    assert len(passages) > 20
    assert all(token_count(tokenizer, passage["text"]) <= 16 + 2 for passage in passages)
    assert report.longer_than_limit == len(passages)


def test_a_long_text_is_split_in_windows_and_nothing_is_lost(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunking, "WINDOW_PER_TOKEN", 5)
    text = SENTENCES + "x" * 1000
    passages, _ = chunk([documents(("", text))], tokenizer, strategy="sentences")
    assert "".join(passage["text"] for passage in passages).replace(" ", "") == text.replace(" ", "")
    assert all(passage["text"].startswith("Sentence") for passage in passages if "x" * 20 not in passage["text"])


CHINESE = "".join(f"第{n}条规定车辆必须停在站点之内。违反规定的用户第{n}天起不能租车!" for n in range(1, 60))
GERMAN = " ".join(f"Am {n}. Oktober kam Dr. Müller mit z. B. Äpfeln in die Nr. {n} der Straße." for n in range(1, 30))
FAMILIES = "👨\u200d👩\u200d👧\u200d👦 " * 40 + "🇩🇪🇫🇷" * 40 + "e\u0301\u0302\u0303" * 200


@pytest.mark.parametrize("strategy", ["sentences", "headings"])
def test_sentences_of_other_languages_stay_whole(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    monkeypatch.setattr(chunking, "WINDOW_PER_TOKEN", 3)
    source = documents(("", f"# Regeln\n\n{CHINESE}"), ("", f"# Ordnung\n\n{GERMAN}"))
    passages, _ = chunk([source], tokenizer, strategy=strategy)
    for passage in passages:
        assert passage["text"].endswith(("。", "!", "Straße.", "# Regeln", "# Ordnung"))
    assert len(passages) > 20


def test_no_passage_begins_or_ends_within_a_grapheme(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "WINDOW_PER_TOKEN", 3)
    passages, _ = chunk([documents(("", FAMILIES))], tokenizer, strategy="sentences", max_tokens=16)
    assert len(passages) > 10
    for passage in passages:
        assert [grapheme_end(FAMILIES, passage[key]) for key in ("start", "end")] == [passage["start"], passage["end"]]


# --- ids ------------------------------------------------------------------------------------------------


def test_an_inserted_paragraph_moves_no_id_to_another_text(tokenizer: Tokenizer) -> None:
    inserted = GUIDE.replace("# Pay", "## New\n\nA new paragraph.\n\n# Pay")
    before, _ = chunk([documents(("Handbook", GUIDE))], tokenizer, strategy="headings")
    after, _ = chunk([documents(("Handbook", inserted))], tokenizer, strategy="headings")
    texts = {passage["passage_id"]: passage["text"] for passage in after}
    assert {passage["passage_id"]: passage["text"] for passage in before}.items() <= texts.items()
    assert len(texts) == len(before) + 1


def test_a_repeated_text_has_an_id_of_its_own(tokenizer: Tokenizer) -> None:
    passages, _ = chunk([documents(("", "# A\nsame\n# A\nsame\n# B\nsame\n# A\nsame"))], tokenizer, strategy="headings")
    first, second, other, third = (passage["passage_id"] for passage in passages)
    assert first.startswith("d1#")
    assert len(first) == len("d1#") + 8
    assert (second, third) == (f"{first}-2", f"{first}-3")
    assert other[:11] != first


# --- the report -----------------------------------------------------------------------------------------


def test_passages_beyond_the_models_limit_are_counted_with_what_is_lost(tokenizer: Tokenizer) -> None:
    tokens = token_count(tokenizer, f"Long {SENTENCES}")
    passages, report = chunk([documents(("Long", SENTENCES), ("Tea", "Boil water."))], tokenizer)
    assert len(passages) == 2
    short = token_count(tokenizer, "Tea Boil water.")
    assert report == ChunkReport(
        passages=2, tokens=tokens + short, longer_than_limit=1, lost_tokens=tokens - LIMIT, samples=[("d1", tokens)]
    )
    assert report.lost_share == (tokens - LIMIT) / (tokens + short)


def test_the_longest_passages_are_the_samples(tokenizer: Tokenizer) -> None:
    source = documents(*(("", "word " * (70 + n % 30)) for n in range(30)))
    _, report = chunk([source.slice(0, 10), source.slice(10)], tokenizer)
    assert [tokens for _, tokens in report.samples] == list(range(101, 81, -1))


def test_the_tokens_of_a_text_of_a_million_characters_are_extrapolated(tokenizer: Tokenizer) -> None:
    _, report = chunk([documents(("", "word " * 200_000))], tokenizer)
    assert report.tokens == pytest.approx(200_000, rel=0.01)
    assert report.longer_than_limit == 1
    assert ChunkReport().lost_share == 0.0


# --- all strategies -------------------------------------------------------------------------------------


def test_batches_are_bounded_and_in_order(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 4)
    settings, source = ChunkingSettings(strategy="sentences"), documents(("a", SENTENCES), ("b", "text"))
    found = list(chunk_documents([source], settings, tokenizer, LIMIT, ChunkReport()))
    assert {len(batch) for batch in found[:-1]} == {4}
    assert [key for batch in found for key in batch["doc_id"].to_pylist()][-2:] == ["d1", "d2"]


def test_the_scenario_is_too_short_to_be_cut(tokenizer: Tokenizer) -> None:
    rows = [(one.title, one.text) for one in scenario.CORPUS]
    passages, report = chunk([documents(*rows)], tokenizer, strategy="headings", limit=256)
    assert [(passage["title"], passage["text"]) for passage in passages] == rows
    assert report.lost_share == 0.0


SAMPLES = [
    "# A",
    "## B b",
    "### C",
    "```",
    "~~~",
    "",
    " ",
    "One. Two! Three?",
    "word " * 40,
    "日本語。テスト。",
    "x" * 200,
]
LINES = st.sampled_from(SAMPLES) | st.text(max_size=30)
SETTINGS = st.builds(
    ChunkingSettings,
    strategy=st.sampled_from(["headings", "sentences"]),
    max_tokens=st.sampled_from([None, 16, 32]),
    overlap_tokens=st.sampled_from([0, 0, 8]),
)


def valid(text: str) -> str:
    return text.encode(errors="ignore").decode().strip()


@given(titles=st.lists(st.sampled_from(["", "T", "A long title " * 5]), min_size=1, max_size=2), data=st.data())
def test_places_are_right_and_nothing_is_lost(tokenizer: Tokenizer, titles: list[str], data: st.DataObject) -> None:
    settings = data.draw(SETTINGS)
    texts = [valid("\n".join(data.draw(st.lists(LINES, max_size=8)))) for _ in titles]
    source = documents(*zip(titles, texts, strict=True))
    passages, _ = chunk([source], tokenizer, **settings.model_dump())
    assert len({passage["passage_id"] for passage in passages}) == len(passages)
    for document in source.to_pylist():
        text = document["text"]
        own = [passage for passage in passages if passage["doc_id"] == document["doc_id"]]
        assert own
        covered = [0] * len(text)
        for passage in own:
            assert text[passage["start"] : passage["end"]].strip() == passage["text"]
            for place in range(passage["start"], passage["end"]):
                covered[place] += 1
        if settings.overlap_tokens == 0 and any(passage["heading"] or text for passage in own):
            heading_lines = list(find_headings(text)) if settings.strategy == "headings" else []
            in_heading = {place for line in heading_lines for place in range(line.start, line.end)}
            body = [place for place, letter in enumerate(text) if not letter.isspace() and place not in in_heading]
            assert all(covered[place] == 1 for place in body)
