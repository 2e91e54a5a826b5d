"""Who changed what serves, or what may be seen of it: one line a deed, in a file that is only ever appended to."""

import getpass
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from domain_embed.contracts.errors import StoreError

AUDIT_FILE = "audit.jsonl"
"""In the store of all domains: what is known of a domain outlives the domain."""

Deed = Literal["promote", "rollback", "access", "erase", "export", "prune"]


@dataclass(frozen=True)
class AuditLine:
    """One deed: `source` and `target` are what it led from and to, a collection, a rule, a folder; `who` did it."""

    at: str
    who: str
    domain: str
    deed: str
    source: str = ""
    target: str = ""
    reason: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class AuditTrail:
    """The deeds of all domains of one store."""

    def __init__(self, store: Path) -> None:
        """`store` is the folder of everything that is made of the domains."""
        self._path = store / AUDIT_FILE

    def record(
        self, deed: Deed, domain: str, *, source: str = "", target: str = "", reason: str = "", **details: Any
    ) -> None:
        """Appends one line and puts it on the disk; to be called before the deed, so that none goes unrecorded.

        Raises StoreError when it cannot be written; the deed must then not be done.
        """
        line = AuditLine(_now(), who(), domain, deed, source, target, reason, details)
        text = json.dumps(asdict(line), ensure_ascii=False) + "\n"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, text.encode("utf-8", "replace"))  # one call: lines of two processes never mix
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error}", "free space or fix permissions") from error

    def read(self, domain: str | None = None) -> Iterator[AuditLine]:
        """The deeds of one domain or of all, oldest first.

        Raises StoreError for a line that is none: somebody else wrote in the file.
        """
        if not self._path.exists():
            return
        with self._path.open(encoding="utf-8") as lines:
            for number, text in enumerate(lines, start=1):
                line = self._parsed(text, number)
                if domain is None or line.domain == domain:
                    yield line

    def _parsed(self, text: str, number: int) -> AuditLine:
        try:
            return AuditLine(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"{self._path}, line {number} is no audit line: {error}",
                "see who else writes there; move the line away",
            ) from None


def who() -> str:
    """The system user and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
