"""Files: small ones replaced in one step and read with an error that names them; strangers' ones opened with care.

What this package keeps is its owner's alone, whatever the umask: files are 0600, folders 0700. What it writes where a
user says is the user's, by the umask.
"""

import json
import os
import stat
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

from domain_embed.contracts.errors import StoreError

RECORD_FILE = "domain_embed.json"
"""Beside a model that was trained here: what went in, and how its training went."""
PRIVATE_FILE, PRIVATE_FOLDER, PRIVATE_UMASK = 0o600, 0o700, 0o077
_LOOSE = 0o077

SYSTEM_FOLDERS = ("/proc", "/sys")
"""Not files that anybody wrote: what a process and its machine are, its environment among it."""


def open_regular(path: Path, roots: Sequence[str] | None = None) -> BufferedReader:
    """Opens a regular file for reading; nothing is read of, and nothing waits for, a device, a FIFO or a socket.

    Links are followed. Where the opened file really lies is looked at after it was opened, so that a file or a folder
    that is exchanged for a link meanwhile changes nothing.

    Args:
        path: The file, or a link to it.
        roots: Folders and files by their real paths: the file must be one of them, or lie below one. None: anywhere.

    Raises:
        OSError: With the reason as `strerror`, like "not a regular file".
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError:  # NUL in the name, or a character that the file system has none for
        raise OSError(0, "no file can be called so") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        real = _real_path(descriptor, path)
        if is_below(real, SYSTEM_FOLDERS):
            raise OSError(0, "a file of the system")
        if roots is not None and not is_below(real, roots):
            raise OSError(0, "a link out of the folders that were named")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def size_of(path: Path) -> int:
    """A file's bytes; 0 where there is none, or none can be: whoever opens it will say so."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def is_there(path: Path) -> bool:
    """Whether there is a file or a folder; a path that cannot be one is none."""
    try:
        return path.exists()
    except OSError:  # too long
        return False


def is_below(real: str, roots: Sequence[str]) -> bool:
    """Whether a real path is one of the roots, or lies below one."""
    return any(real == root or real.startswith(root.rstrip("/") + "/") for root in roots)


def _real_path(descriptor: int, path: Path) -> str:
    """Where an opened file lies; where the system cannot say, where its path leads now."""
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return os.path.realpath(path)


def replace_file(path: Path, content: str | bytes) -> None:
    """Replaces a file in one step. Raises StoreError when it cannot be written; the old one then stays."""
    _replace(path, content, 0o666)


def keep_file(path: Path, content: str | bytes) -> None:
    """As `replace_file`, for what this package keeps: its folder is made, and it is its owner's alone."""
    try:
        private_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}", "free space or fix permissions") from error
    _replace(path, content, PRIVATE_FILE)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds a lock beside a kept file: of two who read and replace it, the second sees what the first has done.

    Raises StoreError when its folder cannot be written.
    """
    from filelock import FileLock  # every command loads this module, few of them lock

    try:
        private_folder(path.parent)
        lock = FileLock(path.with_suffix(".lock"), mode=PRIVATE_FILE)
        lock.acquire()
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}", "free space or fix permissions") from error
    try:
        yield
    finally:
        lock.release()


def _replace(path: Path, content: str | bytes, mode: int) -> None:
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):  # the reason to report is the first
            draft.unlink()
        raise StoreError(f"{path} cannot be written: {error}", "free space or fix permissions") from error


def private_folder(path: Path) -> None:
    """Makes a folder, and those above it that are missing, for its owner alone. One that is there stays as it is."""
    if not path.is_dir():
        private_folder(path.parent)
        path.mkdir(PRIVATE_FOLDER, exist_ok=True)


def private_file(path: Path) -> Path:
    """Makes an empty file for its owner alone, for a library to write: opened for writing, it keeps its mode."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE))
    return path


def private_opener(path: str, flags: int) -> int:
    """For `open`: a file that is made is its owner's alone."""
    return os.open(path, flags, PRIVATE_FILE)


@contextmanager
def private_umask() -> Iterator[None]:
    """What any library makes meanwhile is its owner's alone. For our own processes: a umask is all of a process's."""
    before = os.umask(PRIVATE_UMASK)
    try:
        yield
    finally:
        os.umask(before)


def tighten_store(root: Path) -> None:
    """Takes everybody else's rights from a store that an earlier version has left open; cheap when it has not.

    The top folder comes last: as long as it is open, what lies below is looked at again. What is not ours stays.
    """
    try:
        loose = root.stat().st_mode & _LOOSE
    except FileNotFoundError:
        return
    if loose:
        tighten(root)


def tighten(folder: Path) -> None:
    """Takes everybody else's rights from a folder and all in it, links and what is not ours left out."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            _tighten(os.path.join(place, name), PRIVATE_FILE)  # noqa: PTH118 - a store has a hundred thousand files
        _tighten(place, PRIVATE_FOLDER)


def _tighten(path: str, mode: int) -> None:
    with suppress(FileNotFoundError):  # a draft of another process
        found = os.lstat(path)
        is_plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
        if is_plain and found.st_mode & _LOOSE and found.st_uid == os.geteuid():
            os.chmod(path, mode)  # noqa: PTH101


def follow_umask(folder: Path) -> None:
    """Gives all in a folder of the user's the modes that the umask says: safetensors writes for the owner alone."""
    umask = os.umask(PRIVATE_UMASK)
    os.umask(umask)
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object this package wrote. Raises StoreError when it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}", "delete it and run again with --force") from None
    if not isinstance(content, dict):
        raise StoreError(f"{path} is damaged: it holds no object", "delete it and run again with --force")
    return content
