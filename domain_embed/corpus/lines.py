"""Reading files row by row (JSONL, CSV, TSV, Parquet) with errors that name the file and the line.

Lines are parsed in this process: Python's parsers of JSON and CSV take time and memory in proportion to a line, and a
line is bounded here in bytes and in values. Parquet is parsed in a worker process, and comes from there as Arrow's
record batches. Files that hold one document each are another matter: see `documents`.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import pyarrow as pa

from domain_embed.contracts.errors import InputError, excerpt
from domain_embed.contracts.progress import Progress
from domain_embed.corpus import parquet
from domain_embed.files import open_regular, size_of
from domain_embed.workers.pool import SHARED, WorkerLostError

ROW_SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
TYPE_NAMES = {dict: "an object", list: "a list", str: "a string", int: "a number", float: "a number", bool: "a boolean"}
MAX_ROW_BYTES = 1 << 27
"""A document of a hundred megabytes is one."""
MAX_VALUES = 4_000_000
"""Of a JSON text: empty lists, two characters each, take thirty times their size in memory."""
SMALL_CHARACTERS = 1 << 20
"""A JSON text that has so few is not counted through."""

# Python's own limit is 131,072 characters, less than a long document; without any, one stray quotation mark would take
# the rest of the file into memory.
csv.field_size_limit(1 << 26)

OnError: TypeAlias = Callable[[InputError], None]


def read_rows(
    path: Path,
    *,
    on_error: OnError | None = None,
    progress: Progress | None = None,
    roots: Sequence[str] | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(1-based line, row by field name) of a .jsonl, .csv, .tsv or .parquet file; of Parquet the number of the row.

    A row over several lines has the number of its first. CSV and TSV cells are strings, Parquet cells typed, an absent
    one None. Rows are streamed: memory does not grow with the file.

    Args:
        path: The file; its suffix says what it is.
        on_error: Called with the error of a row that cannot be read, and reading goes on with the next row. Without
            it, the error is raised.
        progress: Told the bytes that were read.
        roots: Real paths below which the file must lie; see `files.open_regular`.

    Raises:
        InputError: For another suffix, a file that cannot be opened, or one that is broken as a whole; for a row that
            cannot be read unless `on_error` is given.
    """
    match path.suffix.lower():
        case ".jsonl":
            return _read_objects(path, on_error, progress, roots)
        case ".csv":
            return read_delimited(path, ",", on_error=on_error, progress=progress, roots=roots)
        case ".tsv":
            return read_delimited(path, "\t", on_error=on_error, progress=progress, roots=roots)
        case ".parquet":
            return _read_parquet(path, progress, roots)
        case suffix:
            problem = f"rows cannot be read from a {suffix} file" if suffix else "rows cannot be read without a suffix"
            raise InputError.at(path, problem, hint=f"use one of {', '.join(ROW_SUFFIXES)}")


def read_lines(
    path: Path, *, progress: Progress | None = None, roots: Sequence[str] | None = None
) -> Iterator[tuple[int, bytes]]:
    """(1-based number, raw bytes) of every line that is not blank. A byte order mark is dropped.

    Of a line that is too long, `decode` says so.
    """
    return ((number, line) for number, line in _all_lines(path, progress, roots) if line.strip())


def decode(line: bytes, path: Path, number: int) -> str:
    """The line as text; anything but UTF-8 is an error that names the byte, and so is a line that is too long."""
    if len(line) > MAX_ROW_BYTES:
        raise InputError.at(path, f"the line has more than {MAX_ROW_BYTES:,} bytes", line=number)
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 (byte 0x{line[error.start]:02x} at column {error.start + 1})"
        raise InputError.at(path, problem, line=number, hint="save the file as UTF-8") from None


