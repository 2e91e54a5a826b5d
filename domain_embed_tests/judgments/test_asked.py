"""Decisions count where somebody was asked; what was decided before anybody kept count goes on to hold."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from domain_embed.cli import app
from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import UNDECIDED
from domain_embed.judgments.asked import HEADER, asked_file, hashed, read_asked
from domain_embed.judgments.item_ids import encode_id
from domain_embed.judgments.review import Decision, note_asked, read_decisions, record_decisions
from domain_embed.judgments.sheets import COLUMNS, export_review, import_review
from domain_embed.settings import Environment
from domain_embed.stores.workspace import Workspace
from domain_embed_tests.encoding.fakes import MemoryTable
from domain_embed_tests.judgments.test_sheets import SUFFIXES, decide, rows_of, save
from domain_embed_tests.scenario import passages_table, write_domain

ASKED = [("who do I wake up", "page-duty"), ("is this a severity one", "severity"), ("CrashLoopBackOff", "pod-crash")]
UNASKED = [
    ("who do I wake up", "severity"),  # the query with another's passage
    ("drain a node", "page-duty"),  # the passage for another query
    ("who do I wake up", "no-such-passage"),
    ("something else", "else"),
    ("who do I wake up ?", "page-duty"),
    ("who do I wake up", "PAGE-DUTY"),
    ("who do I wake up\x00page", "duty"),
    ("[bold]\x1b[2J", "page-duty"),
    ("", "page-duty"),
    ("=1+1", "page-duty"),
]


def waiting(pairs: Sequence[tuple[str, str]] = ASKED) -> MemoryTable:
    rows = [
        {"query_id": f"q{n}", "query": query, "passage_id": passage_id, "grade": 1, "source": "clicks",
         "confidence": 0.5, "reason": "which passage is meant"}
        for n, (query, passage_id) in enumerate(pairs)
    ]  # fmt: skip
    return MemoryTable(pa.Table.from_pylist(rows, schema=UNDECIDED))


PASSAGES = MemoryTable(passages_table())


@pytest.fixture
def decisions(tmp_path: Path) -> Path:
    return tmp_path / "decisions.jsonl"


def forged(path: Path, pairs: Sequence[tuple[str, str]]) -> Path:
    """A sheet that somebody made by hand: ids are made of nothing secret."""
    cells = [["", "", "", "", 1, "relevant", "", "", "eve", encode_id(query, passage)] for query, passage in pairs]
    return save(path, [list(COLUMNS), *cells])


@SUFFIXES
@pytest.mark.parametrize("pair", UNASKED)
def test_a_sheet_cannot_decide_what_nobody_was_asked(
    tmp_path: Path, decisions: Path, suffix: str, pair: tuple[str, str]
) -> None:
    sheet = tmp_path / f"review{suffix}"
    export_review(sheet, [waiting()], PASSAGES, decisions)
    decide(sheet, {"decision": "relevant"})
    rows = rows_of(sheet)
    [[_, row]] = [rows_of(forged(tmp_path / f"forged{suffix}", [pair]))]
    save(sheet, [*rows, row])
    with pytest.raises(InputError) as caught:
        import_review(sheet, decisions, undecided=[waiting()])
    assert str(caught.value).startswith(f"{sheet}, row 5: ")
    if pair[0]:
        assert "nobody was asked whether passage" in str(caught.value)
        assert repr(pair[1]) in str(caught.value)
        assert repr(pair[0]) in str(caught.value)
    assert not decisions.exists()


@SUFFIXES
def test_what_was_handed_out_can_be_decided_though_it_waits_no_longer(
    tmp_path: Path, decisions: Path, suffix: str
) -> None:
    sheet = tmp_path / f"review{suffix}"
    export_review(sheet, [waiting()], PASSAGES, decisions)
    decide(sheet, {"decision": "relevant"}, {"decision": "unsure"}, {"decision": "not relevant"})
    assert import_review(sheet, decisions, undecided=[waiting([])]).recorded.new == 3
    assert {one.identity for one in read_decisions(decisions)} == {(q.casefold(), p) for q, p in ASKED}


@SUFFIXES
def test_a_sheet_of_an_older_version_counts_where_its_pairs_still_wait(
    tmp_path: Path, decisions: Path, suffix: str
) -> None:
    sheet = forged(tmp_path / f"old{suffix}", ASKED[:2])
    assert import_review(sheet, decisions, undecided=[waiting(), waiting([])]).recorded.new == 2
    assert len(read_asked(decisions) or ()) == 2
    assert import_review(sheet, decisions, undecided=[]).recorded.known == 2


def test_a_sheet_of_another_domain_is_refused(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "a" / "decisions.jsonl", tmp_path / "b" / "decisions.jsonl"
    sheet = tmp_path / "review.csv"
    export_review(tmp_path / "ours.csv", [waiting(ASKED[:1])], PASSAGES, ours)
    export_review(sheet, [waiting(ASKED[1:])], PASSAGES, theirs)
    decide(sheet, {"decision": "relevant"})
    with pytest.raises(InputError, match=r"row 2: nobody was asked whether passage 'pod-crash' answers"):
        import_review(sheet, ours, undecided=[waiting(ASKED[:1])])
    assert not ours.exists()


@SUFFIXES
def test_a_decision_made_twice_is_one(tmp_path: Path, decisions: Path, suffix: str) -> None:
    sheet = forged(tmp_path / f"twice{suffix}", [ASKED[0], ASKED[0]])
    assert import_review(sheet, decisions, undecided=[waiting()]).recorded.new == 1
    again = import_review(sheet, decisions, undecided=[waiting([])]).recorded
    assert (again.new, again.changed, again.known) == (0, 0, 1)


def line_of(pair: tuple[str, str]) -> str:
    return json.dumps({"query": pair[0], "passage_id": pair[1], "verdict": "relevant"}) + "\n"


@pytest.mark.parametrize("pair", [pair for pair in UNASKED if pair[0]])
def test_a_line_about_what_nobody_was_asked_is_named(decisions: Path, pair: tuple[str, str]) -> None:
    note_asked(decisions, ASKED)
    decisions.write_text(line_of(ASKED[0]) + "\n" + line_of(pair), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_decisions(decisions)
    assert str(caught.value).startswith(f"{decisions}, line 3: nobody was asked whether passage {pair[1]!r}")
    assert "judgments.sources" in str(caught.value)


def test_nothing_is_recorded_that_could_not_be_read_again(decisions: Path) -> None:
    note_asked(decisions, [ASKED[0]])
    with pytest.raises(InputError, match="nobody was asked whether passage 'else'"):
        record_decisions(decisions, [Decision(*ASKED[0], "relevant"), Decision("something", "else", "relevant")])
    assert not decisions.exists()


def test_decisions_from_before_anybody_kept_count_go_on_to_hold(tmp_path: Path, decisions: Path) -> None:
    old = [("an old question", "page-duty"), ("another one", "gone-long-since")]
    decisions.write_text("".join(map(line_of, old)), encoding="utf-8")
    assert len(read_decisions(decisions)) == 2
    export_review(tmp_path / "review.csv", [waiting()], PASSAGES, decisions)
    assert read_asked(decisions) == {hashed(pair) for pair in [*old, *ASKED]}
    assert len(read_decisions(decisions)) == 2
    decide(tmp_path / "review.csv", {"decision": "relevant"})
    assert import_review(tmp_path / "review.csv", decisions, undecided=[]).recorded.new == 1
    assert len(read_decisions(decisions)) == 3


def test_questions_add_up_and_tell_nothing_of_the_texts(tmp_path: Path, decisions: Path) -> None:
    for number, pair in enumerate(ASKED):
        export_review(tmp_path / f"{number}.csv", [waiting([pair])], PASSAGES, decisions)
    lines = asked_file(decisions).read_text(encoding="utf-8").splitlines()
    assert lines[0] == HEADER
    assert lines[1:] == sorted(hashed(pair) for pair in ASKED)
    assert asked_file(decisions).name == "decisions.asked"


def test_without_a_question_nothing_is_kept(tmp_path: Path, decisions: Path) -> None:
    export_review(tmp_path / "review.csv", [waiting([])], PASSAGES, decisions)
    assert not asked_file(decisions).exists()


@pytest.mark.parametrize("line", ["", "abc", "0" * 31, "0" * 33, "G" * 32, " " + "0" * 32, "\x1b[2J"])
def test_a_damaged_line_is_named(decisions: Path, line: str) -> None:
    asked_file(decisions).write_text(f"{HEADER}\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"decisions\.asked, line 2: this is no pair"):
        read_asked(decisions)


def test_what_editors_add_to_the_file_is_no_line_of_it(tmp_path: Path, decisions: Path) -> None:
    export_review(tmp_path / "review.csv", [waiting()], PASSAGES, decisions)
    content, before = asked_file(decisions).read_bytes(), read_asked(decisions)
    for edited in (b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r\n")):
        asked_file(decisions).write_bytes(edited)
        assert read_asked(decisions) == before


def test_the_command_refuses_a_forged_sheet_and_takes_the_real_one(tmp_path: Path) -> None:
    write_domain(tmp_path / "home" / "runbooks")
    workspace = Workspace(Environment(home=tmp_path / "home"), "runbooks")
    for name in ("undecided", "review_queue"):
        workspace.tables.write_table(name, waiting(ASKED if name == "undecided" else []).read())
    workspace.tables.write_table("passages", passages_table())
    variables = {"DOMAIN_EMBED_HOME": str(tmp_path / "home")}
    sheet = tmp_path / "sheet.csv"
    made = CliRunner().invoke(app, ["review", "runbooks", str(sheet)], env=variables)
    assert made.exit_code == 0, made.output
    forged(tmp_path / "forged.csv", UNASKED[:1])
    refused = CliRunner().invoke(app, ["review", "runbooks", str(tmp_path / "forged.csv"), "--import"], env=variables)
    assert isinstance(refused.exception, InputError)
    assert not (workspace.folder / "decisions.jsonl").exists()
    decide(sheet, {"decision": "relevant"})
    taken = CliRunner().invoke(app, ["review", "runbooks", str(sheet), "--import", "--json"], env=variables)
    assert json.loads(taken.output)["new"] == 1
