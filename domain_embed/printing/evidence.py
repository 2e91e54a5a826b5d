"""What the commands print that show what is known about data and models."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from domain_embed.console import console, line, print_bullets, print_json
from domain_embed.diagnosis.causes import CAUSES

if TYPE_CHECKING:
    from domain_embed.diagnosis.saturation import Saturation
    from domain_embed.evaluation.contrast import Contrast
    from domain_embed.judgments.sheets import ExportReport, ImportReport


def print_quality(summary: dict[str, Any]) -> None:
    """Verdict, the checks that found something, and the remarks."""
    from domain_embed.judgments.quality.checks import CHECKS

    console.print(line((summary["verdict"], "bold")))
    table = Table("check", "severity", "found", "what it costs", "what to do")
    for name, check in summary["checks"].items():
        if check["count"]:
            about = CHECKS[name]
            table.add_row(about.title, check["severity"], f"{check['count']:,}", about.cost, about.remedy)
    if table.rows:
        console.print(table)
    print_bullets(summary["remarks"])
    console.print(f"all culprits: {summary['html']}", soft_wrap=True)


def print_export(report: "ExportReport", *, as_json: bool) -> None:
    """Where the sheet is."""
    if as_json:
        print_json({"sheet": str(report.path), "items": report.items})
    elif report.items:
        console.print(
            f"{report.items:,} judgments to decide: {report.path}\n"
            "fill in the column `decision`, then take it in with --import", soft_wrap=True,
        )  # fmt: skip
    else:
        console.print("nothing waits for a decision")


def print_import(report: "ImportReport", *, as_json: bool) -> None:
    """What a sheet brought."""
    found = {**asdict(report.recorded), "undecided": report.undecided}
    if as_json:
        print_json({"sheet": str(report.path), **found})
    else:
        console.print(", ".join(f"{count:,} {what}" for what, count in found.items()))


def report_json(stored: dict[str, Any], timings: dict[str, float]) -> dict[str, Any]:
    """What scripts get of a report."""
    evidence = stored["evidence"]
    return {
        "domain": evidence["domain"],
        "passages": evidence["passages"],
        "queries": evidence["queries_per_split"],
        "served_mode": evidence["served_mode"],
        "serves": evidence.get("serves", {}),
        "choices": evidence.get("choices", {}),
        "systems": evidence["systems"],
        "intervals": evidence["intervals"],
        "comparisons": evidence["comparisons"],
        "detectable": evidence.get("detectable"),
        "slices": evidence.get("slices", []),
        "validation": evidence.get("validation"),
        "dense_weights": evidence.get("dense_weights", {}),
        "containment": evidence.get("containment", {}),
        "answers": evidence.get("answers"),
        "forgetting": evidence.get("forgetting"),
        "serving": evidence.get("serving", []),
        "gates": evidence.get("gates", []),
        "look": evidence.get("look"),
        "moved": stored.get("moved", {}),
        "please_judge": stored.get("please_judge", []),
        "verdict": stored["verdict"],
        "timings_s": timings,
        "model": {"fingerprint": evidence["challenger_fingerprint"], "path": evidence["model_path"]},
        "collection": evidence["collection"],
        "created_at": evidence["created_at"],
        "html": stored["html"],
    }


def _without_tuned(evidence: dict[str, Any]) -> dict[str, Any]:
    return {
        **evidence,
        "systems": {name: means for name, means in evidence["systems"].items() if not name.startswith("tuned/")},
        "comparisons": [one for one in evidence["comparisons"] if not one["challenger"].startswith("tuned/")],
        "slices": [],
        "detectable": None,
    }


def print_report(stored: dict[str, Any]) -> None:
    """The figures, comparisons and verdict of a stored report."""
    evidence, verdict = stored["evidence"], stored["verdict"]
    if evidence["challenger_fingerprint"] == evidence["baseline_fingerprint"]:  # what is called tuned is the base model
        evidence = _without_tuned(evidence)
    measures = ["nDCG@10", "RR@10", "R@1", "R@10", "R@100"]
    table = Table("system", *measures, title=f"{evidence['domain']}: {evidence['test_queries']:,} test queries",
                  title_justify="left")  # fmt: skip
    for system, means in evidence["systems"].items():
        table.add_row(system, *(f"{means[measure]:.3f}" for measure in measures))
    console.print(table)
    for found in evidence["comparisons"]:
        low, high = found["ci95"]
        console.print(
            f"{found['challenger']} − {found['baseline']}: {found['delta']:+.3f} nDCG@10, 95 % interval "
            f"[{low:+.3f}, {high:+.3f}], p = {found['p']:.4f}; {found['wins']} better, {found['losses']} worse",
        )  # fmt: skip
    if evidence.get("detectable") is not None:
        console.print(
            f"{evidence['test_queries']:,} queries show a true difference of {evidence['detectable']:.3f} nDCG@10 four "
            "times out of five",
        )  # fmt: skip
    for found in (evidence.get("answers") or {}).get("differences", ()):
        low, high = found["ci95"]
        console.print(
            f"generated answers, {found['metric']}: {found['challenger']} − {found['baseline']} {found['delta']:+.3f}, "
            f"95 % interval [{low:+.3f}, {high:+.3f}]",
        )  # fmt: skip
    for worst in [one for one in evidence.get("slices", []) if one["delta"] < 0][:3]:
        console.print(
            f"{worst['dimension']} {worst['value']}: {worst['delta']:+.3f} on {worst['queries']:,} queries, corrected "
            f"p = {worst['p_adjusted']:.4f}",
        )  # fmt: skip
    look = evidence.get("look")
    if look and look["number"] > 1:
        console.print(
            f"this test set has decided {look['number'] - 1} times before, of {look['planned']}; new queries held out "
            f"since: {look['fresh']}"
        )
    for model, why in evidence.get("choices", {}).items():
        console.print(f"{model} would serve as {why}", soft_wrap=True)
    console.print(line(("promote", "bold green") if verdict["promote"] else ("do not promote", "bold yellow")))
    print_bullets(verdict["reasons"])
    console.print(f"report: {stored['html']}", soft_wrap=True)


def print_diagnosis(stored: dict[str, Any]) -> None:
    """The recommendation with its reasons, why queries fail, and what each lever would gain."""
    advice = stored["recommendation"]
    console.print(line((advice["headline"], "bold")))
    print_bullets(advice["reasons"][:3])
    failed = Table("why queries fail", "queries", "share", title=f"{stored['queries']:,} queries", title_justify="left")
    for cause in stored["causes"]:
        if cause["queries"]:
            share = f"{100 * cause['queries'] / cause['of']:.1f} %"
            failed.add_row(CAUSES[cause["cause"]].title, f"{cause['queries']:,}", share)
    if failed.rows:
        console.print(failed)
    table = Table("lever", "nDCG@10", "95 % interval", "how it is known", title=f"over {stored['served']}, "
                  f"at {_served_figure(stored):.3f}", title_justify="left")  # fmt: skip
    for lever in stored["levers"]:
        low, high = lever["ci95"]
        known = {"bound": "at most", "estimated": "estimated", "measured": "measured"}[lever["kind"]]
        table.add_row(lever["title"], f"{lever['gain']:+.3f}", f"{low:+.3f} to {high:+.3f}", known)
    console.print(table)
    console.print(f"examples and all figures: {stored['html']}", soft_wrap=True)


def _served_figure(stored: dict[str, Any]) -> float:
    return float(stored["systems"].get(stored["served"], stored["systems"]["bm25"]))


def print_saturation(found: "Saturation", more: int) -> None:
    """The learning curve, and what so many more labels would be worth."""
    table = Table("training pairs", "validation nDCG@10", "gain over base", "95 % interval", title_justify="left",
                  title=f"{found.queries:,} validation queries, base at {found.base_ndcg:.3f}")  # fmt: skip
    for one in found.points:
        low, high = one.ci95
        table.add_row(f"{one.pairs:,}", f"{one.ndcg:.3f}", f"{one.gain:+.3f}", f"{low:+.3f} to {high:+.3f}")
    console.print(table)
    gain, (low, high) = found.worth(more)
    console.print(
        line(
            (f"{more:,} more labels are worth about {gain:+.3f} nDCG@10", "bold"),
            f", 95 % interval {low:+.3f} to {high:+.3f}",
        ),
        soft_wrap=True,
    )


def print_contrast(found: "Contrast", texts: Mapping[str, str]) -> None:
    """Two systems measure by measure, and the queries they differ on most; `texts` are queries by id."""
    table = Table("measure", found.first, found.second, "difference", "95 % interval", "p",
                  title=f"{found.queries:,} test queries", title_justify="left")  # fmt: skip
    for one in found.comparisons:
        after, before = found.means[one.metric]
        low, high = one.ci95
        table.add_row(
            one.metric,
            f"{after:.3f}",
            f"{before:.3f}",
            f"{one.delta:+.3f}",
            f"{low:+.3f} to {high:+.3f}",
            f"{one.p:.4f}",
        )
    console.print(table)
    if found.detectable is not None:
        console.print(f"a true difference of {found.detectable:.3f} nDCG@10 is shown four times out of five")
    for title, changes in (("better", found.gained), ("worse", found.lost)):
        for query_id, delta in changes:
            console.print(f"  {title:>6} {delta:+.3f}  {texts.get(query_id, query_id)}")
