"""Runs and judgments in the formats of the field, so that any other tool can check the figures."""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from domain_embed.contracts.records import Qrels, Run
from domain_embed.files import private_file, private_folder, private_opener

MOST_RANKS = 100_000
"""Ranks are written as scores below this."""

RUNS = pa.schema(
    [
        pa.field("query_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("passage_id", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("system", pa.dictionary(pa.int32(), pa.string()), nullable=False),
    ]
)
QRELS = pa.schema(
    [
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("passage_id", pa.string(), nullable=False),
        pa.field("grade", pa.int32(), nullable=False),
    ]
)


def save_runs(path: Path, runs: Mapping[str, Run]) -> None:
    """Writes every ranking to one Parquet file, system by system."""
    with pq.ParquetWriter(private_file(path), RUNS) as writer:
        for system, run in runs.items():
            rows = [(query_id, key, rank) for query_id, keys in run.items() for rank, key in enumerate(keys, start=1)]
            query_ids, passage_ids, ranks = zip(*rows, strict=True) if rows else ((), (), ())
            columns = [
                pa.array(query_ids, pa.string()).dictionary_encode(),
                pa.array(passage_ids, pa.string()).dictionary_encode(),
                pa.array(ranks, pa.int32()),
                pa.array([system] * len(rows), pa.string()).dictionary_encode(),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=RUNS))


def save_qrels(path: Path, qrels: Qrels) -> None:
    """Writes judgments to a Parquet file."""
    rows = [
        {"query_id": query_id, "passage_id": key, "grade": grade}
        for query_id, grades in qrels.items()
        for key, grade in grades.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=QRELS), private_file(path))


def export_trec(runs: Path, qrels: Path, folder: Path, notice: str = "") -> list[Path]:
    """Writes `qrels.txt` and a `SYSTEM.run` for each system, as trec_eval reads them; returns the files.

    Scores fall by one from rank to rank, so that no rule for ties can change the order. White space in an id, which
    the format has no way to write, becomes %20 and the like, and the slash of a system's name an underscore.

    Args:
        runs: As `save_runs` wrote it.
        qrels: As `save_qrels` wrote it.
        folder: Where to; it is made if need be.
        notice: About who may read it, for a file of its own; everything is its owner's alone then.
    """
    (private_folder if notice else _folder)(folder)
    create = private_opener if notice else None
    judged = pq.read_table(qrels)
    files = [folder / "qrels.txt"]
    if notice:
        files.append(folder / "NOTICE.txt")
        with _new(files[1], create) as file:
            file.write(notice + "\n")
    with _new(files[0], create) as file:
        file.writelines(f"{_id(row['query_id'])} 0 {_id(row['passage_id'])} {row['grade']}\n" for row in _rows(judged))
    stored = pq.ParquetFile(runs)
    for batch in stored.iter_batches(batch_size=65_536):
        for system, rows in groupby(batch.to_pylist(), key=lambda row: str(row["system"])):
            path = folder / f"{re.sub(r'[^a-z0-9+]', '_', system)}.run"
            with path.open("a", encoding="utf-8") if path in files else _new(path, create) as file:
                file.writelines(_line(row) for row in rows)
            if path not in files:
                files.append(path)
    return files


def _folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)


def _new(path: Path, create: Callable[[str, int], int] | None) -> TextIO:
    """A file in the place of one that may be there: that one's mode is not its own."""
    path.unlink(missing_ok=True)
    return open(path, "w", encoding="utf-8", opener=create)


def _line(row: Mapping[str, object]) -> str:
    rank = int(str(row["rank"]))
    return f"{_id(row['query_id'])} Q0 {_id(row['passage_id'])} {rank} {MOST_RANKS - rank} {row['system']}\n"


def _rows(table: pa.Table) -> Iterator[dict[str, object]]:
    for batch in table.to_batches():
        yield from batch.to_pylist()


def _id(text: object) -> str:
    return re.sub(r"\s", lambda space: quote(space[0]), str(text))
