"""Hostile lines and tables, for corpora, labels and query logs, and hostile settings; by the kind of fault."""

import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from domain_embed_tests.hostile.files import DEEP, MEGABYTE, markdown

VALUES: dict[str, bytes] = {
    "deep-list": b"[" * DEEP + b"]" * DEEP,
    "deep-object": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "unclosed-list": b"[" * DEEP,
    "many-lists": b"[" + b"[]," * (2 * MEGABYTE) + b"[]]",
    "many-digits": b"9" * 5000,
    "digits-to-the-limit": b"9" * 4300,
    "large": b"1e308",
    "infinite": b"1e999",
    "nan": b"NaN",
    "negative-infinity": b"-Infinity",
    "surrogate": b'"\\ud800"',
    "surrogates-reversed": b'"\\udc00\\ud800"',
    "nul": b'"\\u0000"',
    "not-utf8": b'"caf\xe9"',
    "raw-surrogate": b'"\xed\xa0\x80"',
    "control-character": b'"\x01"',
    "unclosed-string": b'"x',
    "escape": b'"\\x41"',
    "text": b'"high"',
    "long-text": b'"' + b"x" * MEGABYTE + b'"',
    "true": b"true",
    "null": b"null",
    "empty-text": b'""',
    "blank-text": b'" \\n "',
    "list": b"[1, 2]",
    "object": b'{"a": {"b": [null]}}',
    "python": b"{'a': 1}",
    "nothing": b"",
}


def lines(before: str, after: str) -> dict[str, bytes]:
    """Lines of JSON with each of the values between the two parts."""
    return {name: before.encode() + value + after.encode() for name, value in VALUES.items()}


def corpus_lines() -> dict[str, bytes]:
    """Rows of a corpus with a bad text, id or metadata."""
    return {
        **{f"text-{name}": line for name, line in lines('{"_id": "x", "text": ', "}").items()},
        **{f"id-{name}": line for name, line in lines('{"text": "a", "_id": ', "}").items()},
        **{f"metadata-{name}": line for name, line in lines('{"_id": "x", "text": "a", "metadata": ', "}").items()},
    }


def log_lines() -> dict[str, bytes]:
    """Events of a query log with a bad score, query, time, id or result."""
    search = '{"event": "search", "search_id": "x", '
    around = {
        "score": (search + '"time": "2025-03-31", "query": "a", "results": [{"passage_id": "p", "score": ', "}]}"),
        "results": (search + '"time": "2025-03-31", "query": "a", "results": ', "}"),
        "passage": (search + '"time": "2025-03-31", "query": "a", "results": [{"passage_id": ', "}]}"),
        "query": (search + '"time": "2025-03-31", "results": [], "query": ', "}"),
        "time": (search + '"query": "a", "results": [], "time": ', "}"),
        "click": ('{"event": "click", "search_id": "x", "passage_id": ', "}"),
        "whole": ("", ""),
    }
    return {
        f"{field}-{name}": line
        for field, (before, after) in around.items()
        for name, line in lines(before, after).items()
    }


LABELS: dict[str, dict[str, Any]] = {
    "pairs": {"query": "a", "passage_id": "p", "grade": 1, "confidence": 1, "created_at": "2025-01-01"},
    "answers": {"question": "a", "answer": "b", "doc_id": "p", "confidence": 1, "filters": {"team": "a"}},
    "tickets": {"ticket_id": "t", "subject": "a", "turns": [{"speaker": "customer", "text": "x"}], "doc_id": "p"},
    "annotations": {"query": "a", "passage_id": "p", "grade": 1, "annotator": "ann", "created_at": "2025-01-01"},
    "clicks": {"search_id": "s", "query": "a", "passage_id": "p", "position": 1, "clicked": True, "dwell_s": 1},
}
"""One good row of each kind of labels."""


def label_files() -> dict[str, tuple[str, bytes]]:
    """By name: the kind of source, and a file in which one field of one row is bad."""
    made = {}
    for kind, row in LABELS.items():
        for field in row:
            others = {name: value for name, value in row.items() if name != field}
            for name, line in lines(json.dumps(others)[:-1] + f', "{field}": ', "}").items():
                if name not in ("many-lists", "long-text") or field == next(iter(row)):
                    made[f"{kind}-{field}-{name}"] = (kind, json.dumps(row).encode() + b"\n" + line + b"\n")
    return made


