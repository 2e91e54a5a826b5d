"""MLflow: one experiment per domain, one parent run per Dagster run, one nested run per asset."""

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from domain_embed.contracts.errors import StoreUnavailableError
from domain_embed.contracts.names import require_domain_name
from domain_embed.contracts.secrets import SecretUrl, redact
from domain_embed.contracts.shown import markdown_text, visible
from domain_embed.files import PRIVATE_FILE, private_folder, private_umask

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

logger = logging.getLogger(__name__)

EXPERIMENT_PREFIX = "domain-embed/"
PARENT_TAG = "domain_embed.dagster_run"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"
METRICS_PER_CALL = 200
DEFAULT_UI = "http://127.0.0.1:5000"
"""Where `domain-embed ui` serves MLflow when tracking goes to the local file."""


class AssetTracker:
    """Takes the figures of one asset's work; see the Tracker port. Metrics are sent in batches."""

    def __init__(self, client: "MlflowClient", run_id: str, experiment_id: str, ui: str) -> None:
        self.run_id = run_id
        self.url = f"{ui}/#/experiments/{experiment_id}/runs/{run_id}"
        self._client, self._experiment_id, self._ui = client, experiment_id, ui
        self._pending: list[Any] = []

    def log_params(self, params: Mapping[str, object]) -> None:
        """Kept as text, cut where MLflow's limit is."""
        from mlflow.entities import Param

        batch = [Param(key, visible(redact(str(value)))[:6000]) for key, value in params.items()]
        self._client.log_batch(self.run_id, params=batch)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Kept until a batch is full or the asset is done."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._pending += [Metric(_metric_name(key), value, now, step or 0) for key, value in metrics.items()]
        if len(self._pending) >= METRICS_PER_CALL:
            self.flush()

    @contextmanager
    def nested(self, name: str) -> Iterator["AssetTracker"]:
        """A run within this one; it ends FAILED when the body raises."""
        tags = {"mlflow.parentRunId": self.run_id, "trial": name}
        run = self._client.create_run(self._experiment_id, run_name=name, tags=tags)
        tracker = AssetTracker(self._client, run.info.run_id, self._experiment_id, self._ui)
        status = "FAILED"
        try:
            yield tracker
            status = "FINISHED"
        finally:
            tracker.finish(status)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Texts to find the run by, cut where MLflow's limit is."""
        for key, value in tags.items():
            self._client.set_tag(self.run_id, key, visible(redact(value))[:5000])

    def log_artifact(self, path: Path) -> str:
        """Copies a file into the run and returns the address of its page."""
        self._client.log_artifact(self.run_id, str(path))
        return f"{self.url}/artifacts/{path.name}"

    def log_json(self, name: str, content: Mapping[str, Any]) -> str:
        """Keeps figures as a JSON file of the run and returns the address of its page."""
        self._client.log_dict(self.run_id, dict(content), name)
        return f"{self.url}/artifacts/{name}"

    def register_model(self, checkpoint: Path, name: str, alias: str, tags: Mapping[str, str]) -> str:
        """Logs the checkpoint as a model of this run, registers it under `name` and gives it the alias.

        Returns the version.
        """
        import mlflow
        from sentence_transformers import SentenceTransformer

        with _process_tracks_to(self._client.tracking_uri), mlflow.start_run(run_id=self.run_id):
            # Stated requirements: working them out takes longer than the logging itself.
            logged = mlflow.sentence_transformers.log_model(
                SentenceTransformer(str(checkpoint)), name="model", pip_requirements=["sentence-transformers"],
                registered_model_name=name,
            )  # fmt: skip
        version = str(logged.registered_model_version)
        for key, value in tags.items():
            self._client.set_model_version_tag(name, version, key, value)
        self._client.set_registered_model_alias(name, alias, version)
        return version

    def register_folder(self, folder: Path, name: str, alias: str, tags: Mapping[str, str]) -> str:
        """Logs a folder as it is, for models MLflow has no flavor for, and registers it like `register_model`."""
        self._client.log_artifacts(self.run_id, str(folder), "model")
        if not self._client.search_registered_models(f"name='{name}'"):
            self._client.create_registered_model(name)
        source = f"runs:/{self.run_id}/model"
        version = self._client.create_model_version(name, source, self.run_id, tags=dict(tags)).version
        self._client.set_registered_model_alias(name, alias, version)
        return str(version)

    def finish(self, status: str) -> None:
        """Sends what is pending and ends the run."""
        self.flush()
        self._client.set_terminated(self.run_id, status)

    def flush(self) -> None:
        """Sends what is pending."""
        if self._pending:
            self._client.log_batch(self.run_id, metrics=self._pending)
            self._pending = []


class NoTracker(AssetTracker):
    """For work that must be done although MLflow is away: what it says is lost."""

    def __init__(self) -> None:
        self.run_id = self.url = ""

    def log_params(self, params: Mapping[str, object]) -> None:
        """Drops them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Drops them."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Drops them."""


