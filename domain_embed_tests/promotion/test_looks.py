"""A test set's looks are counted, and what each may risk is spent from one budget."""

from pathlib import Path

import pytest

from domain_embed.promotion.looks import BUDGET, LookLedger, age, level, levels, query_hashes

OLD = query_hashes({f"q{n}": f"question {n}" for n in range(40)})
FRESH = query_hashes({f"n{n}": f"new question {n}" for n in range(40)})


@pytest.mark.parametrize("planned", [1, 2, 20])
def test_the_levels_add_up_to_the_budget(planned: int) -> None:
    assert len(levels(planned)) == planned
    assert sum(levels(planned)) == pytest.approx(BUDGET)


def test_the_same_challenger_again_spends_nothing_and_another_does(tmp_path: Path) -> None:
    ledger = LookLedger(tmp_path / "looks.jsonl")
    first = ledger.look("a", "s", OLD, 20, "monday")
    assert ledger.look("a", "s", OLD, 20, "tuesday") == first
    second = ledger.look("b", "s", OLD, 20, "tuesday")
    assert (first.level, second.level) == (pytest.approx(0.0125), pytest.approx(0.0125 / 19))
    assert LookLedger(tmp_path / "looks.jsonl").read() == [first, second]


def test_twenty_looks_are_judged_and_the_next_is_not_until_there_are_fresh_queries(tmp_path: Path) -> None:
    ledger = LookLedger(tmp_path / "looks.jsonl")
    spent = [ledger.look(f"m{n}", "s", OLD, 20, "").level for n in range(21)]
    assert [one is None for one in spent] == [False] * 20 + [True]
    assert age(ledger.read(), OLD) == 21
    assert age(ledger.read(), OLD + FRESH) == 10.5
    assert level(ledger.read(), OLD + FRESH, 20) == pytest.approx(0.0125 / 19)
    assert level(ledger.read(), FRESH, 20) == pytest.approx(0.0125)


def test_a_line_that_was_cut_off_is_no_look(tmp_path: Path) -> None:
    path = tmp_path / "looks.jsonl"
    first = LookLedger(path).look("a", "s", OLD, 20, "")
    path.write_text(path.read_text() + '{"challenger": "b", "sett')
    assert LookLedger(path).read() == [first]
