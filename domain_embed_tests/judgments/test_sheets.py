"""Review sheets: whatever a spreadsheet does to a file, decisions reach the item they were made about."""

import csv
import io
import os
import re
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from domain_embed.contracts.errors import InputError, StoreError
from domain_embed.contracts.tables import PASSAGES, UNDECIDED
from domain_embed.judgments.item_ids import decode_id, encode_id
from domain_embed.judgments.review import Decision, Item, Recorded, read_decisions
from domain_embed.judgments.sheets import (
    CELL_CHARACTERS,
    COLUMNS,
    ExportReport,
    ImportReport,
    Sheet,
    export_review,
    import_review,
    read_sheet,
    write_sheet,
)
from domain_embed.judgments.spreadsheets import cells_to_bytes
from domain_embed_tests.encoding.fakes import MemoryTable

TEA = Item("q1", "make tea", "p-tea", "Tea", "Boil water.", "low confidence", "clicks", 1, 0.25)
COFFEE = Item("q2", "make coffee", "p-coffee", "", "Grind beans.", "suspect label", "tickets", 1, 0.5)
EGG = Item("q3", "boil an egg", "p-egg", "Egg", "Six minutes.", "low confidence", "clicks", 1, 0.5)
ITEMS = [TEA, COFFEE, EGG]
SUFFIXES = pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
SAVED_AT = 1_767_225_600
SAVED_AT_ISO = "2026-01-01T00:00:00+00:00"

Rows = list[list[Any]]


def rows_of(path: Path) -> Rows:
    """The cells of a sheet, header first, as a spreadsheet shows them."""
    if path.suffix == ".xlsx":
        return [["" if value is None else value for value in row] for row in load_workbook(path).active.values]
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))


