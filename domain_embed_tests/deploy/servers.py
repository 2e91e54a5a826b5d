"""What a deployment on one machine consists of: Postgres, and the processes of deploy/run."""

import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
LAUNCH = """mutation {launchRun(executionParams: {selector: {repositoryLocationName: "domain-embed",
repositoryName: "__repository__", jobName: "%s_update"}}) {__typename ... on LaunchRunSuccess {run {runId}}}}"""
START_SECONDS = 120


class Services:
    """mlflow, code, webserver and daemon as processes of their own, each to be killed and started again."""

    def __init__(self, deploy: Path, environment: dict[str, str], log: Path) -> None:
        self._deploy, self._environment, self._log = deploy, environment, log
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, port: str | None = None) -> None:
        """Starts one, and waits until its port answers."""
        with self._log.open("a", encoding="utf-8") as log:
            self._processes[name] = subprocess.Popen(
                [self._deploy / "run", name], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while port is not None and not _answers(int(port)):
            assert self._processes[name].poll() is None, self._log.read_text(encoding="utf-8")[-3000:]
            assert time.monotonic() < deadline, f"{name} does not answer"
            time.sleep(0.5)

    def kill(self, name: str) -> None:
        """Kill -9, the process alone: what it has started goes on."""
        self._processes[name].kill()
        self._processes[name].wait()

    def stop(self) -> None:
        """Ends all of them."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
