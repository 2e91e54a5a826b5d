"""The worker process: `python -m domain_embed.workers.worker LIFELINE`. Asked on standard input, it answers in frames.

It limits itself: memory, processor time, no core dumps, not a byte in a file. It ends with its parent, however
that ends, and starts with nothing but the standard library: what a function needs is imported when it is asked for.
"""

import fcntl
import importlib
import json
import math
import os
import resource
import select
import signal
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from domain_embed.contracts.errors import InputError

MEMORY_BYTES = 2 << 30
"""Address space. Of it some 250 MB are Python and the parsers (400 MB with pyarrow); a page of 32 MB of HTML, the
largest that is read, takes 1.3 GB."""
KEPT_BYTES = 300 << 20
"""A worker that holds more memory than this after a call is not used again: little of it would come back."""
SHOWN_CHARACTERS = 300
FRAME_BYTES = 1 << 29

HEAD = struct.Struct(">cQ")
READY, VALUE, BYTES, REFUSED, DONE, LOST = b"R", b"V", b"B", b"E", b"D", b"L"
"""Kinds of frames: JSON, bytes, an InputError's words (the call ends there), the end of a call, which says whether the
worker can be used again, and why it ends itself."""


def encode(value: Any) -> bytes:
    """A JSON value as bytes; unpaired surrogates, as in the names of files that are not UTF-8, survive."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def decode(content: bytes | bytearray) -> Any:
    """The value that `encode` was given."""
    return json.loads(content.decode("utf-8", "surrogatepass"))


def main(lifeline: int) -> None:
    """Answers calls until standard input ends."""
    requests, answers = sys.stdin.buffer, _only_answers()
    _end_with_parent(lifeline)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    warnings.simplefilter("ignore")
    _send(answers, READY)
    while head := requests.read(HEAD.size):
        _, size = HEAD.unpack(head)
        try:
            _answer(decode(requests.read(size)), answers)
        except InputError as error:
            _send(answers, REFUSED, str(error).encode())
        except MemoryError:
            _send(answers, LOST, f"reading it takes more than {MEMORY_BYTES >> 30} GB of memory".encode())
            return
        except Exception as error:  # noqa: BLE001 - whatever a parser lets through, it is about what it reads
            reason = f"{type(error).__name__}: {error}"[:SHOWN_CHARACTERS]
            _send(answers, LOST, f"reading it failed ({reason})".encode(errors="backslashreplace"))
            return
        _send(answers, DONE, encode(_memory_bytes() <= KEPT_BYTES))


def _answer(call: dict[str, Any], answers: BinaryIO) -> None:
    function = getattr(importlib.import_module(call["module"]), call["function"])
    seconds: list[float] = call["seconds"]
    results: Iterator[Any] = iter(function(*call["arguments"]))
    for number in range(sys.maxsize):
        _allow_processor_time(seconds[min(number, len(seconds) - 1)])
        try:
            result = next(results)
        except StopIteration:
            return
        content = result if isinstance(result, bytes) else encode(result)
        if len(content) > FRAME_BYTES:
            raise InputError(f"gives {len(content):,} bytes of text, more than {FRAME_BYTES:,}", "split the file")
        _send(answers, BYTES if isinstance(result, bytes) else VALUE, content)


def _send(answers: BinaryIO, kind: bytes, content: bytes = b"") -> None:
    answers.write(HEAD.pack(kind, len(content)))
    answers.write(content)
    answers.flush()


def _only_answers() -> BinaryIO:
    """Standard output for answers alone. What libraries print or complain of from here on goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def _memory_bytes() -> int:
    """How much memory the process holds; 0 where the system does not tell. (The peak counts its parent's, too.)"""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def _end_with_parent(lifeline: int) -> None:
    """The kernel ends this process when the other end of the pipe is gone, even amid a call into C."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:  # the parent is gone already
        os._exit(1)


def _allow_processor_time(seconds: float) -> None:
    """So many seconds more than until here: the parent's clock is the limit, this one where the parent is held up."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + seconds) + 1)


def _limit(kind: int, value: int) -> None:
    """Sets the limit that the process itself meets; what the system does not limit stays as it is."""
    hard = resource.getrlimit(kind)[1]
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    main(int(sys.argv[1]))
