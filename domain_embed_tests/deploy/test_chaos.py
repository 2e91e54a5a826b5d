"""Killed at random moments over many runs: worker, daemon, webserver or user code, restarted as compose would.

Slow: DOMAIN_EMBED_SLOW=1 kills six times, DOMAIN_EMBED_KILLS=50 fifty times.
"""

import os
import random
import shutil
import signal
import sys
import time
import urllib.error
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from domain_embed.defs.processes import PROCESS_TAG
from domain_embed.promotion.champion import PromotionLog
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE
from domain_embed_tests.deploy.servers import LAUNCH, POSTGRES, ROOT, Services
from domain_embed_tests.scenario import DOMAIN, SETTINGS, write_domain
from domain_embed_tests.ui.dagster_ui import DagsterUi, free_port
from domain_embed_tests.whole import Whole

KILLS = int(os.environ.get("DOMAIN_EMBED_KILLS") or 6)
VICTIMS = ("worker", "worker", "worker", "daemon", "webserver", "code")
PORTS = {"mlflow": "MLFLOW_PORT", "code": "CODE_PORT", "webserver": "WEBSERVER_PORT"}
UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
KILL_WITHIN_S = 30
"""After a run was asked for: about as long as it takes."""
PATIENCE_S = 420

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(POSTGRES is None, reason="needs Postgres: apt-get install postgresql"),
]


@pytest.fixture
def whole(tmp_path: Path) -> Whole:
    """A small domain that nothing was made of, and that does nothing by itself."""
    whole = Whole(tmp_path / "home")
    automation = SETTINGS.automation.model_copy(update={"keep_data_current": False, "retrain_schedule": None})
    training = SETTINGS.training.model_copy(update={"epochs": 1})
    write_domain(whole.folder, SETTINGS.model_copy(update={"automation": automation, "training": training}))
    return whole


@pytest.fixture
def deployment(
    whole: Whole, databases: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Services, dict[str, str]]]:
    """All services; Dagster looks after its runs every two seconds, not every two minutes."""
    deploy = tmp_path / "deploy"
    shutil.copytree(ROOT / "deploy", deploy)
    settings = (deploy / "dagster.yaml").read_text(encoding="utf-8")
    quick = settings.replace("run_monitoring:\n", "run_monitoring:\n  poll_interval_seconds: 2\n")
    assert quick != settings
    (deploy / "dagster.yaml").write_text(quick, encoding="utf-8")
    ports = {name: str(free_port()) for name in PORTS.values()}
    variables = {
        **databases, **ports, "DOMAIN_EMBED_HOME": str(whole.home), "DAGSTER_HOME": str(whole.home / ".store/postgres"),
        "MLFLOW_ARTIFACTS": str(whole.home / ".store/mlflow/artifacts"),
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{ports['MLFLOW_PORT']}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)  # the plan is made here, with the same records
    services = Services(deploy, {**os.environ, **variables}, tmp_path / "log")
    try:
        for name in ("mlflow", "code", "webserver", "daemon"):
            services.start(name, ports.get(PORTS.get(name, "")))
        yield services, ports
    finally:
        services.stop()


def test_no_kill_loses_anything_or_needs_a_hand(
    whole: Whole, deployment: tuple[Services, dict[str, str]], tmp_path: Path
) -> None:
    services, ports = deployment
    ui = DagsterUi(f"http://127.0.0.1:{ports['WEBSERVER_PORT']}")
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    assert _finish_a_run(ui) == "SUCCESS", (tmp_path / "log").read_text(encoding="utf-8")[-3000:]
    killed: Counter[str] = Counter()
    while killed.total() < KILLS:
        if killed.total() % 2 == 0:
            _edit(whole, killed.total())
        ui.ask(LAUNCH % DOMAIN)
        time.sleep(waited := chance.uniform(2, KILL_WITHIN_S))
        victim = chance.choice(VICTIMS)
        if victim == "worker":
            killed[victim] += _kill_worker(ui)  # it may have ended
        else:
            killed[victim] += 1
            services.kill(victim)
            services.start(victim, ports.get(PORTS.get(victim, "")))
        _wait_until_idle(ui)
        _assert_sound(whole)
        print(f"{killed.total()}: {victim} after {waited:.0f} s, newest run {ui.runs()[0]['status']}", flush=True)
    print(f"killed: {dict(killed)}")
    assert killed["worker"], "no run was killed at work"
    assert _finish_a_run(ui) == "SUCCESS", (tmp_path / "log").read_text(encoding="utf-8")[-3000:]
    _assert_sound(whole)
    assert whole.plan().stale == ()
    assert not list((whole.workspace.root / "index" / "building").glob("*/")), "half a collection was left"


def _edit(whole: Whole, number: int) -> None:
    """Something to train and to build again."""
    whole.edit("training", learning_rate=5e-5 + number * 1e-7)
    whole.edit("index", hnsw_ef_construct=100 + number)


def _finish_a_run(ui: DagsterUi) -> str:
    """Launches a run, and waits until it has ended; its status."""
    ui.ask(LAUNCH % DOMAIN)
    _wait_until_idle(ui)
    return str(ui.runs()[0]["status"])


def _wait_until_idle(ui: DagsterUi) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            runs = ui.runs()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            runs = [{"status": "QUEUED"}]
        if not any(run["status"] in UNFINISHED for run in runs):
            return
        assert time.monotonic() < deadline, f"a run needs a hand: {runs}"
        time.sleep(1)


def _kill_worker(ui: DagsterUi) -> int:
    """Kill -9 of the process that works on the newest run; 0 when there is none any more, or none yet."""
    for run in ui.runs():
        pid = run["tags"].get(PROCESS_TAG, "").split(" ")[1:2]
        if run["status"] == "STARTED" and pid and psutil.pid_exists(int(pid[0])):
            os.kill(int(pid[0]), signal.SIGKILL)
            return 1
    return 0


def _assert_sound(whole: Whole) -> None:
    """What is live is complete, by one model, and what the log of promotions says; every collection can be read."""
    workspace = whole.workspace
    store = workspace.vector_store
    infos = {info.name: info for info in store.collections()}
    for alias in (LIVE, BASE, CHALLENGER):
        assert store.alias(alias) in infos
    for info in infos.values():
        opened = store.open(info.name)
        assert opened.count() == info.count == len(list(opened.contents()))
    moves = PromotionLog(workspace.promotions).read()
    assert moves[-1].target == store.alias(LIVE)
    live = infos[store.alias(LIVE) or ""]
    assert workspace.encoder_of(live).fingerprint == live.fingerprint
    for checkpoint in workspace.checkpoints.glob("[!.]*/"):
        assert workspace.checkpoint_record(checkpoint.name) is not None
