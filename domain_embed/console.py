"""What a person reads in the terminal, and what a script gets instead."""

import json
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

from domain_embed.contracts.records import Hit
from domain_embed.diagnosis.causes import CAUSES
from domain_embed.judgments.quality.checks import CHECKS
from domain_embed.settings import DomainSettings

if TYPE_CHECKING:
    from domain_embed.advisor import Advice
    from domain_embed.defs.overview import DomainStatus
    from domain_embed.defs.runs import Plan, RunOutcome
    from domain_embed.evaluation.contrast import Contrast
    from domain_embed.judgments.sheets import ExportReport, ImportReport
    from domain_embed.promotion.champion import Move
    from domain_embed.stores.workspace import Workspace

console = Console()
errors = Console(stderr=True)

SNIPPET_CHARACTERS = 160


def ask_for_files(corpus: Path | None, judgments: Sequence[Path]) -> tuple[Path | None, list[Path]]:
    """Asks a person for the documents and judgments that were not given; nothing entered means none."""
    if corpus is None:
        answer = typer.prompt("Documents: a folder of files, or a table", default="", show_default=False)
        corpus = Path(answer).expanduser() if answer else None
    found = list(judgments)
    while corpus is not None and not judgments:
        answer = typer.prompt("Judgments: a file, or enter for no more", default="", show_default=False)
        if not answer:
            break
        found.append(Path(answer).expanduser())
    return corpus, found


def print_new_domain(path: Path, settings: DomainSettings) -> None:
    """What was recognised, and what comes next."""
    from domain_embed.judgments.sources import source_name

    documents = f"{', '.join(settings.corpus.paths)} (chunking: {settings.chunking.strategy})"
    lines = [f"wrote {path}", f"  documents: {documents}"]
    lines += [f"  judgments: {source_name(source)}" for source in settings.judgments.sources]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"next: [bold]domain-embed run {path.parent.name}[/bold]", highlight=False)


def print_quality(summary: dict[str, Any]) -> None:
    """Verdict, the checks that found something, and the remarks."""
    console.print(f"[bold]{escape(summary['verdict'])}[/bold]", highlight=False)
    table = Table("check", "severity", "found", "what it costs", "what to do")
    for name, check in summary["checks"].items():
        if check["count"]:
            about = CHECKS[name]
            table.add_row(about.title, check["severity"], f"{check['count']:,}", about.cost, about.remedy)
    if table.rows:
        console.print(table)
    for remark in summary["remarks"]:
        console.print(f"  • {remark}", markup=False, highlight=False)
    console.print(f"all culprits: {summary['html']}", markup=False, highlight=False, soft_wrap=True)


