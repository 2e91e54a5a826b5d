"""The processes behind `domain-embed ui`: user code, webserver and daemon of Dagster, and MLflow."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import yaml

from domain_embed.contracts.errors import StoreError
from domain_embed.contracts.secrets import without_secrets
from domain_embed.defs.runs import dagster_home, open_instance
from domain_embed.files import PRIVATE_UMASK
from domain_embed.servers.listening import TOKEN_VARIABLE, Access, address
from domain_embed.settings import Environment

DEFINITIONS = "domain_embed.definitions"
CODE, WEBSERVER, DAEMON, MLFLOW = "Dagster's code server", "Dagster's webserver", "Dagster's daemon", "MLflow"
ELSEWHERE = ("MLFLOW_DATABASE_URL", "MLFLOW_ARTIFACTS")
"""Of a deployment's MLflow; here runs keep their figures in the local file, and MLflow shows that."""
STOP_SECONDS, START_SECONDS, LOOK_SECONDS = 30, 60, 0.5


def serve_ui(environment: Environment, access: Access, *, host: str, port: int, mlflow_port: int) -> None:
    """Serves Dagster, and MLflow when its figures are kept in the local file, until interrupted.

    Raises StoreError when one of the processes ends by itself. The code server is started again instead: a file that
    kills it must not take the interface along.
    """
    with open_instance(environment):
        pass  # makes the home with its dagster.yaml
    local_mlflow = environment.mlflow_tracking_uri is None
    variables = {
        **{key: value for key, value in os.environ.items() if key not in ELSEWHERE},
        **access.variables(),
        "DAGSTER_HOME": str(dagster_home(environment)),
        "DOMAIN_EMBED_HOME": str(environment.home),
        "DOMAIN_EMBED_MLFLOW_UI": str(
            environment.mlflow_ui or environment.mlflow_tracking_uri or address(host, mlflow_port)
        ),
    }
    # Set here, as a shell has them ignored in what it starts in the background, and then in all that starts there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    running = Processes(variables)
    # A folder of this user's alone: whoever reaches the code server's socket runs what he likes.
    with suppress(KeyboardInterrupt), tempfile.TemporaryDirectory(prefix="domain-embed-ui-") as folder:
        socket, workspace = Path(folder) / "code", Path(folder) / "workspace.yaml"
        workspace.write_text(yaml.safe_dump(_workspace(socket)), encoding="utf-8")
        try:
            running.start(CODE, code_command(socket))
            running.wait_for(CODE, socket)
            running.start(WEBSERVER, webserver_command(workspace, host, port), shows_pages=True)
            running.start(DAEMON, daemon_command(workspace))
            if local_mlflow:
                running.start(MLFLOW, mlflow_command(host, mlflow_port), shows_pages=True)
            running.watch(started_again=CODE)
        finally:
            running.stop()


class Processes:
    """Processes that end together."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, Sequence[str]] = {}

    def start(self, name: str, command: Sequence[str], *, shows_pages: bool = False) -> None:
        """Starts one; only what people's browsers speak to is told the token, and MLflow, over its file, no secret."""
        told = without_secrets(self._variables) if name == MLFLOW else dict(self._variables)
        told.pop(TOKEN_VARIABLE, None)
        if shows_pages and TOKEN_VARIABLE in self._variables:
            told[TOKEN_VARIABLE] = self._variables[TOKEN_VARIABLE]
        self._commands[name] = command
        self._running[name] = subprocess.Popen(command, env=told, umask=PRIVATE_UMASK)

    def wait_for(self, name: str, socket: Path) -> None:
        """Until one that was started listens. Raises StoreError when it ends before, or does not in a minute."""
        deadline = time.monotonic() + START_SECONDS
        while not socket.exists():
            if self._running[name].poll() is not None or time.monotonic() > deadline:
                raise StoreError(f"{name} does not start", "what it wrote above says why")
            time.sleep(LOOK_SECONDS)

    def watch(self, started_again: str) -> None:
        """Until one ends, which is a StoreError; the named one is started again."""
        while True:
            for name, process in self._running.items():
                if process.poll() is None:
                    continue
                if name != started_again:
                    raise StoreError(
                        f"{name} has ended with code {process.returncode}, so everything ends",
                        "what it wrote above says why; a port that is taken is changed with --port and --mlflow-port",
                    )
                self.start(name, self._commands[name])
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Ends all as Ctrl-C would; what does not end in time, or before a second Ctrl-C, is killed."""
        for process in self._running.values():
            process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            for process in self._running.values():
                process.wait(max(deadline - time.monotonic(), 0))
        for process in self._running.values():
            process.kill()
            process.wait()


def code_command(socket: Path) -> list[str]:
    """The user code's server, which only a process of this user reaches."""
    return [
        sys.executable, "-m", "dagster", "code-server", "start", "--module-name", DEFINITIONS, "--socket", str(socket),
        "--log-level", "warning",
    ]  # fmt: skip


def webserver_command(workspace: Path, host: str, port: int) -> list[str]:
    """Dagster's interface behind the gate."""
    return [*_OURS, "webserver", "--workspace", str(workspace), "--host", host, "--port", str(port)]


def daemon_command(workspace: Path) -> list[str]:
    """What evaluates sensors and schedules and takes runs from the queue."""
    return [sys.executable, "-m", "dagster._daemon", "run", "--workspace", str(workspace)]


def mlflow_command(host: str, port: int) -> list[str]:
    """MLflow's interface behind the gate."""
    return [*_OURS, "mlflow-server", "--host", host, "--port", str(port)]


_OURS = (sys.executable, "-m", "domain_embed.cli")


def _workspace(socket: Path) -> dict[str, object]:
    """Named as before, as Dagster knows switched sensors and schedules by this name."""
    return {"load_from": [{"grpc_server": {"socket": str(socket), "location_name": DEFINITIONS}}]}
