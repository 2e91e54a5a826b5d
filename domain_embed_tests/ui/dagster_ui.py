"""Dagster's interface as a person sees it: real servers over a home, and a page of headless Chromium."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
START_SECONDS, RUN_SECONDS, STOP_SECONDS = 180, 900, 30
STALE = "{assetNodes{assetKey{path} staleStatus staleCauses{reason}}}"
RUNS = "{runsOrError(limit: 10){... on Runs{results{runId status tags{key value}}}}}"


@dataclass(frozen=True)
class DagsterUi:
    """A running interface: Dagster's address, MLflow's, and where its processes write what they have to say."""

    url: str
    mlflow: str = ""
    log: Path = Path()

    def ask(self, query: str) -> Any:
        """GraphQL, as the page itself asks."""
        request = urllib.request.Request(
            f"{self.url}/graphql", json.dumps({"query": query}).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def stale(self) -> dict[str, list[str]]:
        """Assets that are not fresh, with the reasons Dagster gives."""
        nodes = self.ask(STALE)["assetNodes"]
        return {
            node["assetKey"]["path"][-1]: [cause["reason"] for cause in node["staleCauses"]]
            for node in nodes
            if node["staleStatus"] != "FRESH"
        }

    def runs(self) -> list[dict[str, Any]]:
        """The newest runs, newest first: runId, status and tags."""
        results = self.ask(RUNS)["runsOrError"]["results"]
        return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in results]

    def wait_for_runs(self, count: int) -> list[dict[str, Any]]:
        """Until so many runs have ended."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            ended = [run for run in self.runs() if run["status"] in ("SUCCESS", "FAILURE", "CANCELED")]
            if len(ended) >= count:
                return ended
            time.sleep(1)
        raise TimeoutError(f"no {count} runs have ended: {self.runs()}")

    def lineage(self, domain: str) -> str:
        """The address of the whole graph with all groups open."""
        groups = ("data", "evidence", "index", "judgments", "monitoring", "sources", "training")
        return f"{self.url}/asset-groups?expanded=" + "%2C".join(f"global%40global%3A{domain}_{g}" for g in groups)


@contextmanager
def serve_dagster(home: Path, *options: str) -> Iterator[DagsterUi]:
    """`domain-embed ui` over all domains of a home, until the block ends."""
    port, mlflow_port = free_port(), free_port()
    dagster_home, log = home / ".store" / "dagster", home / "ui.log"
    (dagster_home / ".nux").mkdir(parents=True, exist_ok=True)
    (dagster_home / ".nux" / "nux.yaml").write_text("seen: 1\n", encoding="utf-8")  # or a dialog eats the clicks
    command = [
        sys.executable, "-m", "domain_embed.cli", "ui", "--port", str(port), "--mlflow-port", str(mlflow_port),
        *options,
    ]  # fmt: skip
    env = {**os.environ, "DOMAIN_EMBED_HOME": str(home), "DAGSTER_HOME": str(dagster_home), "HF_HUB_OFFLINE": "1"}
    with log.open("w", encoding="utf-8") as written:
        process = subprocess.Popen(command, env=env, stdout=written, stderr=written, start_new_session=True)
        try:
            ui = DagsterUi(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{mlflow_port}", log)
            _wait_until_loaded(ui, process)
            yield ui
        finally:
            stop_group(process)


def processes(ui: DagsterUi) -> list[psutil.Process]:
    """`domain-embed ui` and all it has started."""
    port = str(urlsplit(ui.url).port)
    mine = [one for one in psutil.Process().children() if ["ui", "--port", port] == one.cmdline()[3:6]]
    return [*mine, *mine[0].children(recursive=True)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop_group(process: "subprocess.Popen[bytes]") -> None:
    """Ends a process and all it has started, kindly first."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)


def _wait_until_loaded(ui: DagsterUi, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ui.ask(STALE)["assetNodes"] and urllib.request.urlopen(f"{ui.mlflow}/health", timeout=60):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(1)
    raise TimeoutError(f"domain-embed ui has not loaded the definitions: {ui.log.read_text(encoding='utf-8')[-3000:]}")