def tables() -> dict[str, bytes]:
    """Files of rows that are bad as a whole, by their name."""
    texts = {
        "columns.csv": ",".join(f"c{n}" for n in range(200_000)) + "\n" + "1," * 10,
        "same-columns.csv": "a," * 100_000 + "a\n",
        "unclosed-quote.csv": 'id,text\n1,"' + "x\n" * 100_000,
        "quotes.csv": "id,text\n" + '"' * 100_001 + "\n",
        "nul.csv": "id,text\n1,a\x00b\n",
        "only-nul.csv": "\x00" * 1000,
        "no-line-end.csv": "id,text\n" + "x" * MEGABYTE,
        "commas.csv": "id,text\n" + "," * MEGABYTE,
        "carriage-returns.csv": "id,text\r1,a\r2,b\r",
        "deep-metadata.csv": "id,text,metadata\n1,a," + "[" * DEEP + "\n",
        "nothing.csv": "",
        "header-only.csv": "id,text\n",
        "tabs.tsv": "id\ttext\n" + "\t" * MEGABYTE,
        "quote.tsv": 'id\ttext\n1\t"x\n',
        "no-line-end.jsonl": '{"_id": "1", "text": "' + "x" * (4 * MEGABYTE),
        "blank-lines.jsonl": "\n" * MEGABYTE,
        "nul.jsonl": "\x00" * MEGABYTE,
    }
    valid = _parquet(pa.table({"id": [str(n) for n in range(100)], "text": ["some words"] * 100}))
    content = {name: text.encode() for name, text in texts.items()} | {
        "bytes.parquet": _parquet(pa.table({"id": [b"\xff"], "text": [b"\xff"]})),
        "durations.parquet": _parquet(pa.table({"id": pa.array([1], pa.duration("ns")), "text": ["a"]})),
        "no-parquet.parquet": b"PAR1" + b"\xff" * 1000 + b"PAR1",
        "nothing.parquet": b"",
        "wrong-length.parquet": valid[:-8] + b"\xff\xff\xff\x7fPAR1",
    }  # fmt: skip
    for share in range(10, 100, 20):
        content[f"cut-at-{share}-percent.parquet"] = valid[: len(valid) * share // 100]
    for step in (13, 101, 499):
        content[f"every-{step}th-byte-wrong.parquet"] = bytes(
            byte ^ 0x11 if n % step == step - 1 else byte for n, byte in enumerate(valid)
        )
    return content


def large_tables() -> dict[str, Callable[[], bytes]]:
    """Small files of rows that stand for much, by name; made when they are needed."""

    def repeated(rows: int, text: str) -> bytes:
        texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
        return _parquet(pa.table({"id": ["x"] * rows, "text": texts}))

    def nulls() -> bytes:
        lists = pa.ListArray.from_arrays(pa.array([0, 20_000_000], pa.int32()), pa.nulls(20_000_000))
        return _parquet(pa.table({"id": ["1"], "text": ["a"], "metadata": lists}))

    return {
        "two-million-rows-of-one-text.parquet": lambda: repeated(2_000_000, "y" * 1000),
        "five-hundred-rows-of-ten-megabytes.parquet": lambda: repeated(500, "y" * 10 * MEGABYTE),
        "one-row-of-200-megabytes.parquet": lambda: repeated(1, "y" * 200 * MEGABYTE),
        "a-list-of-20-million-nulls.parquet": nulls,
        "a-line-of-200-megabytes.jsonl": lambda: b'{"_id": "1", "text": "' + b"x" * 200 * MEGABYTE + b'"}',
        "a-row-of-200-megabytes.csv": lambda: b'id,text\n1,"' + (b"x" * 999 + b"\n") * 200_000,
    }


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def settings() -> dict[str, bytes]:
    """Files called domain.yaml: every fault of front matter, and those of settings."""
    of_yaml = {
        name.removeprefix("md-").removesuffix(".md"): content.removeprefix(b"---\n").partition(b"\n---\n")[0]
        for name, content in markdown().items()
        if name.startswith("md-") and content.startswith(b"---\n")
    }
    texts = {
        "deep-value": "corpus: {paths: " + "[" * 90 + "]" * 90 + "}",
        "huge-value": "description: 1\ncorpus: {paths: {a: '" + "x" * 500_000 + "'}}",
        "huge-key": "x" * 500_000 + ": 1",
        "many-unknown-keys": "\n".join(f"key{n}: 1" for n in range(20_000)),
        "many-bad-values": "corpus: {paths: [" + "1, " * 50_000 + "]}",
        "infinite-number": "retention: {vectors_gb: .inf}",
        "nan-number": "retention: {vectors_gb: .nan}",
        "large-number": "training: {epochs: 1e400}",
        "larger-number": "retention: {collections: " + "9" * 90 + "}",
        "bool-as-number": "retention: {collections: true}",
        "bad-pattern": "corpus: {path_metadata: ['(?P<a>']}",
        "deep-pattern": "corpus: {path_metadata: ['" + "(" * 5000 + "(?P<a>x)" + ")" * 5000 + "']}",
        "large-pattern": "corpus: {path_metadata: ['(?P<a>x){99999999999}']}",
        "huge-pattern": "corpus: {path_metadata: ['" + "x" * 200_000 + "']}",
        "nul-in-a-path": 'corpus: {paths: ["a\\0b"]}',
        "key-is-a-list": "? [a]\n: 1",
        "key-is-null": "~: 1",
        "key-is-a-date": "2024-01-01: 1",
        "section-is-a-list": "corpus: []",
        "section-is-a-text": "corpus: x",
        "section-is-null": "corpus:",
        "unknown-kind": "judgments: {sources: [{kind: evil}]}",
        "kind-is-a-list": "judgments: {sources: [{kind: [a]}]}",
        "two-thousand-sources": "judgments: {sources: [" + "{kind: pairs}, " * 2000 + "]}",
    }
    return of_yaml | {name: text.encode() for name, text in texts.items()} | {
        "not-utf8": b"description: caf\xe9", "nul": b"\x00", "utf16": "a: 1".encode("utf-16"),
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 99, "huge": b"#" * (2 * MEGABYTE),
    }  # fmt: skip