def print_export(report: "ExportReport", *, as_json: bool) -> None:
    """Where the sheet is."""
    if as_json:
        print_json({"sheet": str(report.path), "items": report.items})
    elif report.items:
        console.print(
            f"{report.items:,} judgments to decide: {report.path}\n"
            "fill in the column `decision`, then take it in with --import",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    else:
        console.print("nothing waits for a decision")


def print_import(report: "ImportReport", *, as_json: bool) -> None:
    """What a sheet brought."""
    found = {**asdict(report.recorded), "undecided": report.undecided}
    if as_json:
        print_json({"sheet": str(report.path), **found})
    else:
        console.print(", ".join(f"{count:,} {what}" for what, count in found.items()), highlight=False)


def report_json(stored: dict[str, Any], timings: dict[str, float]) -> dict[str, Any]:
    """What scripts get of a report."""
    evidence = stored["evidence"]
    return {
        "domain": evidence["domain"],
        "passages": evidence["passages"],
        "queries": evidence["queries_per_split"],
        "served_mode": evidence["served_mode"],
        "systems": evidence["systems"],
        "intervals": evidence["intervals"],
        "comparisons": evidence["comparisons"],
        "detectable": evidence.get("detectable"),
        "slices": evidence.get("slices", []),
        "validation": evidence.get("validation"),
        "dense_weights": evidence.get("dense_weights", {}),
        "containment": evidence.get("containment", {}),
        "forgetting": evidence.get("forgetting"),
        "serving": evidence.get("serving", []),
        "gates": evidence.get("gates", []),
        "moved": stored.get("moved", {}),
        "please_judge": stored.get("please_judge", []),
        "verdict": stored["verdict"],
        "timings_s": timings,
        "model": {"fingerprint": evidence["challenger_fingerprint"], "path": evidence["model_path"]},
        "collection": evidence["collection"],
        "created_at": evidence["created_at"],
        "html": stored["html"],
    }


def print_plan(name: str, found: "Plan") -> None:
    """What is stale and why, and what may follow."""
    if not found.stale:
        console.print(f"[bold]{name}[/bold] is up to date: nothing to run")
        return
    table = Table("asset", "", "why", "last took", title=f"{name}: what is stale", title_justify="left")
    for asset, status in found.statuses.items():
        took = f"{found.last_seconds[asset]:.0f} s" if asset in found.last_seconds else ""
        if asset in found.stale:
            table.add_row(f"[bold]{asset}[/bold]", f"[yellow]{status.state}[/yellow]", "; ".join(status.causes), took)
        elif asset in found.may_run:
            table.add_row(asset, "may run", "only if what it reads really changes", took, style="dim")
    console.print(table)
    if found.estimate_seconds:
        least, most = (_duration(seconds) for seconds in found.estimate_seconds)
        console.print(f"as the last time: {least}, or {most} if all of it runs", highlight=False)


def print_statuses(found: "Sequence[DomainStatus]") -> None:
    """One line a domain; errors below the table, where they have room."""
    table = Table("domain", "live model", "stale", "last verdict", "")
    for one in found:
        stale = f"[yellow]{', '.join(one.stale)}[/yellow]" if one.stale else "nothing"
        promote = {True: "promote", False: "do not promote", None: "none yet"}[one.promote]
        verdict = promote + _days_ago(one.verdict_age_days)
        live = f"{one.live_model or 'none yet'}{_days_ago(one.live_age_days)}"
        cells = ("", "", "") if one.error else (live, stale, verdict)
        mark = "[bold red]error[/bold red]" if one.error else f"{one.running} running" if one.running else ""
        table.add_row(escape(one.domain), *cells, mark)
    console.print(table if found else "no domain yet: make one with `domain-embed init NAME`")
    for one in found:
        if one.error:
            errors.print(f"[bold red]{escape(one.domain)}[/bold red]: ", end="")
            errors.print(one.error, markup=False, highlight=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _days_ago(days: float | None) -> str:
    return "" if days is None else ", today" if days < 1 else f", {days:.0f} days ago"


def print_run(name: str, outcome: "RunOutcome | None", workspace: "Workspace", *, as_json: bool) -> None:
    """What a run did, and the report if it made one."""
    if as_json:
        worked, reused = (outcome.worked, outcome.reused) if outcome else ({}, ())
        run_id = outcome.run_id if outcome else None
        stopped = {"stopped": _stopped(workspace)} if outcome and "checkpoint" in outcome.not_made else {}
        print_json({"domain": name, "worked_s": worked, "reused": list(reused), "dagster_run": run_id, **stopped})
        return
    if outcome is None:
        console.print(f"[bold]{name}[/bold] is up to date: nothing to run")
        return
    table = Table("asset", "seconds", "why", title="what ran", title_justify="left")
    for asset, seconds in outcome.worked.items():
        table.add_row(asset, f"{seconds:.1f}", outcome.reasons[asset])
    for asset in outcome.reused:
        table.add_row(asset, "reused", "nothing it reads has changed", style="dim")
    console.print(table)
    if "diagnosis" in outcome.worked and "checkpoint" not in outcome.not_made:
        advice = workspace.diagnosis()["recommendation"]
        console.print(
            f"diagnosis: [bold]{escape(advice['headline'])}[/bold] (domain-embed diagnose {name})", highlight=False
        )
        console.print(f"  • {advice['reasons'][0]}", markup=False, highlight=False)
    if "eval_report" in outcome.worked or "champion" in outcome.worked:
        print_report(workspace.latest_report())
    if "checkpoint" in outcome.not_made:
        print_stopped(name, workspace)


def print_stopped(name: str, workspace: "Workspace") -> None:
    """Why nothing was trained, what is live instead, and how to train all the same: a result, not a failure."""
    stopped = _stopped(workspace)
    console.print(
        f"\n[bold yellow]stopped before training[/bold yellow]: {escape(stopped['headline'])}", highlight=False
    )
    for reason in stopped["reasons"][:3]:
        console.print(f"  • {reason}", markup=False, highlight=False)
    lines = [f"live: {stopped['live']}", f"all of it: domain-embed diagnose {name}"]
    if stopped["setting"]:
        lines.append(
            f"to pull the lever: {stopped['setting']} in domain.yaml, then run again; nothing is embedded again"
        )
    lines.append(
        "to train all the same: `diagnosis.on_negative: continue` in domain.yaml, or once "
        f"`domain-embed run {name} --select checkpoint,collection,eval_report,champion --force`"
    )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_diagnosis(stored: dict[str, Any]) -> None:
    """The recommendation with its reasons, why queries fail, and what each lever would gain."""
    advice = stored["recommendation"]
    console.print(f"[bold]{escape(advice['headline'])}[/bold]", highlight=False)
    for reason in advice["reasons"][:3]:
        console.print(f"  • {reason}", markup=False, highlight=False)
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
    console.print(f"examples and all figures: {stored['html']}", markup=False, highlight=False, soft_wrap=True)


def _served_figure(stored: dict[str, Any]) -> float:
    return float(stored["systems"].get(stored["served"], stored["systems"]["bm25"]))


def _stopped(workspace: "Workspace") -> dict[str, Any]:
    """What a script and a person get of a stop."""
    stored = workspace.diagnosis()
    advice = stored["recommendation"]
    lever = next((one for one in stored["levers"] if one["name"] == advice["lever"]), None)
    return {
        "headline": advice["headline"],
        "reasons": advice["reasons"],
        "setting": lever["how"].replace("`", "") if lever and lever["how"].startswith("`retrieval.") else None,
        "live": workspace.vector_store.alias("live"),
        "html": stored["html"],
    }


def print_report(stored: dict[str, Any]) -> None:
    """The figures, comparisons and verdict of a stored report."""
    evidence, verdict = stored["evidence"], stored["verdict"]
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
            markup=False, highlight=False,
        )  # fmt: skip
    if evidence.get("detectable") is not None:
        console.print(
            f"{evidence['test_queries']:,} queries show a true difference of {evidence['detectable']:.3f} nDCG@10 four "
            "times out of five", markup=False, highlight=False,
        )  # fmt: skip
    for worst in [one for one in evidence.get("slices", []) if one["delta"] < 0][:3]:
        console.print(
            f"{worst['dimension']} {worst['value']}: {worst['delta']:+.3f} on {worst['queries']:,} queries, corrected "
            f"p = {worst['p_adjusted']:.4f}", markup=False, highlight=False,
        )  # fmt: skip
    console.print(
        "[bold green]promote[/bold green]" if verdict["promote"] else "[bold yellow]do not promote[/bold yellow]"
    )
    for reason in verdict["reasons"]:
        console.print(f"  • {reason}", markup=False, highlight=False)
    console.print(f"report: {stored['html']}", markup=False, highlight=False, soft_wrap=True)


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
        console.print(f"a true difference of {found.detectable:.3f} nDCG@10 is shown four times out of five",
                      markup=False, highlight=False)  # fmt: skip
    for title, changes in (("better", found.gained), ("worse", found.lost)):
        for query_id, delta in changes:
            console.print(f"  {title:>6} {delta:+.3f}  {texts.get(query_id, query_id)}", markup=False, highlight=False)


def show_log(*, quiet: bool) -> None:
    """What the stages report, on standard error; libraries stay silent."""
    quiet_libraries()
    logger = logging.getLogger("domain_embed")
    logger.handlers = [RichHandler(console=errors, show_path=False, show_level=False, log_time_format="%X")]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


def quiet_libraries() -> None:
    """Only errors of the libraries underneath."""
    warnings.filterwarnings("ignore")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    for name in ("mlflow", "alembic", "transformers", "sentence_transformers", "dagster"):
        logging.getLogger(name).setLevel(logging.ERROR)


def print_json(content: object) -> None:
    """For scripts: JSON and nothing else."""
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False))