class Tracking:
    """Opens runs in MLflow; a local sqlite file needs no server and is set up once, under a lock."""

    def __init__(self, uri: str | SecretUrl | None, folder: Path, ui: str | SecretUrl | None = None) -> None:
        """`ui` is where people's browsers reach MLflow, if not under `uri`; what is shown of either has no secrets."""
        self._folder = folder
        self.uri = SecretUrl(uri or f"sqlite:///{folder / 'mlflow.db'}")
        self.ui = str(SecretUrl(ui or (self.uri if str(self.uri).startswith("http") else DEFAULT_UI)))

    @contextmanager
    def asset_run(
        self, domain: str, dagster_run: str, asset: str, *, reason: str | None = None, required: bool = True
    ) -> Iterator[AssetTracker]:
        """A nested run for one asset; it ends FAILED when the body raises. `reason` is why the Dagster run was made.

        Raises StoreUnavailableError when MLflow is away; where it is not `required`, the work is done without it.
        """
        if not required and not self._answers():
            yield NoTracker()
            return
        with tracking_errors(self.uri), private_umask():
            client = self.client()
            experiment = self._experiment(client, domain)
            parent = self._parent(client, experiment, dagster_run, redact(reason) if reason else None)
            tags = {"mlflow.parentRunId": parent, "asset": asset}
            run = client.create_run(experiment, run_name=asset, tags=tags)
            tracker = AssetTracker(client, run.info.run_id, experiment, self.ui)
            try:
                yield tracker
            except BaseException:
                self._end_failed(tracker, client, parent)
                raise
            tracker.finish("FINISHED")
            client.set_terminated(parent, "FINISHED")

    def _answers(self) -> bool:
        from sqlalchemy.exc import SQLAlchemyError  # of a database without a server before it

        try:
            with tracking_errors(self.uri):
                self.client().search_experiments(max_results=1)
        except (StoreUnavailableError, SQLAlchemyError) as error:
            logger.warning("%s; the work goes on without it", error)
            return False
        return True

    def set_alias(self, domain: str, alias: str, fingerprint: str) -> None:
        """Moves a registry alias to the version of a checkpoint; removes it when that was never registered."""
        name = registered_name(domain)
        with tracking_errors(self.uri), private_umask():
            client = self.client()
            found = client.search_model_versions(f"name='{name}' and tags.fingerprint='{fingerprint}'")
            if found:
                client.set_registered_model_alias(name, alias, found[0].version)
            elif client.search_registered_models(f"name='{name}'"):
                client.delete_registered_model_alias(name, alias)

    def _end_failed(self, tracker: AssetTracker, client: "MlflowClient", parent: str) -> None:
        """Ends runs whose work has failed; that must not be hidden by a server that has gone as well."""
        from mlflow.exceptions import MlflowException

        try:
            tracker.finish("FAILED")
            client.set_terminated(parent, "FAILED")
        except MlflowException:
            logger.warning("MLflow could not be told that its runs have failed")

    def client(self) -> "MlflowClient":
        """A client of the store; makes and migrates a local one first."""
        # MLflow's own patience with a server that is gone is four minutes a call; the asset is tried again anyway.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
        # It prints the address of every run that ends, with the password by which it was reached.
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        from mlflow.tracking import MlflowClient

        if not self._is_local:
            return MlflowClient(self.uri.reveal())
        private_folder(self._folder)
        # Two processes that open a fresh file at once both try to migrate it, and one crashes.
        with FileLock(self._folder / ".setup.lock", mode=PRIVATE_FILE), private_umask():
            client = MlflowClient(self.uri.reveal())
            client.search_experiments(max_results=1)
        return client

    @property
    def _is_local(self) -> bool:
        return self.uri.reveal().startswith("sqlite")

    def _experiment(self, client: "MlflowClient", domain: str) -> str:
        name = EXPERIMENT_PREFIX + require_domain_name(domain)
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = (self._folder / "artifacts" / domain).as_uri() if self._is_local else None
        return str(client.create_experiment(name, artifact_location=location))

    def _parent(self, client: "MlflowClient", experiment: str, dagster_run: str, reason: str | None) -> str:
        found = client.search_runs([experiment], f"tags.`{PARENT_TAG}` = '{dagster_run}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {PARENT_TAG: dagster_run, **({"mlflow.note.content": markdown_text(reason)} if reason else {})}
        run = client.create_run(experiment, run_name=f"run {dagster_run[:8]}", tags=tags)
        return str(run.info.run_id)


@contextmanager
def _process_tracks_to(uri: str) -> Iterator[None]:
    """Sets MLflow's store for the whole process, for what takes no client, and leaves the process as it was.

    `mlflow.set_tracking_uri` also sets MLFLOW_TRACKING_URI, which would send every later run of this process, whatever
    home it is of, to this store.
    """
    import mlflow

    before = os.environ.get(TRACKING_VARIABLE)
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # back to what the variable says
        if before is not None:
            os.environ[TRACKING_VARIABLE] = before


@contextmanager
def tracking_errors(uri: SecretUrl) -> Iterator[None]:
    """Turns what MLflow raises into a StoreError that names the server."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        problem = redact(str(error)).splitlines()[0][:200]
        raise StoreUnavailableError(
            f"MLflow at {uri} failed: {problem}", "see that it runs; what was made stays, run again to go on"
        ) from None


def registered_name(domain: str) -> str:
    """The name of a domain's model in the registry; it may stand in a filter as it is."""
    return f"domain-embed-{require_domain_name(domain)}"


def _metric_name(name: str) -> str:
    """MLflow allows few signs in a metric's name, not @ and not +."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"))
