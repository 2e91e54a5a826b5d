"""Many domains in one deployment: a broken one shows as an error and hides no other."""

import json
from pathlib import Path

import dagster as dg
import pytest

from domain_embed.contracts.errors import SettingsError
from domain_embed.definitions import build_definitions
from domain_embed.settings import Environment
from domain_embed_tests.cli.test_cli import invoke
from domain_embed_tests.scenario import write_domain
from domain_embed_tests.whole import DOMAIN, Whole


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A good domain between two broken ones: a typo, and no YAML at all."""
    write_domain(tmp_path / "runbooks")
    for name, text in {"billing": "trainig:\n  epochs: 2\n", "zoo": "training: [\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "domain.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_broken_domain_is_an_asset_with_its_error_and_the_others_are_whole(home: Path) -> None:
    definitions = build_definitions(Environment(home=home))
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    keys = {tuple(key.path) for key in graph.get_all_asset_keys()}
    assert {path for path in keys if path[0] != "runbooks"} == {("billing", "domain_yaml"), ("zoo", "domain_yaml")}
    assert ("runbooks", "champion") in keys
    assert "trainig: unknown key. Did you mean 'training'?" in str(
        graph.get(dg.AssetKey(["billing", "domain_yaml"])).description
    )


def test_the_check_of_a_broken_domain_turns_red_by_itself_and_once(home: Path) -> None:
    definitions = build_definitions(Environment(home=home))
    sensor = definitions.resolve_sensor_def("broken_domains")
    with dg.DagsterInstance.ephemeral() as instance:
        first = sensor(dg.build_sensor_context(instance=instance))
        assert isinstance(first, dg.SensorResult)
        reported = {event.asset_key.path[0]: event for event in first.asset_events}
        assert set(reported) == {"billing", "zoo"}
        assert not any(event.passed for event in reported.values())
        assert "zoo/domain.yaml is not valid YAML" in str(reported["zoo"].description)
        again = sensor(dg.build_sensor_context(instance=instance, cursor=first.cursor))
        assert isinstance(again, dg.SkipReason)


def test_a_domain_asked_for_by_name_raises(home: Path) -> None:
    with pytest.raises(SettingsError, match="unknown key"):
        build_definitions(Environment(home=home), ["billing"])


def test_names_that_are_one_to_dagster_do_not_take_the_deployment_down(home: Path) -> None:
    write_domain(home / "run-books")
    write_domain(home / "run_books")
    definitions = build_definitions(Environment(home=home))
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    assert graph.has(dg.AssetKey(["run-books", "champion"]))
    description = str(graph.get(dg.AssetKey(["run_books", "domain_yaml"])).description)
    assert "'run_books' and 'run-books' are one name to Dagster" in description


def test_status_names_the_broken_beside_the_good(whole: Whole) -> None:
    (whole.home / "billing").mkdir()
    (whole.home / "billing" / "domain.yaml").write_text("trainig: {}\n", encoding="utf-8")
    whole.edit("training", learning_rate=3e-4)
    result = invoke(whole.home, "status", "--json")
    assert result.returncode == 2
    billing, runbooks = json.loads(result.stdout)["domains"]
    assert "unknown key" in billing["error"]
    report = whole.workspace.latest_report()
    assert runbooks["domain"] == DOMAIN
    assert runbooks["error"] is None
    assert runbooks["stale"] == ["checkpoint"]
    assert runbooks["promote"] == report["verdict"]["promote"]
    assert runbooks["verdict"] == report["verdict"]["reasons"][0]
    assert runbooks["live_collection"] == whole.workspace.aliased("live")
    assert 0 <= runbooks["verdict_age_days"] < 1
    shown = invoke(whole.home, "status")
    assert "unknown key" in shown.stderr
    assert "checkpoint" in shown.stdout
