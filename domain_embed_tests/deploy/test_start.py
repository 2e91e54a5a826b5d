"""The processes of a deployment on one machine, with Debian's Postgres and an S3 server: from files to a verdict."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from domain_embed.stores.objects import ObjectMirror
from domain_embed.stores.tables import TableStore
from domain_embed_tests.deploy.servers import LAUNCH, POSTGRES, ROOT
from domain_embed_tests.scenario import DOMAIN, SETTINGS, write_domain
from domain_embed_tests.ui.dagster_ui import DagsterUi, free_port, stop_group

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(POSTGRES is None, reason="needs Postgres: apt-get install postgresql"),
]


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """An S3 server with a bucket, and the variables that keep artifacts there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    variables = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", **keys}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="bucket")
    yield {"MLFLOW_ARTIFACTS": "s3://bucket/mlflow", "DOMAIN_EMBED_STORAGE": "s3://bucket/domains"}
    server.stop()


def test_all_processes_together_bring_a_domain_to_its_verdict(
    databases: dict[str, str], storage: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    automation = SETTINGS.automation.model_copy(update={"keep_data_current": False})
    training = SETTINGS.training.model_copy(update={"epochs": 1})
    write_domain(home / DOMAIN, SETTINGS.model_copy(update={"automation": automation, "training": training}))
    ports = {name: str(free_port()) for name in ("MLFLOW_PORT", "CODE_PORT", "WEBSERVER_PORT")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **databases, **storage, **ports, "DOMAIN_EMBED_HOME": str(home), "PATH": path}
    with (tmp_path / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [ROOT / "deploy" / "start"], env=environment, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True
        )
        try:
            ui = DagsterUi(f"http://127.0.0.1:{ports['WEBSERVER_PORT']}")
            _wait_for(tmp_path / "log", "everything runs", process)
            ui.ask(LAUNCH % DOMAIN)
            (run,) = ui.wait_for_runs(1)
            assert run["status"] == "SUCCESS", (tmp_path / "log").read_text(encoding="utf-8")[-3000:]
            assert ui.stale() == {}
            status = subprocess.run(
                [sys.executable, "-m", "domain_embed.cli", "status"], capture_output=True, text=True, check=True,
                env={**environment, "DAGSTER_HOME": str(home / ".store/dagster-postgres"), "COLUMNS": "200"},
            )  # fmt: skip
            assert "nothing" in status.stdout
            from mlflow.tracking import MlflowClient

            client = MlflowClient(f"http://127.0.0.1:{ports['MLFLOW_PORT']}")
            experiment = client.get_experiment_by_name(f"domain-embed/{DOMAIN}")
            runs = client.search_runs([experiment.experiment_id])
            assert {one.data.tags["asset"] for one in runs if "asset" in one.data.tags} >= {"checkpoint", "champion"}
            challenger = client.get_model_version_by_alias(f"domain-embed-{DOMAIN}", "challenger")
            assert challenger.tags["domain"] == DOMAIN
            stored = [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket="bucket")["Contents"]]
            assert any(key.startswith("mlflow/") and key.endswith("model.safetensors") for key in stored)
            ObjectMirror(f"{storage['DOMAIN_EMBED_STORAGE']}/{DOMAIN}", tmp_path / "elsewhere").pull()
            for table in ("passages", "splits", "hard_negatives"):
                made = TableStore(home / ".store" / "domains" / DOMAIN / "tables").read(table)
                assert TableStore(tmp_path / "elsewhere" / "tables").read(table).version == made.version
            assert list((tmp_path / "elsewhere" / "checkpoints").glob("*/model.safetensors"))
        finally:
            stop_group(process)


def _wait_for(log: Path, text: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 300
    while text not in log.read_text(encoding="utf-8"):
        assert process.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")[-3000:]
        time.sleep(1)
