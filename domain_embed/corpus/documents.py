"""Corpus files to documents: one row a document, checked, with everything left out counted and named.

A file that holds one document is read in a worker process, under limits of time, memory and size: its parsers are large
and its author is a stranger. Rows of tables are read here but for Parquet's: see `lines`.
"""

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from domain_embed.contracts.access import NOBODY
from domain_embed.contracts.errors import InputError
from domain_embed.contracts.progress import Progress, progress_bar
from domain_embed.contracts.shown import visible
from domain_embed.contracts.tables import DOCUMENTS, content_hash
from domain_embed.corpus.batches import bounded
from domain_embed.corpus.groups import groups_of_cell
from domain_embed.corpus.lines import parse_json, read_rows, text_field
from domain_embed.corpus.metadata import encode_metadata, merged
from domain_embed.corpus.readers import FILE_SUFFIXES, MEGABYTE
from domain_embed.corpus.sources import SUPPORTED_SUFFIXES, relative_names
from domain_embed.corpus.whole_files import Read, read_names, read_whole_files
from domain_embed.files import size_of
from domain_embed.settings import CorpusSettings
from domain_embed.workers.pool import WORKERS, WorkerLostError, Workers

SAMPLES_KEPT = 1000
CELL_SUFFIXES = (".csv", ".tsv")
BATCH_FILES = 64
BATCH_BYTES = 4 << 20
"""Of files that a worker is given at once: asking costs a tenth of a millisecond, as much as a small file takes."""
UNREADABLE, STOPPED, TEXTLESS = "unreadable", "stopped while it was read", "without text"

Named: TypeAlias = tuple[Path, str]
"""A file, and what it is called below the folders that were named."""


@dataclass
class ReadReport:
    """What was read, left out, or hidden from everybody; filled while the batches are consumed."""

    files: int = 0
    read: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)  # (reason, where and what)
    recorded: list[tuple[str, str]] = field(default_factory=list)  # the same without what it quotes of the data
    hidden: int = 0
    hidden_samples: list[str] = field(default_factory=list)
    repeated: set[str] = field(default_factory=set)  # ids of which a later row was left out

    def leave_out(self, reason: str, culprit: str | InputError) -> None:
        """Counts one row or file that is not used and keeps the first few as samples."""
        self.left_out[reason] += 1
        if len(self.samples) < SAMPLES_KEPT:
            self.samples.append((reason, visible(str(culprit))))
            self.recorded.append((reason, visible(culprit if isinstance(culprit, str) else culprit.recorded)))

    def leave_out_files(self, skipped: Iterable[tuple[str, Path]], bad_files: Literal["fail", "skip"]) -> None:
        """Counts what lies among the files but is not read. Raises InputError where the settings say "fail"."""
        culprits = list(skipped)
        if culprits and bad_files == "fail":
            named = [f"{path} ({reason})" for reason, path in culprits]
            hint = "remove them, or name the folders they lead to in corpus.paths"
            raise InputError.of_culprits("these are not read as documents", named, hint=hint)
        for reason, path in culprits:
            self.leave_out(reason, str(path))

    def hide(self, culprit: str) -> None:
        """Counts one row that nobody may find, because its groups cannot be read, and keeps the first few."""
        self.hidden += 1
        if len(self.hidden_samples) < SAMPLES_KEPT:
            self.hidden_samples.append(visible(culprit))


@dataclass(frozen=True, slots=True)
class _Found:
    """A document and its place: a file, or a line of one."""

    row: dict[str, str]
    path: Path
    line: int | None = None

    @property
    def place(self) -> str:
        return self.path.name if self.line is None else f"{self.path.name}, line {self.line}"


@dataclass(frozen=True)
class _Reading:
    """One reading of a corpus: what is wanted, and where things go."""

    settings: CorpusSettings
    groups_field: str | None
    roots: Sequence[str] | None
    report: ReadReport
    progress: Progress
    workers: Workers
    tells_repeated: bool = False


