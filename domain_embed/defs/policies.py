"""What holds for an asset beside its work: what keeps it current, what it may not run beside, how old it may get."""

from datetime import timedelta

import dagster as dg

from domain_embed.settings import DomainSettings

DOMAIN_TAG, REASON_TAG, FORCE_TAG = "domain", "domain_embed/reason", "domain_embed/force"
PROMOTE_TAG = "domain_embed/promote_anyway"
"""On a run of `champion`: a person's reason to promote the challenger although its verdict was negative."""

AUTOMATIC = frozenset({
    "documents", "passages", "withheld", "live_collection", "base_collection", "labels", "synthetic_queries",
    "judgments", "splits", "quality_report", "served_quality",
})  # fmt: skip
"""The cheap part of the graph: it is kept current by itself. What trains, be it on the few pairs by which the diagnosis
estimates a gain, or brings another model live needs a reason."""

LANE = ("documents", "passages", "withheld", "live_collection")
"""From the corpus to all that serves: what was deleted or restricted is hidden, then the live model gets the new texts.
Nothing in it waits for judgments or evaluation, and in any run it comes first."""
PRIORITY_TAG = "dagster/priority"
"""Of the steps that can run, executors take the one with the highest priority."""

TRAINING_POOL = "training"
TRAINS = frozenset({"checkpoint", "reranker", "diagnosis"})
"""One of these at a time in a deployment: two trainings at once are slower than one after the other."""


def op_tags_of(asset: str) -> dict[str, str]:
    """What Dagster is told about the step of an asset."""
    return {PRIORITY_TAG: "1"} if asset in LANE else {}


def pool_of(asset: str) -> str | None:
    """The pool of an asset; its limit stands in dagster.yaml."""
    return TRAINING_POOL if asset in TRAINS else None


def automation_condition(asset: str, settings: DomainSettings) -> dg.AutomationCondition[dg.AssetKey] | None:
    """Runs when it, its settings or what it reads is new, once all it reads exists and is not being made."""
    if not settings.automation.keep_data_current or asset not in AUTOMATIC:
        return None
    if asset == "synthetic_queries" and settings.synthetic.source == "endpoint":
        return None
    condition = dg.AutomationCondition
    is_news = condition.missing() | condition.code_version_changed()
    if asset != "documents":  # of a changed corpus the sensor of the lane hears, and asks for the whole lane at once
        is_news |= condition.any_deps_match(condition.data_version_changed())
    # Not since_last_handled(): it resets at the first evaluation, so that what is missing then is never made.
    wanted = is_news.since(condition.newly_requested() | condition.newly_updated())
    can_run = ~condition.any_deps_missing() & ~condition.any_deps_in_progress() & ~condition.in_progress()
    return wanted & can_run


def freshness_policy(asset: str, settings: DomainSettings) -> dg.FreshnessPolicy | None:
    """How old an asset may get before the UI says so."""
    days = {
        "corpus_files": settings.monitoring.sources_max_age_days,
        "label_files": settings.monitoring.sources_max_age_days,
        "champion": settings.monitoring.champion_max_age_days,
    }.get(asset)
    return dg.FreshnessPolicy.time_window(fail_window=timedelta(days=days)) if days else None