def save(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    """Saves cells as a spreadsheet does, at a known time."""
    if path.suffix == ".xlsx":
        book = Workbook()
        for number, row in enumerate(rows, start=1):
            for column, value in enumerate(row, start=1):
                cell = book.active.cell(number, column)
                cell.value = value
                if isinstance(value, str) and value:
                    cell.data_type = "s"
        book.save(path)
    else:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
    os.utime(path, (SAVED_AT, SAVED_AT))
    return path


def decide(path: Path, *answers: dict[str, Any]) -> Path:
    """Fills in cells of the first rows by column and saves."""
    rows = rows_of(path)
    for row, answer in zip(rows[1:], answers, strict=False):
        for column, value in answer.items():
            row[COLUMNS.index(column)] = value
    return save(path, rows)


def exported(folder: Path, suffix: str, items: Sequence[Item] = ITEMS) -> Path:
    path = folder / f"review{suffix}"
    write_sheet(path, items)
    return path


# --- out and in -----------------------------------------------------------------------------------------


@SUFFIXES
def test_a_sheet_shows_what_is_needed_to_decide(tmp_path: Path, suffix: str) -> None:
    rows = rows_of(exported(tmp_path, suffix))
    assert rows[0] == list(COLUMNS)
    assert [row[:4] for row in rows[1:]] == [
        ["make tea", "Tea\nBoil water.", "low confidence", "clicks"],
        ["make coffee", "Grind beans.", "suspect label", "tickets"],
        ["boil an egg", "Egg\nSix minutes.", "low confidence", "clicks"],
    ]
    assert [float(row[4]) for row in rows[1:]] == [0.25, 0.5, 0.5]
    assert {tuple(row[5:9]) for row in rows[1:]} == {("", "", "", "")}


@SUFFIXES
def test_decisions_come_back_and_what_is_empty_is_counted(tmp_path: Path, suffix: str) -> None:
    answers = {"decision": "relevant", "grade": 2, "note": "well said", "reviewer": "anna"}, {}, {"decision": "unsure"}
    path = decide(exported(tmp_path, suffix), *answers)
    assert read_sheet(path) == Sheet(
        decisions=(
            Decision("make tea", "p-tea", "relevant", 2, "anna", SAVED_AT_ISO, "well said"),
            Decision("boil an egg", "p-egg", "unsure", None, "", SAVED_AT_ISO, ""),
        ),
        undecided=1,
    )


@SUFFIXES
def test_a_fresh_sheet_decides_nothing(tmp_path: Path, suffix: str) -> None:
    assert read_sheet(exported(tmp_path, suffix)) == Sheet((), 3)
    assert read_sheet(exported(tmp_path, suffix, [])) == Sheet((), 0)


def test_a_workbook_offers_the_words_and_keeps_the_header_in_sight(tmp_path: Path) -> None:
    sheet = load_workbook(exported(tmp_path, ".xlsx"))["review"]
    [validation] = sheet.data_validations.dataValidation
    assert (str(validation.sqref), validation.formula1) == ("F2:F4", '"relevant,not relevant,unsure"')
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", "A1:J4")


@pytest.mark.parametrize("word", ["not relevant", "NOT RELEVANT", " not_relevant ", "not-relevant", "Not  relevant"])
def test_a_decision_may_be_written_in_several_ways(tmp_path: Path, word: str) -> None:
    path = decide(exported(tmp_path, ".csv"), {"decision": word})
    assert read_sheet(path).decisions[0].verdict == "not_relevant"


# --- what spreadsheets do -------------------------------------------------------------------------------


@SUFFIXES
def test_rows_may_be_sorted_and_deleted_columns_moved_and_added_and_texts_edited(tmp_path: Path, suffix: str) -> None:
    path = decide(
        exported(tmp_path, suffix), {"decision": "relevant"}, {"decision": "unsure"}, {"decision": "not relevant"}
    )
    header, tea, _, egg = rows_of(path)
    tea[0], tea[1] = "make  some TEA", ""
    moved = [[*reversed(row), extra] for row, extra in zip((header, egg, tea), ("mine", 1, ""), strict=True)]
    assert [(one.query, one.verdict) for one in read_sheet(save(path, moved)).decisions] == [
        ("boil an egg", "not_relevant"),
        ("make tea", "relevant"),
    ]


@SUFFIXES
def test_empty_rows_and_remarks_below_are_passed_over(tmp_path: Path, suffix: str) -> None:
    path = decide(exported(tmp_path, suffix), {"decision": "relevant"})
    rows = rows_of(path)
    save(path, [rows[0], [""] * 10, rows[1], [], ["as discussed on Monday"]])
    assert read_sheet(path) == Sheet((Decision("make tea", "p-tea", "relevant", decided_at=SAVED_AT_ISO),), 0)


@pytest.mark.parametrize("grade", ["2", "2.0", "2,0", "2.", "+2", 2, 2.0])
def test_a_whole_grade_may_be_written_with_decimals(tmp_path: Path, grade: Any) -> None:
    for suffix in (".csv", ".xlsx"):
        path = decide(exported(tmp_path, suffix), {"decision": "relevant", "grade": grade})
        assert read_sheet(path).decisions[0].grade == 2


def test_numbers_in_text_columns_are_read_as_they_were_typed(tmp_path: Path) -> None:
    path = decide(exported(tmp_path, ".xlsx"), {"decision": "relevant", "note": 4.0, "reviewer": 17})
    assert (read_sheet(path).decisions[0].note, read_sheet(path).decisions[0].reviewer) == ("4", "17")


def test_line_ends_that_excel_writes_its_own_way_are_line_ends(tmp_path: Path) -> None:
    path = decide(exported(tmp_path, ".xlsx"), {"decision": "relevant", "note": "one_x000D_\ntwo _x005F_x0041_"})
    assert read_sheet(path).decisions[0].note == "one\r\ntwo _x0041_"


@pytest.mark.parametrize("text", ["_x003D_1+1", "_x000D_", "_x005F_", "a_X0040_b", "_x005F_x000D_", "_x_", "_x00_"])
def test_a_text_that_looks_like_excels_own_way_stays_what_it_is(tmp_path: Path, text: str) -> None:
    path = exported(tmp_path, ".xlsx", [replace(TEA, query=text)])
    shown = load_workbook(path).active["A2"].value
    assert re.sub("_x([0-9A-Fa-f]{4})_", lambda match: chr(int(match[1], 16)), shown, flags=re.IGNORECASE) == text
    decide(path, {"decision": "relevant", "note": shown})
    assert read_sheet(path).decisions[0].note == text


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_csv_is_understood_as_excel_saves_it(tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = decide(exported(tmp_path, ".csv"), {"decision": "relevant", "note": "größer, schöner; besser"})
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows_of(path))
    path.write_bytes(text.getvalue().encode(encoding))
    [decision] = read_sheet(path).decisions
    assert (decision.query, decision.note) == ("make tea", "größer, schöner; besser")


def test_csv_starts_with_the_mark_that_tells_excel_its_encoding(tmp_path: Path) -> None:
    assert exported(tmp_path, ".csv").read_bytes().startswith(b"\xef\xbb\xbfquery,passage,")


DANGEROUS = ["=1+1", "+49 30", "-1", "@SUM(A1)", "＝1", "'=1", "'quoted'", "plain"]


@SUFFIXES
@pytest.mark.parametrize("text", DANGEROUS)
def test_no_cell_is_a_formula_and_none_is_changed_by_that(tmp_path: Path, suffix: str, text: str) -> None:
    item = replace(TEA, query=text, title=text, reason=text, source=text)
    path = exported(tmp_path, suffix, [item])
    [_, row] = rows_of(path)
    expected = text if text == "plain" else f"'{text}"
    assert (row[0], row[1], row[2], row[3]) == (expected, f"{expected}\nBoil water.", expected, expected)
    decide(path, {"decision": "relevant", "note": row[0]})
    [decision] = read_sheet(path).decisions
    assert (decision.query, decision.note) == (text, text.strip())
    if suffix == ".xlsx":
        assert load_workbook(path).active["A2"].data_type == "s"


ATTACKS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|'/C calc'!A0", "-2+3+cmd|' /C calc'!A0",
    '=HYPERLINK("http://e.example","x")', "＝1", "＋1+1", "－1+1", "＠SUM(A1)", "﹦1", "=1\n=2", "=", "@", "- item",
    "+49 30 1234", "-1-1", "+1|' /C calc'!A0", "-1 |x", "-\u0661",
]  # fmt: skip
BEFORE = [
    "",
    " ",
    "  ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    '"',
    '""',
    "'",
    "''",
    "\xa0",
    "\u3000",
    "\u200b",
    "\ufeff",
    "\xad",
    '" ',
    " '",
]
HIDDEN_IN = [
    "",
    "a;",
    "a; ",
    'a;"',
    "a,",
    "a, ",
    "a\t",
    "a\n",
    "a\r\n",
    "a|",
    "a;'",
    "a;;",
    ";",
    "a\n\n",
    "a;\t",
    "x,y;z\t",
]


