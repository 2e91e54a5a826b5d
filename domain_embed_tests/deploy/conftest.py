"""Fixtures of deployments: a Postgres of their own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain_embed_tests.deploy.servers import POSTGRES, ROOT
from domain_embed_tests.ui.dagster_ui import free_port


@dataclass(frozen=True)
class Postgres:
    """A running server: the administrator enters by its socket without a password, everybody else needs one."""

    folder: Path
    port: int

    def initialize(self, dagster: str = "dagster-secret", mlflow: str = "mlflow-secret") -> None:
        """What the image does with deploy/init-postgres.sh."""
        variables = {
            **os.environ, "PATH": f"{POSTGRES}{os.pathsep}{os.environ['PATH']}", "PGHOST": str(self.folder),
            "PGPORT": str(self.port), "POSTGRES_USER": "domain_embed", "DAGSTER_DB_PASSWORD": dagster,
            "MLFLOW_DB_PASSWORD": mlflow,
        }  # fmt: skip
        subprocess.run(["sh", ROOT / "deploy" / "init-postgres.sh"], env=variables, check=True, capture_output=True)

    def url(self, user: str, database: str) -> str:
        return f"postgresql+psycopg2://{user}:{user}-secret@127.0.0.1:{self.port}/{database}"

    def administer(self, database: str, *statements: str) -> None:
        """As who made the data folder."""
        command = [str(one) for statement in statements for one in ("--command", statement)]
        subprocess.run(
            [f"{POSTGRES}/psql", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--host", str(self.folder), "--port",
             str(self.port), "--username", "domain_embed", "--dbname", database, *command],
            check=True, capture_output=True,
        )  # fmt: skip


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A Postgres of its own with nothing in it."""
    assert POSTGRES is not None
    folder, port = Path(tempfile.mkdtemp(prefix="domain-embed-postgres-")), free_port()  # pytest's are for one user
    as_postgres: list[str] = []
    if os.geteuid() == 0:  # Postgres refuses to be root
        as_postgres = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")

    def run(*command: str) -> None:
        subprocess.run([*as_postgres, *command], check=True, capture_output=True, cwd="/")

    data = str(folder / "data")
    run(
        str(POSTGRES / "initdb"), "--pgdata", data, "--username", "domain_embed", "--auth-local", "trust",
        "--auth-host", "scram-sha-256",
    )  # fmt: skip
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
    run(str(POSTGRES / "pg_ctl"), "--pgdata", data, "--options", options, "--wait", "--log", f"{folder}/log", "start")
    try:
        yield Postgres(folder, port)
    finally:
        run(str(POSTGRES / "pg_ctl"), "--pgdata", data, "--mode", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def databases(postgres: Postgres) -> dict[str, str]:
    """URLs of the databases of Dagster and MLflow, each with its own user."""
    postgres.initialize()
    return {
        "DAGSTER_DATABASE_URL": postgres.url("dagster", "dagster"),
        "MLFLOW_DATABASE_URL": postgres.url("mlflow", "mlflow"),
    }
