"""The access rule a domain was last seen under: a rule that is no longer in domain.yaml is missed, not forgotten."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from domain_embed.audit import AuditTrail, who
from domain_embed.contracts.access import AccessRule
from domain_embed.contracts.errors import AccessError, StoreError
from domain_embed.contracts.records import CollectionInfo
from domain_embed.files import keep_file, read_json

ACCESS_FILE = "access.json"


@dataclass(frozen=True)
class RecordedRule:
    """The rule in force since `at`, as `by` brought it about; None where the domain is open to everybody."""

    rule: AccessRule | None
    at: str
    by: str


class AccessRecord:
    """What one domain's rule is known to be, beside what domain.yaml says of it."""

    def __init__(self, path: Path, domain: str, trail: AuditTrail) -> None:
        self._path = path
        self._domain = domain
        self._trail = trail

    def read(self) -> RecordedRule | None:
        """None where no rule was ever seen. Raises StoreError when the file is damaged or cannot be read."""
        try:
            content = read_json(self._path) if self._path.exists() else None
            if content is None:
                return None
            rule = content["rule"]
            return RecordedRule(AccessRule(**rule) if rule else None, str(content["at"]), str(content["by"]))
        except (OSError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self._path} cannot be read: {error!r}",
                f"see who may read it; `domain-embed access {self._domain}` writes it anew from domain.yaml",
            ) from error

    def see(self, rule: AccessRule | None) -> bool:
        """Keeps a rule that domain.yaml has now, with a line in the audit trail; True where it is a new one."""
        known = self._known()
        if rule is None or (known is not None and known.rule == rule):
            return False
        self._keep(rule, known, "seen in domain.yaml")
        return True

    def know(self, rule: AccessRule | None) -> None:
        """Keeps also that there is no rule, where nothing is recorded yet: nobody has to ask the collections again."""
        if self._known() is None:
            self._write(rule)

    def open(self, reason: str) -> None:
        """Keeps that the domain is open to everybody from now on, because its owner says so."""
        self._keep(None, self._known(), reason or "asked for with --open")

    def require_present(self, given: AccessRule | None, infos: Iterable[CollectionInfo]) -> None:
        """Raises AccessError where domain.yaml gives no rule, though the record or one of these collections has one.

        A collection's rule does not count where the owner has opened the domain after it was built.
        """
        if given is not None:
            return
        known = self.read()
        if known is not None and known.rule is not None:
            raise self._vanished(known.rule, f"recorded {known.at}")
        for info in infos:
            if info.access and (known is None or info.built_at > known.at):
                raise self._vanished(AccessRule(**info.access), f"kept in collection {info.name}")

    def _vanished(self, rule: AccessRule, where: str) -> AccessError:
        return AccessError(
            f"domain {self._domain!r} has an access rule ({rule}; {where}) that is no longer in its domain.yaml",
            f"put it back, or open the domain to everybody with `domain-embed access {self._domain} --open`",
        )

    def _known(self) -> RecordedRule | None:
        """What is recorded; a damaged record is as none, because it is about to be written anew."""
        try:
            return self.read()
        except StoreError:
            return None

    def _keep(self, rule: AccessRule | None, before: RecordedRule | None, reason: str) -> None:
        source = "unknown" if before is None else str(before.rule or "open")
        self._trail.record("access", self._domain, source=source, target=str(rule or "open"), reason=reason)
        self._write(rule)

    def _write(self, rule: AccessRule | None) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"rule": rule.to_json() if rule else None, "at": now, "by": who()}
        keep_file(self._path, json.dumps(content, indent=1))
