"""Object storage: what runs make of a domain is kept there, and the local folder is a working copy of it."""

import json
import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from domain_embed.contracts.errors import SettingsError, StoreError, StoreUnavailableError
from domain_embed.contracts.secrets import SecretUrl, redact
from domain_embed.files import PRIVATE_FILE, RECORD_FILE, keep_file, private_file, private_folder, read_json

logger = logging.getLogger("domain_embed.run")

KEPT = (
    "access.json", "answers.jsonl", "checkpoints", "choices", "decision", "diagnosis", "looks.jsonl",
    "promotions.jsonl", "quality", "references", "rerankers", "reports", "saturation", "served", "synthetic.jsonl",
    "tables", "weights",
)  # fmt: skip
"""Not what can be made again from these: vectors, converted models; and not the index, which is Qdrant's to keep."""
SYNCED = ".storage.json"
RETRIES: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
CLIENT: Any = {"allow_http": True, "connect_timeout": "10s", "timeout": timedelta(minutes=10)}

Stamp: TypeAlias = tuple[int, int]
"""Size and time of change of a local file."""
Synced: TypeAlias = dict[str, tuple[str, Stamp]]
"""Entity tag of the object and stamp of the file when they were equal, by path."""


class ObjectMirror:
    """One folder and its copy under a URL (s3://, gs://, az://, file://); objects are named as the files are.

    Of both it is remembered what they were when they were last equal. So `pull` fetches what another machine has
    changed and `push` sends what this one has. Nothing is ever removed, on either side. A file that names others is
    sent and fetched after them: whoever finds it, finds what it names.
    """

    def __init__(self, url: str | SecretUrl, root: Path) -> None:
        """Nothing is asked yet. Raises SettingsError when there is no such kind of URL, or obstore is missing."""
        url = SecretUrl(url)
        self._url, self._root = str(url), root
        self._objects = _store(url)
        self._synced_file = root / SYNCED

    def pull(self) -> int:
        """Brings the folder up to what the storage holds; returns the number of files that changed.

        A file changed in both places becomes the storage's: the other change was never finished.

        Raises:
            StoreError: Folder and storage both hold artifacts, and never were the same domain.
            StoreUnavailableError: The storage does not answer.
        """
        with self._alone() as synced:
            there = self._list()
            if there and synced is None and self._files():
                raise StoreError(
                    f"{self._root} and {self._url} both hold artifacts and were never the same",
                    "choose another DOMAIN_EMBED_STORAGE, or move the folder away and take what is stored",
                )
            known = synced or {}
            self._remember(known)  # from here on a file beside the storage's is no stranger
            fetched = [path for path in _in_order(there) if self._differs(path, there[path], known)]
            for path in fetched:
                known[path] = self._fetch(path)
                self._remember(known)
        if fetched:
            logger.info("%d files fetched from %s", len(fetched), self._url)
        return len(fetched)

    def push(self) -> int:
        """Brings the storage up to what the folder holds; returns the number of objects that changed.

        Raises:
            StoreError: Another machine has meanwhile changed an object this one would replace. Nothing is sent then.
            StoreUnavailableError: The storage does not answer. What was sent stays sent.
        """
        with self._alone() as synced:
            known, here, there = synced or {}, self._files(), self._list()
            changed = [
                path for path in _in_order(here) if path not in there or known.get(path, (None, None))[1] != here[path]
            ]
            overtaken = [path for path in changed if path in there and there[path] != known.get(path, (None, None))[0]]
            if overtaken:
                raise StoreError(
                    f"{overtaken[0]} under {self._url} was changed by another machine meanwhile",
                    "one machine works on a domain at a time; run again to go on from what is stored",
                )
            for path in changed:
                known[path] = (self._send(path), here[path])
                self._remember(known)
        return len(changed)

    def clear(self) -> int:
        """Removes every object of ours from the storage; returns their number. The folder stays as it is.

        Raises StoreUnavailableError when the storage does not answer.
        """
        with self._alone():
            there = sorted(self._list())
            with self._errors():
                for path in there:
                    self._objects.delete(path)
            self._remember({})
        return len(there)

    def _differs(self, path: str, tag: str, known: Synced) -> bool:
        return known.get(path, (None, None))[0] != tag or not (self._root / path).exists()

    def _list(self) -> dict[str, str]:
        """Every object of ours and its entity tag."""
        with self._errors():
            found = [meta for batch in self._objects.list() for meta in batch]
        return {meta["path"]: str(meta["e_tag"]) for meta in found if _is_kept(meta["path"])}

    def _files(self) -> dict[str, Stamp]:
        """Every finished file of ours."""
        paths = [path for kept in KEPT for path in ((self._root / kept).rglob("*"), [self._root / kept])]
        files = (path for group in paths for path in group if path.is_file())
        names = ((path.relative_to(self._root).as_posix(), path) for path in files)
        return {name: _stamp(path) for name, path in names if _is_kept(name)}

    def _fetch(self, path: str) -> tuple[str, Stamp]:
        target = self._root / path
        draft = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
        try:
            private_folder(target.parent)
            with self._errors():
                found = self._objects.get(path)
                with private_file(draft).open("wb") as file:
                    for chunk in found:
                        file.write(chunk)
            draft.replace(target)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {error}", "free space or fix permissions") from error
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        return str(found.meta["e_tag"]), _stamp(target)

    def _send(self, path: str) -> str:
        with self._errors():
            return str(self._objects.put(path, self._root / path)["e_tag"])

    @contextmanager
    def _alone(self) -> Iterator[Synced | None]:
        """What was equal when last looked at; None with this storage for the first time. Steps of a machine queue."""
        private_folder(self._root)
        with FileLock(self._root / f"{SYNCED}.lock", mode=PRIVATE_FILE):
            stored = read_json(self._synced_file) if self._synced_file.exists() else {}
            if redact(stored.get("url", "")) != self._url:
                yield None
            else:
                yield {path: (tag, (size, changed)) for path, (tag, size, changed) in stored["files"].items()}

    def _remember(self, known: Synced) -> None:
        files = {path: [tag, *stamp] for path, (tag, stamp) in known.items()}
        keep_file(self._synced_file, json.dumps({"url": self._url, "files": files}))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, ConnectionError) as error:
            problem = redact(str(error)).splitlines()[0][:200]
            raise StoreUnavailableError(
                f"object storage {self._url} failed: {problem}",
                "see that it can be reached and its credentials are right; what was made stays, run again to go on",
            ) from None


def _store(url: SecretUrl) -> Any:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError as error:
        raise SettingsError("DOMAIN_EMBED_STORAGE needs obstore", 'pip install "domain-embed[objects]"') from error
    address = url.reveal()
    try:
        if urlsplit(address).scheme == "file":
            Path(url2pathname(urlsplit(address).path)).mkdir(parents=True, exist_ok=True)
            return from_url(address)
        return from_url(address, client_options=CLIENT, retry_config=RETRIES)
    except (BaseError, ValueError) as error:
        problem = str(error).splitlines()[0]
        raise SettingsError(f"DOMAIN_EMBED_STORAGE: {url}: {problem}", "such as s3://bucket/folder") from None


def _is_kept(path: str) -> bool:
    first, *_ = parts = path.split("/")
    return first in KEPT and not any(part.startswith(".") for part in parts)


def _in_order(paths: Iterable[str]) -> list[str]:
    """Files that name others last: a model's record after the model, pointers at the top after the folders."""

    def last(path: str) -> tuple[bool, int, bool, str]:
        return path.endswith((".json", ".jsonl")), -path.count("/"), path.endswith(RECORD_FILE), path

    return sorted(paths, key=last)


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
