"""How long a search may wait for others: for a server's answer, and for its turn at the model."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from domain_embed.contracts.errors import StoreUnavailableError


class _Patience:
    """What is left of it, in seconds, and how much there was."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = seconds


_patience: ContextVar[_Patience | None] = ContextVar("patience", default=None)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """What is done within may wait so long, all its waiting together; its own computing does not count."""
    token = _patience.set(_Patience(seconds))
    try:
        yield
    finally:
        _patience.reset(token)


@contextmanager
def waiting(most: float | None = None) -> Iterator[float | None]:
    """Counts the time within as waiting; gives how long it may take, at most `most`, or None for as long as it takes.

    Raises StoreUnavailableError when there is no patience left.
    """
    current = _patience.get()
    if current is None:
        yield most
        return
    if current.left <= 0:
        raise StoreUnavailableError(f"no answer within {current.seconds:g} s", HINT)
    started = time.monotonic()
    try:
        yield current.left if most is None else min(most, current.left)
    finally:
        current.left -= time.monotonic() - started


@contextmanager
def held(lock: "threading.Lock | threading.RLock", what: str) -> Iterator[None]:
    """Holds the lock. Raises StoreUnavailableError when it is not free in time; `what` says what it guards."""
    with waiting() as seconds:
        taken = lock.acquire(timeout=-1 if seconds is None else seconds)
    if not taken:
        raise StoreUnavailableError(f"{what} was not free within {seconds:.1f} s: other searches have it", HINT)
    try:
        yield
    finally:
        lock.release()


HINT = "ask again a little later; DOMAIN_EMBED_SEARCH_SECONDS is how long a search may wait"
