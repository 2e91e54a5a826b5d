"""Figures that are kept: the rules that are replayed on them, and the pages that are made of them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import choice, epochs, looks, weights
from benchmarks.provenance import keep_figures, kept_sets
from benchmarks.replay import Ruled, replayed
from domain_embed.contracts.records import Served
from domain_embed.defs import evidence
from domain_embed.evaluation.choice import choose
from domain_embed.evaluation.measures import HEADLINE
from domain_embed.promotion.champion import Move, PromotionLog
from domain_embed.training.course import CLEARLY, Steady
from domain_embed_tests.evaluation.scenario import judged

FOLDER = Path(epochs.__file__).parent


def weights_page(found: Mapping[str, Any]) -> str:
    return "\n".join([weights.heading(found), "", *weights.table(found), ""])


@pytest.mark.parametrize(("name", "page"), [("weights", weights_page), ("epochs", epochs.page), ("looks", looks.page)])
def test_pages_are_what_their_figures_make(name: str, page: Callable[[Mapping[str, Any]], str]) -> None:
    found = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert (FOLDER / f"{name}.md").read_text(encoding="utf-8") == page(found)


def test_figures_are_kept_with_one_line_for_a_list_of_numbers(tmp_path: Path) -> None:
    path, figures = tmp_path / "figures.json", {"sets": {"one": {"scores": [0.5, -1e-05, 1], "names": ["1, 2"]}}}
    assert kept_sets(path) == {}
    keep_figures(path, figures)
    assert '"scores": [ 0.5, -1e-05, 1 ]' in path.read_text(encoding="utf-8")
    assert kept_sets(path) == figures["sets"]


# --- epochs ---------------------------------------------------------------------------------------------


def points(figures: list[float], each: int = 20) -> list[dict[str, Any]]:
    """Validations of four queries, an epoch apart, whose test figures are as high."""
    return [
        {"epochs": float(number), "steps": each * number, "seconds": 10.0 * number, "scores": [figure] * 4,
         "test": [figure, figure]}
        for number, figure in enumerate(figures, start=1)
    ]  # fmt: skip


def test_a_training_is_replayed_as_the_product_would_have_ended_it() -> None:
    found = replayed(points([0.5, 0.7, 0.6, 0.6, 0.9]), Steady(20, 0.1, 2))
    assert (found.kept["epochs"], found.last["epochs"], found.ended) == (2.0, 4.0, True)
    found = replayed(points([0.5, 0.6, 0.7]), Steady(20, 0.1, 2))
    assert (found.kept["epochs"], found.last["epochs"], found.ended) == (3.0, 3.0, False)


def test_the_rule_with_the_products_factor_is_the_products() -> None:
    generator = np.random.default_rng(1)
    measured = points([0.5] * 12, each=7)
    for point in measured:
        point["scores"] = generator.normal(0.5, 0.02, 30).tolist()
    assert replayed(measured, Ruled(7, 0.1, 2, CLEARLY)) == replayed(measured, Steady(7, 0.1, 2))


def test_the_table_of_epochs_tells_what_the_rule_keeps() -> None:
    one = {"base": {"test": [0.4, 0.4]}, "two epochs": points([0.5, 0.6]), "auto": points([0.5, 0.7, 0.6, 0.6])}
    other = {"base": {"test": [0.4, 0.4]}, "two epochs": points([0.5, 0.6]), "auto": points([0.5, 0.58])}
    rows = epochs.table({"one": one, "other": other})[2:]
    assert "| 0.400 | 0.600 | 0.500 0.700 0.600 0.600 | 0.700 | 0.700 | 2 of 4 | +0.100, " in rows[0]
    assert "| 0.580 | 2 of ≥ 2 | -0.020, " in rows[1]
    assert rows[2] == "| mean | 0.400 | 0.600 | | 0.640 | 0.640 | | +0.040 | |"


# --- the choice -----------------------------------------------------------------------------------------


def test_choices_of_the_product_are_noted() -> None:
    scores = pd.Series([0.5] * 40)
    with choice.choices_noted() as noted:
        made = evidence.choose({"dense": scores, "hybrid": scores + 0.1})
    assert noted == [made]
    assert made.variant == "hybrid"


def test_what_is_live_is_compared_by_query_with_what_is_best(tmp_path: Path) -> None:
    path, ids = tmp_path / "scores.parquet", [str(number) for number in range(20)]
    tables = {
        "bm25": pd.DataFrame({"query_id": ids, HEADLINE: 0.5}),
        "base/dense": pd.DataFrame({"query_id": ids, HEADLINE: [0.5] * 10 + [0.6] * 10}),
    }
    pd.concat(tables, names=["system"]).reset_index(level="system").to_parquet(path)
    delta, low, high = choice.difference(path, "bm25", "base/dense")
    assert delta == pytest.approx(-0.05)
    assert low < delta < high < 0
    assert choice.difference(path, "bm25", "bm25") == [0.0, 0.0, 0.0]


def test_a_finished_domain_says_each_step_of_its_choice(tmp_path: Path) -> None:
    """Hybrid search with the base model is live; dense search with the tuned one was best on the test queries."""
    means = dict.fromkeys(choice.SYSTEMS, 0.5) | {"tuned/dense": 0.6}
    scores = pd.Series([0.5] * 40)
    noted = [choose({"dense": scores, "hybrid": scores + gain}) for gain in (0.125, -0.125)]
    sentences = {"base": noted[0].sentence, "tuned": noted[1].sentence}
    found = judged(means, {}, served_mode="auto", serves={"base": "hybrid", "tuned": "dense"})
    found = found.model_copy(update={"choices": sentences})
    ids = [str(number) for number in range(20)]
    tables = {system: pd.DataFrame({"query_id": ids, HEADLINE: mean}) for system, mean in means.items()}
    pd.concat(tables, names=["system"]).reset_index(level="system").to_parquet(tmp_path / "scores.parquet")
    log = PromotionLog(tmp_path / "promotions.jsonl")
    log.append(Move("refreshed", "", "live", "", "base-fingerprint", "no gain", "", served=Served("hybrid")))
    opened = SimpleNamespace(info=SimpleNamespace(fingerprint="base-fingerprint"))
    workspace: Any = SimpleNamespace(
        latest_report=lambda: {"evidence": found.to_json(), "verdict": {"reasons": ["no gain"]}},
        report_folder=lambda: tmp_path,
        promotions=tmp_path / "promotions.jsonl",
        vector_store=SimpleNamespace(alias=lambda _: "live", open=lambda _: opened),
    )
    one = json.loads(json.dumps(choice.said(workspace, noted)))
    assert (one["live"], one["reason"], one["best"]) == ("base/hybrid", "no gain", "tuned/dense")
    assert one["live − best"] == pytest.approx([-0.1] * 3)
    assert {model: made["variant"] for model, made in one["choices"].items()} == {"base": "hybrid", "tuned": "dense"}
    made = {"commit": "0", "epochs": 2, "tokens": None}
    told = choice.page({"machine": "one", "sets": {"shop": one | made}})
    assert "| shop | base | 40 |  | 0.500 | 0.625 |  | hybrid | within one standard error |" in told
    assert "| base/hybrid | tuned/dense | -0.100, -0.100 to -0.100 | no |" in told
    assert "- shop: no gain" in told


def test_the_table_of_the_choice_says_whether_the_best_is_live() -> None:
    test = dict.fromkeys(choice.SYSTEMS, 0.5) | {"tuned/hybrid": 0.6}
    one = {
        "queries": {"test": 20}, "nothing tuned": False, "test": test, "live": "base/hybrid", "best": "tuned/hybrid",
        "as served": {"base": "base/hybrid", "tuned": "tuned/dense"}, "live − best": [-0.1, -0.2, 0.01],
    }  # fmt: skip
    (row,) = choice.tested_table({"one": one})[2:]
    assert row == (
        "| one | 20 | 0.500 | 0.500 | **0.500** | 0.500 | **0.500** | 0.600 | 0.500 | base/hybrid | tuned/hybrid | "
        "-0.100, -0.200 to +0.010 | yes |"
    )