def read_documents(
    files: Sequence[Path],
    report: ReadReport,
    settings: CorpusSettings,
    root: Path,
    *,
    roots: Sequence[str] | None = None,
    groups_field: str | None = None,
    tell_repeated: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Yields DOCUMENTS batches of bounded size, in file order.

    Documents without any text are left out and counted; so are unreadable rows and files where the settings say "skip".
    A file that ends its worker, or takes too much time or memory, is an unreadable one.

    Args:
        files: Files with one document a row, or one document as a whole; the suffix decides.
        report: Filled while the batches are consumed.
        settings: What of a row is what, and what happens to those that cannot be used.
        root: The domain's folder: a whole file's id is its path below it, see `sources.relative_names`.
        roots: Real paths, see `sources.named_roots`: a file that lies below none when it is opened is unreadable.
        groups_field: The metadata key with the groups that may find a document, if there is one. A file's path has the
            last word on it; in a cell of a CSV or TSV file it may be a list, and one that cannot be read hides its row
            from everybody.
        tell_repeated: Of documents of one id, yield the first and name the id in `report.repeated`, which is no error
            then.

    Raises:
        InputError: For a file of an unknown kind, an unreadable row or file where the settings say "fail", an id that
            occurs twice, or an empty corpus.
    """
    unknown = [str(path) for path in files if path.suffix.lower() not in SUPPORTED_SUFFIXES]
    if unknown:
        hint = f"known are {', '.join(SUPPORTED_SUFFIXES)}; name only such files in corpus.paths"
        raise InputError.of_culprits("no reader for these files", unknown, hint=hint)
    with progress_bar("documents", sum(map(size_of, files)), "bytes") as progress, Workers() as workers:
        reading = _Reading(settings, groups_field, roots, report, progress, workers, tell_repeated)
        named = zip(files, relative_names(files, root, settings.paths), strict=True)
        for rows in bounded(_rows(named, reading)):
            report.read += len(rows)
            yield pa.RecordBatch.from_pylist(rows, schema=DOCUMENTS)
    if report.read == 0:
        reasons = ", ".join(f"{count} {reason}" for reason, count in report.left_out.items())
        raise InputError.of_culprits(
            f"the corpus holds no document{f' ({reasons})' if reasons else ''}", [str(file) for file in files],
            hint='a row needs an id and a text, like {"_id": "1", "text": "…"}; a file needs text',
        )  # fmt: skip


def _rows(files: Iterable[Named], reading: _Reading) -> Iterator[dict[str, str]]:
    """The rows of all files, every id once."""
    seen: dict[str, str] = {}
    for whole, named in itertools.groupby(files, lambda file: file[0].suffix.lower() in FILE_SUFFIXES):
        read = _of_files if whole else _of_tables
        for document in read(named, reading):
            doc_id = document.row["doc_id"]
            if doc_id in seen and reading.tells_repeated:
                reading.report.repeated.add(doc_id)
                continue
            if doc_id in seen:
                problem = f"document id {doc_id!r} occurs twice, first in {seen[doc_id]}"
                raise InputError.at(document.path, problem, line=document.line, hint="give every document its own id")
            seen[doc_id] = document.place
            yield document.row


def _of_files(files: Iterable[Named], reading: _Reading) -> Iterator[_Found]:
    for (path, name), read in _read_in_workers(files, reading):
        reading.progress.update(size_of(path))
        if "error" in read:
            _refuse_file(read.get("reason", UNREADABLE), InputError(read["error"]), reading)
        elif read["text"]:
            yield _Found(_row(name, read["title"], read["text"], read["metadata"]), path)
        else:
            is_scan = path.suffix.lower() == ".pdf"
            reading.report.leave_out(f"{TEXTLESS}, perhaps a scan" if is_scan else TEXTLESS, name)


def _refuse_file(reason: str, error: InputError, reading: _Reading) -> None:
    if reading.settings.bad_files == "fail":
        raise error
    reading.report.leave_out(reason, error)


def _read_in_workers(files: Iterable[Named], reading: _Reading) -> Iterator[tuple[Named, Read]]:
    """Every file with what a worker read of it, in order; a few batches are read ahead."""
    pending: deque[tuple[list[Named], Future[list[Read]]]] = deque()
    with ThreadPoolExecutor(WORKERS) as threads:
        try:
            for batch in _batches(files):
                pending.append((batch, threads.submit(_read_batch, batch, reading)))
                if len(pending) > 2 * WORKERS:
                    yield from _results(*pending.popleft())
            while pending:
                yield from _results(*pending.popleft())
        except BaseException:
            reading.workers.close()  # nobody waits for what they are reading
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _batches(files: Iterable[Named]) -> Iterator[list[Named]]:
    batch: list[Named] = []
    size = 0
    for file in files:
        batch.append(file)
        size += size_of(file[0])
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _results(batch: list[Named], future: "Future[list[Read]]") -> Iterator[tuple[Named, Read]]:
    return zip(batch, future.result(), strict=True)


def _read_batch(batch: list[Named], reading: _Reading) -> list[Read]:
    """What each file says. The one that a worker is lost over is refused, and another worker goes on behind it."""
    settings, results = reading.settings, list[Read]()
    while len(results) < len(batch):
        left = batch[len(results) :]
        path, name = left[0]
        if not _is_unicode(name):
            results.append({"error": f"{str(path)!a}: the file name is not UTF-8\n  → rename the file"})
            continue
        ahead = list(itertools.takewhile(lambda file: _is_unicode(file[1]), left))
        try:
            for read in reading.workers.stream(
                read_whole_files, [(str(path.absolute()), name) for path, name in ahead], settings.max_file_mb,
                reading.roots, settings.path_metadata, settings.metadata_types, reading.groups_field,
                seconds=[settings.read_seconds * (1 + size_of(path) / MEGABYTE) for path, _ in ahead],
            ):  # fmt: skip
                results.append(read)
        except WorkerLostError as lost:
            results.append({"error": f"{batch[len(results)][0]}: {lost}", "reason": STOPPED})
        except InputError as error:
            results.append({"error": f"{batch[len(results)][0]}: {error.marked}"})
    return results


def _of_tables(files: Iterable[Named], reading: _Reading) -> Iterator[_Found]:
    for path, name in files:
        try:
            of_path = _of_name(name, reading)
        except InputError as error:
            _refuse_file(STOPPED, error, reading)
        else:
            yield from _of_rows(path, of_path, reading)


def _of_name(name: str, reading: _Reading) -> dict[str, str]:
    """The metadata in a table's path."""
    patterns = reading.settings.path_metadata
    if not patterns:
        return {}
    try:
        [found] = reading.workers.stream(read_names, [name], patterns, seconds=[reading.settings.read_seconds])
    except WorkerLostError as lost:
        raise InputError(f"{name!r:.200}: {lost}", "simplify corpus.path_metadata") from None
    return dict(found)


def _of_rows(path: Path, of_path: Mapping[str, str], reading: _Reading) -> Iterator[_Found]:
    report = reading.report

    def leave_out(error: InputError) -> None:
        report.leave_out(UNREADABLE, error)

    skip = reading.settings.bad_rows == "skip"
    on_error = leave_out if skip else None
    for number, row in read_rows(path, on_error=on_error, progress=reading.progress, roots=reading.roots):
        try:
            found = _Found(_of_row(row, path, number, of_path, reading), path, number)
        except InputError as error:
            if not skip:
                raise
            leave_out(error)
            continue
        if found.row["title"] or found.row["text"]:
            yield found
        else:
            report.leave_out(TEXTLESS, f"{found.row['doc_id']} ({found.place})")


def _of_row(
    row: dict[str, Any], path: Path, number: int, of_path: Mapping[str, str], reading: _Reading
) -> dict[str, str]:
    settings = reading.settings
    ids = (settings.id_field,) if settings.id_field else ("_id", "id")
    doc_id = text_field(row, ids, path, number)
    if not doc_id:
        raise InputError.at(path, "the document id is empty", line=number)
    title = text_field(row, (settings.title_field,), path, number, default="")
    text_field(row, settings.text_fields, path, number)
    texts = (text_field(row, (name,), path, number, default="").strip() for name in settings.text_fields)
    columns = _columns(row, {*ids, settings.title_field, *settings.text_fields}, settings)
    if path.suffix.lower() in CELL_SUFFIXES and reading.groups_field not in of_path:
        columns.update(_groups(columns, f"{path}, line {number}: document {doc_id!r}", reading))
    said = {**columns, **_object(row.get("metadata"), path, number)}
    try:
        metadata = encode_metadata(merged(of_path, said, reading.groups_field), settings.metadata_types)
    except ValueError as error:
        raise InputError.at(path, f"document {doc_id!r}: {error}", line=number) from None
    return _row(doc_id, title, "\n\n".join(filter(None, texts)), metadata)


def _groups(columns: Mapping[str, Any], place: str, reading: _Reading) -> dict[str, Any]:
    """The groups in a row's cell; where they cannot be read, the one that nobody is in, and the row is reported.

    A blank cell names none.
    """
    name = reading.groups_field
    cell = columns.get(name) if name is not None else None
    if name is None or not isinstance(cell, str):
        return {}
    if not cell.strip():
        return {name: None}
    try:
        groups = groups_of_cell(cell)
    except ValueError as error:
        reading.report.hide(f"{place}: {name} {cell!r:.80}: {error}")
        return {name: NOBODY}
    return {name: groups[0] if groups == [cell] else groups}


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
            value = parse_json(value)
        except (ValueError, RecursionError):
            raise InputError.at(path, "field 'metadata' is not JSON", line=number) from None
    if value and not isinstance(value, dict):
        raise InputError.at(path, "field 'metadata' must be an object", line=number)
    return value or {}


def _row(doc_id: str, title: str, text: str, metadata: str) -> dict[str, str]:
    title, text = title.strip(), text.strip()
    return {
        "doc_id": doc_id,
        "title": title,
        "text": text,
        "metadata": metadata,
        "content_hash": content_hash(title, text),
    }


def _is_unicode(name: str) -> bool:
    """Whether a file's name is text: bytes that are no UTF-8 are unpaired surrogates in it."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
