"""Review by spreadsheet: items out to .csv or .xlsx, decisions in again, whatever Excel did in between."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from domain_embed.contracts.errors import InputError, excerpt
from domain_embed.contracts.ports import TableReader
from domain_embed.files import keep_file, replace_file
from domain_embed.judgments.asked import Identity, hashed, read_asked
from domain_embed.judgments.item_ids import decode_id, encode_id
from domain_embed.judgments.review import (
    Decision,
    Decisions,
    Item,
    Recorded,
    note_asked,
    read_decisions,
    record_decisions,
    review_items,
    unasked,
)
from domain_embed.judgments.spreadsheets import SUFFIXES, cells_to_bytes, read_cells

COLUMNS = ("query", "passage", "why", "source", "confidence", "decision", "grade", "note", "reviewer", "id")
CHOICES = {"relevant": "relevant", "not relevant": "not_relevant", "unsure": "unsure"}
"""The words of the decision column, and the verdicts they stand for."""
CELL_CHARACTERS = 16_000
"""Excel takes 32,767 UTF-16 units in a cell, of which a character may need two."""
ID_CHARACTERS = 32_000
"""An id is ASCII."""

_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Sheet:
    """What a sheet says: its decisions, the rows they stand in, and how many of its items are still without one."""

    decisions: tuple[Decision, ...]
    undecided: int
    rows: tuple[int, ...] = field(default=(), compare=False)


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
    sheet: Path, undecided: Iterable[TableReader], passages: TableReader, decisions_file: Path,
    limit: int | None = 1000, *, notice: str = "",
) -> ExportReport:  # fmt: skip
    """Writes the most urgent items without a decision to a sheet; an older sheet is replaced.

    With a `notice` about who may read it, that heads a column of its own, and the file is its owner's alone.

    Raises:
        InputError: When the sheet to replace holds decisions that were not imported, or is no review sheet.
        StoreError: When it cannot be written.
    """
    decisions = read_decisions(decisions_file)
    if sheet.exists():
        _require_imported(sheet, decisions)
    items = list(review_items(undecided, passages, decisions, limit))
    if items:
        note_asked(decisions_file, [(item.query, item.passage_id) for item in items])
        write_sheet(sheet, items, notice)
    return ExportReport(sheet, len(items))


def import_review(
    sheet: Path, decisions_file: Path, reviewer: str = "", *, undecided: Iterable[TableReader] | None = None
) -> ImportReport:
    """Records the decisions of a sheet, all of them or none; `reviewer` is who made those that do not say.

    The same sheet again changes nothing. Ids can be made by anybody: a decision counts where its query and passage were
    handed out by `export_review`, were decided before, or wait in `undecided`, the UNDECIDED tables of the domain.
    Where neither these nor what was handed out is known, every decision counts.

    Raises InputError as `read_sheet` and `read_decisions` do, and for a decision about anything else.
    """
    content = read_sheet(sheet)
    _require_asked(sheet, content, decisions_file, undecided)
    signed = [replace(decision, reviewer=decision.reviewer or reviewer) for decision in content.decisions]
    return ImportReport(sheet, record_decisions(decisions_file, signed), content.undecided)


def _require_asked(sheet: Path, content: Sheet, decisions_file: Path, undecided: Iterable[TableReader] | None) -> None:
    """Raises InputError for the first decision about a pair nobody was asked about; notes what is not known yet."""
    asked = read_asked(decisions_file)
    if asked is None and undecided is None:
        return
    decided = (decision.identity for decision in read_decisions(decisions_file))
    known = (asked or frozenset()) | {hashed(pair) for pair in (*decided, *_waiting(undecided or ()))}
    for number, decision in zip(content.rows, content.decisions, strict=True):
        if hashed(decision.identity) not in known:
            hint = "delete the row, or take the sheet that was exported for this domain: an id holds what it is about"
            raise _row_error(sheet, number, unasked(decision), hint)
    if content.decisions:
        note_asked(decisions_file, [decision.identity for decision in content.decisions])


def _waiting(undecided: Iterable[TableReader]) -> Iterator[Identity]:
    for reader in undecided:
        columns = reader.read(["query", "passage_id"]).to_pydict()
        yield from zip(columns["query"], columns["passage_id"], strict=True)


def _require_imported(sheet: Path, decisions: Decisions) -> None:
    waiting = [found for found in read_sheet(sheet).decisions if decisions.outcome(found) != "known"]
    if waiting:
        raise InputError(
            f"{sheet} holds decisions that were not imported ({len(waiting)}), "
            f"the first about {excerpt(repr(waiting[0].query[:80]))}",
            "take it in with `domain-embed review NAME SHEET --import`, or export to another file",
        )


def write_sheet(path: Path, items: Iterable[Item], notice: str = "") -> int:
    """Replaces a .csv or .xlsx file by one row for each item, to be decided; returns their number.

    No cell is a formula, whatever its text and by whatever delimiter a .csv is read.

    Raises:
        InputError: For another suffix, or a query too long for a cell.
        StoreError: When the file cannot be written.
    """
    _require_known(path)
    rows = [_row(item, path) for item in items]
    header = (*COLUMNS, notice) if notice else COLUMNS
    write = keep_file if notice else replace_file
    write(path, cells_to_bytes(path.suffix, header, rows, {"decision": tuple(CHOICES)}))
    return len(rows)


def _row(item: Item, path: Path) -> list[str | float]:
    item_id = encode_id(item.query, item.passage_id)
    if len(item_id) > ID_CHARACTERS:
        raise InputError(
            f"{path}: the query {excerpt(repr(item.query[:80]))} is too long for a spreadsheet "
            f"({len(item.query)} characters)",
            "shorten it where it comes from",
        )
    passage = "\n".join(filter(None, (item.title, item.text)))
    query, passage, why, source = map(_shown, (item.query, passage, item.reason, item.source))
    return [query, passage, why, source, round(item.confidence, 3), "", "", "", "", item_id]


def _shown(text: str) -> str:
    """A text as a cell may hold it: shortened, without characters that XML forbids."""
    return _NOT_IN_XML.sub(" ", text[: CELL_CHARACTERS - 1]) + ("…" if len(text) >= CELL_CHARACTERS else "")


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
    decided: dict[Identity, tuple[int, Decision]] = {}
    for number, cells in numbered:
        if not cells["decision"] and not cells["grade"]:
            continue
        if number not in asked:
            raise _row_error(path, number, "a decision without an id", "copy the id of the exported row")
        decision = _decision(path, number, cells, asked[number], decided_at)
        _, earlier = decided.setdefault(decision.identity, (number, decision))
        if (earlier.verdict, earlier.grade) != (decision.verdict, decision.grade):
            raise _row_error(path, number, "the same query and passage are decided differently in an earlier row")
    return Sheet(
        tuple(decision for _, decision in decided.values()),
        sum(not cells["decision"] for n, cells in numbered if n in asked),
        tuple(number for number, _ in decided.values()),
    )


def _cells(header: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    """The known cells of a row by column; what the row is too short for is empty."""
    found = {name: cell.strip() for name, cell in zip(header, row, strict=False) if name in COLUMNS}
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
        shown = f"the decision {excerpt(repr(cells['decision'][:80]))}" if word else "a grade without a decision"
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
        raise ValueError(f"the grade must be a whole number, not {excerpt(repr(cell[:80]))}")
    return int(match[1])


def _require_own_queries(
    path: Path, numbered: Sequence[tuple[int, Mapping[str, str]]], asked: Mapping[int, Identity]
) -> None:
    """Refuses a sheet whose columns were sorted without each other: its decisions would go to other queries."""
    own = {number: _shown(query).strip() for number, (query, _) in asked.items()}
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
