"""Reading text files line by line with errors that name the file and the line."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import InputError

TYPE_NAMES = {dict: "an object", list: "a list", str: "a string", int: "a number", float: "a number", bool: "a boolean"}


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(1-based number, raw bytes) of every line that is not blank. A byte order mark is dropped."""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                if line.strip():
                    yield number, line
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "check the path in domain.yaml") from None


def decode(line: bytes, path: Path, number: int) -> str:
    """The line as text; anything but UTF-8 is an error that names the byte."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 (byte 0x{line[error.start]:02x} at column {error.start + 1})"
        raise InputError.at(path, problem, line=number, hint="save the file as UTF-8") from None


def parse_object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """The JSON object on a line."""
    text = decode(line, path, number).rstrip("\r\n")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"malformed JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
        raise InputError.at(path, problem, line=number) from None
    except RecursionError:
        raise InputError.at(path, "malformed JSON: nested too deeply", line=number) from None
    except ValueError:  # Python reads no whole number of more than 4300 digits
        raise InputError.at(path, "malformed JSON: a number has too many digits", line=number) from None
    if not isinstance(value, dict):
        raise InputError.at(path, f"expected a JSON object, found {TYPE_NAMES.get(type(value), 'null')}", line=number)
    return value


def text_field(
    row: dict[str, Any], names: tuple[str, ...], path: Path, number: int, *, default: str | None = None
) -> str:
    """The first present field of `names` as text; numbers are taken as their digits.

    Raises InputError when it is absent without a default, of another type, or not valid Unicode.
    """
    name = next((name for name in names if row.get(name) is not None), None)
    if name is None:
        if default is None:
            raise InputError.at(
                path, f"no field {' or '.join(map(repr, names))} (fields: {', '.join(row)})", line=number
            )
        return default
    value = row[name]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError.at(path, f"field {name!r} must be a string, not {TYPE_NAMES[type(value)]}", line=number)
    text = str(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError.at(path, f"field {name!r} holds an unpaired surrogate, not text", line=number) from None
    return text


def read_delimited(path: Path, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(1-based line, row by column name) of a CSV or TSV file with a header."""
    numbered = ((number, decode(line, path, number)) for number, line in read_lines(path))
    numbers: list[int] = []

    def text_lines() -> Iterator[str]:
        for number, line in numbered:
            numbers.append(number)
            yield line

    # A TSV has no quoting: a lone quotation mark in a query is a quotation mark.
    reader = csv.DictReader(
        text_lines(),
        delimiter=delimiter,
        quotechar='"' if delimiter == "," else None,
        quoting=csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE,
    )
    try:
        for row in reader:
            if None in row or None in row.values():
                columns = len(reader.fieldnames or ())
                raise InputError.at(path, f"expected {columns} columns like the header", line=numbers[-1])
            yield numbers[-1], row
            numbers[:-1] = []
    except csv.Error as error:
        raise InputError.at(path, f"malformed row: {error}", line=numbers[-1] if numbers else None) from None
