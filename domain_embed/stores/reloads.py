"""Reloads that failed: tried again after a growing pause, and known to other processes meanwhile."""

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from domain_embed.contracts.errors import StoreError
from domain_embed.files import keep_file, read_json

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
FORGOTTEN_S = 3 * LONGEST_PAUSE_S
"""A searcher that is alive has written again by then."""


class Reloads:
    """What one searcher's reloads came to. A failed one is tried again in the background until one succeeds."""

    def __init__(self, folder: Path, version: str, again: Callable[[], object]) -> None:
        """`again` reloads, and calls `failed` or `succeeded`; `folder` is shared by the domain's searchers."""
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._file = folder / f"{self._name}-{uuid.uuid4().hex[:8]}.json"
        self._version = version
        self._again = again
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._tries = 0
        self._next = 0.0

    @property
    def pending(self) -> bool:
        """Whether the last reload has failed, and the next one is not due yet."""
        return self._tries > 0 and time.monotonic() < self._next

    def failed(self, error: Exception) -> None:
        """Tells of it in the log and to `status`, and sees to the next try."""
        with self._lock:
            self._tries += 1
            pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._tries - 1, 20))
            self._next = time.monotonic() + pause
            self._plan(pause)
            told = {
                "searcher": self._name,
                "version": self._version,
                "error": str(error),
                "tries": self._tries,
                "at": time.time(),
            }
        logger.warning("reload failed (%d times), again in %.0f s: %s", told["tries"], pause, error)
        try:
            keep_file(self._file, json.dumps(told))
            _forget_old(self._file.parent)
        except (StoreError, OSError) as unwritten:  # a searcher that may only read serves all the same
            logger.warning("`domain-embed status` will not know of it: %s", unwritten)

    def succeeded(self) -> None:
        """What was live is taken: there is nothing to try again."""
        with self._lock:
            failed, self._tries = self._tries > 0, 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        if failed:
            logger.info("reload succeeded")
            try:
                self._file.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("`domain-embed status` goes on naming a failed reload for a while: %s", error)

    def _plan(self, pause: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(pause, self._again)
        self._timer.daemon = True
        self._timer.start()


def _forget_old(folder: Path) -> None:
    """Removes what searchers have left that were killed."""
    for path in folder.glob("*.json"):
        if time.time() - path.stat().st_mtime > FORGOTTEN_S:
            path.unlink(missing_ok=True)


def failed_reloads(folder: Path) -> list[str]:
    """What is wrong with the searchers of a domain that are alive, one line each."""
    return [line for path in sorted(folder.glob("*.json")) if (line := _line(path))]


def _line(path: Path) -> str | None:
    """None of a searcher that is no more."""
    try:
        told = read_json(path)
    except OSError as error:  # another user's
        return f"a searcher has failed to reload, and why cannot be read: {error}"
    if time.time() - told["at"] > FORGOTTEN_S:
        return None
    return f"searcher {told['searcher']}, {told['version']}: {told['tries']} failed reloads, the last: {told['error']}"
