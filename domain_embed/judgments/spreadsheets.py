"""Files of cells, .csv and .xlsx: written so that a spreadsheet shows them right, read as it leaves them.

Texts of strangers go in, and no spreadsheet may take one for a formula, by whatever delimiter it cuts a .csv into
cells: in Europe that is the semicolon. An apostrophe keeps them texts, and is taken away when the file is read.
"""

import csv
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import InputError, excerpt
from domain_embed.files import open_regular
from domain_embed.workers.pool import SHARED, WorkerLostError

SUFFIXES = (".csv", ".xlsx")
SHEET = "review"
MAX_ROWS = 1_048_576
"""Excel's own limit, the header included."""
MAX_UNPACKED_BYTES = 1 << 29
MAX_CSV_BYTES = 1 << 27
WORKBOOK_SECONDS = 120.0
"""For the first row and for each further one: all shared texts are read before the first."""
WIDTHS = {"query": 40, "passage": 90, "why": 30, "source": 18, "decision": 14, "note": 30, "reviewer": 14}
"""Of columns, in characters; others keep Excel's default."""

_FORMULA = "=+@＝＋－＠﹦﹢﹣﹫-"
_BLANK = r'\s"\xad\u200b-\u200f\u2060\ufeff'
"""What a spreadsheet may skip before it looks for a formula."""
_DELIMITERS = r",;|\t\r\n"
# Before "|" a number is none: cut elsewhere, the cell goes on, and names a program and what it shall do (DDE).
_NUMBER = rf"[+-][0-9]+(?:[.,][0-9]+)?[{_BLANK}]*(?:[,;\t\r\n]|\Z)"
# A run of blanks and delimiters is tried once, from its beginning: a text of nothing else would take for ever.
_AFTER_DELIMITER = re.compile(
    rf"(?P<run>(?<![{_BLANK}{_DELIMITERS}])[{_BLANK}{_DELIMITERS}]++)(?P<quotes>'*+)(?=[{_FORMULA}])(?!{_NUMBER})"
)
_DANGEROUS_CELL = re.compile(rf"['\t\r\n]|[{_BLANK}]*+[{_FORMULA}]")
_ESCAPED = re.compile(r"_x00([01][0-9a-f]|5f)_", re.IGNORECASE)
_LIKE_ESCAPED = re.compile(r"_(?=x[0-9a-f]{4}_)", re.IGNORECASE)
"""In a text: a workbook's programs would show another character for it, "_x003D_1" as "=1"."""
# What openpyxl lets through of a damaged file: it trusts the archive, its XML and the numbers in it. What XML parsers
# raise is a SyntaxError.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    ArithmeticError, AssertionError, NotImplementedError, RuntimeError,
)  # fmt: skip


def cells_to_bytes(
    suffix: str, header: Sequence[str], rows: Sequence[Sequence[str | float]], choices: Mapping[str, Sequence[str]]
) -> bytes:
    """The content of a file with a header and these rows.

    In .xlsx, the columns in `choices` offer their words in a drop-down. Raises InputError for more rows than it takes.
    Texts are kept from being formulas; numbers are numbers, negative ones, too.
    """
    if suffix.lower() == ".xlsx":
        return _workbook(header, [[_kept_text(cell) for cell in row] for row in rows], choices)
    kept = [[_kept_text(_kept_within(cell)) for cell in row] for row in rows]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *kept])
    return text.getvalue().encode("utf-8-sig")  # without the mark, Excel takes it for Windows-1252


def _kept_text(cell: str | float) -> str | float:
    """The cell with an apostrophe before what could be taken for a formula."""
    return f"'{cell}" if isinstance(cell, str) and _DANGEROUS_CELL.match(cell) else cell


def _kept_within(cell: str | float) -> str | float:
    """The cell with an apostrophe before what would be one if the file was cut at a delimiter within the cell."""
    return _change_within(cell, lambda quotes: quotes + "'") if isinstance(cell, str) else cell


def _meant(cell: str) -> str:
    """The text that was kept from being a formula."""
    return cell[1:] if cell[:1] == "'" and _DANGEROUS_CELL.match(cell[1:]) else cell


def _meant_within(cell: str) -> str:
    return _change_within(cell, lambda quotes: quotes[1:])


def _change_within(cell: str, change: Callable[[str], str]) -> str:
    """Changes the apostrophes before each formula behind a delimiter; plain numbers are none."""

    def replaced(match: re.Match[str]) -> str:
        cut = re.search(f"[{_DELIMITERS}]", match["run"])
        return match["run"] + (change(match["quotes"]) if cut else match["quotes"])

    return _AFTER_DELIMITER.sub(replaced, cell)


