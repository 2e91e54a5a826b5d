"""Findings as they come in: all are counted, the first of each check kept with what a person needs to see."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import pyarrow as pa

from domain_embed.contracts.tables import FINDINGS
from domain_embed.judgments.quality.checks import CHECKS
from domain_embed.settings import Severity

KEPT_PER_CHECK = 10_000
"""Enough for any person; bounds memory where a check objects to every row of a million."""
SHOWN_CHARACTERS = 120


class Findings:
    """Collects what checks find. A check whose severity is "off" is not `wanted` and must not be run."""

    def __init__(self, severities: Mapping[str, Severity]) -> None:
        self.severities = dict(severities)
        self.counts: Counter[str] = Counter()
        self._rows: list[dict[str, str | None]] = []

    def wanted(self, *checks: str) -> bool:
        """Whether any of the checks is switched on."""
        return any(self.severities[check] != "off" for check in checks)

    def add(
        self, check: str, kind: Literal["passage", "query", "judgment", "domain"], detail: str, *,
        query_id: str | None = None, passage_id: str | None = None,
    ) -> None:  # fmt: skip
        """Counts one culprit of a check that is switched on; beyond KEPT_PER_CHECK it is counted only."""
        if not self.wanted(check):
            return
        self.counts[check] += 1
        if self.counts[check] <= KEPT_PER_CHECK:
            self._rows.append(
                {
                    "check": check,
                    "severity": self.severities[check],
                    "kind": kind,
                    "query_id": query_id,
                    "passage_id": passage_id,
                    "detail": detail,
                }
            )

    def table(self) -> pa.Table:
        """A FINDINGS table, the checks in the order of CHECKS."""
        place = {name: number for number, name in enumerate(CHECKS)}
        return pa.Table.from_pylist(sorted(self._rows, key=lambda row: place[row["check"] or ""]), schema=FINDINGS)


def quoted(text: str) -> str:
    """A text as findings show it: on one line, shortened, between quotation marks."""
    line = " ".join(text[: 20 * SHOWN_CHARACTERS].split())
    shown = line if len(line) <= SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS].rstrip()} …"
    return f"“{shown}”"
