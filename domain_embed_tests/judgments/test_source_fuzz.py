"""Whatever stands in a judgment file: labels come out, or an InputError that names the file."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import LABELS
from domain_embed.judgments.labels import collect_labels
from domain_embed.judgments.sources import LabelReport, source_paths
from domain_embed.settings import (
    AnnotationsSource,
    AnswersSource,
    BeirSource,
    ClicksSource,
    JudgmentSettings,
    JudgmentSource,
    PairsSource,
    TicketsSource,
    TrecSource,
    TriplesSource,
)

FULL_ROWS: dict[str, dict[str, Any]] = {
    "pairs": {
        "query_id": "q", "query": "make tea", "passage_id": "p", "grade": 1, "confidence": 0.5, "source": "s",
        "created_at": "2026-01-02", "split": "test",
    },
    "answers": {
        "question": "make tea?", "answer": "Boil water.", "doc_id": "d", "confidence": 0.5, "source": "s",
        "created_at": "2026-01-02T03:04:05Z", "split": "dev",
    },
    "tickets": {
        "ticket_id": 1, "doc_id": "d", "subject": "tea", "text": "cold", "resolution": "Boil.", "solved": True,
        "turns": [{"speaker": "customer", "text": "cold"}], "created_at": "2026-01-02",
    },
    "annotations": {
        "query_id": "q", "query": "make tea", "passage_id": "p", "grade": 1, "annotator": "ann",
        "created_at": "2026-01-02", "split": "test",
    },
    "clicks": {
        "search_id": "s", "query": "make tea", "passage_id": "p", "position": 1, "clicked": True, "dwell_s": 3.5,
        "time": "2026-01-02T03:04:05Z",
    },
}  # fmt: skip
OF_ROWS: dict[str, type[PairsSource | AnswersSource | TicketsSource | AnnotationsSource | ClicksSource]] = {
    "pairs": PairsSource, "answers": AnswersSource, "tickets": TicketsSource, "annotations": AnnotationsSource,
    "clicks": ClicksSource,
}  # fmt: skip
OF_LINES: dict[str, tuple[JudgmentSource, Mapping[str, bytes]]] = {
    "beir": (
        BeirSource(qrels={"test": "test.tsv"}),
        {"queries.jsonl": b'{"_id": "1", "text": "t"}\n', "test.tsv": b"query-id\tcorpus-id\tscore\n1\td\t1\n"},
    ),
    "trec": (TrecSource(), {"topics.tsv": b"1\tmake tea\n", "qrels.txt": b"1 0 d 1\n"}),
    "triples": (TriplesSource(), {"triples.tsv": b"make tea\tboil\tfry\n"}),
    "triples of ids": (TriplesSource(queries="q.tsv"), {"triples.tsv": b"1\t2\t3\n", "q.tsv": b"1\tmake tea\n"}),
}


def collect(source: JudgmentSource, folder: Path) -> int:
    """Reads everything; returns the number of labels, or -1 for an InputError that names a file of the source."""
    try:
        batches = list(collect_labels(JudgmentSettings(sources=(source,)), folder, LabelReport()))
    except InputError as error:
        assert any(name in str(error) for name in source_paths(source))  # noqa: PT017
        return -1
    for batch in batches:
        assert batch.schema == LABELS
        for row in batch.to_pylist():
            assert row["query"].strip()
            assert 0 <= row["confidence"] <= 1
            assert row["target"] or row["answer"]
    return sum(batch.num_rows for batch in batches)


SNIPPETS = st.lists(
    st.sampled_from(
        [b"query", b"passage_id", b"grade", b"confidence", b"split", b"query-id", b"corpus-id", b"score", b"\n", b"\r",
         b",", b"\t", b'"', b"1", b"-9", b"1e999", b"nan", b"{", b"}", b":", b'"query"', b'"passage_id"', b'"turns"',
         b'{"_id": "q",', b'"text": "t"}', b"\xff", b"\x00", b"\xef\xbb\xbf", b"\\ud800", b"null", b"[]", b" ",
         b"true", b"2026-01-02", b"9999-12-31T23:59-12:00", b"\xe2\x80\xa8", b"\x1c"]
    ) | st.binary(max_size=3),
    max_size=25,
).map(b"".join)  # fmt: skip

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["", " ", "1", "-1", "true", "no", "2026-01-02", "10000-01-01", "1e400", "\ud800", 10**30]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["speaker", "text", "x"]), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv"])
@pytest.mark.parametrize("kind", OF_ROWS)
@given(content=SNIPPETS, seed=st.integers(0, 1000), mutated=st.booleans())
def test_any_bytes_in_rows(tmp_path: Path, kind: str, suffix: str, content: bytes, seed: int, mutated: bool) -> None:
    path = tmp_path / f"rows.{suffix}"
    path.write_bytes(_mutate(_as_text(FULL_ROWS[kind], suffix), content, seed) if mutated else content)
    collect(OF_ROWS[kind](path=path.name), tmp_path)


@pytest.mark.parametrize("kind", OF_ROWS)
@given(data=st.data())
def test_any_value_in_any_field(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    full = FULL_ROWS[kind]
    changed = data.draw(st.lists(st.dictionaries(st.sampled_from(sorted(full)), VALUES, max_size=3), max_size=4))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({**full, **one}) + "\n" for one in changed))
    collect(OF_ROWS[kind](path="rows.jsonl"), tmp_path)


@pytest.mark.parametrize("kind", OF_ROWS)
@given(content=st.binary(max_size=8), seed=st.integers(0, 1000))
def test_any_bytes_in_parquet(tmp_path: Path, kind: str, content: bytes, seed: int) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([FULL_ROWS[kind]] * 3), path)
    path.write_bytes(_mutate(path.read_bytes(), content, seed))
    collect(OF_ROWS[kind](path=path.name), tmp_path)


@pytest.mark.parametrize("kind", OF_LINES)
@given(content=SNIPPETS, seed=st.integers(0, 1000), mutated=st.booleans())
def test_any_bytes_in_lines(tmp_path: Path, kind: str, content: bytes, seed: int, mutated: bool) -> None:
    source, files = OF_LINES[kind]
    for name, good in files.items():
        (tmp_path / name).write_bytes(good)
    spoiled = random.Random(seed).choice(sorted(files))
    (tmp_path / spoiled).write_bytes(_mutate(files[spoiled], content, seed) if mutated else content)
    collect(source, tmp_path)


@pytest.mark.parametrize("kind", OF_LINES)
def test_the_files_that_are_spoiled_were_good(tmp_path: Path, kind: str) -> None:
    source, files = OF_LINES[kind]
    for name, good in files.items():
        (tmp_path / name).write_bytes(good)
    assert collect(source, tmp_path) > 0


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv"])
@pytest.mark.parametrize("kind", OF_ROWS)
def test_the_rows_that_are_spoiled_were_good(tmp_path: Path, kind: str, suffix: str) -> None:
    (tmp_path / f"rows.{suffix}").write_bytes(_as_text(FULL_ROWS[kind], suffix))
    assert collect(OF_ROWS[kind](path=f"rows.{suffix}"), tmp_path) == (0 if kind == "clicks" else 1)


def _as_text(row: dict[str, Any], suffix: str) -> bytes:
    if suffix == "jsonl":
        return json.dumps(row).encode() + b"\n"
    cells = [str(value) if not isinstance(value, list) else "" for value in row.values()]
    separator = "," if suffix == "csv" else "\t"
    return (separator.join(row) + "\n" + separator.join(cells) + "\n").encode()


def _mutate(good: bytes, content: bytes, seed: int) -> bytes:
    """The good bytes with some replaced by `content`."""
    start, end = sorted(random.Random(seed).choices(range(len(good) + 1), k=2))
    return good[:start] + content + good[min(end, start + 8) :]
