"""Progress of work that takes longer than two seconds: one bar with an ETA, in a terminal or in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm

from domain_embed.contracts.shown import visible

DELAY_S = 2.0
LOG_INTERVAL_S = 15.0
"""Between two lines when standard error is a file: a log stays readable."""


class Progress(Protocol):
    """Something that is told how much was done."""

    def update(self, n: int) -> object: ...  # noqa: D102


@contextmanager
def progress_bar(description: str, total: int, unit: str) -> Iterator[Progress]:
    """A bar on standard error that appears once the work has lasted DELAY_S."""
    terminal = sys.stderr.isatty()
    with tqdm(
        total=total, desc=visible(description, one_line=True), unit=f" {unit}", delay=DELAY_S, dynamic_ncols=terminal,
        mininterval=0.2 if terminal else LOG_INTERVAL_S, leave=True, file=sys.stderr, unit_scale=unit == "bytes",
    ) as bar:  # fmt: skip
        yield bar
