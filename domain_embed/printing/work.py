"""What the commands print that bring a domain up to date."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from domain_embed.console import console, errors, print_bullets, print_json
from domain_embed.printing.evidence import print_report

if TYPE_CHECKING:
    from domain_embed.defs.overview import DomainStatus
    from domain_embed.defs.runs import Plan, RunOutcome
    from domain_embed.settings import DomainSettings
    from domain_embed.stores.workspace import Workspace


def print_new_domain(path: Path, settings: "DomainSettings") -> None:
    """What was recognised, and what comes next."""
    from domain_embed.judgments.sources import source_name

    documents = f"{', '.join(settings.corpus.paths)} (chunking: {settings.chunking.strategy})"
    lines = [f"wrote {path}", f"  documents: {documents}"]
    lines += [f"  judgments: {source_name(source)}" for source in settings.judgments.sources]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"next: [bold]domain-embed run {path.parent.name}[/bold]", highlight=False)


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
        print_bullets(advice["reasons"][:1])
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
    print_bullets(stopped["reasons"][:3])
    lines = [
        f"live: {stopped['live']}",
        f"all of it: domain-embed diagnose {name}",
        f"BM25 and the base model on the test queries: domain-embed report {name}, {stopped['report']}",
    ]
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
        "report": workspace.latest_report()["html"],
    }
