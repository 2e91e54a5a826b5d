"""Progress of work that takes longer than two seconds: one bar with an ETA, in a terminal or in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm

LOG_INTERVAL_S = 15.0
"""Between two lines when standard error is a file: a log stays readable."""


class Progress(Protocol):
    """Something that is told how much was done."""

    def update(self, n: int) -> object: ...  # noqa: D102


@contextmanager
def progress_bar(description: str, total: int, unit: str) -> Iterator[Progress]:
    """A bar on standard error that appears once the work has lasted two seconds."""
    terminal = sys.stderr.isatty()
    with tqdm(
        total=total, desc=description, unit=f" {unit}", delay=2.0, mininterval=0.2 if terminal else LOG_INTERVAL_S,
        dynamic_ncols=terminal, leave=True, file=sys.stderr, unit_scale=unit == "bytes",
    ) as bar:  # fmt: skip
        yield bar
