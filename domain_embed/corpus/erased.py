"""Which documents were taken away for good: a source that still has one does not bring it back."""

import json
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.documents import ReadReport
from domain_embed.files import replace_file

ERASED_FILE = "erased.jsonl"
"""Beside domain.yaml, a line a document: its id, when, and by whom. No text."""
ERASED = "erased"


def erased_file(folder: Path) -> list[Path]:
    """The file of a domain's folder; none before the first document was erased."""
    path = folder / ERASED_FILE
    return [path] if path.exists() else []


def read_erased(folder: Path) -> frozenset[str]:
    """The ids of the erased documents.

    Raises InputError for a line that names none: what was erased must not come back because a line is damaged.
    """
    found = set()
    for path in erased_file(folder):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if line.strip():
                found.add(_document(line, path, number))
    return frozenset(found)


def note_erased(folder: Path, documents: Collection[str], who: str) -> None:
    """Adds documents that are not noted yet, all in one step. Raises StoreError when that cannot be written."""
    new = sorted(set(documents) - read_erased(folder))
    if not new:
        return
    at = datetime.now(UTC).isoformat(timespec="seconds")
    kept = "".join(path.read_text(encoding="utf-8").rstrip("\n") + "\n" for path in erased_file(folder))
    lines = (json.dumps({"doc_id": one, "at": at, "who": who}, ensure_ascii=False) + "\n" for one in new)
    replace_file(folder / ERASED_FILE, kept + "".join(lines))


def without_erased(
    batches: Iterable[pa.RecordBatch], erased: Collection[str], report: ReadReport
) -> Iterator[pa.RecordBatch]:
    """DOCUMENTS batches without the erased ones, which are counted."""
    gone = pa.array(sorted(erased), pa.string())
    for batch in batches:
        is_gone = pc.is_in(batch["doc_id"], gone)
        for doc_id in batch.filter(is_gone)["doc_id"].to_pylist():
            report.leave_out(ERASED, doc_id)
        kept = batch.filter(pc.invert(is_gone))
        if len(kept):
            yield kept


def _document(line: str, path: Path, number: int) -> str:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    match content:
        case {"doc_id": str(doc_id)}:
            return doc_id
    raise InputError.at(path, 'expected an object like {"doc_id": "…"}', line=number, hint="mend the line")
