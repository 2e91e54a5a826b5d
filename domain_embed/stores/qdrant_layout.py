"""Where versions lie on a Qdrant server, and what aliases say of them.

A version is built in a Qdrant collection of a name of its own, and is complete once the alias with the version's name
points there: of all that a cluster keeps, aliases alone are seen by every node at once. The metadata of a collection is
written when it is made and never changed. What changes later is noted in the names of further aliases.

    aws--build-3f9c0a5e71d2.minilm-4b1f    a collection: the version minilm-4b1f of the store aws--
    aws--minilm-4b1f                    -> there: the version is complete
    aws--live                           -> there: what queries use
    aws--minilm-4b1f.note-0-eJyrVkrM... -> there: that it was amended, and the types of its metadata since
"""

import base64
import json
import re
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_BUILD = re.compile(r"build-[0-9a-f]{12}\.(?P<name>.+)", re.DOTALL)
_NOTE = re.compile(r"(?P<name>.+)\.note-(?P<number>\d+)-(?P<piece>[\w-]*)", re.DOTALL | re.ASCII)
LONGEST_NAME = 250
"""Characters that a name on the server may have, a little less than the 255 it takes."""
SHARED = "shared"
"""In the metadata of a collection in which an earlier release kept the vectors of several models."""


@dataclass(frozen=True)
class Aliases:
    """All that the aliases of one store say.

    Attributes:
        complete: The Qdrant collection of each version that is complete.
        targets: The Qdrant collection behind each other alias: live, base and the like.
        notes: What was noted since of a version, by its name.
        note_names: The aliases that say so, in full, by the version's name.
    """

    complete: Mapping[str, str]
    targets: Mapping[str, str]
    notes: Mapping[str, Mapping[str, Any]]
    note_names: Mapping[str, list[str]]


class Layout:
    """The names of one store, all of which begin with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def new_collection(self, version: str) -> str:
        """A name for a Qdrant collection that was never used."""
        return f"{self._prefix}build-{uuid.uuid4().hex[:12]}.{version}"

    def version_in(self, collection: str) -> str | None:
        """The version for which a Qdrant collection was made; None where it is not this store's."""
        found = _BUILD.fullmatch(collection.removeprefix(self._prefix)) if self._owns(collection) else None
        return found["name"] if found else None

    def earlier_version_in(self, collection: str) -> str | None:
        """The version that a Qdrant collection may hold as it was kept before there were builds: under its own name."""
        is_earlier = self._owns(collection) and not _BUILD.search(collection)
        return collection.removeprefix(self._prefix) if is_earlier else None

    def full(self, name: str) -> str:
        """The name on the server of a version's or a user's alias."""
        return self._prefix + name

    def read(self, pairs: Iterable[tuple[str, str]]) -> Aliases:
        """What (alias, collection) pairs, those of a whole server, say of this store."""
        complete: dict[str, str] = {}
        targets: dict[str, str] = {}
        notes: dict[str, dict[int, tuple[str, str]]] = {}
        for full, collection in pairs:
            version = self.version_in(collection) or self.earlier_version_in(collection)
            if version is None or not self._owns(full):
                continue
            alias = full.removeprefix(self._prefix)
            note = _NOTE.fullmatch(alias)
            if alias == version:
                complete[version] = collection
            elif note and note["name"] == version:
                notes.setdefault(version, {})[int(note["number"])] = (note["piece"], full)
            else:
                targets[alias] = collection
        texts = {name: "".join(piece for _, (piece, _) in sorted(found.items())) for name, found in notes.items()}
        return Aliases(
            complete,
            targets,
            notes={name: _unpacked(text) for name, text in texts.items()},
            note_names={name: [full for _, full in found.values()] for name, found in notes.items()},
        )

    def note(self, version: str, content: Mapping[str, Any]) -> list[str]:
        """The aliases, in full, that say this of a version."""
        packed = _packed(content)
        size = max(16, LONGEST_NAME - len(self.full(f"{version}.note-00-")))
        pieces = [packed[start : start + size] for start in range(0, len(packed), size)]
        return [self.full(f"{version}.note-{number}-{piece}") for number, piece in enumerate(pieces)]

    def _owns(self, name: str) -> bool:
        return name.startswith(self._prefix)


def _packed(content: Mapping[str, Any]) -> str:
    compressed = zlib.compress(json.dumps(content, sort_keys=True).encode(), 9)
    return base64.urlsafe_b64encode(compressed).decode("ascii").rstrip("=")


def _unpacked(packed: str) -> dict[str, Any]:
    compressed = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    content: dict[str, Any] = json.loads(zlib.decompress(compressed))
    return content