def is_formula(cell: str) -> bool:
    """Whether some spreadsheet might take a cell for one: blanks and quotes before it do not count."""
    start = cell.lstrip('\t\r\n \xa0\u3000\u200b\ufeff\xad"')
    plain = re.fullmatch(r"[+-][0-9]+([.,][0-9]+)?\s*", start.rstrip('"'))
    return start.startswith(tuple("=+-@＝＋－＠﹦﹢﹣﹫")) and not plain


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_no_cell_is_a_formula_by_whatever_delimiter_a_sheet_is_cut(tmp_path: Path, attack: str, delimiter: str) -> None:
    texts = [place + before + attack for place in HIDDEN_IN for before in BEFORE]
    items = [Item("q", text, f"p{n}", text, text, text, text, 1, 0.5) for n, text in enumerate(texts)]
    content = exported(tmp_path, ".csv", items).read_bytes().decode("utf-8-sig")
    for row in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter):
        assert not [cell for cell in row if is_formula(cell)]


@SUFFIXES
@pytest.mark.parametrize("attack", ATTACKS)
def test_texts_come_back_as_they_were(tmp_path: Path, suffix: str, attack: str) -> None:
    texts = [place + before + attack for place in HIDDEN_IN for before in BEFORE]
    items = [Item("q", text, f"p{n}", "", text, "", "", 1, 0.5) for n, text in enumerate(texts)]
    path = exported(tmp_path, suffix, items)
    cells = [row[0] for row in rows_of(path)[1:]]
    decide(path, *({"decision": "relevant", "note": cell} for cell in cells))
    for text, found in zip(texts, read_sheet(path).decisions, strict=True):
        assert (found.query, found.note.replace("\r\n", "\n")) == (text, text.strip().replace("\r\n", "\n"))


@given(text=st.text(alphabet="=-+@1 ,;\t\n\"'a|", max_size=12))
@SUFFIXES
def test_any_text_is_no_formula_and_comes_back(tmp_path: Path, suffix: str, text: str) -> None:
    path = exported(tmp_path, suffix, [replace(TEA, query=f"{text}.", text=text), replace(EGG, query=text + "x")])
    if suffix == ".csv":
        for delimiter in ",;\t|":
            content = io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")
            assert not [cell for row in csv.reader(content, delimiter=delimiter) for cell in row if is_formula(cell)]
    decide(path, {"decision": "relevant", "note": rows_of(path)[1][0]})
    assert read_sheet(path).decisions[0].note == f"{text}.".strip()


