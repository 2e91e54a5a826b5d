"""Review by spreadsheet: items out to .csv or .xlsx, decisions in again, whatever Excel did in between."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.ports import TableReader
from domain_embed.files import replace_file
from domain_embed.judgments.item_ids import decode_id, encode_id
from domain_embed.judgments.review import (
    Decision,
    Decisions,
    Identity,
    Item,
    Recorded,
    read_decisions,
    record_decisions,
    review_items,
)
from domain_embed.judgments.spreadsheets import SUFFIXES, cells_to_bytes, read_cells

COLUMNS = ("query", "passage", "why", "source", "confidence", "decision", "grade", "note", "reviewer", "id")
CHOICES = {"relevant": "relevant", "not relevant": "not_relevant", "unsure": "unsure"}
"""The words of the decision column, and the verdicts they stand for."""
CELL_CHARACTERS = 16_000
"""Excel takes 32,767 UTF-16 units in a cell, of which a character may need two."""
ID_CHARACTERS = 32_000
"""An id is ASCII."""

_FORMULA_START = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Sheet:
    """What a sheet says: its decisions, and how many of its items are still without one."""

    decisions: tuple[Decision, ...]
    undecided: int


@dataclass(frozen=True)
class ExportReport:
    """Where the sheet is and how many items it asks about; without any, it is not written."""

    path: Path
    items: int


@dataclass(frozen=True)
class ImportReport:
    """What a sheet brought, and how many of its items are still without a decision."""

    path: Path
    recorded: Recorded
    undecided: int


def export_review(
    sheet: Path, undecided: Iterable[TableReader], passages: TableReader, decisions_file: Path, limit: int | None = 1000
) -> ExportReport:
    """Writes the most urgent items without a decision to a sheet; an older sheet is replaced.

    Raises:
        InputError: When the sheet to replace holds decisions that were not imported, or is no review sheet.
        StoreError: When it cannot be written.
    """
    decisions = read_decisions(decisions_file)
    if sheet.exists():
        _require_imported(sheet, decisions)
    items = list(review_items(undecided, passages, decisions, limit))
    if items:
        write_sheet(sheet, items)
    return ExportReport(sheet, len(items))


def import_review(sheet: Path, decisions_file: Path, reviewer: str = "") -> ImportReport:
    """Records the decisions of a sheet, all of them or none; `reviewer` is who made those that do not say.

    The same sheet again changes nothing. Raises InputError as `read_sheet` and `read_decisions` do.
    """
    content = read_sheet(sheet)
    signed = [replace(decision, reviewer=decision.reviewer or reviewer) for decision in content.decisions]
    return ImportReport(sheet, record_decisions(decisions_file, signed), content.undecided)


def _require_imported(sheet: Path, decisions: Decisions) -> None:
    waiting = [found for found in read_sheet(sheet).decisions if decisions.outcome(found) != "known"]
    if waiting:
        raise InputError(
            f"{sheet} holds decisions that were not imported ({len(waiting)}), "
            f"the first about {waiting[0].query[:80]!r}",
            "take it in with `domain-embed review NAME SHEET --import`, or export to another file",
        )


def write_sheet(path: Path, items: Iterable[Item]) -> int:
    """Replaces a .csv or .xlsx file by one row for each item, to be decided; returns their number.

    Cells that a spreadsheet would take for formulas are escaped by an apostrophe.

    Raises:
        InputError: For another suffix, or a query too long for a cell.
        StoreError: When the file cannot be written.
    """
    _require_known(path)
    rows = [_row(item, path) for item in items]
    replace_file(path, cells_to_bytes(path.suffix, COLUMNS, rows, {"decision": tuple(CHOICES)}))
    return len(rows)


def _row(item: Item, path: Path) -> list[str | float]:
    item_id = encode_id(item.query, item.passage_id)
    if len(item_id) > ID_CHARACTERS:
        raise InputError(
            f"{path}: the query {item.query[:80]!r}… is too long for a spreadsheet ({len(item.query)} characters)",
            "shorten it where it comes from",
        )
    passage = "\n".join(filter(None, (item.title, item.text)))
    query, passage, why, source = map(_shown, (item.query, passage, item.reason, item.source))
    return [query, passage, why, source, round(item.confidence, 3), "", "", "", "", item_id]


def _shown(text: str) -> str:
    """A text as a cell may hold it: shortened, without characters that XML forbids, never a formula."""
    clean = _NOT_IN_XML.sub(" ", text[: CELL_CHARACTERS - 1]) + ("…" if len(text) >= CELL_CHARACTERS else "")
    return f"'{clean}" if clean.startswith(_FORMULA_START) else clean


def _meant(cell: str) -> str:
    """The text of a cell, without the apostrophe that keeps it from being a formula."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA_START) else cell


