"""Corpus files to documents: one row a document, checked, with everything left out counted and named."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.progress import Progress, progress_bar
from domain_embed.contracts.tables import DOCUMENTS, content_hash
from domain_embed.corpus.batches import bounded
from domain_embed.corpus.lines import read_rows, text_field
from domain_embed.corpus.metadata import encode_metadata, path_metadata
from domain_embed.corpus.readers import FILE_SUFFIXES, read_file
from domain_embed.corpus.sources import SUPPORTED_SUFFIXES, relative_names
from domain_embed.settings import CorpusSettings

SAMPLES_KEPT = 20


@dataclass
class ReadReport:
    """What was read and what was left out, filled while the batches are consumed."""

    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)  # (reason, where and what)

    def leave_out(self, reason: str, culprit: str) -> None:
        """Counts one row or file that is not used and keeps the first few as samples."""
        self.left_out[reason] += 1
        if len(self.samples) < SAMPLES_KEPT:
            self.samples.append((reason, culprit))


@dataclass(frozen=True, slots=True)
class _Found:
    """A document and its place: a file, or a line of one."""

    row: dict[str, str]
    path: Path
    line: int | None = None

    @property
    def place(self) -> str:
        return self.path.name if self.line is None else f"{self.path.name}, line {self.line}"


def read_documents(
    files: Sequence[Path], report: ReadReport, settings: CorpusSettings, root: Path
) -> Iterator[pa.RecordBatch]:
    """Yields DOCUMENTS batches of bounded size, in file order.

    Documents without any text are left out and counted; so are unreadable rows and files where the settings say "skip".

    Args:
        files: Files with one document a row, or one document as a whole; the suffix decides.
        report: Filled while the batches are consumed.
        settings: What of a row is what, and what happens to those that cannot be used.
        root: The domain's folder: a whole file's id is its path below it, see `sources.relative_names`.

    Raises:
        InputError: For a file of an unknown kind, an unreadable row or file where the settings say "fail", an id that
            occurs twice, or an empty corpus.
    """
    unknown = [str(path) for path in files if path.suffix.lower() not in SUPPORTED_SUFFIXES]
    if unknown:
        hint = f"known are {', '.join(SUPPORTED_SUFFIXES)}; name only such files in corpus.paths"
        raise InputError.of_culprits("no reader for these files", unknown, hint=hint)
    with progress_bar("documents", sum(map(_size, files)), "bytes") as progress:
        for rows in bounded(_rows(files, report, settings, root, progress)):
            report.read += len(rows)
            yield pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)
    if report.read == 0:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.left_out.items())
        raise InputError.of_culprits(
            f"the corpus holds no document{f' ({reasons})' if reasons else ''}", [str(file) for file in files],
            hint='a row needs an id and a text, like {"_id": "1", "text": "…"}; a file needs text',
        )  # fmt: skip


def _rows(
    files: Sequence[Path], report: ReadReport, settings: CorpusSettings, root: Path, progress: Progress
) -> Iterator[dict[str, str]]:
    """The rows of all files, every id once."""
    seen: dict[str, str] = {}
    for path, name in zip(files, relative_names(files, root, settings.paths), strict=True):
        inherited = path_metadata(name, settings.path_metadata)
        if path.suffix.lower() in FILE_SUFFIXES:
            found = _of_file(path, name, inherited, report, settings)
            progress.update(_size(path))
        else:
            found = _of_rows(path, inherited, report, settings, progress)
        for document in found:
            doc_id = document.row["doc_id"]
            if doc_id in seen:
                problem = f"document id {doc_id!r} occurs twice, first in {seen[doc_id]}"
                raise InputError.at(document.path, problem, line=document.line, hint="give every document its own id")
            seen[doc_id] = document.place
            yield document.row


def _of_file(
    path: Path, name: str, inherited: Mapping[str, str], report: ReadReport, settings: CorpusSettings
) -> Iterator[_Found]:
    try:
        if not _is_unicode(name):
            raise InputError(f"{str(path)!a}: the file name is not UTF-8", "rename the file")
        file = read_file(path)
        row = _document(name, file.title, file.text, {**inherited, **file.metadata}, settings, path)
    except InputError as error:
        if settings.bad_files == "fail":
            raise
        report.leave_out("unreadable", str(error))
        return
    if row["text"]:
        yield _Found(row, path)
    else:
        report.leave_out("without text, perhaps a scan" if path.suffix.lower() == ".pdf" else "without text", name)


def _of_rows(
    path: Path, inherited: Mapping[str, str], report: ReadReport, settings: CorpusSettings, progress: Progress
) -> Iterator[_Found]:
    def leave_out(error: InputError) -> None:
        report.leave_out("unreadable", str(error))

    skip = settings.bad_rows == "skip"
    for number, row in read_rows(path, on_error=leave_out if skip else None, progress=progress):
        try:
            found = _Found(_of_row(row, path, number, inherited, settings), path, number)
        except InputError as error:
            if not skip:
                raise
            leave_out(error)
            continue
        if found.row["title"] or found.row["text"]:
            yield found
        else:
            report.leave_out("without text", f"{found.row['doc_id']} ({found.place})")


def _of_row(
    row: dict[str, Any], path: Path, number: int, inherited: Mapping[str, str], settings: CorpusSettings
) -> dict[str, str]:
    ids = (settings.id_field,) if settings.id_field else ("_id", "id")
    doc_id = text_field(row, ids, path, number)
    title = text_field(row, (settings.title_field,), path, number, default="")
    text_field(row, settings.text_fields, path, number)
    texts = (text_field(row, (name,), path, number, default="").strip() for name in settings.text_fields)
    metadata = {**inherited, **_columns(row, {*ids, settings.title_field, *settings.text_fields}, settings)}
    metadata.update(_object(row.get("metadata"), path, number))
    return _document(doc_id, title, "\n\n".join(filter(None, texts)), metadata, settings, path, number)


def _columns(row: dict[str, Any], used: set[str], settings: CorpusSettings) -> dict[str, Any]:
    """The fields kept as metadata; an empty cell is no value."""
    names = settings.metadata_fields
    if "*" in names:
        names = tuple(name for name in row if name in names or name not in {*used, "metadata"})
    return {name: row[name] for name in names if row.get(name) not in (None, "")}


def _object(value: Any, path: Path, number: int) -> dict[str, Any]:
    """The `metadata` object of a row; in a CSV cell it is JSON."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InputError.at(path, "field 'metadata' is not JSON", line=number) from None
    if value and not isinstance(value, dict):
        raise InputError.at(path, "field 'metadata' must be an object", line=number)
    return value or {}


def _document(
    doc_id: str,
    title: str,
    text: str,
    metadata: Mapping[Any, Any],
    settings: CorpusSettings,
    path: Path,
    number: int | None = None,
) -> dict[str, str]:
    if not doc_id:
        raise InputError.at(path, "the document id is empty", line=number)
    try:
        encoded = encode_metadata(metadata, settings.metadata_types)
    except ValueError as error:
        raise InputError.at(path, f"document {doc_id!r}: {error}", line=number) from None
    title, text = title.strip(), text.strip()
    return {
        "doc_id": doc_id,
        "title": title,
        "text": text,
        "metadata": encoded,
        "content_hash": content_hash(title, text),
    }


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_unicode(name: str) -> bool:
    """Whether a file's name is text: bytes that are no UTF-8 are unpaired surrogates in it."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
