"""A walk through folders: the regular files that a glob names, and what lies among them but is not to be read."""

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

from domain_embed.files import SYSTEM_FOLDERS, is_below

LINK_OUT, BROKEN_LINK = "link out of the folders that were named", "broken link"
NO_FILE, SYSTEM_FILE, UNREADABLE = "not a regular file", "file of the system", "unreadable folder"

States: TypeAlias = frozenset[int]
"""Which parts of a glob may come next."""


@dataclass
class Sources:
    """The files that a setting names, and what lies among them but is not read, as (reason, path)."""

    files: list[Path] = field(default_factory=list)
    skipped: list[tuple[str, Path]] = field(default_factory=list)

    @property
    def met(self) -> list[Path]:
        """All of them."""
        return [*self.files, *(path for _, path in self.skipped)]


@dataclass(frozen=True)
class Glob:
    """A glob by its parts; `**` is any number of folders. Names are matched one by one, so that none can take long."""

    parts: tuple[str, ...]

    @property
    def start(self) -> States:
        """What may come first."""
        return self._with_empty({0})

    def after(self, states: States, name: str, *, is_link: bool = False) -> States:
        """What may come after a folder or a file of that name; `**` stands for no link."""
        found = {state + 1 for state in states if state < len(self.parts) and self._fits(state, name)}
        if not is_link:
            found |= {state for state in states if self._is_any_depth(state)}
        return self._with_empty(found)

    def leads_on(self, states: States) -> bool:
        """Whether something may come next."""
        return any(state < len(self.parts) for state in states)

    def is_match(self, states: States) -> bool:
        """Whether all parts have come."""
        return len(self.parts) in states

    def _fits(self, state: int, name: str) -> bool:
        return not self._is_any_depth(state) and fnmatchcase(name, self.parts[state])

    def _is_any_depth(self, state: int) -> bool:
        return state < len(self.parts) and self.parts[state] == "**"

    def _with_empty(self, states: Iterable[int]) -> States:
        """With what follows a `**` that stands for no folder at all."""
        found = set(states)
        for state in range(len(self.parts) - 1):
            if state in found and self._is_any_depth(state):
                found.add(state + 1)
        return frozenset(found)


def walk(base: Path, glob: Glob, roots: Sequence[str], is_wanted: Callable[[str, bool], bool]) -> Sources:
    """What below `base` matches a glob.

    Args:
        base: The folder to begin in.
        glob: What is looked for, relative to it.
        roots: Real paths; a link that leads out of them all is skipped.
        is_wanted: Whether a name, and whether it is a folder's, is to be looked at; others are passed over in silence.

    Raises:
        OSError: When `base` itself cannot be read.
    """
    sources = Sources()
    pending = [(base, glob.start)]
    while pending:
        folder, states = pending.pop()
        if is_below(os.path.realpath(folder), SYSTEM_FOLDERS):
            sources.skipped.append((SYSTEM_FILE, folder))
            continue
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except OSError:
            if folder == base:
                raise
            sources.skipped.append((UNREADABLE, folder))
            continue
        for entry in entries:
            is_folder, is_link = _is_folder(entry), entry.is_symlink()
            if not is_wanted(entry.name, is_folder):
                continue
            path, after = folder / entry.name, glob.after(states, entry.name)
            if is_folder and is_link and glob.leads_on(after):
                reason = why_not(path, roots, stat.S_ISDIR)
                if reason is not None:
                    sources.skipped.append((reason, path))
                    continue
                after = glob.after(states, entry.name, is_link=True)
            if is_folder and glob.leads_on(after):
                pending.append((path, after))
            elif not is_folder and glob.is_match(after):
                reason = None if _is_plain(entry) else why_not(path, roots)
                if reason is None:
                    sources.files.append(path)
                else:
                    sources.skipped.append((reason, path))
    return sources


def why_not(path: Path, roots: Sequence[str], is_kind: Callable[[int], bool] = stat.S_ISREG) -> str | None:
    """Why a path is not to be read, or None: for links, and what is neither a file nor a folder."""
    try:
        real = os.path.realpath(path, strict=True)
        mode = Path(real).lstat().st_mode
    except OSError:
        return BROKEN_LINK
    if is_below(real, SYSTEM_FOLDERS):
        return SYSTEM_FILE
    if not is_below(real, roots):
        return LINK_OUT
    return None if is_kind(mode) else NO_FILE


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_plain(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a file itself, as nearly all are."""
    return entry.is_file(follow_symlinks=False)
