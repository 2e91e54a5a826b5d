"""Tables as Parquet files, written whole or not at all, with the version of their content inside."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from domain_embed.contracts.errors import NotReadyError, StoreError
from domain_embed.files import private_file, private_folder

VERSION_KEY = b"domain_embed.version"
MADE_OF_KEY = b"domain_embed.made_of"
ROWS_PER_GROUP = 16_384


class ParquetTable:
    """One stored table; see the TableReader port. Stays readable while a newer one takes its place.

    `made_of` is the version of the table it was made of, empty where nobody said.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path)
            kept = self._file.metadata.metadata
            self.version = kept[VERSION_KEY].decode()
            self.made_of = kept.get(MADE_OF_KEY, b"").decode()
        except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
            raise StoreError(f"{path} is damaged: {error}", "delete it and run again") from error
        self.count: int = self._file.metadata.num_rows

    def batches(self, size: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches of at most `size` rows, in stored order."""
        yield from self._file.iter_batches(batch_size=size, columns=columns)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole table in memory."""
        return self._file.read(columns=columns)

    def head(self, rows: int) -> pa.Table:
        """The first rows."""
        return pa.Table.from_batches(islice(self.batches(rows), 1), self._file.schema_arrow)


class TableStore:
    """Named tables in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(
        self, name: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, made_of: str = ""
    ) -> ParquetTable:
        """Replaces the table with these rows in one step; on any error the old one stays.

        `made_of` is kept beside the rows and is no part of the version.

        Raises StoreError when the folder cannot be written.
        """
        target = self._path(name)
        draft = target.with_name(f".{name}-{uuid.uuid4().hex}.parquet")
        try:
            private_folder(self._folder)
            _write_versioned(draft, batches, schema, made_of)
            draft.replace(target)
        except OSError as error:
            raise StoreError(f"table {target} cannot be written: {error}", "free space or fix permissions") from error
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        return ParquetTable(target)

    def write_table(self, name: str, table: pa.Table) -> ParquetTable:
        """Like `write`, for a table in memory."""
        return self.write(name, table.to_batches(max_chunksize=ROWS_PER_GROUP), table.schema)

    def names(self) -> list[str]:
        """The tables there are."""
        return sorted(path.stem for path in self._folder.glob("[!.]*.parquet"))

    def has(self, name: str) -> bool:
        """Whether a run has written the table."""
        return self._path(name).exists()

    def read(self, name: str) -> ParquetTable:
        """Raises NotReadyError when no run has written it yet."""
        path = self._path(name)
        if not path.exists():
            raise NotReadyError(f"{path} does not exist yet", "`domain-embed run NAME` makes it")
        return ParquetTable(path)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.parquet"


def _write_versioned(path: Path, batches: Iterable[pa.RecordBatch], schema: pa.Schema, made_of: str) -> None:
    row_hashes = [np.empty(0, dtype=np.uint64)]
    with pq.ParquetWriter(private_file(path), schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            row_hashes.append(_hash_rows(batch))
        names = ",".join(f"{field.name}:{field.type}" for field in schema)
        version = hashlib.sha256(names.encode() + np.sort(np.concatenate(row_hashes)).tobytes()).hexdigest()[:16]
        writer.add_key_value_metadata({VERSION_KEY.decode(): version, MADE_OF_KEY.decode(): made_of})


def _hash_rows(batch: pa.RecordBatch) -> np.ndarray:
    """One 64-bit hash a row; of the values, not of the file, so that a library upgrade makes nothing stale."""
    return pd.util.hash_pandas_object(batch.to_pandas(), index=False, categorize=False).to_numpy()
