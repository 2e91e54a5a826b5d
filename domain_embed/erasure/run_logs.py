"""What Dagster and MLflow keep of runs: their databases, what processes printed, and the files of MLflow's runs."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import dagster as dg

from domain_embed.contracts.errors import StoreError
from domain_embed.defs.data import domain_group
from domain_embed.defs.policies import DOMAIN_TAG
from domain_embed.defs.runs import dagster_home, open_instance
from domain_embed.erasure.databases import compact, database_strings, is_database, tables_with, walk_database
from domain_embed.erasure.formats import WALKERS, Change, inflated
from domain_embed.erasure.places import scrub_file
from domain_embed.settings import Environment
from domain_embed.stores.tracking import EXPERIMENT_PREFIX, Tracking, registered_name, tracking_errors

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MODEL_FOLDERS = ("model", "models")
"""Of MLflow's files: weights, no texts."""
PLACES = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location",
          "model_versions": "storage_location"}  # fmt: skip
"""Where MLflow's database says by absolute path where files are."""
LOCAL = "sqlite:///"
INSTIGATORS = ("sources", "data", "retrain", "retrain_schedule")
"""The sensors and the schedule of a domain, see `defs.automation`."""


def scrub_databases(environment: Environment, tracking: Tracking, change: Change, *, dry: bool) -> Iterator[str]:
    """Replaces what quotes the documents in the databases that are files, also what was deleted in them before."""
    for path in databases(environment, tracking):
        held = _holds(path, change)
        if held and not dry:
            walk_database(path, change)
            compact(path)
        if held:
            yield str(path)


def databases(environment: Environment, tracking: Tracking) -> list[Path]:
    """Dagster's and MLflow's, as far as they are files."""
    found = [path for path in sorted(dagster_home(environment).rglob("*.db")) if path.is_file() and is_database(path)]
    local = local_database(tracking)
    return [*found, local] if local is not None and local.exists() else found


def local_database(tracking: Tracking) -> Path | None:
    """MLflow's database where it is a file."""
    uri = tracking.uri.reveal()
    return Path(unquote(uri.removeprefix(LOCAL))) if uri.startswith(LOCAL) else None


def _holds(path: Path, change: Change) -> bool:
    return any(change(text) != text for text in database_strings(path))


def scrub_output(environment: Environment, change: Change, *, dry: bool) -> Iterator[str]:
    """Replaces what quotes the documents in what the processes of runs printed."""
    for path in sorted((dagster_home(environment) / "storage").rglob("*")):
        if path.is_file() and scrub_file(path, change, dry=dry):
            yield str(path)


def held_by_dagster(environment: Environment, domain: str, change: Change) -> list[str]:
    """Runs in a database that is a server's and still quote the documents; a file's were scrubbed."""
    with open_instance(environment) as instance:
        if "Sqlite" in type(instance.event_log_storage).__name__:
            return []
        runs = instance.get_runs(dg.RunsFilter(tags={DOMAIN_TAG: domain}))
        return [run.run_id for run in runs if any(_quotes(entry, change) for entry in instance.all_logs(run.run_id))]


def _quotes(entry: object, change: Change) -> bool:
    text = str(entry)
    return change(text) != text


def scrub_tracking(tracking: Tracking, domain: str, change: Change, *, dry: bool) -> Iterator[str]:
    """Replaces what quotes the documents in the tags of the domain's runs in MLflow, and on a server in artifacts."""
    with tracking_errors(tracking.uri):
        client = tracking.client()
        experiment = client.get_experiment_by_name(EXPERIMENT_PREFIX + domain)
        if experiment is None:
            return
        for run in _all_runs(client, experiment.experiment_id):
            for key, value in run.data.tags.items():
                if change(value) != value:
                    if not dry:
                        client.set_tag(run.info.run_id, key, change(value))
                    yield f"MLflow run {run.info.run_id}: tag {key}"
            for name in [] if local_database(tracking) else _artifacts(client, run.info.run_id):
                if _scrub_artifact(client, run.info.run_id, name, change, dry=dry):
                    yield f"MLflow run {run.info.run_id}: {name}"


def scrub_artifacts(folder: Path, change: Change, *, dry: bool) -> Iterator[str]:
    """Likewise in the folder of artifacts of a local MLflow, wherever that was when they were written."""
    for path in sorted(folder.rglob("*")):
        of_model = any(part in MODEL_FOLDERS for part in path.relative_to(folder).parts)
        if path.is_file() and not of_model and scrub_file(path, change, dry=dry):
            yield str(path)


def _all_runs(client: "MlflowClient", experiment: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], run_view_type=3, max_results=500, page_token=token)  # deleted ones, too
        yield from page
        token = page.token
        if not token:
            return


def _artifacts(client: "MlflowClient", run: str, folder: str | None = None) -> Iterator[str]:
    for found in client.list_artifacts(run, folder):
        if not found.is_dir:
            yield found.path
        elif found.path not in MODEL_FOLDERS:
            yield from _artifacts(client, run, found.path)


