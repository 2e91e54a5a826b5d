"""The real Dagster and the real MLflow behind the gate, as `domain-embed ui` starts them."""

import json
import os
import signal
import time
import urllib.error
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import pytest

from domain_embed_tests.scenario import DOMAIN
from domain_embed_tests.servers.raw import handshake, request
from domain_embed_tests.ui.dagster_ui import STALE, DagsterUi, processes

LAUNCH = """mutation($config: RunConfigData) {launchRun(executionParams: {runConfigData: $config, selector: {
repositoryLocationName: "domain_embed.definitions", repositoryName: "__repository__", jobName: "NAME_update",
assetSelection: [{path: ["NAME", "documents"]}]}}) {__typename
... on LaunchRunSuccess {run {runId}} ... on RunConfigValidationInvalid {errors {message}}}}""".replace("NAME", DOMAIN)
SEEN = '{assetNodes(assetKeys: [{path: ["NAME", "corpus_files"]}]) {assetMaterializations {timestamp}}}'
JSON = "Content-Type: application/json"
MLFLOW_SEARCH = "/api/2.0/mlflow/experiments/search"
PATIENCE_S = 60


def port(url: str) -> int:
    return urlsplit(url).port or 0


def launch(ui: DagsterUi, *headers: str, config: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"query": LAUNCH, "variables": {"config": config}})
    host = f"Host: {urlsplit(ui.url).netloc}"
    answer = request(port(ui.url), "POST", "/graphql", host, JSON, *headers, body=body)
    assert answer.status == 200, answer
    return dict(json.loads(answer.body)["data"]["launchRun"])


@pytest.mark.parametrize("server", ["url", "mlflow"])
def test_nothing_but_the_gate_listens_and_only_for_this_machine(ui: DagsterUi, server: str) -> None:
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in processes(ui)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", port(ui.url)), ("127.0.0.1", port(ui.mlflow))}
    assert request(port(getattr(ui, server)), "GET", "/", "Host: evil.example").status == 403


def test_the_code_servers_socket_is_this_users_alone(ui: DagsterUi) -> None:
    (command,) = [one.cmdline() for one in processes(ui) if "code-server" in one.cmdline()]
    socket = Path(command[command.index("--socket") + 1])
    assert socket.is_socket()
    assert socket.parent.stat().st_mode & 0o077 == 0


def test_a_post_from_another_origin_launches_nothing(ui: DagsterUi) -> None:
    """As a page can send it without asking first: as plain text, with the mutation in the address."""
    before = ui.runs()
    target = f"/graphql?query={quote(LAUNCH)}"
    host = f"Host: {urlsplit(ui.url).netloc}"
    for foreign in ("Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"):
        assert request(port(ui.url), "POST", target, host, foreign, "Content-Type: text/plain").status == 403
        assert request(port(ui.url), "GET", target, host, foreign).status == 403
    assert request(port(ui.url), "POST", target, f"Host: rebound.example:{port(ui.url)}").status == 403
    assert request(port(ui.url), "GET", target, host).status == 403
    assert ui.runs() == before
    assert "refused POST '/graphql': it comes from a page of 'http://evil.example'" in ui.log.read_text("utf-8")


def test_mlflow_is_as_closed(ui: DagsterUi) -> None:
    number, own = port(ui.mlflow), urlsplit(ui.mlflow).netloc
    body = json.dumps({"max_results": 1})
    assert request(number, "POST", MLFLOW_SEARCH, f"Host: {own}", JSON, body=body).status == 200
    assert (
        request(number, "POST", MLFLOW_SEARCH, f"Host: {own}", f"Origin: http://{own}", JSON, body=body).status == 200
    )
    for headers in (
        ("Host: evil.example",), (f"Host: {own}", "Origin: http://evil.example"), (f"Host: {own}", "Origin: null"),
        (f"Host: {own}", f"Origin: {ui.url}"), (f"Host: {own}", "Sec-Fetch-Site: same-site"),
    ):  # fmt: skip
        for path in (MLFLOW_SEARCH, "/health", "/version", "/graphql"):  # of which MLflow lets some pass
            assert request(number, "POST", path, *headers, JSON, body=body).status == 403
    assert request(number, "GET", "/graphql?query=%7Bx%7D", f"Host: {own}").status == 403


def test_dagsters_websocket_is_for_its_own_pages(ui: DagsterUi) -> None:
    number, own = port(ui.url), urlsplit(ui.url).netloc
    assert handshake(number, "/graphql", f"Host: {own}", f"Origin: http://{own}").status == 101
    assert handshake(number, "/graphql", f"Host: {own}", "Origin: http://evil.example").status == 403
    assert handshake(number, "/graphql", f"Host: {own}", "Origin: null").status == 403
    assert handshake(number, "/graphql", "Host: evil.example", f"Origin: http://{own}").status == 403


@pytest.mark.parametrize("name", ["home", "qdrant_url", "mlflow_tracking_uri", "storage", "environment"])
def test_a_launched_run_cannot_be_told_where_its_stores_are(ui: DagsterUi, name: str) -> None:
    before = ui.runs()
    told = launch(ui, config={"resources": {"stores": {"config": {name: "http://stranger.example"}}}})
    assert told["__typename"] == "RunConfigValidationInvalid"
    assert name in told["errors"][0]["message"]
    assert ui.runs() == before


def test_the_daemon_looks_at_the_sources(ui: DagsterUi) -> None:
    wait_until(ui, SEEN.replace("NAME", DOMAIN), lambda found: bool(found["assetNodes"][0]["assetMaterializations"]))


def test_a_run_works_and_a_killed_code_server_comes_back(ui: DagsterUi) -> None:
    assert launch(ui, config={})["__typename"] == "LaunchRunSuccess"
    assert ui.wait_for_runs(1)[0]["status"] == "SUCCESS"
    (code,) = [one for one in processes(ui) if "code-server" in one.cmdline()]
    os.kill(code.pid, signal.SIGKILL)
    code.wait(PATIENCE_S)
    wait_until(ui, "{x: version}", lambda found: bool(found["x"]))
    wait_until(ui, STALE, lambda _: [one for one in processes(ui) if "code-server" in one.cmdline()] != [])
    told = launch_when_loaded(ui)
    assert told["__typename"] == "LaunchRunSuccess"
    assert [run["status"] for run in ui.wait_for_runs(2)] == ["SUCCESS", "SUCCESS"]


def launch_when_loaded(ui: DagsterUi) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            told = launch(ui, config={})
        except AssertionError:
            told = {"__typename": "no answer"}
        if told["__typename"] == "LaunchRunSuccess" or time.monotonic() > deadline:
            return told
        time.sleep(1)


def wait_until(ui: DagsterUi, query: str, holds: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if holds(ui.ask(query)):
                return
        except urllib.error.URLError:
            pass
        assert time.monotonic() < deadline, ui.log.read_text("utf-8")[-3000:]
        time.sleep(1)