def print_hits(hits: Sequence[Hit], *, explain: bool = False) -> None:
    """Ranked passages, one line each and the beginning of its text; on request also why each is where it is."""
    for rank, hit in enumerate(hits, start=1):
        name = f"[bold]{escape(hit.title or hit.passage_id)}[/bold]  [dim]{escape(hit.passage_id)}[/dim]"
        console.print(f"[bold]{rank:>2}[/bold]  {hit.score:.3f}  {name}", highlight=False)
        console.print(f"           {escape(_snippet(hit.text))}", style="dim", highlight=False)
        if explain:
            places = ", ".join(f"{name} {place.rank} ({place.score:.3f})" for name, place in hit.places.items())
            console.print(f"           {places}", style="cyan", highlight=False)
    if not hits:
        console.print("nothing found")


def print_versions(rows: Sequence[dict[str, Any]]) -> None:
    """The collections, oldest first."""
    table = Table("collection", "model", "passages", "size", "age", "nDCG@10", "")
    for row in rows:
        marks = ", ".join(f"[bold green]{a}[/bold green]" if a == "live" else a for a in row["aliases"])
        size = "" if row["size_bytes"] is None else f"{row['size_bytes'] / 1e6:,.0f} MB"
        quality = "" if row["ndcg_at_10"] is None else f"{row['ndcg_at_10']:.3f}"
        age = f"{row['age_days']:.1f} days"
        table.add_row(row["collection"], row["fingerprint"], f"{row['passages']:,}", size, age, quality, marks)
    console.print(table)


