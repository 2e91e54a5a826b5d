"""Looks at a test set on a finished domain: counted once for each challenger, told, and spent."""

import pytest

from domain_embed.defs.overview import domain_statuses
from domain_embed.defs.runs import open_instance
from domain_embed.evaluation.evidence import Evidence
from domain_embed.promotion.looks import Look, LookLedger, levels, query_hashes
from domain_embed_tests.whole import DOMAIN, Whole


def evidence(whole: Whole) -> Evidence:
    return Evidence.from_json(whole.workspace.latest_report()["evidence"])


def earlier(whole: Whole, count: int) -> None:
    """Other challengers were judged on today's test queries."""
    ledger, asked = LookLedger(whole.workspace.looks), query_hashes(whole.workspace.judged("test")[0])
    for number in range(count):
        ledger.look(f"challenger-{number}", "settings", asked, 20, "2026-01-01T00:00:00+00:00")


def warnings(whole: Whole) -> tuple[str, ...]:
    with open_instance(whole.environment) as instance:
        return domain_statuses(instance, whole.environment, [DOMAIN])[0].warnings


def test_one_challenger_is_one_look_however_often_it_is_judged(whole: Whole) -> None:
    (look,) = LookLedger(whole.workspace.looks).read()
    found = evidence(whole)
    assert found.look is not None
    assert (found.look.number, found.look.planned, found.look.fresh) == (1, 20, 0)
    assert (look.challenger, look.level) == (found.challenger_fingerprint, levels(20)[0])
    assert all(text not in whole.workspace.looks.read_text() for text in whole.workspace.judged("test")[0].values())
    whole.run(("eval_report",), force=True)
    assert LookLedger(whole.workspace.looks).read() == [look]
    assert warnings(whole) == ()


def test_a_test_set_that_has_decided_often_is_told_and_spent_in_the_end(whole: Whole) -> None:
    earlier(whole, 15)  # one look was the fixture's own
    assert any("16 challengers of 20" in warning for warning in warnings(whole))
    earlier(whole, 19)
    whole.edit("promotion", min_gain=0.001)  # judged anew
    whole.run()
    look = evidence(whole).look
    assert look is not None
    assert (look.number, look.level) == (21, None)
    verdict = whole.workspace.latest_report()["verdict"]
    assert not verdict["promote"]
    assert any("20 challengers before" in reason for reason in verdict["reasons"])


def test_without_a_number_of_looks_none_is_counted(whole: Whole) -> None:
    whole.edit("promotion", looks=None)
    whole.run()
    assert evidence(whole).look is None
    assert len(LookLedger(whole.workspace.looks).read()) == 1


def test_a_ledger_without_a_whole_last_line_is_read(whole: Whole) -> None:
    path = whole.workspace.looks
    path.write_text(path.read_text(encoding="utf-8") + '{"challenger": "cut o', encoding="utf-8")
    assert [type(look) for look in LookLedger(path).read()] == [Look]


@pytest.mark.parametrize("planned", [1, 2, 20])
def test_the_levels_are_the_budget_of_one_interval(planned: int) -> None:
    assert sum(levels(planned)) == pytest.approx(0.025)
