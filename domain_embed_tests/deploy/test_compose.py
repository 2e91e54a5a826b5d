"""docker-compose.yml: valid, guarded, and made of the processes that deploy/run can start."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain_embed.defs.runs import DAGSTER_YAML

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("mlflow", "code", "webserver", "daemon")


def test_docker_accepts_it(tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    command = _compose()
    if command == ["docker-compose"]:  # before version 2 it did not know a project's name, but all else that is used
        text = re.sub(r"^name: .*\n", "", text, flags=re.M)
    file = tmp_path / "docker-compose.yml"
    file.write_text(text, encoding="utf-8")
    options = ["--file", str(file), "--project-directory", str(ROOT), "config"]
    environment = {**os.environ, "POSTGRES_PASSWORD": "a", "QDRANT_API_KEY": "b", "AWS_DEFAULT_REGION": "c"}
    found = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    services = yaml.safe_load(found.stdout)["services"]
    assert set(services) == set(SERVICES)
    assert services["code"]["environment"]["DAGSTER_DATABASE_URL"].endswith(":a@postgres:5432/dagster")
    assert (
        services["code"]["environment"]["AWS_DEFAULT_REGION"]
        == services["mlflow"]["environment"]["AWS_DEFAULT_REGION"]
        == "c"
    )


def _compose() -> list[str]:
    """Docker's plugin, or the tool of its own that Debian has."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode:
            return command
    pytest.skip("needs docker with its compose plugin, or: apt-get install docker-compose")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_guarded(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert set(service["deploy"]["resources"]["limits"]) == {"memory", "cpus"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service.get("user") in ("app", "postgres") or service["image"].endswith("-unprivileged")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_each_of_our_processes_is_one_that_deploy_run_knows() -> None:
    text = (ROOT / "deploy" / "run").read_text(encoding="utf-8")
    assert {name: SERVICES[name]["command"] for name in OURS} == {name: ["deploy/run", name] for name in OURS}
    assert set(re.findall(r"^  (\w+)\)$", text, re.M)) == set(OURS)
    assert re.findall(r"^start (\w+)", (ROOT / "deploy" / "start").read_text(encoding="utf-8"), re.M) == list(OURS)
    assert subprocess.run([ROOT / "deploy" / "run", "nothing"], capture_output=True, check=False).returncode == 2


def test_secrets_come_from_the_environment_alone() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if value is not None and re.search("PASSWORD|KEY|DATABASE_URL", key):
                assert re.search(r"\$\{(POSTGRES_PASSWORD|QDRANT_API_KEY):\?", value), f"{name}: {key}"
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert re.findall(r"^(\w+)=(.*)$", example, re.M) == [("POSTGRES_PASSWORD", ""), ("QDRANT_API_KEY", "")]


def test_the_qdrant_server_is_the_one_that_is_tested() -> None:
    tested = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    (version,) = re.findall(r"qdrant/qdrant:(v[\d.]+)", SERVICES["qdrant"]["image"])
    assert f"qdrant/qdrant:{version}" in tested


def test_one_training_at_a_time_here_as_on_a_laptop() -> None:
    deployed = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text(encoding="utf-8"))
    local = yaml.safe_load(DAGSTER_YAML)
    assert deployed["concurrency"]["pools"] == local["concurrency"]["pools"]
    assert deployed["run_monitoring"]["enabled"]
    assert local["run_monitoring"]["enabled"]
