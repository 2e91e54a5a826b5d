"""MLflow's server behind the gate, in one process. Where its records are stands in no command line."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from domain_embed.contracts.errors import SettingsError
from domain_embed.servers.listening import Access, serve
from domain_embed.settings import Environment
from domain_embed.stores.tracking import Tracking
from domain_embed.stores.workspace import STORE_FOLDER


@dataclass(frozen=True)
class Records:
    """Where MLflow keeps runs and models.

    Attributes:
        database: A SQLAlchemy URL.
        artifacts: A folder or bucket that clients read and write through the server.
        local_artifacts: A folder's URI that clients on this machine read and write by themselves.
    """

    database: str = field(repr=False)
    artifacts: str | None = None
    local_artifacts: str | None = None

    @classmethod
    def read(cls, environment: Environment, variables: Mapping[str, str] = os.environ) -> "Records":
        """MLFLOW_DATABASE_URL and MLFLOW_ARTIFACTS, or the local file of a home, which is made first."""
        database, artifacts = variables.get("MLFLOW_DATABASE_URL"), variables.get("MLFLOW_ARTIFACTS")
        if database and artifacts:
            return cls(database, artifacts)
        if database or artifacts:
            raise SettingsError(
                "of MLFLOW_DATABASE_URL and MLFLOW_ARTIFACTS only one is set", "set both, or none for the local file"
            )
        folder = environment.home / STORE_FOLDER / "mlflow"
        local = Tracking(None, folder)
        local.client()
        return cls(local.uri.reveal(), local_artifacts=(folder / "artifacts").as_uri())


def serve_mlflow(records: Records, access: Access, host: str, port: int) -> None:
    """Serves MLflow's interface and API."""
    os.environ.update(_variables(records, access, host, port))
    # Imported once the variables are set: the application is made of them as it is imported.
    from mlflow.server.fastapi_app import app
    from mlflow.server.handlers import initialize_backend_stores

    initialize_backend_stores(records.database, records.database, os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"])
    serve(app, access, host, port)


def _variables(records: Records, access: Access, host: str, port: int) -> dict[str, str]:
    """What `mlflow server` tells its workers by the same variables."""
    through_server = {
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": records.artifacts or "",
    }
    allowed = access.rules(host, port).hosts
    return {
        "_MLFLOW_SERVER_FILE_STORE": records.database,
        "_MLFLOW_SERVER_REGISTRY_STORE": records.database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": records.local_artifacts or "mlflow-artifacts:/",
        **(through_server if records.artifacts else {}),
        "_MLFLOW_SGI_NAME": "uvicorn",
        # MLflow's own jobs are not used; without them the server takes 0.4 GB of memory instead of 1.6.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # The gate has looked at Host and Origin; MLflow would refuse names that were allowed there.
        "MLFLOW_SERVER_ALLOWED_HOSTS": "*",
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(
            sorted(f"{scheme}://{name}" for name in allowed for scheme in ("http", "https"))
        ),
    }
