"""A process that is the product's own, as a command or a Dagster server or run is: nothing it prints holds a secret."""

import logging
import os
import sys
import threading
import traceback
import warnings
from typing import Any, TextIO

from domain_embed.contracts.logs import redact_record
from domain_embed.contracts.secrets import redact, redacted_error, remember_variables


def protect_process() -> None:
    """From now on what any library of this process logs, warns of or dies of is printed without secrets.

    Not for the process of somebody else's program.
    """
    remember_variables(os.environ)
    if logging.getLogRecordFactory() is not _make_record:
        logging.setLogRecordFactory(_make_record)
    sys.excepthook = lambda _kind, error, _trace: print_error(error)
    threading.excepthook = _print_thread_error
    warnings.showwarning = _print_warning
    sys.unraisablehook = _print_unraisable


def _make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    return redact_record(logging.LogRecord(*args, **kwargs))


def print_error(error: BaseException) -> None:
    """An error with its traceback and all that led to it, as Python prints it, without secrets."""
    print(redact("".join(traceback.format_exception(redacted_error(error)))), end="", file=sys.stderr)


def _print_thread_error(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None and not isinstance(found.exc_value, SystemExit):
        print_error(found.exc_value)


def _print_unraisable(found: "sys.UnraisableHookArgs") -> None:
    if found.exc_value is not None:
        print(f"{found.err_msg or 'exception ignored'} in {type(found.object).__name__}", file=sys.stderr)
        print_error(found.exc_value)


def _print_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
    line: str | None = None,
) -> None:  # fmt: skip
    print(redact(warnings.formatwarning(message, category, filename, lineno, line)), end="", file=file or sys.stderr)
