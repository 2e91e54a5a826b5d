"""Parquet files, read in a worker process: their parser is native code, and a few kilobytes can stand for gigabytes."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from domain_embed.contracts.errors import InputError
from domain_embed.files import open_regular

BATCH_ROWS = 512
BATCH_BYTES = 1 << 27
BATCH_VALUES = 4_000_000
"""With nested ones. As Python's objects they take some hundred bytes each, and null ones take none in the file."""
ONE_FOR_MANY = ("string_view", "binary_view", "list_view", "large_list_view")
"""Types of which many values may be the same bytes."""
SECONDS = 120.0
"""For the first rows, and for each further batch of them: a row group is decompressed in seconds."""


def parquet_batches(name: str, roots: Sequence[str] | None) -> Iterator[int | bytes]:
    """The number of rows in a file, then its rows in bounded parts, each as an Arrow stream of one record batch.

    Raises InputError for a file that cannot be read.
    """
    path, rows = Path(name), 0
    pa.set_cpu_count(1)
    try:
        file = open_regular(path, roots)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "check the path in domain.yaml") from None
    try:
        with file:
            parquet = pq.ParquetFile(file, pre_buffer=False)
            yield parquet.metadata.num_rows
            for batch in parquet.iter_batches(BATCH_ROWS, use_threads=False):
                for part in _bounded(batch, path, rows):
                    yield _as_stream(part)
                rows += len(batch)
    except MemoryError:  # Arrow's own is an ArrowException, too
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, TypeError, KeyError) as error:
        problem = f"not a readable Parquet file after row {rows}: {error}"
        raise InputError.at(path, problem, hint="write the file again") from error


def read_batch(stream: bytes) -> pa.RecordBatch:
    """The record batch of one part."""
    with pa.ipc.open_stream(stream) as reader:
        return reader.read_next_batch()


def _bounded(batch: pa.RecordBatch, path: Path, first: int) -> Iterator[pa.RecordBatch]:
    """The batch in parts that can be turned into Python's objects."""
    sizes = [_size(column) for column in batch.columns]
    values, size = (sum(column) for column in zip(*sizes, strict=True)) if sizes else (0, 0)
    if values <= BATCH_VALUES and size <= BATCH_BYTES:
        yield batch
    elif len(batch) > 1:
        half = len(batch) // 2
        yield from _bounded(batch.slice(0, half), path, first)
        yield from _bounded(batch.slice(half), path, first + half)
    else:
        raise InputError.at(path, f"row {first + 1} holds too much: {values:,} values, {size:,} bytes")


def _size(array: pa.Array) -> tuple[int, int]:
    """How many values an array holds, nested ones included, and at most how many bytes when each is written out."""
    kind, own = array.type, len(array)
    if pa.types.is_struct(kind):
        inner = [array.field(n) for n in range(kind.num_fields)]
    elif pa.types.is_map(kind):
        inner = [array.keys, array.items]
    elif pa.types.is_nested(kind):
        inner = [array.flatten()]
    elif pa.types.is_dictionary(kind):
        return own, _dictionary_bytes(array)
    elif str(kind) in ONE_FOR_MANY or pa.types.is_run_end_encoded(kind):
        return own, own * int(array.get_total_buffer_size())
    else:
        return own, int(array.nbytes)
    sizes = [_size(part) for part in inner]
    return own + sum(values for values, _ in sizes), sum(size for _, size in sizes)


def _dictionary_bytes(array: pa.DictionaryArray) -> int:
    kind = array.type.value_type
    if pa.types.is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return int(pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0)
    return len(array) * int(array.dictionary.nbytes)


def _as_stream(batch: pa.RecordBatch) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
    return out.getvalue()
