"""Where texts of a domain may stand, and what takes them away there. Every step may be done again."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.contracts.ports import VectorStore
from domain_embed.erasure.formats import WALKERS, Change, walk_table
from domain_embed.erasure.subject import TEACHERS, Subject
from domain_embed.files import RECORD_FILE, replace_file
from domain_embed.judgments.answers import parse_queries
from domain_embed.stores.tables import TableStore
from domain_embed.stores.workspace import Workspace

REPLACEMENT = "[erased]"
ANSWERS = ("answers.jsonl", "synthetic.jsonl")
MOST_QUERIES = 100
"""In one answer."""
OWN_FOLDERS = ("tables", "references", "vectors", "index", "checkpoints", "rerankers", "locks")
"""Of the store, what is not scrubbed file by file: each has a way of its own."""

_DRAFT = re.compile(r"\..+-[0-9a-f]{32}(\.\w+)?|.+\.draft")


def scrubbing(subject: Subject) -> Change:
    """Replaces a string that holds a trace of the documents."""
    return lambda text: REPLACEMENT if subject.traces.held_by(text) else text


def amend_collections(store: VectorStore, subject: Subject, *, dry: bool, hidden: bool = True) -> Iterator[str]:
    """Takes the passages out of every collection, live or not, physically; yields the collections that held some.

    `hidden` also writes those anew that were amended before: passages that were only hidden then are still on the disk.
    """
    for info in store.collections(every=True):
        collection = store.open(info.name)
        try:
            held = [one.passage_id for one in collection.contents() if one.doc_id in subject.documents]
        finally:
            collection.close()
        subject.passages.update(held)
        if not dry and (held or (hidden and info.amended)):
            store.amend(info.name, remove=sorted(subject.passages), metadata={}, purge=True)
        if held:
            yield f"collection {info.name}: {len(held)} passages"


def scrub_tables(workspace: Workspace, subject: Subject, *, dry: bool) -> Iterator[str]:
    """Takes their rows out of all tables, also those kept to measure drift, and replaces what quotes them in others."""
    stores = {"tables": workspace.tables}
    stores |= {f"references/{one}": workspace.reference(one) for one in workspace.references()}
    for place, store in stores.items():
        for name in store.names():
            rows = _scrub_table(store, name, subject, dry=dry)
            if rows:
                yield f"{place}/{name}: {rows} rows"


def _scrub_table(store: TableStore, name: str, subject: Subject, *, dry: bool) -> int:
    """How many rows went or changed."""
    before = store.read(name).read()
    kept = before.filter(pc.invert(_is_about(before, name, subject)))
    after = walk_table(_without_answers(kept, subject) if name == "labels" else kept, scrubbing(subject))
    if after.num_rows == before.num_rows and after.equals(before):
        return 0
    if not dry:
        store.write_table(name, after)
    changed = 0 if after is kept else _differing(kept, after)
    gone: int = before.num_rows - kept.num_rows
    return gone + changed


def _is_about(table: pa.Table, name: str, subject: Subject) -> pa.Array:
    """Which rows are about the documents. What people asked stays, though nothing may answer it any more."""
    tests: dict[str, Callable[[str], bool]] = {
        "doc_id": subject.documents.__contains__,
        "passage_id": subject.owns,
        "query_id": subject.made_queries.__contains__,
        **({"target": subject.owns} if name == "synthetic_queries" else {}),
    }
    about = np.zeros(table.num_rows, dtype=bool)
    for column, is_about in tests.items():
        if column in table.column_names:
            about |= np.array([one is not None and is_about(one) for one in table[column].to_pylist()], dtype=bool)
    return pa.array(about)


def _without_answers(labels: pa.Table, subject: Subject) -> pa.Table:
    """Labels about the documents without the answer's text."""
    rows = zip(labels["target"].to_pylist(), labels["answer"].to_pylist(), strict=True)
    answers = [None if target is not None and subject.owns(target) else answer for target, answer in rows]
    if answers == labels["answer"].to_pylist():
        return labels
    return labels.set_column(labels.schema.get_field_index("answer"), labels.schema.field("answer"),
                             pa.array(answers, pa.string()))  # fmt: skip


def _differing(before: pa.Table, after: pa.Table) -> int:
    return sum(one != other for one, other in zip(before.to_pylist(), after.to_pylist(), strict=True))


def empty_caches(workspace: Workspace, subject: Subject, *, dry: bool) -> Iterator[str]:
    """Takes out vectors of the texts, scores of them, and what language models answered about them."""
    for folder in sorted(path for path in workspace.vectors.glob("*") if path.is_dir()):
        cache = workspace.vector_cache(folder.name)
        gone = subject.scored if folder.name.startswith(TEACHERS) else subject.contents
        if found := cache.get(sorted(gone)):
            if not dry:
                cache.remove(found)
            yield f"vectors/{folder.name}: {len(found)}"
    for name in ANSWERS:
        path = workspace.root / name
        if path.exists() and (removed := _drop_answers(path, subject, dry=dry)):
            yield f"{name}: {removed} answers"


def _drop_answers(path: Path, subject: Subject, *, dry: bool) -> int:
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if not _answers_about(line, subject)]
    if len(kept) < len(lines) and not dry:
        replace_file(path, b"".join(kept))
    return len(lines) - len(kept)


def _answers_about(line: bytes, subject: Subject) -> bool:
    text = line.decode("utf-8", "replace")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return subject.traces.held_by(text)
    match content:
        case {"key": str(key), "answer": str(answer)}:
            said = (answer, *parse_queries(answer, MOST_QUERIES))
            return key in subject.asked or any(map(subject.traces.held_by, said))
    return subject.traces.held_by(text)


def scrub_files(workspace: Workspace, subject: Subject, *, dry: bool) -> Iterator[str]:
    """Replaces what quotes the documents in reports and records."""
    for path in report_files(workspace):
        if scrub_file(path, scrubbing(subject), dry=dry):
            yield str(path.relative_to(workspace.root))


def report_files(workspace: Workspace) -> Iterator[Path]:
    """Everything in the store that is written for people or programs to read, and has no other way of its own."""
    for path in sorted(workspace.root.rglob("*")):
        inside = path.relative_to(workspace.root).parts
        own = inside[0] in OWN_FOLDERS and path.name != RECORD_FILE and path.suffix != ".html"
        if path.is_file() and not own and path.suffix.lower() in WALKERS:
            yield path
    yield from sorted(workspace.rerankers.glob("*.json"))


def scrub_file(path: Path, change: Change, *, dry: bool) -> bool:
    """Writes a file again with strings replaced; returns whether there were any."""
    walker = WALKERS.get(path.suffix.lower())
    if walker is None:
        return False
    before = path.read_bytes()
    after = walker(before, change)
    if after == before:
        return False
    if not dry:
        replace_file(path, after)
    return True


def remove_drafts(workspace: Workspace, *, dry: bool) -> Iterator[str]:
    """Removes what processes that were killed had begun to write. To be called while no run is at work."""
    for path in sorted(workspace.root.rglob("*")):
        if path.is_file() and _DRAFT.fullmatch(path.name) and "checkpoints" not in path.parts:
            if not dry:
                path.unlink(missing_ok=True)
            yield str(path.relative_to(workspace.root))
