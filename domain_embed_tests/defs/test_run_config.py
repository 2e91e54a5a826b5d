"""Whoever may launch a run has no say in where it reads and writes, and is told nothing of it."""

import json
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_shared.serdes import serialize_value

from domain_embed.definitions import build_definitions
from domain_embed.defs.launch import LAUNCHABLE, launch_schema
from domain_embed.defs.runs import QUIET, open_instance
from domain_embed.settings import DomainSettings, Environment
from domain_embed_tests.whole import DOMAIN, Whole

JOB = f"{DOMAIN}_update"
STRANGER = "http://stranger.example"
SECRETS = {
    "QDRANT_URL": "http://qdrant.secret.example:6333", "QDRANT_API_KEY": "key-nobody-may-read",
    "MLFLOW_TRACKING_URI": "http://u:password@mlflow.secret.example", "DOMAIN_EMBED_STORAGE": "s3://secret-bucket/x",
}  # fmt: skip

DOORS: list[dict[str, Any]] = [
    {"resources": {"stores": {"config": {"home": "/tmp/elsewhere", "qdrant_url": STRANGER}}}},
    {"resources": {"stores": {"config": {"qdrant_url": STRANGER}}}},
    {"resources": {"stores": {"config": {"home": "/tmp/elsewhere"}}}},
    {"resources": {"stores": {"config": {"mlflow_tracking_uri": STRANGER}}}},
    {"resources": {"stores": {"config": {"storage": "s3://stranger/x"}}}},
    {"resources": {"stores": {"config": {"environment": {"qdrant_url": STRANGER}}}}},
    {"resources": {"stores": {"config": STRANGER}}},
    {"resources": {"stores": STRANGER}},
    {"resources": {"io_manager": {"config": {"base_dir": "/tmp/elsewhere"}}}},
    {"resources": {"io_manager": {"config": {"base_dir": {"env": "QDRANT_API_KEY"}}}}},
    {"resources": {"other": {"config": {}}}},
    {"ops": {f"{DOMAIN}_hard_negatives": {"config": {"veto": STRANGER}}}},
    {"ops": {f"{DOMAIN}_hard_negatives": {"config": {"veto": {"env": "QDRANT_API_KEY"}}}}},
    {"ops": {f"{DOMAIN}_hard_negatives": {"config": {"checkpoint": "../../elsewhere"}}}},
    {"ops": {f"{DOMAIN}_hard_negatives": {"config": {"seed": {"env": "QDRANT_API_KEY"}}}}},
    {"ops": {f"{DOMAIN}_hard_negatives": {"config": {"sampling": {"env": "QDRANT_API_KEY"}}}}},
    {"ops": {f"{DOMAIN}_checkpoint": {"config": {"freeze_embeddings": {"env": "QDRANT_API_KEY"}}}}},
    {"ops": {f"{DOMAIN}_documents": {"config": {"home": "/tmp/elsewhere"}}}},
]


@pytest.mark.parametrize("config", DOORS, ids=json.dumps)
def test_dagster_refuses_run_config_that_names_a_place(
    whole: Whole, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    job = build_definitions(Environment.read({"DOMAIN_EMBED_HOME": str(whole.home)})).resolve_job_def(JOB)
    with pytest.raises(dg.DagsterInvalidConfigError) as caught:
        dg.validate_run_config(job, config)
    assert not [value for value in SECRETS.values() if value in str(caught.value)]


def test_no_config_of_a_run_takes_a_variable_of_the_environment(whole: Whole) -> None:
    """Dagster's "source" types do: their value, a key for instance, would stand in errors and results."""
    job = build_definitions(whole.environment).resolve_job_def(JOB)
    types = job.get_config_schema_snapshot().all_config_snaps_by_key
    assert "Noneable.Float" in types
    assert [key for key in types if "Source" in key] == []


def test_an_asset_may_be_told_numbers_switches_and_choices_alone() -> None:
    """Free text would have room for a path, a model or an address."""
    for asset in LAUNCHABLE:
        schema = launch_schema(asset, DomainSettings())
        assert schema
        inner = [field.config_type.inner_type for field in schema.values()]
        assert {kind.given_name for kind in inner if kind.kind.name != "ENUM"} <= {"Int", "Float", "Bool"}


def test_the_repository_that_dagster_shows_holds_no_address_no_home_and_no_key(whole: Whole) -> None:
    environment = Environment.read({"DOMAIN_EMBED_HOME": str(whole.home), **SECRETS})
    definitions = build_definitions(environment)
    snapshot = serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    job = definitions.resolve_job_def(JOB)
    schema = serialize_value(job.get_job_snapshot()) + serialize_value(job.get_config_schema_snapshot())
    assert DOMAIN in snapshot
    for secret in [str(whole.home), "secret.example", *SECRETS.values()]:
        assert secret not in snapshot + schema


def test_a_run_goes_to_the_stores_of_the_environment(
    whole: Whole, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the process's variables have changed since the definitions were loaded."""
    definitions = build_definitions(whole.environment)
    monkeypatch.setenv("DOMAIN_EMBED_HOME", str(tmp_path_factory.mktemp("elsewhere")))
    monkeypatch.setenv("QDRANT_URL", "http://127.0.0.1:9")
    with open_instance(whole.environment) as instance:
        job = definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey([DOMAIN, "base_collection"])], run_config=QUIET,
            tags={"domain_embed/force": "1", "home": "/tmp/elsewhere"},
        )  # fmt: skip
    assert result.success
    assert whole.metadata("base_collection")["reused"] is False