@pytest.mark.parametrize("number", [-1, -0.5, -1e-7, 3.25])
@SUFFIXES
def test_numbers_stay_numbers(tmp_path: Path, suffix: str, number: float) -> None:
    (tmp_path / f"n{suffix}").write_bytes(cells_to_bytes(suffix, ["n", "t"], [[number, "a, -5; -7.5"]], {}))
    [_, (found, text)] = rows_of(tmp_path / f"n{suffix}")
    assert float(found) == number
    assert text == "a, -5; -7.5"
    assert suffix == ".csv" or isinstance(found, int | float)


def test_a_text_of_nothing_but_delimiters_takes_no_time(tmp_path: Path) -> None:
    for text in ("\n" * 15_000 + "x", ";=" * 7_000, "'" * 15_000 + "x", "; " * 7_000 + "-1" * 500):
        path = exported(tmp_path, ".csv", [replace(TEA, text=text)])
        assert read_sheet(path).undecided == 1


@SUFFIXES
def test_what_does_not_fit_into_a_cell_is_shortened(tmp_path: Path, suffix: str) -> None:
    long = replace(TEA, title="", text="\U0001f375" * 40_000)
    [_, row] = rows_of(exported(tmp_path, suffix, [long]))
    assert row[1] == "\U0001f375" * (CELL_CHARACTERS - 1) + "…"


def test_a_query_that_fits_into_no_cell_is_named(tmp_path: Path) -> None:
    query = " ".join(str(n**7) for n in range(10_000))
    with pytest.raises(InputError, match=r"review.csv: the query '0 1 128 .* is too long for a spreadsheet"):
        exported(tmp_path, ".csv", [replace(TEA, query=query)])
    assert not (tmp_path / "review.csv").exists()


TEXTS = st.text(max_size=30)


@given(query=st.text(min_size=1).filter(str.strip), passage_id=st.text(min_size=1), title=TEXTS, text=TEXTS, why=TEXTS)
@SUFFIXES
def test_any_item_survives_export_and_import(
    tmp_path: Path, suffix: str, query: str, passage_id: str, title: str, text: str, why: str
) -> None:
    item = Item("q", query, passage_id, title, text, why, why, 1, 0.5)
    path = exported(tmp_path, suffix, [item, TEA])
    decide(path, {"decision": "relevant"}, {"decision": "unsure"})
    found = read_sheet(path).decisions
    assert (found[0].query, found[0].passage_id, found[0].verdict) == (query, passage_id, "relevant")
    assert (found[1].query, found[1].passage_id, found[1].verdict) == ("make tea", "p-tea", "unsure")
    assert not any(str(cell).startswith(("=", "+", "-", "@")) for row in rows_of(path) for cell in row)


@given(query=st.text(), passage_id=st.text())
def test_an_id_names_its_item(query: str, passage_id: str) -> None:
    assert decode_id(encode_id(query, passage_id)) == (query, passage_id)


@given(position=st.integers(0, 100), character=st.sampled_from("aZ0_-=é "), cut=st.booleans())
def test_a_changed_id_is_noticed_or_means_the_same(position: int, character: str, cut: bool) -> None:
    good = encode_id("make tea", "p-tea")
    place = position % len(good)
    changed = good[:place] if cut else good[:place] + character + good[place + 1 :]
    with suppress(ValueError):
        assert decode_id(changed) == ("make tea", "p-tea")


# --- what is refused ------------------------------------------------------------------------------------


def swap_queries(rows: Rows) -> None:
    rows[1][0], rows[2][0] = rows[2][0], rows[1][0]


def set_cell(column: str, value: Any, row: int = 2) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows[row - 1][COLUMNS.index(column)] = value

    return change


def repeat_with(column: str, value: Any) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        rows.append(list(rows[1]))
        rows[-1][COLUMNS.index(column)] = value

    return change


def in_turn(*changes: Callable[[Rows], None]) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        for one in changes:
            one(rows)

    return change


