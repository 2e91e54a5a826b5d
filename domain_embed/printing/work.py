"""What the commands print that bring a domain up to date."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from domain_embed.console import console, errors, line, print_bullets, print_json
from domain_embed.printing.evidence import print_report

if TYPE_CHECKING:
    from domain_embed.contracts.notes import Note
    from domain_embed.defs.overview import DomainStatus
    from domain_embed.defs.runs import Plan, RunOutcome
    from domain_embed.defs.training_time import TrainingTime
    from domain_embed.new_domain import NewDomain
    from domain_embed.settings import ModelSettings
    from domain_embed.stores.workspace import Workspace


def print_new_domain(path: Path, made: "NewDomain") -> None:
    """What was recognised, and what comes next."""
    from domain_embed.judgments.sources import source_name
    from domain_embed.settings import with_own_prompts

    settings = made.settings
    documents = f"{', '.join(settings.corpus.paths)} (chunking: {settings.chunking.strategy})"
    lines = [f"wrote {path}", f"  documents: {documents}"]
    lines += [f"  judgments: {source_name(source)}" for source in settings.judgments.sources]
    lines.append(f"  model: {model_words(with_own_prompts(settings.model, path.parent))}")
    lines += [f"  note: {remark}" for remark in made.remarks]
    console.print("\n".join(lines), soft_wrap=True)
    console.print(line("next: ", (f"domain-embed run {path.parent.name}", "bold")))


def model_words(model: "ModelSettings") -> str:
    """The base model, and what is put before texts."""
    prompts = {"queries": model.query_prompt, "passages": model.document_prompt}
    if None in prompts.values():
        return f"{model.base}, with its own prompts, which are known once it is here"
    told = [f"{json.dumps(prompt, ensure_ascii=False)} before {side}" for side, prompt in prompts.items() if prompt]
    return f"{model.base}, {' and '.join(told) or 'without prompts'}"


def print_notes(notes: "Mapping[str, Sequence[Note]]") -> None:
    """What was left out or is not heeded, one line each."""
    for asset, noted in notes.items():
        for note in noted:
            console.print(line(("note", "yellow"), f" {asset}: {note.text}"), soft_wrap=True)


def notes_json(notes: "Mapping[str, Sequence[Note]]") -> dict[str, list[dict[str, Any]]]:
    """The same for scripts, with what each note is about."""
    return {asset: [asdict(note) for note in noted] for asset, noted in notes.items()}


def print_plan(name: str, found: "Plan") -> None:
    """What is stale and why, and what may follow."""
    if not found.stale:
        console.print(line((name, "bold"), " is up to date: nothing to run"))
        return
    table = Table("asset", "", "why", "last took", title=f"{name}: what is stale", title_justify="left")
    for asset, status in found.statuses.items():
        took = f"{found.last_seconds[asset]:.0f} s" if asset in found.last_seconds else ""
        if asset in found.stale:
            table.add_row(line((asset, "bold")), line((status.state, "yellow")), "; ".join(status.causes), took)
        elif asset in found.may_run:
            table.add_row(asset, "may run", "only if what it reads really changes", took, style="dim")
    console.print(table)
    if found.estimate_seconds:
        least, most = (_duration(seconds) for seconds in found.estimate_seconds)
        console.print(f"as the last time: {least}, or {most} if all of it runs")


def training_words(found: "TrainingTime") -> str:
    """What an epoch takes, and the most that there can be."""
    epoch = (
        "known after the first training" if found.epoch_seconds is None else f"about {_duration(found.epoch_seconds)}"
    )
    most = "" if found.most_seconds is None else f", {_duration(found.most_seconds)} at most"
    limit = f", max_minutes {found.max_minutes:g}" if found.max_minutes is not None else ""
    times = f" at each of {found.trainings} learning rates" if found.trainings > 1 else ""
    return f"training: up to {found.most_epochs} epochs{times}{limit}; one epoch: {epoch}{most}"


def training_json(found: "TrainingTime | None") -> dict[str, Any] | None:
    """The same for scripts."""
    return None if found is None else {**asdict(found), "most_seconds": found.most_seconds}


def print_statuses(found: "Sequence[DomainStatus]") -> None:
    """One line a domain; errors below the table, where they have room."""
    table = Table("domain", "live model", "stale", "last verdict", "")
    for one in found:
        if one.orphaned:
            table.add_row(one.domain, "", "", "", line(("its folder is gone", "yellow")))
            continue
        stale = line((", ".join(one.stale), "yellow")) if one.stale else "nothing"
        promote = {True: "promote", False: "do not promote", None: "none yet"}[one.promote]
        verdict = promote + _days_ago(one.verdict_age_days)
        live = f"{one.live_model or 'none yet'}{_days_ago(one.live_age_days)}"
        cells = ("", "", "") if one.error else (live, stale, verdict)
        mark = line(("error", "bold red")) if one.error else f"{one.running} running" if one.running else ""
        table.add_row(one.domain, *cells, mark)
    console.print(table if found else "no domain yet: make one with `domain-embed init NAME`")
    for one in found:
        if one.orphaned:
            told = f"{one.domain} is a store without a domain: `domain-embed erase {one.domain}` removes it"
            console.print(told, markup=False, highlight=False)
        if one.error:
            errors.print(line((one.domain, "bold red"), f": {one.error}"), soft_wrap=True)
        for warning in one.warnings:
            errors.print(line((one.domain, "bold yellow"), f": {warning}"), soft_wrap=True)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _days_ago(days: float | None) -> str:
    return "" if days is None else ", today" if days < 1 else f", {days:.0f} days ago"


def print_run(
    name: str, outcome: "RunOutcome | None", workspace: "Workspace", notes: "Mapping[str, Sequence[Note]]", *,
    as_json: bool,
) -> None:  # fmt: skip
    """What a run did, the report if it made one, and what is live then."""
    from domain_embed.cutover import live_system

    if as_json:
        worked, reused = (outcome.worked, outcome.reused) if outcome else ({}, ())
        run_id = outcome.run_id if outcome else None
        stopped = {"stopped": _stopped(workspace)} if workspace.kept_base else {}
        print_json({
            "domain": name, "worked_s": worked, "reused": list(reused), "dagster_run": run_id,
            "notes": notes_json(notes), **stopped,
        })  # fmt: skip
        return
    if outcome is None:
        console.print(line((name, "bold"), " is up to date: nothing to run"))
        print_notes(notes)
        return
    table = Table("asset", "seconds", "why", title="what ran", title_justify="left")
    for asset, seconds in outcome.worked.items():
        table.add_row(asset, f"{seconds:.1f}", outcome.reasons[asset])
    for asset in outcome.reused:
        table.add_row(asset, "reused", "nothing it reads has changed", style="dim")
    console.print(table)
    print_notes({asset: noted for asset, noted in notes.items() if asset not in outcome.worked})  # these were said then
    judged = "eval_report" in outcome.worked or "champion" in outcome.worked
    is_kept = workspace.kept_base is not None and (judged or "checkpoint" in outcome.worked)
    if "diagnosis" in outcome.worked and not is_kept:
        advice = workspace.diagnosis()["recommendation"]
        console.print(line("diagnosis: ", (advice["headline"], "bold"), f" (domain-embed diagnose {name})"))
        print_bullets(advice["reasons"][:1])
    if judged:
        print_report(workspace.latest_report())
    if is_kept:
        print_stopped(name, workspace)
    elif judged and (live := live_system(workspace)):
        console.print(live, soft_wrap=True, markup=False)


def print_stopped(name: str, workspace: "Workspace") -> None:
    """Why nothing was trained, what is live instead, and how to train all the same: a result, not a failure."""
    from domain_embed.cutover import live_system

    stopped = _stopped(workspace)
    console.print(line("\n", ("stopped before training", "bold yellow"), f": {stopped['headline']}"))
    print_bullets(stopped["reasons"][:3])
    lines = [
        live_system(workspace) or "nothing is live yet",
        f"all of it: domain-embed diagnose {name}",
    ]
    if stopped["report"]:
        lines.append(f"BM25 and the base model on the test queries: domain-embed report {name}, {stopped['report']}")
    if stopped["setting"]:
        lines.append(
            f"to pull the lever: {stopped['setting']} in domain.yaml, then run again; nothing is embedded again"
        )
    lines.append(
        "to train all the same: `diagnosis.on_negative: continue` in domain.yaml, or once "
        f"`domain-embed run {name} --select checkpoint,collection,eval_report,champion --force`"
    )
    console.print("\n".join(lines), soft_wrap=True)


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
        "report": workspace.latest_report()["html"] if workspace.has_report else None,
    }