def _workbook(
    header: Sequence[str], rows: Sequence[Sequence[str | float]], choices: Mapping[str, Sequence[str]]
) -> bytes:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    if len(rows) >= MAX_ROWS:
        raise InputError(f"{len(rows)} rows are more than Excel takes ({MAX_ROWS - 1})", "export fewer, or as .csv")
    book = Workbook(write_only=True)
    sheet = book.create_sheet(SHEET)
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(header))}{len(rows) + 1}"
    for number, name in enumerate(header, start=1):
        letter = get_column_letter(number)
        if name in WIDTHS:
            sheet.column_dimensions[letter].width = WIDTHS[name]
        if name in choices:
            validation = DataValidation(type="list", formula1=f'"{",".join(choices[name])}"', allow_blank=True)
            validation.add(f"{letter}2:{letter}{max(len(rows), 1) + 1}")
            sheet.data_validations.append(validation)

    def cell(value: str | float, **style: Any) -> Any:
        shown = _LIKE_ESCAPED.sub("_x005F_", value) if isinstance(value, str) else value
        made = WriteOnlyCell(sheet, value=None if shown == "" else shown)
        if isinstance(value, str) and value:
            made.data_type = "s"
        for name, setting in style.items():
            setattr(made, name, setting)
        return made

    bold, wrapped = Font(bold=True), Alignment(wrap_text=True, vertical="top")
    sheet.append([cell(name, font=bold) for name in header])
    for row in rows:
        sheet.append([cell(value, alignment=wrapped) for value in row])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def read_cells(path: Path) -> list[list[str]]:
    """The rows of a file, header first, every cell as text; empty ones are "".

    A .csv may have a byte order mark, commas, semicolons or tabs, and Windows-1252 for UTF-8. Of an .xlsx, the sheet
    `review` is read, or else the first one. Texts are as they were before they were kept from being formulas.

    Raises:
        InputError: For a file that is missing, damaged or something else.
    """
    try:
        return _read_workbook(path) if path.suffix.lower() == ".xlsx" else _read_csv(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_csv(path: Path) -> list[list[str]]:
    with open_regular(path) as file:
        content = file.read(MAX_CSV_BYTES + 1)
    if len(content) > MAX_CSV_BYTES:
        raise InputError(f"{path} holds more than {MAX_CSV_BYTES:,} bytes: this is no review sheet")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")  # as Excel saves plain CSV in the West
    header = text.lstrip().partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    try:
        return [[_meant_within(_meant(cell)) for cell in row] for row in rows]
    except csv.Error as error:
        raise InputError.at(path, f"malformed row: {excerpt(str(error))}", line=rows.line_num) from None


def _read_workbook(path: Path) -> list[list[str]]:
    """In a worker process: a few kilobytes of zip and XML can stand for gigabytes and for hours."""
    try:
        return list(SHARED.stream(workbook_rows, str(path.absolute()), seconds=[WORKBOOK_SECONDS]))
    except WorkerLostError as lost:
        raise InputError(f"{path} is not a workbook that can be read: {lost}", "save it again as .xlsx") from None


def workbook_rows(name: str) -> Iterator[list[str]]:
    """The rows of a workbook; what a worker process does. Raises InputError for what is no workbook."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    path = Path(name)
    try:
        with open_regular(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about styles and drop-downs that openpyxl does not keep
            with zipfile.ZipFile(file) as archive:
                if sum(part.file_size for part in archive.infolist()) > MAX_UNPACKED_BYTES:
                    raise InputError(f"{path} unpacks to more than {MAX_UNPACKED_BYTES} bytes: this is no review sheet")
            book = load_workbook(file, read_only=True, data_only=True)
            sheet: Any = book[SHEET] if SHEET in book.sheetnames else book.worksheets[0]
            sheet.reset_dimensions()  # other programs write wrong ones
            for row in sheet.iter_rows(values_only=True):
                yield [_meant(_text(value)) for value in row]
            book.close()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (*_DAMAGE, InvalidFileException) as error:
        raise InputError(f"{path} is not a workbook that can be read: {error}", "save it again as .xlsx") from None


def _text(value: Any) -> str:
    """A cell as it was typed: 2.0 is 2, as a spreadsheet knows no whole numbers, and "_x000D_" a carriage return."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
