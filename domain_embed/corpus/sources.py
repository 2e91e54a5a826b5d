"""Source files: which ones a setting names, and the version of their content."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from domain_embed.contracts.errors import InputError

GLOB_CHARACTERS = "*?["


def find_files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The files that paths or globs relative to `folder` name, sorted and without repeats.

    Raises InputError for a path that does not exist and for a glob that matches nothing.
    """
    found: set[Path] = set()
    for pattern in patterns:
        found.update(_matches(folder, pattern))
    return sorted(found)


def _matches(folder: Path, pattern: str) -> list[Path]:
    if any(character in pattern for character in GLOB_CHARACTERS):
        root, relative = (
            (Path(pattern).anchor, pattern.lstrip("/")) if Path(pattern).is_absolute() else (folder, pattern)
        )
        files = [path for path in Path(root).glob(relative) if path.is_file()]
        if not files:
            raise InputError(f"no file matches {pattern!r} in {folder}", "check `paths` in domain.yaml")
        return files
    path = folder / pattern
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file", "check the paths in domain.yaml")
    return [path]


def files_version(paths: Iterable[Path], root: Path) -> str:
    """Hash of the names and bytes of files: unchanged when they are touched, copied or rewritten alike.

    Names count relative to `root` where they lie below it, so a folder may be moved.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        name = path.relative_to(root) if path.is_relative_to(root) else path
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}", "check the paths in domain.yaml") from None
        digest.update(f"{name}\x00{content}\n".encode())
    return digest.hexdigest()[:16]
