"""The quality report in few words: for a terminal, for a program, and its verdict for both."""

from typing import Any

from domain_embed.judgments.quality.checks import CHECKS
from domain_embed.judgments.quality.report import QualityReport


def verdict(report: QualityReport) -> str:
    """One sentence: whether anything stands in the way of training."""
    errors, warnings = report.found("error"), report.found("warn")
    if errors:
        return f"To be mended before training: {_listed(errors)}."
    if warnings:
        return f"{len(warnings)} warning{'s' if len(warnings) > 1 else ''}: {_listed(warnings)}."
    return "No errors and no warnings."


def remarks(report: QualityReport) -> list[str]:
    """What unknown tokens, difficulty and inflation say, a sentence each."""
    said = []
    if report.unread is not None and report.unread.language:
        said.append(
            f"The model cannot read these texts: its vocabulary lacks {_percent(report.unread.passages)} of the tokens "
            f"of the passages and {_percent(report.unread.queries)} of those of the queries. Set model.base to a "
            "multilingual model."
        )
    if report.difficulty is not None:
        share = report.difficulty
        said.append(
            f"Of {share.queries:,} test queries BM25 answers {_percent(share.bm25_first)} at rank 1, "
            f"{_percent(share.unique_keyword)} hold a word that only their positive has, "
            f"{_percent(share.neither)} need more than either."
        )
    if report.inflation is not None:
        figures = report.inflation
        said.append(
            f"Memory alone scores nDCG@10 {figures.actual:.3f} on this split and {figures.naive:.3f} on a random split "
            f"of rows: such a split would have shown up to {figures.inflation:.3f} that is not skill."
        )
    return said


def summary_text(report: QualityReport) -> str:
    """The verdict, one line a check that found something, and the remarks."""
    lines = [verdict(report)]
    width = max(len(name) for name in CHECKS)
    for severity in ("error", "warn", "info"):
        lines += [
            f"  {severity:5} {name:{width}} {report.counts[name]:>9,}  {CHECKS[name].title}"
            for name in report.found(severity)
        ]
    return "\n".join([*lines, *remarks(report)])


def as_json(report: QualityReport) -> dict[str, Any]:
    """Everything but the findings, as plain values."""
    return {
        "verdict": verdict(report),
        "blocking": report.blocking,
        "totals": dict(report.totals),
        "checks": {name: {"severity": report.severities[name], "count": n} for name, n in report.counts.items()},
        "leakage": {
            "queries": dict(report.leakage.queries),
            "positives": dict(report.leakage.positives),
            "near_queries": dict(report.leakage.near_queries),
            "documents": dict(report.leakage.documents),
        },
        "difficulty": None if report.difficulty is None else {
            "queries": report.difficulty.queries,
            "unique_keyword": report.difficulty.unique_keyword,
            "bm25_first": report.difficulty.bm25_first,
            "neither": report.difficulty.neither,
        },
        "inflation": None if report.inflation is None else {
            "queries": report.inflation.queries,
            "actual": report.inflation.actual,
            "naive": report.inflation.naive,
            "inflation": report.inflation.inflation,
        },
        "unknown_tokens": None if report.unread is None else {
            "passages": report.unread.passages,
            "queries": report.unread.queries,
        },
    }  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _listed(names: list[str]) -> str:
    return ", ".join(CHECKS[name].title.lower() for name in names)
