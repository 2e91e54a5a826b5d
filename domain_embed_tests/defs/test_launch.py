"""Run config typed in the launchpad: filled in from domain.yaml, checked, and counted for staleness."""

import dagster as dg
import pytest
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.definitions.data_version import CachingStaleStatusResolver

from domain_embed.contracts.errors import SettingsError
from domain_embed.definitions import build_definitions
from domain_embed.defs.launch import LAUNCHABLE, launch_schema, launched_settings
from domain_embed.defs.runs import QUIET, open_instance
from domain_embed.settings import DomainSettings, RetrievalSettings, TrainingSettings
from domain_embed_tests.whole import DOMAIN, Whole

SETTINGS = DomainSettings(training=TrainingSettings(epochs=7), retrieval=RetrievalSettings(mode="hybrid"))


def launch(whole: Whole, asset: str, **config: object) -> None:
    with open_instance(whole.environment) as instance:
        job = build_definitions(whole.environment).resolve_implicit_global_asset_job_def()
        job.execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey([DOMAIN, asset])],
            run_config={"ops": {f"{DOMAIN}_{asset}": {"config": config}}, **QUIET},
        )  # fmt: skip


@pytest.mark.parametrize("asset", LAUNCHABLE)
def test_the_launchpad_is_filled_with_what_domain_yaml_says(asset: str) -> None:
    schema = launch_schema(asset, SETTINGS)
    assert schema is not None
    section = getattr(SETTINGS, LAUNCHABLE[asset])
    dumped = section.model_dump(mode="json")
    shown = {name: field.default_value for name, field in schema.items() if field.default_provided}
    assert shown == {name: value for name, value in dumped.items() if name in shown}
    assert {"training": "epochs", "retrieval": "mode", "mining": "seed"}[LAUNCHABLE[asset]] in shown
    assert launched_settings(asset, SETTINGS, shown) == SETTINGS


def test_an_asset_without_a_section_takes_no_config() -> None:
    assert launch_schema("documents", SETTINGS) is None
    assert launched_settings("documents", SETTINGS, None) is SETTINGS


def test_a_value_out_of_bounds_is_named() -> None:
    with pytest.raises(SettingsError, match=r"config of checkpoint cannot be used: epochs: .*greater than or"):
        launched_settings("checkpoint", SETTINGS, {"epochs": 0})


def test_a_launched_setting_is_used_and_leaves_the_asset_stale(whole: Whole) -> None:
    """What was made is not what domain.yaml says: our staleness and Dagster's own both say so."""
    launch(whole, "hard_negatives", seed=5)
    assert whole.metadata("hard_negatives")["reused"] is False
    plan = whole.plan()
    assert plan.statuses["hard_negatives"].causes == ("mining: settings changed (seed is 0, was 5)",)
    with open_instance(whole.environment) as instance:
        definitions = build_definitions(whole.environment)
        view = AssetGraphView.for_test(definitions, instance=instance)
        resolver = CachingStaleStatusResolver(instance, definitions.resolve_asset_graph(), view)
        (cause, *_) = resolver.get_stale_causes(dg.AssetKey([DOMAIN, "hard_negatives"]))
    assert cause.reason == "has a new code version"
    launch(whole, "hard_negatives", seed=5)
    assert whole.metadata("hard_negatives")["reused"] is True
    assert whole.plan().statuses["hard_negatives"].state == "stale"
    launch(whole, "hard_negatives")
    assert whole.plan().statuses["hard_negatives"].state == "fresh"


def test_a_run_may_be_told_a_number_where_domain_yaml_has_a_word() -> None:
    """Free text is not taken, so that the word itself is what null leaves."""
    schema = launch_schema("checkpoint", DomainSettings())
    assert schema is not None
    assert schema["epochs"].default_value is None
    for told, epochs in (({"epochs": None}, "auto"), ({"epochs": 3}, 3), ({}, "auto")):
        assert launched_settings("checkpoint", DomainSettings(), told).training.epochs == epochs
    assert launched_settings("checkpoint", SETTINGS, {"patience": None}).training.epochs == 7
