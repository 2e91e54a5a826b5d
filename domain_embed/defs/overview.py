"""All domains at one glance: what is live, what is stale, what the last evaluation said, and how old all that is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any

import dagster as dg

from domain_embed.contracts.errors import AccessError, DomainEmbedError, NotReadyError
from domain_embed.contracts.secrets import redact
from domain_embed.defs.policies import DOMAIN_TAG
from domain_embed.defs.runs import make_plan
from domain_embed.promotion.looks import LookLedger, age, query_hashes
from domain_embed.settings import Environment
from domain_embed.stores.reloads import failed_reloads
from domain_embed.stores.workspace import LIVE, Workspace, stored_domains

FEW_LEFT = 0.25
"""Share of a test set's looks: when fewer are left, it is time to hold out new queries."""


@dataclass(frozen=True)
class DomainStatus:
    """One domain; with `error` set, the rest is what could still be found out. Ages are in days.

    An `orphaned` one is a store whose domain is gone: there is no folder with a domain.yaml any more.
    """

    domain: str
    error: str | None = None
    live_model: str | None = None
    live_collection: str | None = None
    live_age_days: float | None = None
    stale: tuple[str, ...] = ()
    promote: bool | None = None
    verdict: str | None = None
    verdict_age_days: float | None = None
    running: int = 0
    warnings: tuple[str, ...] = ()
    orphaned: bool = False


def domain_statuses(
    instance: dg.DagsterInstance, environment: Environment, names: Sequence[str] | None = None
) -> list[DomainStatus]:
    """The given domains, or all of them; what is wrong with one is told in its place and hides no other."""
    known, stored = environment.domains(), stored_domains(environment)
    chosen = sorted({*known, *stored}) if names is None else names
    return [
        DomainStatus(name, orphaned=True)
        if name in stored and name not in known
        else _domain_status(instance, environment, name)
        for name in chosen
    ]


def _domain_status(instance: dg.DagsterInstance, environment: Environment, name: str) -> DomainStatus:
    try:
        workspace = Workspace.open(environment, name)
        stale = make_plan(instance, workspace).stale
        return DomainStatus(
            name, stale=stale, running=_running(instance, name), **_live(workspace), **_report(workspace),
            warnings=_warnings(workspace),
        )  # fmt: skip
    except (DomainEmbedError, OSError) as error:
        return DomainStatus(name, error=redact(str(error)))


def _warnings(workspace: Workspace) -> tuple[str, ...]:
    """What keeps searchers from serving as they should, though nothing is wrong with what is live."""
    found = [*failed_reloads(workspace.searchers), *_worn_out(workspace)]
    try:
        workspace.access_rule()
    except AccessError as error:
        return (str(error), *found)
    return tuple(found)


def _worn_out(workspace: Workspace) -> Iterator[str]:
    """That the test set can decide on few challengers more, before it can decide on none."""
    planned = workspace.settings.promotion.looks
    if planned is None or not workspace.looks.exists() or not workspace.tables.has("splits"):
        return
    used = ceil(age(LookLedger(workspace.looks).read(), query_hashes(workspace.judged("test")[0])))
    if planned - used < FEW_LEFT * planned:
        yield (
            f"the test set has decided on {used} challengers of {planned} that it can decide on: hold out new test "
            "queries (judge more, and run again)"
        )


def _live(workspace: Workspace) -> dict[str, Any]:
    collection = workspace.vector_store.alias(LIVE)
    if collection is None:
        return {}
    info = workspace.vector_store.open(collection).info
    return {"live_model": info.fingerprint, "live_collection": collection, "live_age_days": _days_since(info.built_at)}


def _report(workspace: Workspace) -> dict[str, Any]:
    try:
        report = workspace.latest_report()
    except NotReadyError:
        return {}
    return {
        "promote": bool(report["verdict"]["promote"]),
        "verdict": report["verdict"]["reasons"][0],
        "verdict_age_days": _days_since(report["evidence"]["created_at"]),
    }


def _running(instance: dg.DagsterInstance, domain: str) -> int:
    active = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    return instance.get_runs_count(dg.RunsFilter(statuses=active, tags={DOMAIN_TAG: domain}))


def _days_since(moment: str) -> float:
    """Days from an ISO 8601 moment to now; without a zone it is taken as UTC."""
    then = datetime.fromisoformat(moment)
    return round((datetime.now(UTC) - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds() / 86400, 3)
