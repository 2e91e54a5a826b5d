"""Worker processes: what they yield, how they end, and that none is left."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from domain_embed.contracts.errors import InputError, StoreError
from domain_embed.workers import pool
from domain_embed.workers.pool import WORKERS, WorkerLostError, Workers
from domain_embed.workers.worker import MEMORY_BYTES
from domain_embed_tests.workers import functions

LONG = [60.0]
PATIENCE_SECONDS = 30.0


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether it became true in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def pid_of(workers: Workers) -> int:
    """The process that answers next."""
    [about] = workers.stream(functions.about, seconds=LONG)
    return int(about["pid"])


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "a", "é\n\x00", "lone \udce9", [], {"a": [1, {"b": None}]}])
def test_values_come_as_they_are(value: object) -> None:
    with Workers() as workers:
        assert list(workers.stream(functions.echo, [value, value], seconds=LONG)) == [value, value]


def test_bytes_come_as_bytes() -> None:
    with Workers() as workers:
        assert list(workers.stream(functions.content, 3_000_000, seconds=LONG)) == [b"x" * 3_000_000]


def test_a_worker_is_used_again_after_answers_and_refusals() -> None:
    with Workers() as workers:
        first = pid_of(workers)
        with pytest.raises(InputError, match=r"bad \\udce9 file\n  → mend it"):
            list(workers.stream(functions.refuse, 2, seconds=LONG))
        assert pid_of(workers) == first


@pytest.mark.parametrize(
    ("function", "arguments", "seconds", "said"),
    [
        (functions.crash, (2,), LONG, r"the process that read it died \(SIGSEGV\)"),
        (functions.killed, (), LONG, r"the process that read it died \(SIGKILL\)"),
        (functions.fail, (), LONG, r"reading it failed \(KeyError: 'x'\)"),
        (functions.hang, (2,), [60.0, 60.0, 1.0], "reading it takes longer than 1 seconds"),
        (functions.sleep, (60,), [1.0], "reading it takes longer than 1 seconds"),
        (functions.grow, (), LONG, "reading it takes more than 2 GB of memory"),
    ],
    ids=["crash", "killed", "unknown-error", "hang", "sleep", "memory"],
)
def test_a_lost_worker_says_why_and_another_takes_its_place(
    function: Callable[..., object], arguments: tuple[object, ...], seconds: list[float], said: str
) -> None:
    got: list[object] = []
    with Workers() as workers:
        before = pid_of(workers)
        with pytest.raises(WorkerLostError, match=said):
            got.extend(workers.stream(function, *arguments, seconds=seconds))  # type: ignore[arg-type]
        assert not is_running(before)
        assert pid_of(workers) != before
    if function in (functions.crash, functions.hang):
        assert got == [0, 1]  # what came before is not lost


def test_what_a_library_prints_is_no_answer() -> None:
    with Workers() as workers:
        assert list(workers.stream(functions.chatter, seconds=LONG)) == ["answer"]


def test_a_worker_limits_itself_and_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", "secret")
    with Workers() as workers:
        [about] = workers.stream(functions.about, seconds=LONG)
    memory, processor, core, files = about["limits"]
    assert (memory, core, files) == (MEMORY_BYTES, 0, 0)
    assert 0 < processor <= 70
    assert "QDRANT_API_KEY" not in about["environment"]
    assert about["heavy"] == []


def test_readers_load_nothing_heavy() -> None:
    with Workers() as workers:
        [heavy] = workers.stream(functions.load, "domain_embed.corpus.whole_files", seconds=LONG)
    assert heavy == []


def test_a_worker_that_died_idle_is_not_blamed_on_the_next_file() -> None:
    with Workers() as workers:
        before = pid_of(workers)
        os.kill(before, signal.SIGKILL)
        assert wait_until(lambda: not is_running(before))
        assert list(workers.stream(functions.echo, [1], seconds=LONG)) == [1]


def test_a_worker_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MODULE", "domain_embed.no_such_module")
    with Workers() as workers, pytest.raises(StoreError, match=r"(?s)can be started: .*No module named"):
        list(workers.stream(functions.echo, [1], seconds=LONG))


def test_a_stream_that_is_left_ends_its_worker() -> None:
    with Workers() as workers:
        before = pid_of(workers)
        stream = workers.stream(functions.echo, [1, 2, 3], seconds=LONG)
        assert next(stream) == 1
        stream.close()  # type: ignore[attr-defined]
        assert not is_running(before)


def test_closing_ends_a_busy_worker_at_once() -> None:
    workers, ended = Workers(), []

    def call() -> None:
        try:
            list(workers.stream(functions.sleep, 600, seconds=[600.0]))
        except WorkerLostError:
            ended.append(True)

    thread = threading.Thread(target=call)
    thread.start()
    assert wait_until(lambda: bool(workers._busy))
    workers.close()
    thread.join(PATIENCE_SECONDS)
    assert ended == [True]
    with pytest.raises(WorkerLostError, match="reading was ended"):
        list(workers.stream(functions.echo, [], seconds=LONG))


def test_several_threads_have_a_worker_each() -> None:
    got: list[list[int]] = []
    with Workers() as workers:
        threads = [
            threading.Thread(target=lambda: got.append(list(workers.stream(functions.echo, [1, 2], seconds=LONG))))
            for _ in range(WORKERS * 3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == [[1, 2]] * (WORKERS * 3)


SCRIPT = """
import sys
from domain_embed.workers.pool import Workers
from domain_embed_tests.workers import functions
workers = Workers()
for function, arguments in ((functions.about, ()), (functions.about, ())):
    [about] = workers.stream(function, *arguments, seconds=[60.0])
print(about["pid"], flush=True)
if sys.argv[1] == "busy":
    list(workers.stream(functions.hang, 0, seconds=[600.0]))
sys.stdin.read()
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_no_worker_outlives_a_killed_parent(tmp_path: Path, state: str) -> None:
    script = tmp_path / "no_main_guard.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen(
        [sys.executable, str(script), state], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert is_running(worker)
    time.sleep(0.5 if state == "busy" else 0)
    parent.kill()
    parent.wait()
    assert wait_until(lambda: not is_running(worker))
    parent.stdout.close()
    assert parent.stdin is not None
    parent.stdin.close()
