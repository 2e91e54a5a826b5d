"""Source files: which ones a setting names, what they are called, and the version of their content."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.lines import ROW_SUFFIXES
from domain_embed.corpus.readers import FILE_SUFFIXES

GLOB_CHARACTERS = "*?["
SUPPORTED_SUFFIXES = (*ROW_SUFFIXES, *FILE_SUFFIXES)


def find_files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The files that paths or globs relative to `folder` name, sorted and without repeats.

    A directory stands for every supported file below it; hidden files and locks of open documents are ignored there.

    Raises InputError for a path that does not exist, and for a directory or a glob without files.
    """
    found: set[Path] = set()
    for pattern in patterns:
        found.update(_matches(folder, pattern))
    return sorted(found)


def supported_files(directory: Path) -> list[Path]:
    """Every file below `directory` that some reader understands, but hidden ones and locks of open documents."""
    return sorted(
        path
        for path in directory.rglob("*")
        if path.suffix.lower() in SUPPORTED_SUFFIXES
        and not any(part.startswith((".", "~$")) for part in path.relative_to(directory).parts)
        and path.is_file()
    )


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
    if path.is_dir():
        files = supported_files(path)
        if not files:
            raise InputError(f"{path} holds no file of a known kind ({', '.join(SUPPORTED_SUFFIXES)})")
        return files
    if not path.is_file():
        raise InputError(f"{path} does not exist or is not a file", "check the paths in domain.yaml")
    return [path]


def relative_names(paths: Iterable[Path], root: Path, patterns: Sequence[str]) -> Iterator[str]:
    """What files are called, wherever the folders lie: their path below `root`, with forward slashes.

    A file elsewhere is called by its path below the directory that one of `patterns` names, or below the part of a
    glob that has no wildcards.
    """
    elsewhere = sorted({_base(root, pattern) for pattern in patterns}, key=lambda base: -len(base.parts))
    for path in paths:
        base = next((base for base in (root, *elsewhere) if path.is_relative_to(base)), path.parent)
        yield path.relative_to(base).as_posix()


def _base(root: Path, pattern: str) -> Path:
    """The directory of a path or glob: the directory itself, or what stands before the first wildcard or file name."""
    parts = Path(pattern).parts
    wild = next((n for n, part in enumerate(parts) if any(c in part for c in GLOB_CHARACTERS)), len(parts))
    base = root.joinpath(*parts[:wild])
    return base if wild < len(parts) or base.is_dir() else base.parent


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
