"""Dagster's webserver behind the gate, in one process: there is no second port that leads past it."""

from pathlib import Path

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.cli import DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_MAX_OVERFLOW, DEFAULT_POOL_RECYCLE
from dagster_webserver.version import __version__

from domain_embed.servers.listening import Access, serve

LIVE_DATA_MS = 2000
"""How often a page asks for what is new, as in `dagster dev`."""


def serve_dagster(workspace: Path, access: Access, host: str, port: int) -> None:
    """Serves the interface over the code servers that a workspace file names, with the instance of DAGSTER_HOME."""
    configure_loggers()
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW)
        target = WorkspaceFileTarget([str(workspace)])
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            app = create_app_from_workspace_process_context(context, live_data_poll_rate=LIVE_DATA_MS)
            serve(app, access, host, port)