def print_advice(advice: "Advice") -> None:
    """The candidates side by side, and what to write into domain.yaml."""
    table = Table("index", "recall@10", "nDCG@10", "p50", "p99", "memory", "disk")
    for one in advice.measured:
        name = f"[bold green]{one.name}[/bold green]" if one.name == advice.recommended else one.name
        table.add_row(name, f"{one.recall:.3f}", f"{one.ndcg:.3f}", f"{one.p50_ms:.2f} ms", f"{one.p99_ms:.2f} ms",
                      f"{one.memory_mb:,.0f} MB", f"{one.disk_mb:,.0f} MB")  # fmt: skip
    console.print(table)
    console.print(f"exact search: nDCG@10 {advice.exact_ndcg:.3f}; recommended: [bold]{advice.recommended}[/bold]")
    chosen = next(one.settings for one in advice.measured if one.name == advice.recommended)
    told = {key: value for key, value in chosen.model_dump().items() if key in chosen.model_fields_set}
    console.print("\n".join(["index:", *(f"  {key}: {value}" for key, value in told.items())]) if told else
                  "leave `index:` as it is by default", highlight=False)  # fmt: skip


def print_move(move: "Move") -> None:
    """What went live, and what a comparison on real queries found before."""
    if move.action == "kept":
        console.print(f"{move.target} is live already", highlight=False)
        return
    console.print(f"live: [bold]{move.target}[/bold] (model {move.fingerprint}); was {move.source}", highlight=False)
    if move.shadow:
        found = move.shadow
        console.print(
            f"on {found['queries']:.0f} recent queries {found['overlap']:.0%} of the top ten stay, the first passage "
            f"of {found['same_first']:.0%}; {found['live_ms']:.1f} ms a query before, now {found['challenger_ms']:.1f}",
            highlight=False,
        )


def _snippet(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SNIPPET_CHARACTERS else flat[: SNIPPET_CHARACTERS - 1] + "…"