def parse_object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """The JSON object on a line."""
    text = decode(line, path, number).rstrip("\r\n")
    try:
        value = parse_json(text)
    except json.JSONDecodeError as error:
        problem = f"malformed JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
        raise InputError.at(path, problem, line=number) from None
    except RecursionError:
        raise InputError.at(path, "malformed JSON: nested too deeply", line=number) from None
    except ValueError as error:
        raise InputError.at(path, f"malformed JSON: {error}", line=number) from None
    if not isinstance(value, dict):
        raise InputError.at(path, f"expected a JSON object, found {TYPE_NAMES.get(type(value), 'null')}", line=number)
    return value


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: For what is no JSON, for a number of too many digits, and for more values than fit in memory.
        RecursionError: For a value that is nested too deeply.
    """
    if len(text) > SMALL_CHARACTERS and text.count(",") + text.count("[") + text.count("{") > MAX_VALUES:
        raise ValueError(f"it holds more than {MAX_VALUES:,} values")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python reads no whole number of more than 4300 digits
        raise ValueError("a number has too many digits") from None


def text_field(
    row: dict[str, Any], names: tuple[str, ...], path: Path, number: int, *, default: str | None = None
) -> str:
    """The first present field of `names` as text; numbers are taken as their digits.

    Raises InputError when it is absent without a default, of another type, or not valid Unicode.
    """
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        if default is None:
            problem = f"no field {' or '.join(map(repr, names))} (fields: {excerpt(', '.join(row))})"
            raise InputError.at(path, problem, line=number)
        return default
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, str | int):
        found = TYPE_NAMES.get(type(value), type(value).__name__)
        raise InputError.at(path, f"field {name!r} must be a string, not {found}", line=number)
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError.at(path, f"field {name!r} holds an unpaired surrogate, not text", line=number) from None
    return text


def read_delimited(
    path: Path,
    delimiter: str,
    *,
    on_error: OnError | None = None,
    progress: Progress | None = None,
    roots: Sequence[str] | None = None,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(1-based first line, row by column name) of a CSV or TSV file with a header; see `read_rows`.

    Rows without any content are left out.
    """
    header: list[str] | None = None
    for number, cells, error in _delimited_cells(path, delimiter, progress, roots):
        if header is None:
            header = _header(cells, path, number, error)
        elif error is not None or len(cells) != len(header):
            columns = f"expected {len(header)} columns like the header, found {len(cells)}"
            (on_error or _raise)(error or InputError.at(path, columns, line=number))
        else:
            yield number, dict(zip(header, cells, strict=True))


def _delimited_cells(
    path: Path, delimiter: str, progress: Progress | None, roots: Sequence[str] | None
) -> Iterator[tuple[int, list[str], InputError | None]]:
    """(first line, cells, what is wrong) of every row that is not blank."""
    undecodable: list[InputError] = []
    row_bytes = 0

    def text_lines() -> Iterator[str]:
        nonlocal row_bytes
        for number, line in _all_lines(path, progress, roots):
            row_bytes += len(line)
            if row_bytes > MAX_ROW_BYTES and row_bytes > len(line):  # of several lines: one line is decode's matter
                problem = f"a row has more than {MAX_ROW_BYTES:,} bytes up to here"
                raise InputError.at(path, problem, line=number, hint="close the quotation mark in it")
            try:
                yield decode(line, path, number)
            except InputError as error:  # raised here, it would end the file and not only its row
                undecodable.append(error)
                yield line.decode("utf-8", errors="replace")

    # A TSV has no quoting: a lone quotation mark in a query is a quotation mark.
    reader = csv.reader(
        text_lines(),
        delimiter=delimiter,
        quotechar='"' if delimiter == "," else None,
        quoting=csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE,
        strict=True,
    )
    while True:
        number, cells, error, row_bytes = reader.line_num + 1, [], None, 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as malformed:
            error = InputError.at(path, f"malformed row: {malformed}", line=number)
        if undecodable:
            error = undecodable[0]
            undecodable.clear()
        if error is not None or any(cell.strip() for cell in cells):
            yield number, cells, error


def _header(cells: list[str], path: Path, number: int, error: InputError | None) -> list[str]:
    if error is not None:
        raise error
    twice = next((name for name, count in Counter(cells).items() if count > 1), None)
    if twice is not None:
        raise InputError.at(
            path, f"column {excerpt(repr(twice))} occurs twice", line=number, hint="give every column its own name"
        )
    return cells


def _read_objects(
    path: Path, on_error: OnError | None, progress: Progress | None, roots: Sequence[str] | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in read_lines(path, progress=progress, roots=roots):
        try:
            row = parse_object(line, path, number)
        except InputError as error:
            (on_error or _raise)(error)
        else:
            yield number, row


def _read_parquet(
    path: Path, progress: Progress | None, roots: Sequence[str] | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    number, size = 0, size_of(path)
    found = SHARED.stream(parquet.parquet_batches, str(path.absolute()), roots, seconds=[parquet.SECONDS])
    try:
        bytes_per_row = size / max(1, next(found))
        for stream in found:
            batch = parquet.read_batch(stream)
            if progress is not None:
                progress.update(int(bytes_per_row * len(batch)))
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (pa.ArrowException, ValueError, OverflowError, TypeError, KeyError, WorkerLostError) as error:
        problem = f"not a readable Parquet file after row {number}: {excerpt(str(error))}"
        raise InputError.at(path, problem, hint="write the file again") from None


def _all_lines(path: Path, progress: Progress | None, roots: Sequence[str] | None) -> Iterator[tuple[int, bytes]]:
    """Every line; of one that is too long the beginning, one byte more than is allowed."""
    try:
        with open_regular(path, roots) as file:
            number = 0
            while line := file.readline(MAX_ROW_BYTES + 1):
                number += 1
                rest = line
                while len(rest) > MAX_ROW_BYTES and not rest.endswith(b"\n"):
                    rest = file.readline(MAX_ROW_BYTES + 1)
                if progress is not None:
                    progress.update(len(line))
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path} cannot be read: {error.strerror}", "check the path in domain.yaml")


def _raise(error: InputError) -> NoReturn:
    raise error
