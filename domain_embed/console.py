"""What a person reads in the terminal, and what a script gets instead."""

import json
import logging
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

from domain_embed.contracts.records import Hit

if TYPE_CHECKING:
    from domain_embed.defs.runs import Plan, RunOutcome
    from domain_embed.stores.workspace import Workspace

console = Console()
errors = Console(stderr=True)

SNIPPET_CHARACTERS = 160


def report_json(stored: dict[str, Any], timings: dict[str, float]) -> dict[str, Any]:
    """What scripts get of a report."""
    evidence = stored["evidence"]
    return {
        "domain": evidence["domain"],
        "passages": evidence["passages"],
        "queries": evidence["queries_per_split"],
        "served_mode": evidence["served_mode"],
        "systems": evidence["systems"],
        "comparisons": evidence["comparisons"],
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


def print_run(name: str, outcome: "RunOutcome | None", workspace: "Workspace", *, as_json: bool) -> None:
    """What a run did, and the report if it made one."""
    if as_json:
        worked, reused = (outcome.worked, outcome.reused) if outcome else ({}, ())
        run_id = outcome.run_id if outcome else None
        print_json({"domain": name, "worked_s": worked, "reused": list(reused), "dagster_run": run_id})
        return
    if outcome is None:
        console.print(f"[bold]{name}[/bold] is up to date: nothing to run")
        return
    table = Table("asset", "seconds", title="what ran", title_justify="left")
    for asset, seconds in outcome.worked.items():
        table.add_row(asset, f"{seconds:.1f}")
    for asset in outcome.reused:
        table.add_row(asset, "reused", style="dim")
    console.print(table)
    if "eval_report" in outcome.worked or "champion" in outcome.worked:
        print_report(workspace.latest_report())


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
    console.print(
        "[bold green]promote[/bold green]" if verdict["promote"] else "[bold yellow]do not promote[/bold yellow]"
    )
    for reason in verdict["reasons"]:
        console.print(f"  • {reason}", markup=False, highlight=False)
    console.print(f"report: {stored['html']}", markup=False, highlight=False, soft_wrap=True)


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


def print_hits(hits: Sequence[Hit]) -> None:
    """Ranked passages, one line each and the beginning of its text."""
    for rank, hit in enumerate(hits, start=1):
        name = f"[bold]{escape(hit.title or hit.passage_id)}[/bold]  [dim]{escape(hit.passage_id)}[/dim]"
        console.print(f"[bold]{rank:>2}[/bold]  {hit.score:.3f}  {name}", highlight=False)
        console.print(f"           {escape(_snippet(hit.text))}", style="dim", highlight=False)
    if not hits:
        console.print("nothing found")


def _snippet(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SNIPPET_CHARACTERS else flat[: SNIPPET_CHARACTERS - 1] + "…"
