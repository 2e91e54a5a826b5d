"""Runs a part of the product over hostile inputs in a worker process, and says how each ended."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import DomainEmbedError
from domain_embed.workers.pool import WorkerLostError, Workers

SECONDS = 90.0


def replay(target: Callable[..., Iterator[Any]], inputs: Sequence[Any]) -> list[Any]:
    """What the target made of each input: a number, the product's own error as a text, or how the worker was lost."""
    results: list[Any] = []
    with Workers() as workers:
        while len(results) < len(inputs):
            try:
                results += workers.stream(run, target.__name__, list(inputs[len(results) :]), seconds=[SECONDS])
            except WorkerLostError as lost:
                results.append({"lost": str(lost)})
    return results


def run(target: str, inputs: Sequence[Any]) -> Iterator[Any]:
    """Yields for each input what the target returned, or the product's own error; another error is none of them."""
    for one in inputs:
        try:
            yield TARGETS[target](one)
        except DomainEmbedError as error:
            yield str(error)
        except (MemoryError, Exception) as error:  # noqa: BLE001 - what a test looks for
            yield {"traceback": f"{type(error).__name__}: {error}"[:300]}


def settings_of(path: str) -> int:
    """Reads a domain.yaml."""
    from domain_embed.settings import read_settings

    return len(read_settings(Path(path)).version())


def labels_in(source: tuple[str, str]) -> int:
    """Counts the labels in a file of a kind."""
    from pydantic import TypeAdapter

    from domain_embed.judgments.sources import read_source
    from domain_embed.settings import JudgmentSource

    kind, path = source
    settings: Any = TypeAdapter(JudgmentSource).validate_python({"kind": kind, "path": path})
    return len(list(read_source(settings, Path(path).parent)))


def rows_in(path: str) -> int:
    """Counts the documents in a file of rows."""
    from domain_embed.corpus.documents import ReadReport, read_documents
    from domain_embed.settings import CorpusSettings

    report = ReadReport()
    settings = CorpusSettings(bad_rows="skip", metadata_fields=("*",))
    return sum(len(batch) for batch in read_documents([Path(path)], report, settings, Path(path).parent))


def searches_in(path: str) -> list[int]:
    """Counts the searches in a query log, and its damaged lines."""
    from domain_embed.monitoring.query_log import read_query_log

    table, damaged = read_query_log([Path(path)])
    assert all(date.fromisoformat(day) for day in table["day"])
    return [len(table), damaged]


def files_named(where: tuple[str, str]) -> int:
    """Counts the files that a pattern names in a folder."""
    from domain_embed.corpus.sources import find_files

    folder, pattern = where
    return len(find_files(Path(folder), [pattern]))


def sheet_of(path: str) -> int:
    """Counts the rows of a review sheet."""
    from domain_embed.judgments.spreadsheets import read_cells

    return len(read_cells(Path(path)))


TARGETS: dict[str, Callable[[Any], Any]] = {
    target.__name__: target for target in (settings_of, labels_in, rows_in, searches_in, files_named, sheet_of)
}
