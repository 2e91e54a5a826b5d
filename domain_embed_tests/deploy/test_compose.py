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
PROXIES = {"dagster-proxy": "http://webserver:3000", "mlflow-proxy": "http://mlflow:5000"}
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
REQUIRED = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
SECRET = "PASSWORD|SECRET|KEY|DATABASE_URL"


def test_docker_accepts_it(tmp_path: Path) -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    command = _compose()
    if command == ["docker-compose"]:  # before version 2 it did not know a project's name, but all else that is used
        text = re.sub(r"^name: .*\n", "", text, flags=re.M)
    file = tmp_path / "docker-compose.yml"
    file.write_text(text, encoding="utf-8")
    options = ["--file", str(file), "--project-directory", str(ROOT), "config"]
    environment = {**os.environ, **{name: name.lower() for name in REQUIRED}, "AWS_DEFAULT_REGION": "c"}
    found = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    services = yaml.safe_load(found.stdout)["services"]
    assert set(services) == set(SERVICES)
    assert services["code"]["environment"]["DAGSTER_DATABASE_URL"].endswith(
        "//dagster:dagster_db_password@postgres:5432/dagster"
    )
    assert services["mlflow"]["environment"]["DOMAIN_EMBED_BEHIND_PROXY"] == "1"
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
    assert service.get("user") in ("app", "postgres", "65532") or service["image"].endswith("-unprivileged")
    assert re.search(r":(v?\d+[\d.]*\S*)$", service["image"]), "an image that is pinned"


def test_only_the_proxies_are_reached_from_outside_and_from_this_machine_alone() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "dagster-proxy": ["127.0.0.1:3000:4180"], "mlflow-proxy": ["127.0.0.1:5000:4180"],
    }  # fmt: skip
    assert not [name for name, service in SERVICES.items() if "network_mode" in service or "expose" in service]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert all("inside" in found for found in networks.values())
    assert {name for name, found in networks.items() if "outside" in found} == set(PROXIES)
    assert {name for name, found in networks.items() if "storage" in found} == {"code", "mlflow"}


def test_both_interfaces_are_behind_a_proxy_that_asks_for_a_login() -> None:
    names = set()
    for name, upstream in PROXIES.items():
        variables = SERVICES[name]["environment"]
        assert variables["OAUTH2_PROXY_UPSTREAMS"] == upstream
        assert variables["OAUTH2_PROXY_PROVIDER"] == "oidc"
        assert variables["OAUTH2_PROXY_PASS_HOST_HEADER"] == "true"
        for required in ("OIDC_ISSUER_URL", "CLIENT_ID", "CLIENT_SECRET", "COOKIE_SECRET", "EMAIL_DOMAINS"):
            assert ":?" in variables[f"OAUTH2_PROXY_{required}"]
        assert not [one for one in variables if re.search("SKIP_AUTH|SKIP_JWT|TRUSTED|INSECURE|API_ROUTES", one)]
        names.add(variables["OAUTH2_PROXY_COOKIE_NAME"])
    assert len(names) == len(PROXIES)


def test_what_listens_for_others_says_that_a_proxy_stands_before_it_and_the_image_does_not() -> None:
    listening = {name for name, service in SERVICES.items() if "BIND" in service.get("environment", {})}
    stated = {
        name
        for name, service in SERVICES.items()
        if service.get("environment", {}).get("DOMAIN_EMBED_BEHIND_PROXY") == "1"
    }
    assert listening == stated == {"code", "webserver", "mlflow"}
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert not re.search("behind.proxy", image, re.I)
    assert "0.0.0.0" in image, "its command refuses until the user says so"
    assert "was not run" in (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")


def test_each_process_is_told_its_own_database_alone() -> None:
    urls = {
        name: {key: value for key, value in service["environment"].items() if key.endswith("DATABASE_URL")}
        for name, service in SERVICES.items()
    }
    assert {name for name, found in urls.items() if "MLFLOW_DATABASE_URL" in found} == {"mlflow"}
    assert {name for name, found in urls.items() if "DAGSTER_DATABASE_URL" in found} == {"code", "webserver", "daemon"}
    assert "//mlflow:${MLFLOW_DB_PASSWORD" in urls["mlflow"]["MLFLOW_DATABASE_URL"]
    assert "//dagster:${DAGSTER_DB_PASSWORD" in urls["code"]["DAGSTER_DATABASE_URL"]
    assert "QDRANT_API_KEY" not in {**SERVICES["webserver"]["environment"], **SERVICES["daemon"]["environment"]}


def test_searchers_have_a_qdrant_key_that_only_reads() -> None:
    variables = SERVICES["qdrant"]["environment"]
    assert "QDRANT_READ_ONLY_API_KEY" in variables["QDRANT__SERVICE__READ_ONLY_API_KEY"]
    assert "QDRANT_READ_ONLY_API_KEY" not in str(SERVICES["code"]["environment"])


def test_each_of_our_processes_is_one_that_deploy_run_knows() -> None:
    text = (ROOT / "deploy" / "run").read_text(encoding="utf-8")
    assert {name: SERVICES[name]["command"] for name in OURS} == {name: ["deploy/run", name] for name in OURS}
    assert set(re.findall(r"^  (\w+)\)$", text, re.M)) == set(OURS)
    assert re.findall(r"^start (\w+)", (ROOT / "deploy" / "start").read_text(encoding="utf-8"), re.M) == list(OURS)
    assert subprocess.run([ROOT / "deploy" / "run", "nothing"], capture_output=True, check=False).returncode == 2


def test_secrets_come_from_the_environment_alone() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if value is not None and re.search(SECRET, key):
                assert re.search(r"\$\{\w+:\?", value) or key.endswith("COOKIE_SECURE"), f"{name}: {key}"
    settings = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.M))
    assert set(settings) == REQUIRED
    assert set(settings.values()) == {""}
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    for name in {*REQUIRED, *re.findall(r"^#(\w+)=", EXAMPLE, re.M)}:
        assert name in used
        assert f"`{name}`" in page


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