def read_sheet(path: Path) -> Sheet:
    """The decisions of a .csv or .xlsx sheet, in its order; its columns may have been moved, its rows sorted.

    A decision counts as made when the file was last changed. Besides what `read_cells` understands, grades may have
    decimals, as 2.0 or 2,0.

    Raises:
        InputError: For a file that is no such sheet, and for a row, named, with an unknown decision, a changed id, a
            grade that does not fit, another decision than an earlier row about the same item, or another row's query.
    """
    _require_known(path)
    rows = read_cells(path)
    decided_at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
    header = [cell.strip().casefold() for cell in (rows[0] if rows else [])]
    _require_columns(path, header)
    numbered = [(number, _cells(header, row)) for number, row in enumerate(rows[1:], start=2)]
    asked = {number: _identity(path, number, cells) for number, cells in numbered if cells["id"]}
    _require_own_queries(path, numbered, asked)
    decided: dict[Identity, Decision] = {}
    for number, cells in numbered:
        if not cells["decision"] and not cells["grade"]:
            continue
        if number not in asked:
            raise _row_error(path, number, "a decision without an id", "copy the id of the exported row")
        decision = _decision(path, number, cells, asked[number], decided_at)
        earlier = decided.setdefault(decision.identity, decision)
        if (earlier.verdict, earlier.grade) != (decision.verdict, decision.grade):
            raise _row_error(path, number, "the same query and passage are decided differently in an earlier row")
    return Sheet(tuple(decided.values()), sum(not cells["decision"] for n, cells in numbered if n in asked))


def _cells(header: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    """The known cells of a row by column; what the row is too short for is empty."""
    found = {name: _meant(cell).strip() for name, cell in zip(header, row, strict=False) if name in COLUMNS}
    return {**dict.fromkeys(COLUMNS, ""), **found}


def _identity(path: Path, number: int, cells: Mapping[str, str]) -> Identity:
    try:
        return decode_id(cells["id"])
    except ValueError:
        hint = "copy the id from the exported sheet, or delete the row"
        raise _row_error(path, number, "the id was changed", hint) from None


def _decision(path: Path, number: int, cells: Mapping[str, str], identity: Identity, decided_at: str) -> Decision:
    word = re.sub(r"[\s_-]+", " ", cells["decision"]).strip().casefold()
    if word not in CHOICES:
        shown = f"the decision {cells['decision'][:80]!r}" if word else "a grade without a decision"
        raise _row_error(path, number, f"{shown} is not understood", f"write one of: {', '.join(CHOICES)}")
    try:
        return Decision(
            *identity, verdict=CHOICES[word], grade=_grade(cells["grade"]),  # type: ignore[arg-type]
            reviewer=cells["reviewer"], decided_at=decided_at, note=cells["note"],
        )  # fmt: skip
    except ValueError as error:
        raise _row_error(path, number, str(error)) from None


def _grade(cell: str) -> int | None:
    """A whole number, which a spreadsheet may have written as 2.0 or 2,0; None for an empty cell."""
    if not cell:
        return None
    match = re.fullmatch(r"([+-]?\d{1,6})(?:[.,]0*)?", cell, re.ASCII)
    if not match:
        raise ValueError(f"the grade must be a whole number, not {cell[:80]!r}")
    return int(match[1])


def _require_own_queries(
    path: Path, numbered: Sequence[tuple[int, Mapping[str, str]]], asked: Mapping[int, Identity]
) -> None:
    """Refuses a sheet whose columns were sorted without each other: its decisions would go to other queries."""
    own = {number: _meant(_shown(query)).strip() for number, (query, _) in asked.items()}
    all_queries = set(own.values())
    for number, cells in numbered:
        shown = cells["query"]
        if number in own and shown != own[number] and shown in all_queries:
            hint = "sort all columns together: take the exported sheet again"
            raise _row_error(path, number, "the query is another row's: columns were moved apart", hint)


def _require_known(path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: a review sheet must be a {' or '.join(SUFFIXES)} file")


def _require_columns(path: Path, header: Sequence[str]) -> None:
    for name in ("id", "decision"):
        if header.count(name) != 1:
            raise InputError(
                f"{path} has {header.count(name)} columns {name!r}, so it is no review sheet",
                f"the first row must name the columns: {', '.join(COLUMNS)}",
            )


def _row_error(path: Path, number: int, problem: str, hint: str = "") -> InputError:
    return InputError(f"{path}, row {number}: {problem}", hint)
