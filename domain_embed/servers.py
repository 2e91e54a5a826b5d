"""The processes behind `domain-embed ui`."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from domain_embed.defs.runs import open_instance
from domain_embed.settings import Environment
from domain_embed.stores.tracking import Tracking
from domain_embed.stores.workspace import STORE_FOLDER

STOP_SECONDS = 30


def serve_ui(environment: Environment, *, host: str, port: int, mlflow_port: int) -> None:
    """Serves Dagster, and MLflow when its figures are kept in the local file, until interrupted."""
    from domain_embed.defs.runs import dagster_home

    folder = environment.home / STORE_FOLDER / "mlflow"
    tracking = Tracking(environment.mlflow_tracking_uri, folder)
    with open_instance(environment):
        pass  # makes the home with its dagster.yaml
    commands = [dagster_command(host, port)]
    if environment.mlflow_tracking_uri is None:
        tracking.client()
        commands.append(mlflow_command(tracking.uri, folder, host, mlflow_port))
    variables = {
        **os.environ,
        "DAGSTER_HOME": str(dagster_home(environment)),
        "DOMAIN_EMBED_HOME": str(environment.home),
        "DOMAIN_EMBED_MLFLOW_UI": environment.mlflow_ui
        or environment.mlflow_tracking_uri
        or f"http://{host}:{mlflow_port}",
        # MLflow's job runner starts a dozen processes that nothing here needs.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped by a supervisor as by Ctrl-C
    processes = [subprocess.Popen(command, env=variables) for command in commands]
    try:
        processes[0].wait()
    except KeyboardInterrupt:
        pass
    finally:
        _stop(processes)


def _stop(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Ends the servers as Ctrl-C would; what does not end in time is killed."""
    for process in processes:
        process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def dagster_command(host: str, port: int) -> list[str]:
    """Dagster's webserver and daemon over all domains."""
    return [
        sys.executable, "-m", "dagster", "dev", "-m", "domain_embed.definitions", "--host", host, "--port", str(port),
    ]  # fmt: skip


def mlflow_command(uri: str, folder: Path, host: str, port: int) -> list[str]:
    """MLflow's server over the local file."""
    return [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri,
        "--default-artifact-root", (folder / "artifacts").as_uri(), "--host", host, "--port", str(port),
        "--workers", "1",
    ]  # fmt: skip
