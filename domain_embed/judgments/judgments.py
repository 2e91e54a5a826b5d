"""Rows of all sources to one table of judgments: known passages only, one row per query and passage."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import JUDGMENTS, normalized_query
from domain_embed.judgments.sources import read_source
from domain_embed.settings import JudgmentSettings

SAMPLES_KEPT = 20

Key = tuple[str, str, str | None]
"""Query id, passage id and given split: what may be judged only once."""


@dataclass
class JudgmentReport:
    """What was left out and why; `samples` holds the first few as (reason, query id, passage id)."""

    left_out: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str, str]] = field(default_factory=list)

    def leave_out(self, reason: str, row: dict[str, Any]) -> None:
        """Counts one row that is not used."""
        self.left_out[reason] += 1
        if len(self.samples) < SAMPLES_KEPT:
            self.samples.append((reason, row["query_id"], row["passage_id"]))


def collect_judgments(
    settings: JudgmentSettings, folder: Path, passage_ids: Sequence[str]
) -> tuple[pa.Table, JudgmentReport]:
    """All positive judgments about passages that exist, as a JUDGMENTS table, and what was left out.

    A query and passage judged more than once keep the highest grade. Rows about unknown passages, rows of
    grade 0 and less, repeated rows and queries that end without a positive are left out and counted.

    Raises:
        InputError: When a query id names two different texts, or nothing remains.
    """
    report = JudgmentReport()
    kept: dict[Key, dict[str, Any]] = {}
    texts: dict[str, str] = {}
    known = set(passage_ids)
    for source in settings.sources:
        for row in read_source(source, folder):
            row["query"] = _known_text(texts, row)
            if row["passage_id"] not in known:
                report.leave_out("unknown passage", row)
            elif row["grade"] < 1:
                report.leave_out("grade below 1", row)
            else:
                _keep_best(kept, row, report)
    report.left_out["query without a positive"] = len(texts) - len({query_id for query_id, _, _ in kept})
    report.left_out = +report.left_out  # drops zero counts
    if not kept:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in report.left_out.items()) or "no rows"
        raise InputError(f"no usable judgment in {folder} ({reasons})", "passage ids must be the corpus's `_id`s")
    return pa.Table.from_pylist(list(kept.values()), schema=JUDGMENTS), report


def _known_text(texts: dict[str, str], row: dict[str, Any]) -> str:
    """The query's text as it was first written; further ones may differ in case and white space only."""
    known = texts.setdefault(row["query_id"], row["query"])
    if normalized_query(known) != normalized_query(row["query"]):
        raise InputError(
            f"query id {row['query_id']!r} names two texts: {known[:80]!r} and {row['query'][:80]!r}",
            "give every query its own id, or none",
        )
    return known


def _keep_best(
    kept: dict[tuple[str, str, str | None], dict[str, Any]], row: dict[str, Any], report: JudgmentReport
) -> None:
    key = (row["query_id"], row["passage_id"], row["split"])
    if key not in kept:
        kept[key] = row
        return
    report.leave_out("repeated", row)
    if row["grade"] > kept[key]["grade"]:
        kept[key] = row