def _scrub_artifact(client: "MlflowClient", run: str, name: str, change: Change, *, dry: bool) -> bool:
    if Path(name).suffix.lower() not in WALKERS:
        return False
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with tempfile.TemporaryDirectory() as folder:
        fetched = Path(client.download_artifacts(run, name, folder))
        copy = Path(folder) / "again" / fetched.name
        copy.parent.mkdir()
        copy.write_bytes(fetched.read_bytes())
        if not scrub_file(copy, change, dry=False):
            return False
        if not dry:
            client.log_artifact(run, str(copy), str(Path(name).parent) if "/" in name else None)
    return True


def forget_runs(environment: Environment, domain: str) -> list[str]:
    """Deletes everything Dagster knows of a domain: its assets' history, runs, and what its sensors noted."""
    done = []
    with open_instance(environment) as instance:
        keys = [key for key in instance.all_asset_keys() if key.path[0] == domain]
        if keys:
            instance.wipe_assets(keys)
            done.append(f"Dagster: {len(keys)} assets")
        runs = [run.run_id for run in instance.get_runs() if _is_of(run, domain)]
        for run_id in runs:
            instance.compute_log_manager.delete_logs(prefix=[run_id])
            instance.delete_run(run_id)
        if runs:
            done.append(f"Dagster: {len(runs)} runs")
        names = {domain_group(domain, name) for name in INSTIGATORS}
        for state in instance.all_instigator_state():
            if state.instigator_name in names:
                instance.purge_ticks(state.instigator_origin_id, state.selector_id, before=time.time())
                instance.delete_instigator_state(state.instigator_origin_id, state.selector_id)
                done.append(f"Dagster: what {state.instigator_name} noted")
    return done


def forget_events(environment: Environment, domain: str) -> list[str]:
    """Deletes what Dagster keeps of wiped assets: that they were, and what happened to them outside of runs."""
    beginning = f"{json.dumps([domain])[:-1]},"
    gone = 0
    for path in sorted((dagster_home(environment) / "history" / "runs").glob("*.db")):
        with closing(sqlite3.connect(path)) as database, database:
            for table in tables_with(database, "asset_key"):
                where = "substr(asset_key, 1, ?) = ?"
                done = database.execute(f"DELETE FROM {table} WHERE {where}", (len(beginning), beginning))
                gone += done.rowcount
    return [f"Dagster: {gone} events"] if gone else []


def forget_snapshots(environment: Environment, domain: str) -> list[str]:
    """Deletes what Dagster keeps of the graphs of deleted runs, naming its assets; it has no call for it."""
    path = dagster_home(environment) / "history" / "runs.db"
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as database, database:
        runs = "".join(body for (body,) in database.execute("SELECT run_body FROM runs"))
        rows = database.execute("SELECT snapshot_id, snapshot_body FROM snapshots").fetchall()
        name = f'"{domain}"'.encode()
        gone = [(one,) for one, body in rows if name in inflated(body) and one not in runs]
        database.executemany("DELETE FROM snapshots WHERE snapshot_id = ?", gone)
    return [f"Dagster: {len(gone)} graphs"] if gone else []


def _is_of(run: dg.DagsterRun, domain: str) -> bool:
    selected = run.asset_selection or set()
    return run.tags.get(DOMAIN_TAG) == domain or any(key.path[0] == domain for key in selected)


def forget_tracking(tracking: Tracking, domain: str, artifacts: Path) -> Iterator[str]:
    """Deletes the domain's registered models and its experiment in MLflow; of a local store for good."""
    with tracking_errors(tracking.uri):
        client = tracking.client()
        for name in (registered_name(domain), f"{registered_name(domain)}-reranker"):
            if client.search_registered_models(f"name='{name}'"):
                client.delete_registered_model(name)
                yield f"MLflow: registered model {name}"
        found = [one for one in client.search_experiments(view_type=3) if one.name == EXPERIMENT_PREFIX + domain]
        for experiment in found:
            if experiment.lifecycle_stage == "active":
                client.delete_experiment(experiment.experiment_id)
            if (local := local_database(tracking)) is not None:
                _bring_home(local, experiment.artifact_location, artifacts.as_uri())
                _delete_for_good(tracking.uri.reveal(), experiment.experiment_id)
            yield f"MLflow: experiment {experiment.name}"


def _bring_home(database: Path, before: str, after: str) -> None:
    """Lets MLflow look for files where they are now: of a home that was copied, it would delete the original's."""
    with closing(sqlite3.connect(database)) as opened, opened:
        for table, column in PLACES.items():
            opened.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (before, after))


def _delete_for_good(uri: str, experiment: str) -> None:
    """What `mlflow gc` does, in a process of its own: it works on the tracking store of the whole process."""
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri, "--tracking-uri", uri,
               "--experiment-ids", experiment]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        problem = ended.stderr.strip().splitlines()[-1:] or ["no message"]
        raise StoreError(f"`mlflow gc` could not delete the experiment: {problem[0]}", "run it by hand")


def compact_databases(environment: Environment, tracking: Tracking) -> list[str]:
    """Writes all databases that are files again without free pages; returns what cannot be done now."""
    busy = []
    for path in databases(environment, tracking):
        try:
            compact(path)
        except sqlite3.Error as error:
            busy.append(f"{path}: {error}")
    return busy


def is_remote(tracking: Tracking) -> bool:
    """Whether MLflow is a server's, whose deleted runs only its operator can remove for good."""
    return urlsplit(tracking.uri.reveal()).scheme in ("http", "https")
