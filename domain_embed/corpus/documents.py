"""Corpus files to documents: one row a document, checked, with everything left out counted and named."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import DOCUMENTS, content_hash
from domain_embed.corpus.lines import parse_object, read_lines, text_field

BATCH_ROWS = 4096
SAMPLES_KEPT = 20


@dataclass
class ReadReport:
    """What was read and what was left out, filled while the batches are consumed."""

    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)  # (reason, where and what)

    def leave_out(self, reason: str, culprit: str) -> None:
        """Counts one row that is not used and keeps the first few as samples."""
        self.left_out[reason] += 1
        if len(self.samples) < SAMPLES_KEPT:
            self.samples.append((reason, culprit))


def read_documents(
    files: Sequence[Path], report: ReadReport, *, bad_rows: Literal["fail", "skip"] = "fail"
) -> Iterator[pa.RecordBatch]:
    """Yields DOCUMENTS batches of bounded size, in file order.

    Documents without any text are left out and counted; so are unreadable rows when `bad_rows` is "skip".

    Raises:
        InputError: For an unreadable row when `bad_rows` is "fail", an id that occurs twice, or an empty corpus.
    """
    seen: dict[str, str] = {}
    for rows in _batched(_rows(files, report, bad_rows, seen), BATCH_ROWS):
        report.read += len(rows)
        yield pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)
    if report.read == 0:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.left_out.items())
        raise InputError.of_culprits(
            f"the corpus holds no document{f' ({reasons})' if reasons else ''}", [str(file) for file in files],
            hint='every line needs an object like {"_id": "1", "title": "…", "text": "…"}',
        )  # fmt: skip


def _rows(files: Sequence[Path], report: ReadReport, bad_rows: str, seen: dict[str, str]) -> Iterator[dict[str, str]]:
    for path in files:
        for number, line in read_lines(path):
            try:
                row = _document(parse_object(line, path, number), path, number)
            except InputError as error:
                if bad_rows == "fail":
                    raise
                report.leave_out("unreadable", str(error))
                continue
            place = f"{path.name}, line {number}"
            if not row["title"] and not row["text"]:
                report.leave_out("without text", f"{row['doc_id']} ({place})")
                continue
            if row["doc_id"] in seen:
                problem = f"document id {row['doc_id']!r} occurs twice, first in {seen[row['doc_id']]}"
                raise InputError.at(path, problem, line=number, hint="give every document its own id")
            seen[row["doc_id"]] = place
            yield row


def _document(row: dict[str, Any], path: Path, number: int) -> dict[str, str]:
    metadata = _metadata(row, path, number)
    title = text_field(row, ("title",), path, number, default="").strip()
    text = text_field(row, ("text",), path, number).strip()
    doc_id = text_field(row, ("_id", "id"), path, number)
    if not doc_id:
        raise InputError.at(path, "the document id is empty", line=number)
    return {
        "doc_id": doc_id,
        "title": title,
        "text": text,
        "metadata": metadata,
        "content_hash": content_hash(title, text),
    }


def _metadata(row: dict[str, Any], path: Path, number: int) -> str:
    """The metadata as a JSON object with sorted keys, of what every vector store can hold."""
    metadata = row.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise InputError.at(path, "field 'metadata' must be an object", line=number)
    try:
        encoded = json.dumps(metadata, sort_keys=True, ensure_ascii=False, allow_nan=False)
        encoded.encode("utf-8")
    except ValueError:
        problem = "field 'metadata' holds NaN, infinity or an unpaired surrogate"
        raise InputError.at(path, problem, line=number) from None
    return encoded


def _batched(rows: Iterable[dict[str, str]], size: int) -> Iterator[list[dict[str, str]]]:
    batch: list[dict[str, str]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
