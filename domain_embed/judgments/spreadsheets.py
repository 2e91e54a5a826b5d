"""Files of cells, .csv and .xlsx: written so that a spreadsheet shows them right, read as it leaves them."""

import csv
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import InputError

SUFFIXES = (".csv", ".xlsx")
SHEET = "review"
MAX_ROWS = 1_048_576
"""Excel's own limit, the header included."""
MAX_UNPACKED_BYTES = 1 << 29
WIDTHS = {"query": 40, "passage": 90, "why": 30, "source": 18, "decision": 14, "note": 30, "reviewer": 14}
"""Of columns, in characters; others keep Excel's default."""

_ESCAPED = re.compile(r"_x00([01][0-9a-f]|5f)_", re.IGNORECASE)
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
    """
    if suffix.lower() == ".xlsx":
        return _workbook(header, rows, choices)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode("utf-8-sig")  # without the mark, Excel takes it for Windows-1252


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
        made = WriteOnlyCell(sheet, value=None if value == "" else value)
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
    `review` is read, or else the first one.

    Raises:
        InputError: For a file that is missing, damaged or something else.
    """
    try:
        return _read_workbook(path) if path.suffix.lower() == ".xlsx" else _read_csv(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_csv(path: Path) -> list[list[str]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")  # as Excel saves plain CSV in the West
    header = text.lstrip().partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count))
    try:
        return list(rows)
    except csv.Error as error:
        raise InputError.at(path, f"malformed row: {error}", line=rows.line_num) from None


def _read_workbook(path: Path) -> list[list[str]]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise InputError(f"{path} unpacks to more than {MAX_UNPACKED_BYTES} bytes: this is no review sheet")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about styles and drop-downs that openpyxl does not keep
            book = load_workbook(path, read_only=True, data_only=True)
            sheet: Any = book[SHEET] if SHEET in book.sheetnames else book.worksheets[0]
            sheet.reset_dimensions()  # other programs write wrong ones
            rows = [[_text(value) for value in row] for row in sheet.iter_rows(values_only=True)]
            book.close()
    except (*_DAMAGE, InvalidFileException) as error:
        raise InputError(f"{path} is not a workbook that can be read: {error}", "save it again as .xlsx") from None
    return rows


def _text(value: Any) -> str:
    """A cell as it was typed: 2.0 is 2, as a spreadsheet knows no whole numbers, and "_x000D_" a carriage return."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
