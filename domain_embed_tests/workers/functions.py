"""What the tests of workers ask for."""

import ctypes
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

from domain_embed.contracts.errors import InputError


def echo(values: list[Any]) -> Iterator[Any]:
    """Yields what it was given."""
    yield from values


def content(size: int) -> Iterator[bytes]:
    """Yields so many bytes."""
    yield b"x" * size


def refuse(after: int) -> Iterator[int]:
    """Yields so many numbers, then refuses."""
    yield from range(after)
    raise InputError("bad \udce9 file", "mend it")


def crash(after: int) -> Iterator[int]:
    """Yields so many numbers, then reads where no memory is."""
    yield from range(after)
    ctypes.string_at(0)


def fail() -> Iterator[int]:
    """Raises what no reader should."""
    yield 1
    raise KeyError("x")


def hang(after: int) -> Iterator[int]:
    """Yields so many numbers, then never ends, in C and without giving way."""
    yield from range(after)
    re.match(r"(a+)+$", "a" * 80 + "b")


def sleep(seconds: float) -> Iterator[int]:
    """Takes so long."""
    time.sleep(seconds)
    yield 1


def grow() -> Iterator[int]:
    """Takes memory without end."""
    taken = []
    while True:
        taken.append(bytearray(1 << 26))


def chatter() -> Iterator[str]:
    """Says things where answers go, and where complaints go."""
    print("x" * 100_000)
    os.write(1, b"y")
    print("z" * 1000, file=sys.stderr)
    yield "answer"


def about() -> Iterator[dict[str, Any]]:
    """Yields what the worker is: its process, limits, environment and modules."""
    limits = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE)
    yield {
        "pid": os.getpid(),
        "limits": [resource.getrlimit(limit)[0] for limit in limits],
        "environment": dict(os.environ),
        "heavy": sorted({"torch", "dagster", "pyarrow", "pandas", "numpy", "pydantic"} & set(sys.modules)),
    }


def load(module: str) -> Iterator[list[str]]:
    """Imports a module and yields the heavy ones that came with it."""
    __import__(module)
    yield sorted({"torch", "dagster", "pyarrow", "pandas", "numpy", "pydantic", "mlflow"} & set(sys.modules))


def killed() -> Iterator[int]:
    """Ends as by the system's choice of whom to kill."""
    os.kill(os.getpid(), signal.SIGKILL)
    yield 1