@SUFFIXES
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            set_cell("decision", "yes"),
            "row 2: the decision 'yes' is not understood\n  → write one of: relevant",
        ),
        (set_cell("decision", "maybe", row=4), "row 4: the decision 'maybe' is not understood"),
        (set_cell("id", "eNo1", row=3), "row 3: the id was changed"),
        (set_cell("id", "p-tea"), "row 2: the id was changed"),
        (set_cell("id", 12.5), "row 2: the id was changed"),
        (set_cell("id", ""), "row 2: a decision without an id"),
        (set_cell("grade", "high"), "row 2: the grade must be a whole number, not 'high'"),
        (set_cell("grade", "1.5"), "row 2: the grade must be a whole number, not '1.5'"),
        (set_cell("grade", 0), "row 2: grade 0 contradicts the verdict 'relevant'"),
        (set_cell("grade", 1, row=3), "row 3: a grade without a decision is not understood"),
        (repeat_with("decision", "unsure"), "row 5: the same query and passage are decided differently"),
        (in_turn(swap_queries), "row 2: the query is another row's: columns were moved apart"),
        (lambda rows: rows[0].__setitem__(9, "ident"), " has 0 columns 'id', so it is no review sheet"),
        (lambda rows: rows[0].__setitem__(8, "Decision"), " has 2 columns 'decision', so it is no review sheet"),
        (lambda rows: rows.clear(), " has 0 columns 'id', so it is no review sheet"),
    ],
)
def test_a_sheet_that_cannot_be_used_is_named_and_nothing_of_it_is_recorded(
    tmp_path: Path, suffix: str, change: Callable[[Rows], None], problem: str
) -> None:
    path = decide(exported(tmp_path, suffix), {"decision": "relevant"})
    rows = rows_of(path)
    change(rows)
    save(path, rows)
    with pytest.raises(InputError) as caught:
        import_review(path, tmp_path / "decisions.jsonl")
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)
    assert not (tmp_path / "decisions.jsonl").exists()


def test_a_row_may_be_repeated_with_the_same_decision(tmp_path: Path) -> None:
    path = decide(exported(tmp_path, ".csv"), {"decision": "relevant"})
    rows = rows_of(path)
    assert len(read_sheet(save(path, [*rows, rows[1]])).decisions) == 1


@pytest.mark.parametrize("name", ["review.xls", "review.ods", "review"])
def test_other_kinds_of_file_are_refused(tmp_path: Path, name: str) -> None:
    for use in (lambda: read_sheet(tmp_path / name), lambda: write_sheet(tmp_path / name, ITEMS)):
        with pytest.raises(InputError, match=r"a review sheet must be a .csv or .xlsx file"):
            use()


@SUFFIXES
def test_a_missing_sheet_is_named(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match=rf"none{suffix} cannot be read: No such file"):
        read_sheet(tmp_path / f"none{suffix}")


