"""MLflow's process of a deployment, on a real Postgres: behind the gate, and without secrets in its command line."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from domain_embed_tests.deploy.servers import POSTGRES, ROOT, Services
from domain_embed_tests.servers.raw import request
from domain_embed_tests.ui.dagster_ui import free_port

pytestmark = pytest.mark.skipif(POSTGRES is None, reason="needs Postgres: apt-get install postgresql")
TOKEN = "a-token-of-the-test"


@pytest.fixture
def port(databases: dict[str, str], tmp_path: Path) -> Iterator[int]:
    number = free_port()
    variables = {
        **os.environ, **databases, "MLFLOW_PORT": str(number), "MLFLOW_ARTIFACTS": str(tmp_path / "artifacts"),
        "DOMAIN_EMBED_HOSTS": "mlflow", "DOMAIN_EMBED_UI_TOKEN": TOKEN, "QDRANT_API_KEY": "qdrant-secret",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    services = Services(ROOT / "deploy", variables, tmp_path / "log")
    try:
        services.start("mlflow", str(number))
        yield number
    finally:
        services.stop()
        log = (tmp_path / "log").read_text(encoding="utf-8")
        assert "mlflow-secret" not in log
        assert TOKEN not in log


def test_mlflows_own_clients_show_the_token_and_no_process_shows_a_secret(
    port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    children = psutil.Process().children(recursive=True)
    (server,) = [one for one in children if {"mlflow-server", str(port)} <= set(one.cmdline())]
    for process in (server, *server.children(recursive=True)):
        shown = Path(f"/proc/{process.pid}/cmdline").read_text("utf-8")
        assert not [one for one in ("secret", "postgresql", TOKEN) if one in shown]
    assert not {"DAGSTER_DATABASE_URL", "QDRANT_API_KEY"} & set(server.environ())
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = MlflowClient(f"http://127.0.0.1:{port}")
    with pytest.raises(MlflowException, match="does not show the token of DOMAIN_EMBED_UI_TOKEN"):
        client.create_experiment("refused")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    run = client.create_run(client.create_experiment("let in"))
    (tmp_path / "figures.txt").write_text("1", encoding="utf-8")
    client.log_artifact(run.info.run_id, str(tmp_path / "figures.txt"))
    assert list((tmp_path / "artifacts").rglob("figures.txt"))
    shows = f"Authorization: Bearer {TOKEN}"
    for host in (f"mlflow:{port}", "mlflow", f"localhost:{port}"):
        assert request(port, "GET", "/version", f"Host: {host}", shows).status == 200
    assert request(port, "GET", "/version", "Host: mlflow.evil.example", shows).status == 403
    assert request(port, "GET", "/version", f"Host: mlflow:{port}").status == 403
