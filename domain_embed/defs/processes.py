"""Which process works on a run, so that a run whose process was killed does not stay "started" for ever."""

import os
import socket

import dagster as dg
import psutil

from domain_embed.defs.policies import DOMAIN_TAG

PROCESS_TAG = "domain_embed/process"


def mark_run(instance: dg.DagsterInstance, run: dg.DagsterRun, domain: str) -> None:
    """Notes in a run's tags whose it is and which process works on it."""
    tags = {PROCESS_TAG: this_process(), DOMAIN_TAG: run.tags.get(DOMAIN_TAG, domain)}
    if any(run.tags.get(tag) != value for tag, value in tags.items()):
        instance.add_run_tags(run.run_id, tags)


def this_process() -> str:
    """Host, process id and time of start: ids are given out again, the three together are not."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.0f}"


def close_abandoned(instance: dg.DagsterInstance) -> list[str]:
    """Fails the runs whose process on this machine is gone; returns their ids.

    A killed process cannot say that it ended. Left alone, its run would look alive and hold its place in a pool.
    """
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
    closed = []
    for run in instance.get_runs(filters):
        if _is_gone(run.tags.get(PROCESS_TAG, "")):
            instance.report_run_failed(run, "The process that worked on this run is gone; run it again to go on.")
            closed.append(run.run_id)
    return closed


def _is_gone(process: str) -> bool:
    """Only what surely ran here and surely runs no more: another machine's processes cannot be seen."""
    host, _, rest = process.partition(" ")
    pid, _, started = rest.partition(" ")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        return bool(abs(psutil.Process(int(pid)).create_time() - float(started)) > 2)
    except psutil.NoSuchProcess:
        return True
