"""Fixtures of deployments: a Postgres of their own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain_embed_tests.deploy.servers import POSTGRES, free_port


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
