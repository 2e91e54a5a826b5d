"""What steps see of the present: the model a challenger has to beat, and the learning curve."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from domain_embed.contracts.errors import StoreUnavailableError
from domain_embed.contracts.records import Served
from domain_embed.cutover import promote_challenger, roll_back_model
from domain_embed.defs.data import source_version
from domain_embed.defs.seen import BASE_IS_LIVE, live
from domain_embed.promotion.champion import Move, PromotionLog
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace
from domain_embed_tests.whole import Whole

SETTINGS = DomainSettings()


@dataclass
class Store:
    """Aliases and the model behind each collection, which is named after it."""

    aliases: Mapping[str, str]
    models: tuple[str, ...] = ("base", "one", "two", "three")

    def alias(self, name: str) -> str | None:
        return self.aliases.get(name)

    def collections(self) -> list[Any]:
        return [SimpleNamespace(name=model, fingerprint=model) for model in self.models]


@dataclass
class State:
    """A domain's aliases and promotions."""

    promotions: Path
    aliases: dict[str, str] = field(default_factory=lambda: {BASE: "base"})

    def challenge(self, model: str) -> None:
        self.aliases[CHALLENGER] = model

    def go_live(self, model: str, served: Served | None = None) -> None:
        before, log = self.aliases.get(LIVE, "base"), PromotionLog(self.promotions)
        way = log.served(before)
        log.append(Move("promoted", before, model, before, model, "", "2026-01-01", source_served=way, served=served))
        self.aliases[LIVE] = model

    def version(self) -> str | None:
        workspace = SimpleNamespace(vector_store=Store(self.aliases), promotions=self.promotions)
        return live(cast(Workspace, workspace), SETTINGS)


def test_a_challenger_that_goes_live_changes_nothing_of_what_it_had_to_beat(tmp_path: Path) -> None:
    state = State(tmp_path / "promotions.jsonl")
    state.challenge("one")
    assert state.version() == BASE_IS_LIVE  # nothing is live
    state.go_live("one", Served("dense"))
    assert state.version() == BASE_IS_LIVE
    state.challenge("two")
    to_beat = state.version()
    assert to_beat not in (None, BASE_IS_LIVE)
    state.go_live("two", Served("hybrid"))
    assert state.version() == to_beat
    state.go_live("one", Served("dense"))  # a person goes back
    assert state.version() == to_beat
    state.go_live("base")
    assert state.version() == BASE_IS_LIVE


def test_another_live_model_or_another_way_to_ask_it_is_another_to_beat(tmp_path: Path) -> None:
    state = State(tmp_path / "promotions.jsonl")
    state.challenge("three")
    seen = []
    for model, served in (("one", Served("dense")), ("two", Served("dense")), ("two", Served("hybrid"))):
        state.go_live(model, served)
        seen.append(state.version())
    assert len({*seen, None, BASE_IS_LIVE}) == 5
    state.challenge("base")  # where nothing is trained
    assert state.version() == seen[-1]


def test_what_a_store_that_does_not_answer_serves_is_taken_to_be_what_it_was(
    finished: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object) -> None:
        raise StoreUnavailableError("nobody answers")

    workspace = finished.workspace
    monkeypatch.setattr(type(workspace.vector_store), "alias", away)
    assert source_version("live", workspace, workspace.settings) is None
    assert "eval_report" not in finished.plan().stale


def test_a_promotion_and_a_rollback_leave_nothing_to_run(whole: Whole) -> None:
    promote_challenger(whole.workspace, reason="wanted", force=True)
    assert whole.workspace.aliased(LIVE) == whole.workspace.aliased(CHALLENGER)
    assert whole.plan().stale == ()
    roll_back_model(whole.workspace)
    assert whole.workspace.aliased(LIVE) == whole.workspace.aliased(BASE)
    assert whole.plan().stale == ()
    assert whole.run() is None


def test_a_learning_curve_of_these_splits_reaches_the_report(whole: Whole) -> None:
    workspace = whole.workspace
    point = {"pairs": 8, "ndcg": 0.5, "gain": 0.1, "ci95": [0.0, 0.2]}
    workspace.save_saturation({"splits": "others", "points": [point]})
    assert whole.plan().stale == ()
    workspace.save_saturation({"splits": workspace.tables.read("splits").version, "points": [point]})
    plan = whole.plan()
    assert plan.stale == ("eval_report",)
    assert plan.statuses["eval_report"].causes == ("learning_curve has new content",)
