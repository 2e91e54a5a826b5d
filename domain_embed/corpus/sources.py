"""Source files: which ones a setting names, what they are called, and the version of their content."""

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.lines import ROW_SUFFIXES
from domain_embed.corpus.readers import FILE_SUFFIXES
from domain_embed.corpus.walk import BROKEN_LINK, Glob, Sources, walk, why_not
from domain_embed.files import open_regular

GLOB_CHARACTERS = "*?["
SUPPORTED_SUFFIXES = (*ROW_SUFFIXES, *FILE_SUFFIXES)
EVERYTHING = Glob(("**", "*"))
SHOWN_SKIPPED = 5
HINT = "check the paths in domain.yaml"


def find_files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The files of `find_sources`."""
    return find_sources(folder, patterns).files


def find_sources(folder: Path, patterns: Sequence[str]) -> Sources:
    """The regular files that paths or globs relative to `folder` name, sorted and without repeats.

    A directory stands for every supported file below it; hidden files and locks of open documents are ignored there.
    Links are followed as far as the files and directories that the patterns name, which may be links themselves. What
    leads out of all of them is skipped; so are devices, FIFOs, sockets, broken links, what the system shows as files in
    /proc and /sys, and directories that cannot be read. A `**` goes through no link: what lies inside is found where
    it is.

    Raises InputError for a path that does not exist or is no path, and for a directory or a glob without files.
    """
    roots = named_roots(folder, patterns)
    found = [_matches(folder, pattern, roots) for pattern in patterns]
    return Sources(
        sorted({path for sources in found for path in sources.files}),
        sorted({skip for sources in found for skip in sources.skipped}),
    )


def overlooked(folder: Path, patterns: Sequence[str], found: Collection[Path]) -> list[tuple[str, str]]:
    """What lies in the directories that `patterns` name and is not among the paths `found`, as (reason, name), sorted.

    A hidden directory counts as one, and so does a directory among those found. Names are relative to the directory.
    What a glob leaves out is not meant.
    """
    known = set(found)
    left_out = set()
    for directory in (folder / pattern for pattern in patterns):
        for place, folders, files in os.walk(directory):
            links = [name for name in folders if Path(place, name).is_symlink()]
            hidden = [name for name in folders if name.startswith((".", "~$")) and name not in links]
            met = [name for name in folders if Path(place, name) in known]
            folders[:] = sorted(set(folders) - {*links, *hidden, *met})
            for path in (Path(place, name) for name in (*links, *hidden, *files)):
                if path not in known:
                    left_out.add((_why_overlooked(path), path.relative_to(directory).as_posix()))
    return sorted(left_out)


def _why_overlooked(path: Path) -> str:
    if path.name.startswith(("~$", ".~lock")):
        return "lock of an open document"
    if path.name.startswith("."):
        return "hidden"
    if path.suffix.lower() not in SUPPORTED_SUFFIXES and not path.is_dir():
        return f"no reader for {path.suffix.lower()}" if path.suffix else "no reader for files without a suffix"
    if path.is_symlink():
        return "link that is not followed"
    return "not named by corpus.paths"


def supported_files(directory: Path) -> list[Path]:
    """Every file below `directory` that some reader understands, but hidden ones and locks of open documents.

    Raises InputError when it cannot be read.
    """
    try:
        return sorted(_supported(directory, [os.path.realpath(directory)]).files)
    except OSError as error:
        raise InputError(f"{directory} cannot be read: {error.strerror}", "check the path") from None


def named_roots(folder: Path, patterns: Sequence[str]) -> list[str]:
    """The real paths of what patterns name: files, directories, and what stands before a glob's first wildcard.

    Raises InputError for a pattern that cannot be a path.
    """
    roots = set()
    for pattern in patterns:
        try:
            roots.add(os.path.realpath(_before_wildcard(folder, pattern)))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{pattern!r:.200} is no path: {reason}", HINT) from None
    return sorted(roots)


def _matches(folder: Path, pattern: str, roots: Sequence[str]) -> Sources:
    path = folder / pattern
    try:
        if _is_glob(pattern):
            base = _before_wildcard(folder, pattern)
            wild = Path(pattern).parts[_first_wildcard(pattern) :]
            sources = walk(base, Glob(wild), roots, lambda *_: True) if base.is_dir() else Sources()
            problem = f"no file matches {pattern!r} in {folder}"
        elif path.is_dir():
            sources = _supported(path, roots)
            problem = f"{path} holds no file of a known kind ({', '.join(SUPPORTED_SUFFIXES)})"
        else:
            reason = why_not(path, roots)
            sources = Sources([path] if reason is None else [])
            problem = f"{path} does not exist or is not a file{f' ({reason})' if reason != BROKEN_LINK else ''}"
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}"[:1000], HINT) from None
    if not sources.files:
        skipped = "".join(f"\n  left out: {where} ({reason})" for reason, where in sources.skipped[:SHOWN_SKIPPED])
        raise InputError(problem + skipped, HINT)
    return sources


def _supported(directory: Path, roots: Sequence[str]) -> Sources:
    def is_wanted(name: str, is_folder: bool) -> bool:
        return not name.startswith((".", "~$")) and (is_folder or Path(name).suffix.lower() in SUPPORTED_SUFFIXES)

    return walk(directory, EVERYTHING, roots, is_wanted)


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
    base = _before_wildcard(root, pattern)
    return base if _is_glob(pattern) or base.is_dir() else base.parent


def _before_wildcard(root: Path, pattern: str) -> Path:
    return root.joinpath(*Path(pattern).parts[: _first_wildcard(pattern)])


def _first_wildcard(pattern: str) -> int:
    """Which part of the pattern has the first wildcard; the number of parts when none has."""
    parts = Path(pattern).parts
    return next((n for n, part in enumerate(parts) if _is_glob(part)), len(parts))


def _is_glob(text: str) -> bool:
    return any(character in text for character in GLOB_CHARACTERS)


def files_version(paths: Iterable[Path], root: Path) -> str:
    """Hash of the names and bytes of files: unchanged when they are touched, copied or rewritten alike.

    Names count relative to `root` where they lie below it, so a folder may be moved.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        name = path.relative_to(root) if path.is_relative_to(root) else path
        try:
            with open_regular(path) as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}", HINT) from None
        digest.update(os.fsencode(f"{name}\x00{content}\n"))
    return digest.hexdigest()[:16]
