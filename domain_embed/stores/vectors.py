"""The vector cache: every text is embedded once per model, and a crash loses at most one chunk."""

import os
import shutil
import uuid
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from domain_embed.contracts.errors import StoreError
from domain_embed.files import private_file, private_folder


class FileVectorCache:
    """Vectors of one model as immutable Arrow files, read through memory maps; see the VectorCache port.

    A chunk becomes visible by a rename, so processes may write the same folder at once.
    """

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self._folder = folder
        self._place: dict[str, tuple[int, int]] = {}  # content hash -> (chunk, row)
        self._chunks: list[NDArray[np.float32]] = []
        for path in sorted(folder.glob("*.arrow")):
            self._load(path)
        if folder.is_dir():
            os.utime(folder)  # when it was used last, for `evict`

    def get(self, hashes: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The known ones among `hashes`, each (dim,) float32."""
        found = {}
        for content_hash in hashes:
            if content_hash in self._place:
                chunk, row = self._place[content_hash]
                found[content_hash] = self._chunks[chunk][row]
        return found

    def put(self, hashes: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Keeps `vectors` (n, dim), all of them or none. Raises StoreError when they cannot be written."""
        path = self._folder / f"{uuid.uuid4().hex}.arrow"
        draft = path.with_suffix(".draft")
        values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        table = pa.table({"content_hash": list(hashes), "vector": values})
        try:
            private_folder(self._folder)
            with pa.OSFile(str(private_file(draft)), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            draft.replace(path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise StoreError(f"{path} cannot be written: {error}", "free space or fix permissions") from error
        self._load(path)

    def remove(self, hashes: Collection[str]) -> None:
        """Takes vectors out of the files as well. Raises StoreError when that cannot be written.

        A chunk is written anew before the old one goes: a crash in between leaves a vector twice, not lost.
        """
        for path in sorted(self._folder.glob("*.arrow")):
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
            kept = table.filter(pc.invert(pc.is_in(table["content_hash"], pa.array(sorted(hashes), pa.string()))))
            if len(kept) == len(table):
                continue
            if len(kept):
                values = kept["vector"].combine_chunks()
                vectors = values.flatten().to_numpy().reshape(len(kept), -1)
                self.put(kept["content_hash"].to_pylist(), vectors)
            path.unlink(missing_ok=True)
        for content_hash in hashes:
            self._place.pop(content_hash, None)

    def _load(self, path: Path) -> None:
        try:
            table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(f"{path} is damaged: {error}", "delete it: its texts are then embedded again") from error
        column = table["vector"].combine_chunks()
        self._chunks.append(column.values.to_numpy().reshape(len(table), -1))
        chunk = len(self._chunks) - 1
        self._place.update({key: (chunk, row) for row, key in enumerate(table["content_hash"].to_pylist())})


def evict(root: Path, in_use: Collection[str], max_bytes: float) -> list[str]:
    """Removes models' vectors, those used least recently first, until all together take at most `max_bytes`.

    Those `in_use` are never removed, whatever they take. A process that has them open keeps what it has read.

    Returns:
        The names of those that are gone.
    """
    folders = sorted((path for path in root.glob("*") if path.is_dir()), key=lambda path: path.stat().st_mtime)
    sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in folders}
    total, gone = sum(sizes.values()), []
    for path in folders:
        if total <= max_bytes:
            break
        if path.name not in in_use:
            shutil.rmtree(path, ignore_errors=True)
            total -= sizes[path]
            gone.append(path.name)
    return gone
