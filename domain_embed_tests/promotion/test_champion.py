"""What is live: every move of the alias, and every reason not to move it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from domain_embed.contracts.errors import PromotionRefusedError, StoreError
from domain_embed.contracts.records import CollectionInfo, Served, Verdict
from domain_embed.promotion.champion import Move, PromotionLog, promote, roll_back, rollback_target, settle

YES = Verdict(True, ("tuned/dense is better by +0.100.",))
NO = Verdict(False, ("tuned/dense is not better.",))
LIVE = "live"


def info(name: str, fingerprint: str, passages: str = "p1") -> CollectionInfo:
    return CollectionInfo(name, fingerprint, fingerprint, 3, passages, 1, "english", {}, "2026-01-01T00:00:00+00:00")


BASE, FIRST, SECOND = info("base-p1", "base"), info("first-p1", "first"), info("second-p1", "second")
BASE_2, FIRST_2 = info("base-p2", "base", "p2"), info("first-p2", "first", "p2")


class AliasStore:
    """The part of a vector store that promotion uses."""

    def __init__(self, *infos: CollectionInfo) -> None:
        self._infos = list(infos)
        self.live: str | None = None

    def collections(self) -> list[CollectionInfo]:
        return self._infos

    def alias(self, alias: str) -> str | None:
        assert alias == LIVE
        return self.live

    def set_alias(self, alias: str, name: str) -> None:
        assert alias == LIVE
        assert name in {one.name for one in self._infos}
        self.live = name


@pytest.fixture
def store() -> AliasStore:
    return AliasStore(BASE, FIRST, SECOND, BASE_2, FIRST_2)


@pytest.fixture
def log(tmp_path: Path) -> PromotionLog:
    return PromotionLog(tmp_path / "promotions.jsonl")


def decide(
    store: AliasStore, log: PromotionLog, verdict: Verdict, challenger: CollectionInfo,
    current: tuple[CollectionInfo, ...] = (BASE, FIRST, SECOND), *, override_hold: bool = False,
    parity: Callable[[CollectionInfo], None] = lambda one: None, shadow: dict[str, float] | None = None,
    ways: dict[str, Served] | None = None,
) -> Move:  # fmt: skip
    known = {one.fingerprint: one for one in current}
    return settle(
        store, log, LIVE, verdict, challenger, known, "base", parity,  # type: ignore[arg-type]
        override_hold=override_hold, shadow=shadow, serves=lambda one: (ways or {}).get(one.fingerprint),
    )  # fmt: skip


def test_good_verdict_promotes(store: AliasStore, log: PromotionLog) -> None:
    move = decide(store, log, YES, FIRST)
    assert (move.action, move.source, move.target, store.live) == ("promoted", "base-p1", "first-p1", "first-p1")
    assert log.read() == [move]


def test_first_refusal_puts_the_base_model_live(store: AliasStore, log: PromotionLog) -> None:
    move = decide(store, log, NO, FIRST)
    assert (move.action, store.live) == ("refreshed", "base-p1")
    assert move.reason == "the base model serves: tuned/dense is not better."


def test_refusal_keeps_the_champion_and_writes_nothing(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, YES, FIRST)
    move = decide(store, log, NO, SECOND)
    assert (move.action, store.live) == ("kept", "first-p1")
    assert "model first stays live" in move.reason
    assert len(log.read()) == 1


def test_champion_follows_the_corpus_though_the_challenger_is_refused(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, YES, FIRST)
    move = decide(store, log, NO, SECOND, current=(BASE_2, FIRST_2, SECOND))
    assert (move.action, store.live) == ("refreshed", "first-p2")


def test_failed_parity_leaves_alias_and_log(store: AliasStore, log: PromotionLog) -> None:
    def fails(one: CollectionInfo) -> None:
        raise StoreError(f"{one.name} is not what it says")

    with pytest.raises(StoreError, match="first-p1"):
        decide(store, log, YES, FIRST, parity=fails)
    assert store.live is None
    assert log.read() == []


def test_rollback_goes_back_step_by_step(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, YES, FIRST)
    decide(store, log, YES, SECOND)
    assert roll_back(store, log, LIVE).target == "first-p1"  # type: ignore[arg-type]
    assert roll_back(store, log, LIVE).target == "base-p1"  # type: ignore[arg-type]
    with pytest.raises(PromotionRefusedError, match="no earlier model"):
        roll_back(store, log, LIVE)  # type: ignore[arg-type]
    assert store.live == "base-p1"


def test_rollback_skips_refreshes_of_the_same_model(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, YES, FIRST)
    decide(store, log, NO, SECOND, current=(BASE_2, FIRST_2, SECOND))
    assert roll_back(store, log, LIVE).target == "base-p1"  # type: ignore[arg-type]


def test_move_that_was_logged_but_never_made_is_no_step(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, YES, FIRST)
    decide(store, log, YES, SECOND)
    store.live = "first-p1"  # killed between log and alias
    assert roll_back(store, log, LIVE).target == "base-p1"  # type: ignore[arg-type]


def test_model_rolled_back_from_is_held_until_forced(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, YES, FIRST)
    roll_back(store, log, LIVE)  # type: ignore[arg-type]
    held = decide(store, log, YES, FIRST)
    assert (held.action, store.live) == ("kept", "base-p1")
    assert "rolled back; run with --force" in held.reason
    assert decide(store, log, YES, FIRST, override_hold=True).action == "promoted"
    assert log.held_back() == set()


def test_rollback_to_a_dropped_collection_is_refused(log: PromotionLog) -> None:
    store = AliasStore(BASE, FIRST)
    decide(store, log, YES, FIRST, current=(BASE, FIRST))
    store._infos.remove(BASE)
    with pytest.raises(PromotionRefusedError, match="base-p1 is gone"):
        roll_back(store, log, LIVE)  # type: ignore[arg-type]
    assert store.live == "first-p1"


def test_what_a_comparison_found_is_kept_with_the_move(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, YES, FIRST, shadow={"overlap": 0.75})
    assert log.read()[-1].shadow == {"overlap": 0.75}
    decide(store, log, NO, SECOND, current=(BASE_2, FIRST_2, SECOND), shadow={"overlap": 0.5})
    assert (log.read()[-1].action, log.read()[-1].shadow) == ("refreshed", None)


# --- by hand --------------------------------------------------------------------------------------------


def by_hand(
    store: AliasStore, log: PromotionLog, verdict: Verdict, challenger: CollectionInfo, *, reason: str = "",
    force: bool = False, parity: Callable[[CollectionInfo], None] = lambda one: None,
) -> Move:  # fmt: skip
    return promote(store, log, LIVE, verdict, challenger, BASE, parity, reason=reason, force=force)  # type: ignore[arg-type]


def test_a_person_promotes_what_the_verdict_allows_and_may_do_so_twice(store: AliasStore, log: PromotionLog) -> None:
    move = by_hand(store, log, YES, FIRST, reason="release 7")
    assert (move.action, move.source, move.target, move.reason) == ("promoted", "base-p1", "first-p1", "release 7")
    assert by_hand(store, log, YES, FIRST).action == "kept"
    assert (store.live, len(log.read())) == ("first-p1", 1)
    assert roll_back(store, log, LIVE).target == "base-p1"  # type: ignore[arg-type]


def test_a_person_overrules_a_verdict_and_a_rollback_but_no_parity(store: AliasStore, log: PromotionLog) -> None:
    with pytest.raises(PromotionRefusedError, match=r"against it: tuned/dense is not better.\n  → --force"):
        by_hand(store, log, NO, FIRST)
    assert (store.live, log.read()) == (None, [])
    assert by_hand(store, log, NO, FIRST, force=True).reason == "asked for, against the verdict"
    roll_back(store, log, LIVE)  # type: ignore[arg-type]
    with pytest.raises(PromotionRefusedError, match="was rolled back"):
        by_hand(store, log, YES, FIRST)
    assert by_hand(store, log, YES, FIRST, force=True).action == "promoted"

    def fails(one: CollectionInfo) -> None:
        raise StoreError(f"{one.name} is not what it says")

    with pytest.raises(StoreError, match="second-p1"):
        by_hand(store, log, YES, SECOND, force=True, parity=fails)
    assert store.live == "first-p1"


def test_a_line_that_was_cut_off_did_not_happen(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, YES, FIRST)
    path = log._path
    path.write_text(path.read_text(encoding="utf-8") + '{"action": "rolled ba', encoding="utf-8")
    assert [move.target for move in log.read()] == ["first-p1"]
    decide(store, log, YES, SECOND)
    assert [move.target for move in log.read()] == ["first-p1", "second-p1"]


def test_lines_of_earlier_versions_are_read(log: PromotionLog) -> None:
    log._path.write_text(
        '{"action": "promoted", "source": "a", "target": "b", "source_fingerprint": "x", "fingerprint": "y", '
        '"reason": "r", "at": "2026-01-01T00:00:00+00:00"}\n',
        encoding="utf-8",
    )
    assert log.read()[0].shadow is None
    assert rollback_target(log, "b") == "a"
    assert rollback_target(log, "other") is None


DENSE, HYBRID, WEIGHTED = Served("dense"), Served("hybrid"), Served("weighted", True, 0.3)


def test_the_way_a_model_is_asked_goes_live_and_back_with_it(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, NO, FIRST, ways={"base": HYBRID, "first": WEIGHTED})
    assert (store.live, log.served(store.live)) == ("base-p1", HYBRID)
    decide(store, log, YES, FIRST, ways={"base": HYBRID, "first": WEIGHTED})
    assert (store.live, log.served(store.live)) == ("first-p1", WEIGHTED)
    decide(store, log, NO, SECOND, (BASE_2, FIRST_2, SECOND), ways={"base": DENSE, "first": DENSE})
    assert (store.live, log.served(store.live)) == ("first-p2", WEIGHTED)  # a tuned model is asked as it went live
    move = roll_back(store, log, LIVE)  # type: ignore[arg-type]
    assert (store.live, move.served, log.served(store.live)) == ("base-p1", HYBRID, HYBRID)


def test_another_way_to_ask_the_base_model_is_a_move_and_can_be_undone(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, NO, FIRST, ways={"base": DENSE})
    checked: list[str] = []
    told: list[Move] = []
    move = settle(
        store, log, LIVE, NO, FIRST, {"base": BASE}, "base",  # type: ignore[arg-type]
        lambda one: checked.append(one.name), record=told.append, serves=lambda one: HYBRID,
    )  # fmt: skip
    assert (move.action, move.source, move.target) == ("promoted", "base-p1", "base-p1")
    assert (move.source_served, move.served, checked, told) == (DENSE, HYBRID, ["base-p1"], [move])
    assert decide(store, log, NO, FIRST, ways={"base": HYBRID}).action == "kept"
    assert len(log.read()) == 2
    back = roll_back(store, log, LIVE)  # type: ignore[arg-type]
    assert (back.source_served, back.served, log.served("base-p1")) == (HYBRID, DENSE, DENSE)
    again = decide(store, log, NO, FIRST, ways={"base": HYBRID})  # a person went back from it: it stays so
    assert (again.action, log.served("base-p1"), log.held_back()) == ("kept", DENSE, set())
    with pytest.raises(PromotionRefusedError, match="no earlier model"):
        roll_back(store, log, LIVE)  # type: ignore[arg-type]
    assert decide(store, log, NO, FIRST, ways={"base": WEIGHTED}).served == WEIGHTED


def test_where_the_settings_name_the_way_no_move_does(store: AliasStore, log: PromotionLog) -> None:
    decide(store, log, YES, FIRST)
    assert (log.read()[0].source_served, log.read()[0].served, log.served("first-p1")) == (None, None, None)
