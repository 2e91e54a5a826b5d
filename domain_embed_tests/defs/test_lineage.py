"""Lineage is a fact: a step opens what it declares and nothing else."""

from dataclasses import replace

import pytest

from domain_embed.defs import labels
from domain_embed.defs.graph import RECIPES
from domain_embed_tests.spy import Spy, spied
from domain_embed_tests.whole import EVERYTHING, Whole

ALLOWED = {"checkpoint": ("base", "passages"), "reranker": ("base", "passages")}
"""What a step opens although a change there must not make it run again: texts and the base model's vectors are looked
up by the ids that splits and hard negatives name, and one document more must retrain nobody."""


def test_no_step_opens_what_it_does_not_declare(finished: Whole, first_run: tuple[Whole, Spy]) -> None:
    spy = first_run[1]
    assert set(EVERYTHING) - set(spy.opened) <= {"documents", "labels", "reranker"}  # these read files, or nothing
    assert spy.undeclared(RECIPES, finished.workspace.settings, ALLOWED) == {}


def test_the_spy_sees_what_is_not_declared(finished: Whole, first_run: tuple[Whole, Spy]) -> None:
    """The report on the edges that it was drawn with before."""
    drawn = ("splits", "base_collection", "collection", "reranker")
    report = next(recipe for recipe in RECIPES if recipe.name == "eval_report")
    found = first_run[1].undeclared([replace(report, deps=drawn)], finished.workspace.settings, ALLOWED)
    assert found == {
        "eval_report": {
            "judged_negatives", "labels", "passages", "checkpoint_record", "kept_base", "saturation", "live",
        }
    }  # fmt: skip


def test_a_step_that_opens_one_table_more_is_named(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    def nosy(*given):  # type: ignore[no-untyped-def]
        whole.workspace.tables.read("passages")
        return split(*given)

    split = labels.split_judgments
    monkeypatch.setattr(labels, "split_judgments", nosy)
    with spied() as spy:
        whole.run(("splits",), force=True)
    assert spy.undeclared(RECIPES, whole.workspace.settings, ALLOWED) == {"splits": {"passages"}}
