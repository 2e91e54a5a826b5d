"""What runs by itself in one domain: sources are observed, data is kept current, and training has its reasons."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import dagster as dg

from domain_embed.contracts.errors import DomainEmbedError
from domain_embed.defs.assets import Stores
from domain_embed.defs.data import domain_group, source_signature, source_version, sources_of
from domain_embed.defs.graph import RECIPES
from domain_embed.defs.policies import AUTOMATIC, DOMAIN_TAG, REASON_TAG
from domain_embed.defs.processes import close_abandoned
from domain_embed.defs.reference import retraining_facts
from domain_embed.defs.runs import make_plan
from domain_embed.defs.staleness import current_versions, source_event
from domain_embed.monitoring.policy import RetrainRequest, retraining_due
from domain_embed.settings import DomainSettings

RUNNING, STOPPED = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip
KEPT_REQUESTS = 200


def build_automation(domain: str, settings: DomainSettings) -> dg.Definitions:
    """One domain's job, sensors and schedule, switched on or off as its `automation` says."""
    selection = dg.AssetSelection.assets(*([domain, recipe.name] for recipe in RECIPES))
    job = dg.define_asset_job(
        domain_group(domain, "update"), selection, tags={DOMAIN_TAG: domain},
        description=f"Brings {domain} up to date: only what is stale works, everything else is reused.",
    )  # fmt: skip
    sensors = [
        _sources_sensor(domain, settings),
        _data_sensor(domain, settings),
        _retrain_sensor(domain, settings, job.name),
    ]
    schedules = [_schedule(domain, settings, job.name)] if settings.automation.retrain_schedule else []
    return dg.Definitions(jobs=[job], sensors=sensors, schedules=schedules)


def _sources_sensor(domain: str, settings: DomainSettings) -> dg.SensorDefinition:
    @dg.sensor(
        name=domain_group(domain, "sources"), minimum_interval_seconds=settings.automation.every_seconds,
        default_status=RUNNING if settings.automation.observe else STOPPED,
        description="Looks at the domain's files by content and records what is new. Starts no run.",
    )  # fmt: skip
    def sources(context: dg.SensorEvaluationContext, stores: Stores) -> dg.SensorResult:
        closed = close_abandoned(context.instance)
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        news, troubles = [], [f"run {run} failed: its process was gone" for run in closed]
        workspace = stores.workspace(domain)
        for name in sources_of(settings):
            try:
                signature = source_signature(name, workspace, settings)
                if seen.get(name) != signature:
                    key, version = dg.AssetKey([domain, name]), source_version(name, workspace, settings)
                    known = current_versions(context.instance, [key])[key]
                    news += [source_event(key, version)] if known != version else []
                    seen[name] = signature
            except (DomainEmbedError, OSError) as error:
                troubles.append(f"{name}: {error}")
        told = "; ".join(troubles) or ("" if news else "nothing has changed")
        return dg.SensorResult(asset_events=news, cursor=json.dumps(seen), skip_reason=told or None)

    return sources


def _data_sensor(domain: str, settings: DomainSettings) -> dg.AutomationConditionSensorDefinition:
    return dg.AutomationConditionSensorDefinition(
        domain_group(domain, "data"),
        target=dg.AssetSelection.assets(*([domain, recipe.name] for recipe in RECIPES if recipe.name in AUTOMATIC)),
        run_tags={DOMAIN_TAG: domain, REASON_TAG: "kept current: something it reads has changed"},
        default_status=RUNNING if settings.automation.keep_data_current else STOPPED,
        minimum_interval_seconds=settings.automation.every_seconds,
        description="Brings data, judgments and what is said about them up to date. Trains nothing.",
    )


def _schedule(domain: str, settings: DomainSettings, job: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=domain_group(domain, "retrain_schedule"), job_name=job,
        cron_schedule=str(settings.automation.retrain_schedule), execution_timezone=settings.automation.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Brings everything up to date, the model too, if something is stale.",
    )  # fmt: skip
    def retrain_schedule(context: dg.ScheduleEvaluationContext, stores: Stores) -> dg.RunRequest | dg.SkipReason:
        workspace = stores.workspace(domain)
        if workspace.newest_checkpoint is None:
            return dg.SkipReason("no model has been trained yet; the first run is started by a person")
        stale = make_plan(context.instance, workspace).stale
        if not stale:
            return dg.SkipReason("nothing has changed")
        return dg.RunRequest(tags={REASON_TAG: f"schedule: {', '.join(stale)} stale"})

    return retrain_schedule


def _retrain_sensor(domain: str, settings: DomainSettings, job: str) -> dg.SensorDefinition:
    policy = settings.automation
    watches = policy.retrain_after_judgments or policy.retrain_after_new_passages or policy.retrain_on_quality_drop

    @dg.sensor(
        name=domain_group(domain, "retrain"), job_name=job, minimum_interval_seconds=policy.every_seconds,
        default_status=RUNNING if watches else STOPPED,
        description="Asks for training, once a reason: enough new judgments or passages, a drop in served quality.",
    )  # fmt: skip
    def retrain(context: dg.SensorEvaluationContext, stores: Stores) -> dg.SensorResult | dg.SkipReason:
        facts = retraining_facts(stores.workspace(domain))
        if facts is None:
            return dg.SkipReason("no model has been trained yet; the first run is started by a person")
        asked: list[str] = json.loads(context.cursor or "[]")
        due = [one for one in retraining_due(facts, policy, datetime.now(UTC).date()) if one.key not in asked]
        if not due:
            return dg.SkipReason(f"no new reason to train: {json.dumps(asdict(facts))}")
        if _trains_already(context.instance, domain):
            return dg.SkipReason(f"a run of {domain} is under way; asked for after it: {_words(due)}")
        asked = [*asked, *(one.key for one in due)][-KEPT_REQUESTS:]
        return dg.SensorResult(run_requests=[_run_request(due)], cursor=json.dumps(asked))

    return retrain


def _run_request(due: Sequence[RetrainRequest]) -> dg.RunRequest:
    return dg.RunRequest(run_key=" | ".join(one.key for one in due), tags={REASON_TAG: _words(due)})


def _words(due: Sequence[RetrainRequest]) -> str:
    return "; ".join(one.reason for one in due)


def _trains_already(instance: dg.DagsterInstance, domain: str) -> bool:
    return instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED, tags={DOMAIN_TAG: domain})) > 0
