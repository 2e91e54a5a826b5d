"""A few worker processes, asked for what a function yields, and what became of those that died."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

from domain_embed.contracts.errors import InputError, StoreError
from domain_embed.workers.worker import BYTES, HEAD, LOST, REFUSED, VALUE, decode, encode

WORKERS = 2
START_SECONDS = 120.0
"""To start takes a tenth of a second; longer only where the machine is overloaded."""
MODULE = "domain_embed.workers.worker"
PASSED_ON = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Of the environment. Keys and passwords in it are no business of a process that reads strangers' files."""
SAID_CHARACTERS = 2000


class WorkerLostError(Exception):
    """A worker died or was stopped over a call; the message says why, to follow a file's name and a colon."""


class Workers:
    """Processes that are started when they are needed, reused while they are well, and ended with this object.

    Safe to use from several threads, each then with a worker of its own. No worker outlives the process: see `worker`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all workers; a call that one is busy with, in another thread, ends with WorkerLostError."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for worker in self._busy:
                worker.stop()
        for worker in idle:
            worker.end()

    def stream(
        self, function: Callable[..., Iterable[Any]], *arguments: Any, seconds: Sequence[float]
    ) -> Iterator[Any]:
        """Yields what a function yields when a worker runs it, as it comes: JSON values or bytes.

        Args:
            function: Found in the worker by the name of its module and its own; it yields JSON values or bytes.
            arguments: JSON values.
            seconds: How long the first result may take, the second, and so on; the last number holds for all others.

        Raises:
            InputError: That the function raised; the worker stays.
            WorkerLostError: The worker died, or met a limit of time or memory.
        """
        call = {
            "module": function.__module__, "function": function.__name__, "arguments": arguments,
            "seconds": list(seconds),
        }  # fmt: skip
        worker = self._borrow()
        finished = False
        try:
            worker.send(encode(call))
            for number in range(sys.maxsize):
                kind, content = worker.receive(seconds[min(number, len(seconds) - 1)])
                if kind not in (VALUE, BYTES):
                    break
                yield bytes(content) if kind == BYTES else decode(content)
            refusal = content.decode() if kind == REFUSED else None
            if refusal is not None:
                kind, content = worker.receive(START_SECONDS)
            finished = bool(decode(content))
            if refusal is not None:
                raise InputError(refusal)
        finally:
            self._give_back(worker, keep=finished)

    def forget(self) -> None:
        """Leaves the workers to the process that started them: this one was forked from it."""
        for worker in (*self._idle, *self._busy):
            worker.let_go()
        self.__init__()  # type: ignore[misc]

    def _borrow(self) -> "_Worker":
        with self._lock:
            idle = self._idle.pop() if self._idle else None
        if idle is not None and not idle.is_well:  # it died while nobody asked, and not of what is asked now
            idle.end()
            idle = None
        worker = idle or _Worker()
        with self._lock:
            self._busy.add(worker)
            if not self._closed:
                return worker
        self._give_back(worker, keep=False)
        raise WorkerLostError("reading was ended")

    def _give_back(self, worker: "_Worker", *, keep: bool) -> None:
        with self._lock:
            self._busy.discard(worker)
            keep = keep and not self._closed
            if keep:
                self._idle.append(worker)
        if not keep:
            worker.end()


SHARED = Workers()
"""For those who read a file now and then. What is idle of it ends with this process; a forked one has its own."""
os.register_at_fork(after_in_child=SHARED.forget)


class _Worker:
    """One process, and the pipes to it."""

    def __init__(self) -> None:
        held, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, str(held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, pass_fds=(held,), env=_environment(), start_new_session=True, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            os.close(self._lifeline)
            raise StoreError(f"no process to read files in can be started: {error}", "free memory") from error
        finally:
            os.close(held)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._requests, self._answers, self._errors = self._process.stdin, self._process.stdout, self._process.stderr
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        try:
            self.receive(START_SECONDS)  # that it is ready
        except WorkerLostError as lost:
            self.stop()
            said = (self._errors.read() or b"").decode(errors="replace")[-SAID_CHARACTERS:]
            self.end()
            raise StoreError(f"no process to read files in can be started: {lost}\n{said}".strip()) from None

    @property
    def is_well(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    def send(self, request: bytes) -> None:
        """Asks for something."""
        try:
            for part in (HEAD.pack(VALUE, len(request)), request):
                view = memoryview(part)
                while view:
                    view = view[self._requests.write(view) :]
        except OSError:
            raise WorkerLostError(self._cause()) from None

    def receive(self, seconds: float) -> tuple[bytes, bytearray]:
        """The next frame. Raises WorkerLostError when there is none so soon, and never will be."""
        deadline = time.monotonic() + seconds
        kind, size = HEAD.unpack(self._read(HEAD.size, deadline, seconds))
        content = self._read(size, deadline, seconds)
        if kind == LOST:
            raise WorkerLostError(content.decode(errors="replace"))
        return kind, content

    def stop(self) -> None:
        """Kills the process. Whoever waits for a frame of it learns that there is none."""
        self._process.kill()

    def end(self) -> None:
        """Kills the process and leaves nothing of it."""
        self.stop()
        self._process.wait()
        self.let_go()

    def let_go(self) -> None:
        """Closes the pipes to it."""
        for pipe in (self._requests, self._answers, self._errors):
            pipe.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def _read(self, size: int, deadline: float, seconds: float) -> bytearray:
        content = bytearray()
        while len(content) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                raise WorkerLostError(f"reading it takes longer than {seconds:.0f} seconds")
            part = os.read(self._answers.fileno(), min(size - len(content), 1 << 20))
            if not part:
                raise WorkerLostError(self._cause())
            content += part
        return content

    def _cause(self) -> str:
        """What ended the process, in words."""
        code = self._process.wait()
        if code == -signal.SIGXCPU:
            return "reading it takes too much processor time"
        ended = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"the process that read it died ({ended})"


def _environment() -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve gigabytes of address space
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }
