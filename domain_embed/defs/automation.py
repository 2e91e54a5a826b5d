"""What runs by itself in one domain: sources are observed, data is kept current, and training has its reasons."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import dagster as dg

from domain_embed.contracts.errors import DomainEmbedError
from domain_embed.contracts.secrets import redact
from domain_embed.defs.assets import Stores
from domain_embed.defs.data import domain_group, source_signature, source_version, sources_of
from domain_embed.defs.graph import RECIPES
from domain_embed.defs.policies import AUTOMATIC, DOMAIN_TAG, LANE, REASON_TAG
from domain_embed.defs.processes import close_abandoned
from domain_embed.defs.redacted import redacts_errors
from domain_embed.defs.reference import retraining_facts
from domain_embed.defs.runs import make_plan
from domain_embed.defs.staleness import current_versions, input_tag, last_materialization, source_event
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
    lane = dg.define_asset_job(
        domain_group(domain, "lane"), dg.AssetSelection.assets(*([domain, name] for name in LANE)),
        tags={DOMAIN_TAG: domain},
        description="Hides what was deleted or restricted, then gives the live model the new texts. Evaluates nothing.",
    )  # fmt: skip
    sensors = [
        _lane_sensor(domain, settings, lane.name),
        _sources_sensor(domain, settings),
        _data_sensor(domain, settings),
        _retrain_sensor(domain, settings, job.name),
    ]
    schedules = [_schedule(domain, settings, job.name)] if settings.automation.retrain_schedule else []
    return dg.Definitions(jobs=[job, lane], sensors=sensors, schedules=schedules)


def _lane_sensor(domain: str, settings: DomainSettings, job: str) -> dg.SensorDefinition:
    """Asset by asset the conditions would take a tick each; this asks for the whole lane as soon as it sees a change.

    It asks once for each state of the files: a run that fails of them will fail of them again.
    """
    corpus, documents = dg.AssetKey([domain, "corpus_files"]), dg.AssetKey([domain, "documents"])

    @dg.sensor(
        name=domain_group(domain, "withhold"), job_name=job,
        minimum_interval_seconds=settings.automation.every_seconds,
        default_status=RUNNING if settings.automation.keep_data_current else STOPPED,
        description="Asks at once, when the corpus has changed, for what hides deleted and restricted documents.",
    )  # fmt: skip
    @redacts_errors
    def withhold(
        context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores]
    ) -> dg.SensorResult | dg.SkipReason:
        latest = last_materialization(context.instance, documents)
        if latest is None:
            return dg.SkipReason("no documents have been made yet, so none are served")
        workspace = stores.workspace(domain)
        try:
            signature = source_signature("corpus_files", workspace, settings)
            if signature == context.cursor:
                return dg.SkipReason("the files of the corpus have not changed")
            version = source_version("corpus_files", workspace, settings)
        except (DomainEmbedError, OSError) as error:
            return dg.SkipReason(f"corpus_files: {_recorded(error)}")
        if (latest.tags or {}).get(input_tag(corpus)) == version:
            return dg.SensorResult(skip_reason="the documents are made of these files", cursor=signature)
        request = dg.RunRequest(tags={REASON_TAG: "the corpus has changed"})
        return dg.SensorResult(run_requests=[request], cursor=signature)

    return withhold


def _sources_sensor(domain: str, settings: DomainSettings) -> dg.SensorDefinition:
    @dg.sensor(
        name=domain_group(domain, "sources"), minimum_interval_seconds=settings.automation.every_seconds,
        default_status=RUNNING if settings.automation.observe else STOPPED,
        description="Looks at the domain's files and at what is live, and records what is new. Starts no run.",
    )  # fmt: skip
    @redacts_errors
    def sources(context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores]) -> dg.SensorResult:
        closed = close_abandoned(context.instance)
        seen: dict[str, str] = json.loads(context.cursor or "{}")
        news, troubles = [], [f"run {run} failed: its process was gone" for run in closed]
        workspace = stores.workspace(domain)
        try:
            workspace.see_rule(workspace.settings.access)
        except DomainEmbedError as error:
            troubles.append(f"access rule: {error}")
        for name in sources_of(settings):
            try:
                signature = source_signature(name, workspace, settings)
                if seen.get(name) != signature:
                    key, version = dg.AssetKey([domain, name]), source_version(name, workspace, settings)
                    if version is None or signature is None:  # it cannot be told now
                        continue
                    known = current_versions(context.instance, [key])[key]
                    news += [source_event(key, version)] if known != version else []
                    seen[name] = signature
            except (DomainEmbedError, OSError) as error:
                troubles.append(f"{name}: {_recorded(error)}")
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
    @redacts_errors
    def retrain_schedule(
        context: dg.ScheduleEvaluationContext, stores: dg.ResourceParam[Stores]
    ) -> dg.RunRequest | dg.SkipReason:
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
    @redacts_errors
    def retrain(
        context: dg.SensorEvaluationContext, stores: dg.ResourceParam[Stores]
    ) -> dg.SensorResult | dg.SkipReason:
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


def _recorded(error: DomainEmbedError | OSError) -> str:
    """What of an error Dagster may keep."""
    return error.recorded if isinstance(error, DomainEmbedError) else redact(str(error))


def _run_request(due: Sequence[RetrainRequest]) -> dg.RunRequest:
    return dg.RunRequest(run_key=" | ".join(one.key for one in due), tags={REASON_TAG: _words(due)})


def _words(due: Sequence[RetrainRequest]) -> str:
    return "; ".join(one.reason for one in due)


def _trains_already(instance: dg.DagsterInstance, domain: str) -> bool:
    return instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED, tags={DOMAIN_TAG: domain})) > 0
