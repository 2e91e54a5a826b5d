"""The processes of a deployment on one machine, with Debian's Postgres: a domain from files to a verdict."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain_embed_tests.scenario import DOMAIN, SETTINGS, write_domain
from domain_embed_tests.ui.dagster_ui import DagsterUi, stop_group

ROOT = Path(__file__).parents[2]
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
LAUNCH = """mutation {launchRun(executionParams: {selector: {repositoryLocationName: "domain-embed",
repositoryName: "__repository__", jobName: "%s_update"}}) {__typename ... on LaunchRunSuccess {run {runId}}}}"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get("DOMAIN_EMBED_SLOW"), reason="takes minutes; set DOMAIN_EMBED_SLOW=1"),
    pytest.mark.skipif(POSTGRES is None, reason="needs Postgres: apt-get install postgresql"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def databases() -> Iterator[dict[str, str]]:
    """URLs of two fresh databases in a Postgres of their own."""
    assert POSTGRES is not None
    folder, port = Path(tempfile.mkdtemp(prefix="domain-embed-postgres-")), free_port()  # pytest's are for one user
    as_postgres: list[str] = []
    if os.geteuid() == 0:  # Postgres refuses to be root
        as_postgres = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")

    def run(*command: str) -> None:
        subprocess.run([*as_postgres, *command], check=True, capture_output=True, cwd="/")

    data = str(folder / "data")
    run(str(POSTGRES / "initdb"), "--pgdata", data, "--username", "domain_embed", "--auth", "trust")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run(str(POSTGRES / "pg_ctl"), "--pgdata", data, "--options", options, "--wait", "--log", f"{folder}/log", "start")
    try:
        for name in ("dagster", "mlflow"):
            run(str(POSTGRES / "createdb"), "--host", "127.0.0.1", "--port", str(port), "-U", "domain_embed", name)
        url = f"postgresql+psycopg2://domain_embed@127.0.0.1:{port}"
        yield {"DAGSTER_DATABASE_URL": f"{url}/dagster", "MLFLOW_DATABASE_URL": f"{url}/mlflow"}
    finally:
        run(str(POSTGRES / "pg_ctl"), "--pgdata", data, "--mode", "immediate", "stop")
        shutil.rmtree(folder)


def test_all_processes_together_bring_a_domain_to_its_verdict(databases: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / "home"
    automation = SETTINGS.automation.model_copy(update={"keep_data_current": False})
    training = SETTINGS.training.model_copy(update={"epochs": 1})
    write_domain(home / DOMAIN, SETTINGS.model_copy(update={"automation": automation, "training": training}))
    ports = {name: str(free_port()) for name in ("MLFLOW_PORT", "CODE_PORT", "WEBSERVER_PORT")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **databases, **ports, "DOMAIN_EMBED_HOME": str(home), "PATH": path}
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
        finally:
            stop_group(process)


def _wait_for(log: Path, text: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 300
    while text not in log.read_text(encoding="utf-8"):
        assert process.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")[-3000:]
        time.sleep(1)
