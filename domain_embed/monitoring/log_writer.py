"""The query log's writer: called by the service that answers queries, and never in its way.

Lines of JSON in one file a day (UTC), `FOLDER/2025-03-31.jsonl`. A line is one event:

    {"event": "search", "search_id", "time", "query", "filters", "group", "system",
     "results": [{"passage_id", "score"}]}
    {"event": "click", "search_id", "time", "passage_id"}
    {"event": "feedback", "search_id", "time", "helpful"}

Any service in any language may append such lines itself. Nothing but the standard library is needed here.
"""

import atexit
import json
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

QUEUE_LINES = 10_000
BATCH_LINES = 500
MAX_RESULTS = 100
CLOSE_SECONDS = 2.0
WARN_SECONDS = 60.0


class QueryLog:
    """Appends events to a folder in the background. Its methods neither block nor raise.

    What cannot be kept, because the queue is full, the disk is, or an event cannot be written as JSON, is dropped and
    counted in `dropped`; the log of this package says so at most once a minute. Any number of processes and threads
    may write to the same folder: every write ends with a whole line.
    """

    def __init__(self, folder: str | os.PathLike[str], *, queue_lines: int = QUEUE_LINES) -> None:
        self.dropped = 0
        self._folder = Path(folder)
        self._queue: queue.Queue[tuple[str, bytes] | None] = queue.Queue(queue_lines)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._warned = -WARN_SECONDS
        self._torn: set[Path] = set()

    def log_query(
        self, query: str, results: Iterable[tuple[str, float]], *, filters: Mapping[str, Any] | None = None,
        group: str | None = None, system: str | None = None, clicked: Sequence[str] = (), search_id: str | None = None,
        at: datetime | None = None,
    ) -> str:  # fmt: skip
        """Notes one search; at most the first hundred results are kept.

        Args:
            query: As the user wrote it.
            results: (passage id, score) as they were shown, best first.
            filters: Those that narrowed the search.
            group: Who asks, as a group of principals; never a person.
            system: Which version answered, for instance the live model's fingerprint.
            clicked: Passages known to have been opened already; later ones go to `log_click`.
            search_id: To name the search by; made up when not given.
            at: When it happened; now when not given.

        Returns:
            The search's id, also when the search could not be kept.
        """
        name = search_id or uuid.uuid4().hex
        self._put(name, at, lambda: {
            "event": "search",
            "query": query,
            "filters": dict(filters or {}),
            "group": group,
            "system": system,
            "results": [{"passage_id": i, "score": float(s)} for i, s in list(results)[:MAX_RESULTS]],
        })  # fmt: skip
        for passage_id in clicked:
            self.log_click(name, passage_id, at=at)
        return name

    def log_click(self, search_id: str, passage_id: str, *, at: datetime | None = None) -> None:
        """Notes that a result of a search was opened."""
        self._put(search_id, at, lambda: {"event": "click", "passage_id": passage_id})

    def log_feedback(self, search_id: str, helpful: bool, *, at: datetime | None = None) -> None:
        """Notes what the user said about the answers of a search."""
        self._put(search_id, at, lambda: {"event": "feedback", "helpful": bool(helpful)})

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Waits at most so long until what is queued is on disk. Logging may go on afterwards."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return
        try:
            self._queue.put(None, timeout=timeout_seconds)
        except queue.Full:
            return
        thread.join(timeout_seconds)

    def _put(self, search_id: str, at: datetime | None, make: Any) -> None:
        try:
            moment = (at or datetime.now(UTC)).astimezone(UTC)
            event = {"search_id": search_id, "time": moment.isoformat(timespec="milliseconds"), **make()}
            line = json.dumps(event, ensure_ascii=False, allow_nan=False, default=str)
            self._queue.put_nowait((moment.date().isoformat(), line.encode("utf-8", "replace") + b"\n"))
            self._start()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with an event, the search it is about goes on
            self._drop(1, error)

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="domain-embed query log", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        closing = False
        while not closing:
            batch = [self._queue.get()]
            while len(batch) < BATCH_LINES:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            closing = None in batch
            self._write([item for item in batch if item is not None])

    def _write(self, batch: Sequence[tuple[str, bytes]]) -> None:
        days: dict[str, list[bytes]] = {}
        for day, line in batch:
            days.setdefault(day, []).append(line)
        for day, lines in days.items():
            try:
                self._append(self._folder / f"{day}.jsonl", b"".join(lines))
            except OSError as error:
                self._drop(len(lines), error)

    def _append(self, path: Path, content: bytes) -> None:
        """One write in append mode: the system puts it behind what other processes have written, in one piece."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if path in self._torn:
            content = b"\n" + content
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(file, content)
        finally:
            os.close(file)
        self._torn.discard(path)
        if written < len(content):  # a full disk: the next write begins a new line
            self._torn.add(path)
            self._drop(content[written:].count(b"\n"), OSError(f"{path}: no space"))

    def _drop(self, lines: int, error: Exception) -> None:
        self.dropped += lines
        if time.monotonic() - self._warned > WARN_SECONDS:
            self._warned = time.monotonic()
            reason = "events come faster than they can be written" if isinstance(error, queue.Full) else error
            logger.warning("query log %s: %d events dropped so far (%s)", self._folder, self.dropped, reason)

    def after_fork(self) -> None:
        """Makes the log usable in a forked process; what the parent has queued is the parent's."""
        self.__init__(self._folder, queue_lines=self._queue.maxsize)  # type: ignore[misc]


_logs: dict[str, QueryLog] = {}


def query_log(folder: str | os.PathLike[str]) -> QueryLog:
    """The process's one log in a folder; it is brought to disk when the process ends."""
    return _logs.setdefault(os.fspath(Path(folder).absolute()), QueryLog(folder))


def log_query(
    folder: str | os.PathLike[str], query: str, results: Iterable[tuple[str, float]], **details: Any
) -> str:  # fmt: skip
    """Notes one search in the query log of a folder; neither blocks nor raises. See `QueryLog.log_query`."""
    return query_log(folder).log_query(query, results, **details)


def log_click(folder: str | os.PathLike[str], search_id: str, passage_id: str) -> None:
    """Notes that a result of a search was opened; neither blocks nor raises."""
    query_log(folder).log_click(search_id, passage_id)


def log_feedback(folder: str | os.PathLike[str], search_id: str, helpful: bool) -> None:
    """Notes what a user said about the answers of a search; neither blocks nor raises."""
    query_log(folder).log_feedback(search_id, helpful)


@atexit.register
def _close_all() -> None:
    for log in list(_logs.values()):
        log.close()


def _after_fork() -> None:
    for log in _logs.values():
        log.after_fork()


os.register_at_fork(after_in_child=_after_fork)