@SUFFIXES
def test_a_sheet_that_cannot_be_written_is_named(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(StoreError, match=rf"review{suffix} cannot be written"):
        exported(tmp_path / "no folder", suffix)


# --- export and import of a domain ----------------------------------------------------------------------


@pytest.fixture
def undecided() -> MemoryTable:
    rows = [{name: getattr(item, name) for name in UNDECIDED.names} for item in ITEMS]
    return MemoryTable(pa.Table.from_pylist(rows, schema=UNDECIDED))


@pytest.fixture
def passages() -> MemoryTable:
    rows = [
        {
            "passage_id": item.passage_id, "doc_id": item.passage_id, "title": item.title, "text": item.text,
            "metadata": "{}", "content_hash": "", "heading": "", "start": 0, "end": 0,
        }
        for item in ITEMS
    ]  # fmt: skip
    return MemoryTable(pa.Table.from_pylist(rows, schema=PASSAGES))


@SUFFIXES
def test_from_export_over_import_to_the_next_export(
    tmp_path: Path, undecided: MemoryTable, passages: MemoryTable, suffix: str
) -> None:
    sheet, decisions = tmp_path / f"review{suffix}", tmp_path / "decisions.jsonl"
    assert export_review(sheet, [undecided], passages, decisions, limit=2) == ExportReport(sheet, 2)
    assert [row[0] for row in rows_of(sheet)[1:]] == ["make coffee", "make tea"]  # the suspect label first
    decide(sheet, {"decision": "not relevant", "reviewer": "bert"}, {"decision": "relevant"})
    assert import_review(sheet, decisions, "anna") == ImportReport(sheet, Recorded(new=2, changed=0, known=0), 0)
    assert {one.query: one.reviewer for one in read_decisions(decisions)} == {"make coffee": "bert", "make tea": "anna"}
    assert export_review(sheet, [undecided], passages, decisions) == ExportReport(sheet, 1)
    assert [row[0] for row in rows_of(sheet)[1:]] == ["boil an egg"]


@SUFFIXES
def test_importing_again_changes_nothing(tmp_path: Path, suffix: str) -> None:
    sheet, decisions = exported(tmp_path, suffix), tmp_path / "decisions.jsonl"
    decide(sheet, {"decision": "relevant"}, {"decision": "unsure"})
    import_review(sheet, decisions)
    content = decisions.read_bytes()
    assert import_review(sheet, decisions, "anna") == ImportReport(sheet, Recorded(new=0, changed=0, known=2), 1)
    assert decisions.read_bytes() == content


@SUFFIXES
def test_a_sheet_with_decisions_that_were_not_imported_is_not_replaced(
    tmp_path: Path, undecided: MemoryTable, passages: MemoryTable, suffix: str
) -> None:
    sheet, decisions = exported(tmp_path, suffix), tmp_path / "decisions.jsonl"
    decide(sheet, {"decision": "relevant"})
    content = sheet.read_bytes()
    with pytest.raises(
        InputError, match=rf"review{suffix} holds decisions that were not imported .1., the first about 'make tea'"
    ):
        export_review(sheet, [undecided], passages, decisions)
    assert sheet.read_bytes() == content
    import_review(sheet, decisions, "anna")
    assert export_review(sheet, [undecided], passages, decisions) == ExportReport(sheet, 2)
    decide(sheet, {"decision": "relevant", "note": "on second thought"})
    with pytest.raises(InputError, match="were not imported"):
        export_review(sheet, [undecided], passages, decisions)


@SUFFIXES
def test_a_file_that_is_no_review_sheet_is_not_replaced(
    tmp_path: Path, undecided: MemoryTable, passages: MemoryTable, suffix: str
) -> None:
    sheet = save(tmp_path / f"accounts{suffix}", [["month", "sum"], ["May", 12]])
    with pytest.raises(InputError, match="so it is no review sheet"):
        export_review(sheet, [undecided], passages, tmp_path / "decisions.jsonl")
    assert rows_of(sheet)[0] == ["month", "sum"]


def test_without_anything_to_review_no_sheet_is_written(tmp_path: Path, passages: MemoryTable) -> None:
    nothing = MemoryTable(UNDECIDED.empty_table())
    assert export_review(tmp_path / "r.xlsx", [nothing], passages, tmp_path / "d.jsonl").items == 0
    assert not (tmp_path / "r.xlsx").exists()


# --- nothing else comes out -----------------------------------------------------------------------------


def only_input_errors(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        read_sheet(path)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017


@given(content=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".xlsx"]), zipped=st.booleans())
def test_no_bytes_raise_anything_but_input_errors(tmp_path: Path, content: bytes, suffix: str, zipped: bool) -> None:
    only_input_errors(tmp_path / f"any{suffix}", b"PK\x03\x04" + content if zipped else content)


@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3)), min_size=1, max_size=6))
@SUFFIXES
def test_no_damaged_sheet_raises_anything_but_input_errors(
    tmp_path: Path, suffix: str, changes: list[tuple[int, bytes]]
) -> None:
    content = decide(
        exported(tmp_path, suffix), {"decision": "relevant", "grade": 2}, {"decision": "unsure"}
    ).read_bytes()
    for position, replacement in changes:
        place = position % len(content)
        content = content[:place] + replacement + content[place + 1 :]
    only_input_errors(tmp_path / f"damaged{suffix}", content)


XML_BITS = st.sampled_from([
    b"<", b">", b"</row>", b"<row>", b'<c r="A0">', b'r="ZZZZ9"', b't="s"', b't="d"', b't="e"', b"<v>9999</v>",
    b"<v>x</v>", b"<f>1+1</f>", b"&bad;", b'"', b'<row r="0">', b'<row r="x">', b"", b't="b"',
    b't="inlineStr"', b'ref="A1:"',
])  # fmt: skip


@given(
    part=st.integers(0, 20),
    position=st.integers(0, 10**6),
    length=st.integers(0, 8),
    bit=XML_BITS | st.binary(max_size=3),
)
def test_no_damaged_part_of_a_workbook_raises_anything_but_input_errors(
    tmp_path: Path, part: int, position: int, length: int, bit: bytes
) -> None:
    path = decide(exported(tmp_path, ".xlsx"), {"decision": "relevant", "grade": 2})
    damaged = io.BytesIO()
    with zipfile.ZipFile(path) as good, zipfile.ZipFile(damaged, "w") as bad:
        names = good.namelist()
        for name in names:
            content = good.read(name)
            if name == names[part % len(names)]:
                place = position % len(content)
                content = content[:place] + bit + content[place + length :]
            bad.writestr(name, content)
    only_input_errors(tmp_path / "damaged.xlsx", damaged.getvalue())
