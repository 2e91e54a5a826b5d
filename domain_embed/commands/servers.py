"""The web interface, and the single processes of a deployment."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain_embed.console import errors

if TYPE_CHECKING:
    from domain_embed.servers.listening import Access

app = typer.Typer()

Port = Annotated[int, typer.Option(min=1, max=65535)]
Host = Annotated[str, typer.Option(help="Where to listen; beyond this machine only behind a proxy with a login.")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(help="A name people reach it by, as browsers show it; also DOMAIN_EMBED_HOSTS. May be repeated."),
]
BehindProxy = Annotated[
    bool,
    typer.Option(help="A proxy with a login stands before it; also DOMAIN_EMBED_BEHIND_PROXY=1.", show_default=False),
]


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Of Dagster.", min=1, max=65535)] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="Of MLflow.", min=1, max=65535)] = 5000,
    host: Host = "127.0.0.1",
    allow_host: AllowHost = None,
    behind_proxy: BehindProxy = False,
) -> None:
    """Start Dagster's UI with all domains, and MLflow's for the figures. Ends with Ctrl-C."""
    access = _access(host, "Dagster", allow_host, behind_proxy)
    from domain_embed.servers.listening import address
    from domain_embed.servers.ui import serve_ui
    from domain_embed.settings import Environment

    environment = Environment.read()
    errors.print(f"Dagster on {address(host, port)}", highlight=False, soft_wrap=True)
    if environment.mlflow_tracking_uri is None:
        errors.print(f"MLflow on {address(host, mlflow_port)}", highlight=False, soft_wrap=True)
    serve_ui(environment, access, host=host, port=port, mlflow_port=mlflow_port)


@app.command()
def webserver(
    workspace: Annotated[Path, typer.Option(help="Dagster's workspace.yaml: where the code servers are.")],
    port: Port = 3000,
    host: Host = "127.0.0.1",
    allow_host: AllowHost = None,
    behind_proxy: BehindProxy = False,
) -> None:
    """Serve Dagster's UI alone, with the instance of DAGSTER_HOME (for deployments)."""
    access = _access(host, "Dagster", allow_host, behind_proxy)
    from domain_embed.servers.dagster_server import serve_dagster

    serve_dagster(workspace, access, host, port)


@app.command()
def mlflow_server(
    port: Port = 5000, host: Host = "127.0.0.1", allow_host: AllowHost = None, behind_proxy: BehindProxy = False
) -> None:
    """Serve MLflow alone, over MLFLOW_DATABASE_URL and MLFLOW_ARTIFACTS or the local file (for deployments)."""
    access = _access(host, "MLflow", allow_host, behind_proxy)
    from domain_embed.servers.mlflow_server import Records, serve_mlflow
    from domain_embed.settings import Environment

    serve_mlflow(Records.read(Environment.read()), access, host, port)


@app.command()
def code_server(port: Port = 4000, host: Host = "127.0.0.1", behind_proxy: BehindProxy = False) -> None:
    """Serve the domains to Dagster's webserver and daemon alone (for deployments)."""
    _access(host, "Dagster's code server", None, behind_proxy)
    os.execv(sys.executable, [
        sys.executable, "-m", "dagster", "code-server", "start", "--module-name", "domain_embed.definitions",
        "--host", host, "--port", str(port),
    ])  # fmt: skip


def _access(host: str, server: str, allowed: list[str] | None, behind_proxy: bool) -> "Access":
    """Who may speak to it. Raises SettingsError, before anything heavy, where it would be open to others."""
    from domain_embed.servers.listening import Access

    access = Access.read(allowed or (), behind_proxy=behind_proxy)
    access.require(host, server)
    return access
