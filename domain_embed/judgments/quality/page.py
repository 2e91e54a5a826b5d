"""The quality report as one HTML file that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from domain_embed.contracts.notes import Note
from domain_embed.judgments.quality.checks import CHECKS, Check
from domain_embed.judgments.quality.report import QualityReport
from domain_embed.judgments.quality.summary import remarks, verdict
from domain_embed.settings import Severity

SHOWN_PER_CHECK = 50


@dataclass(frozen=True)
class _Row:
    """One check as shown: its culprits are the first SHOWN_PER_CHECK of `count`."""

    check: Check
    severity: Severity
    count: int
    culprits: Sequence[dict[str, str | None]]

    @property
    def hidden(self) -> int:
        return self.count - len(self.culprits)


def render_html(report: QualityReport, domain: str, notes: Mapping[str, Sequence[Note]]) -> str:
    """A complete HTML document: verdict and checks first, then what was left out, by asset, and the culprits of each.

    Every text from outside is escaped, and nothing is loaded from anywhere.
    """
    environment = Environment(
        loader=PackageLoader("domain_embed", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    rows = _rows(report)
    return environment.get_template("judgments/quality/page.html.j2").render(
        domain=domain,
        blocking=report.blocking,
        verdict=verdict(report),
        remarks=remarks(report),
        totals=report.totals,
        notes=notes,
        found=[row for row in rows if row.count],
        clean=[row.check.title for row in rows if not row.count],
        off=[check.title for name, check in CHECKS.items() if report.severities[name] == "off"],
    )


def _rows(report: QualityReport) -> list[_Row]:
    """The checks that were run: errors first, then warnings, then the rest, each in the order of CHECKS."""
    culprits: dict[str, list[dict[str, str | None]]] = {name: [] for name in CHECKS}
    for finding in report.findings.to_pylist():
        if len(culprits[finding["check"]]) < SHOWN_PER_CHECK:
            culprits[finding["check"]].append(finding)
    order = ("error", "warn", "info")
    rows = [_Row(CHECKS[name], report.severities[name], count, culprits[name]) for name, count in report.counts.items()]
    return sorted(rows, key=lambda row: order.index(row.severity))
