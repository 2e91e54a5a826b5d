"""What is down, killed, damaged or done twice: a clear error, and a clean way on."""

import subprocess
import sys
import threading

import dagster as dg
import pytest
from filelock import FileLock
from mlflow.exceptions import MlflowException

from domain_embed.contracts.errors import StoreError, StoreUnavailableError
from domain_embed.definitions import build_definitions
from domain_embed.defs import assets
from domain_embed.defs.policies import DOMAIN_TAG
from domain_embed.defs.processes import PROCESS_TAG, close_abandoned, this_process
from domain_embed.defs.runs import OLD_DAGSTER_YAML, open_instance, run_assets
from domain_embed.settings import Environment
from domain_embed.stores.tracking import Tracking
from domain_embed_tests.whole import DOMAIN, Whole

NOWHERE = "http://user:secret@127.0.0.1:9"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(assets, "RETRY_SECONDS", (0, 0))


def run_with(whole: Whole, environment: Environment, *names: str) -> None:
    with open_instance(whole.environment) as instance:
        definitions = build_definitions(environment, [DOMAIN])
        run_assets(instance, whole.workspace, definitions, names, force=True)


def tries(whole: Whole) -> int:
    """How often the newest run has tried its step again."""
    with open_instance(whole.environment) as instance:
        (run,) = instance.get_runs(limit=1)
        return len(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_RESTARTED))


def test_a_tracking_server_that_is_down_is_named_without_its_password_and_the_next_run_goes_on(whole: Whole) -> None:
    environment = Environment(home=whole.home, mlflow_tracking_uri=NOWHERE)
    with pytest.raises(StoreUnavailableError, match=r"MLflow at http://127\.0\.0\.1:9 failed") as caught:
        run_with(whole, environment, "splits")
    assert "secret" not in str(caught.value)
    assert tries(whole) == 2
    assert whole.plan().stale == ()
    run_with(whole, whole.environment, "splits")
    assert whole.metadata("splits")["reused"] is False


def test_a_vector_store_that_is_down_is_tried_again_and_then_named(whole: Whole) -> None:
    environment = Environment(home=whole.home, qdrant_url="http://127.0.0.1:9")
    with pytest.raises(StoreUnavailableError, match=r"Qdrant at http://127\.0\.0\.1:9 does not answer"):
        run_with(whole, environment, "champion")
    assert tries(whole) == 2
    assert whole.plan().stale == ()


def test_mistakes_are_not_tried_again(whole: Whole) -> None:
    (whole.workspace.root / "tables" / "judgments.parquet").write_text("no table", encoding="utf-8")
    with pytest.raises(StoreError, match=r"judgments\.parquet is damaged.*\n.*delete it and run again"):
        run_with(whole, whole.environment, "splits")
    assert tries(whole) == 0


def test_an_error_is_not_hidden_by_a_tracking_server_that_goes_down_too(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = Tracking(None, tmp_path_factory.mktemp("mlflow"))
    client = tracking.client()
    monkeypatch.setattr(tracking, "client", lambda: client)

    def gone(*_: object, **__: object) -> None:
        raise MlflowException("connection refused")

    monkeypatch.setattr(client, "set_terminated", gone)
    with pytest.raises(ZeroDivisionError), tracking.asset_run("d", "run", "asset"):
        raise ZeroDivisionError


def test_damaged_records_are_named(whole: Whole) -> None:
    for path in (whole.workspace.reports / "latest.json", whole.workspace.checkpoints / "challenger.json"):
        path.write_text('{"cut of', encoding="utf-8")
    with pytest.raises(StoreError, match=r"latest\.json is damaged: .*\n.*delete it and run again"):
        whole.workspace.latest_report()
    with pytest.raises(StoreError, match=r"challenger\.json is damaged"):
        _ = whole.workspace.newest_checkpoint


def test_the_run_of_a_killed_process_is_closed_and_no_other(whole: Whole) -> None:
    killed = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    host, _, started = this_process().split()
    killed.kill()
    killed.wait()
    gone, reused_id = f"{host} {killed.pid} {started}", this_process().rpartition(" ")[0] + " 1000"
    with open_instance(whole.environment) as instance:
        runs = {}
        for process in (gone, reused_id, this_process(), f"elsewhere {killed.pid} {started}", ""):
            tags = {DOMAIN_TAG: DOMAIN, PROCESS_TAG: process} if process else {DOMAIN_TAG: DOMAIN}
            job = build_definitions(whole.environment).resolve_job_def(f"{DOMAIN}_update")
            runs[process] = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED).run_id
        assert set(close_abandoned(instance)) == {runs[gone], runs[reused_id]}
        assert close_abandoned(instance) == []
        closed = instance.get_run_by_id(runs[gone])
        assert closed is not None
        assert closed.status == dg.DagsterRunStatus.FAILURE


def test_two_runs_of_a_domain_take_turns(whole: Whole) -> None:
    """The second waits for the first, and then finds the asset made."""
    lock = FileLock(whole.workspace.root / "locks" / "splits.lock")
    done = threading.Event()
    whole.edit("splits", validation=0.25)
    with lock:
        worker = threading.Thread(target=lambda: (whole.run(("splits",)), done.set()))
        worker.start()
        assert not done.wait(3)
    assert done.wait(300)
    worker.join()
    assert whole.plan().statuses["splits"].state == "fresh"


def test_an_instance_made_by_an_earlier_version_gets_what_is_new(whole: Whole) -> None:
    settings = whole.home / ".store" / "dagster" / "dagster.yaml"
    settings.write_text(OLD_DAGSTER_YAML, encoding="utf-8")
    with open_instance(whole.environment) as instance:
        assert instance.event_log_storage.get_pool_config().default_pool_limit == 1
    settings.write_text(OLD_DAGSTER_YAML + "# mine\n", encoding="utf-8")
    with open_instance(whole.environment) as instance:
        assert instance.event_log_storage.get_pool_config().default_pool_limit is None
