"""Asset checks: pure findings, worded once, shown where the asset is."""

import dagster as dg

from domain_embed.defs.assets import Stores
from domain_embed.defs.data import domain_group
from domain_embed.defs.redacted import redacts_errors
from domain_embed.defs.work import bullets
from domain_embed.indexing.parity import check_parity
from domain_embed.judgments.leakage import Leakage, measure_leakage
from domain_embed.judgments.quality.checks import CHECKS
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import BASE, CHALLENGER

Result = dg.AssetCheckResult


def build_checks(domain: str, settings: DomainSettings) -> list[dg.AssetChecksDefinition]:
    """All checks of one domain."""
    return [
        _leakage_check(domain, settings),
        _quality_check(domain),
        _parity_check(domain, "base_collection", BASE),
        _parity_check(domain, "collection", CHALLENGER),
        _verdict_check(domain),
        _served_check(domain),
    ]


def leakage_result(leakage: Leakage, *, given: bool) -> Result:
    """A query asked in two splits is an error; so is a shared positive, unless the splits were given that way."""
    if leakage.spoils(given=given):
        severity, told = dg.AssetCheckSeverity.ERROR, "the splits leak: figures on the test set would mean nothing"
    elif leakage.shares_positives:
        severity = dg.AssetCheckSeverity.WARN
        told = "the given splits share positives: figures on the test set are too good"
    else:
        severity, told = dg.AssetCheckSeverity.ERROR, "no query text and no positive is in two splits"
    return Result(
        passed=not (leakage.shares_queries or leakage.shares_positives),
        severity=severity,
        description=told,
        metadata={
            **{f"shared queries, {pair}": count for pair, count in leakage.queries.items()},
            **{f"shared positives, {pair}": count for pair, count in leakage.positives.items()},
            **{f"near-duplicate queries, {pair}": count for pair, count in leakage.near_queries.items()},
        },
    )


def _leakage_check(domain: str, settings: DomainSettings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=[domain, "splits"], name=_name(domain, "no_leakage"), blocking=True,
        description="No query text and no positive passage may be in two splits.",
    )  # fmt: skip
    @redacts_errors
    def no_leakage(stores: dg.ResourceParam[Stores]) -> Result:
        leakage = measure_leakage(
            stores.workspace(domain).tables.read("splits").read(), settings.splits.near_duplicates
        )
        return leakage_result(leakage, given=settings.splits.strategy == "given")

    return no_leakage


def _quality_check(domain: str) -> dg.AssetChecksDefinition:
    """`training_decision` reads the same summary, so that training alone cannot go past it."""

    @dg.asset_check(
        asset=[domain, "quality_report"], name=_name(domain, "quality"), blocking=True,
        description="Passages and judgments can be trusted: nothing was found that must be mended before training.",
    )  # fmt: skip
    @redacts_errors
    def quality(stores: dg.ResourceParam[Stores]) -> Result:
        summary = stores.workspace(domain).quality()
        found = {name: check for name, check in summary["checks"].items() if check["count"]}
        warned = any(check["severity"] == "warn" for check in found.values())
        return Result(
            passed=not summary["blocking"] and not warned,
            severity=dg.AssetCheckSeverity.ERROR if summary["blocking"] else dg.AssetCheckSeverity.WARN,
            description=summary["verdict"],
            metadata={f"{CHECKS[name].title} ({check['severity']})": check["count"] for name, check in found.items()},
        )

    return quality


def _parity_check(domain: str, asset: str, alias: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=[domain, asset], name=_name(domain, f"{asset}_parity"), blocking=True,
        description="The collection holds exactly the passages, embedded by exactly the model, that it says.",
    )  # fmt: skip
    @redacts_errors
    def parity(stores: dg.ResourceParam[Stores]) -> Result:
        workspace = stores.workspace(domain)
        collection = workspace.vector_store.open(workspace.aliased(alias))
        findings = check_parity(collection, workspace.tables.read("passages"), workspace.encoder_of(collection.info))
        return Result(
            passed=all(finding.passed for finding in findings),
            metadata={finding.name: finding.detail for finding in findings},
        )

    return parity


def _verdict_check(domain: str) -> dg.AssetChecksDefinition:
    """A warning only: that a model is not good enough is a result, not a failure; `champion` acts on it."""

    @dg.asset_check(
        asset=[domain, "eval_report"], name=_name(domain, "verdict"),
        description="The tuned model is good enough to go live.",
    )  # fmt: skip
    @redacts_errors
    def verdict(stores: dg.ResourceParam[Stores]) -> Result:
        stored = stores.workspace(domain).latest_report()["verdict"]
        return Result(
            passed=bool(stored["promote"]),
            severity=dg.AssetCheckSeverity.WARN,
            description=stored["reasons"][0],
            metadata={"reasons": bullets(stored["reasons"])},
        )

    return verdict


def _served_check(domain: str) -> dg.AssetChecksDefinition:
    """Red, and training is asked for; nothing is blocked, because what serves is live already."""

    @dg.asset_check(
        asset=[domain, "served_quality"], name=_name(domain, "served"),
        description="Users are served as well as before.",
    )  # fmt: skip
    @redacts_errors
    def served(stores: dg.ResourceParam[Stores]) -> Result:
        summary = stores.workspace(domain).served() or {"alarms": {}, "daily": []}
        alarms, figures = summary["alarms"], summary.get("recent", {})
        return Result(
            passed=not alarms,
            description="; ".join(alarms.values()) or ("as well as before" if figures else "nothing is logged"),
            metadata={name: value for name, value in figures.items() if value is not None},
        )

    return served


def _name(domain: str, check: str) -> str:
    """Dagster makes an op of every check, and op names are unique in a deployment."""
    return domain_group(domain, check)
