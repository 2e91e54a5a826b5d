"""What a worker process does with files that hold one document each."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TypeAlias

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.metadata import encode_metadata, merged, path_metadata
from domain_embed.corpus.readers import read_file

if TYPE_CHECKING:
    from domain_embed.settings import MetadataType

PATTERN_SECONDS = 0.5
"""Processor time for all patterns over one name, which take microseconds; catastrophic ones take centuries."""

Read: TypeAlias = dict[str, str]
"""`title`, `text` and `metadata` (JSON); or the `error` that refuses the file, as `marked`."""


def read_whole_files(
    files: Sequence[tuple[str, str]],
    max_mb: int,
    roots: Sequence[str] | None,
    patterns: Sequence[str],
    types: "Mapping[str, MetadataType]",
    from_path_first: str | None,
) -> Iterator[Read]:
    """Yields for each file what it says, in order.

    Args:
        files: (path, name below the folders that were named) of each.
        max_mb: The longest file that is read, in megabytes.
        roots: Real paths below which the files must lie; None: anywhere.
        patterns: Of `corpus.path_metadata`.
        types: Of `corpus.metadata_types`.
        from_path_first: The metadata key of which the path has the last word.
    """
    for where, name in files:
        path = Path(where)
        try:
            of_path = _of_path(name, patterns)
            file = read_file(path, max_mb=max_mb, roots=roots)
            metadata = encode_metadata(merged(of_path, file.metadata, from_path_first), types)
        except InputError as error:
            yield {"error": error.marked}
        except ValueError as error:
            yield {"error": InputError.at(path, f"document {name!r}: {error}").marked}
        else:
            yield {"title": file.title, "text": file.text, "metadata": metadata}


def read_names(names: Sequence[str], patterns: Sequence[str]) -> Iterator[dict[str, str]]:
    """Yields the metadata in each of the names. Raises InputError for one that takes too long."""
    for name in names:
        yield _of_path(name, patterns)


def _of_path(name: str, patterns: Sequence[str]) -> dict[str, str]:
    try:
        with _processor_time(PATTERN_SECONDS):
            return path_metadata(name, patterns)
    except TimeoutError:
        problem = f"{name!r:.200}: the patterns of corpus.path_metadata take longer than {PATTERN_SECONDS} seconds"
        raise InputError(problem, "avoid repetitions within repetitions, like (a+)+") from None


@contextmanager
def _processor_time(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in what takes longer, a regular expression among it: it looks for signals as it goes."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
