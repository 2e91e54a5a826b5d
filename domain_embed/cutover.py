"""Going live and back: the steps that the asset `champion` and the commands share."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from domain_embed.contracts.errors import NotReadyError, StoreError
from domain_embed.contracts.records import CollectionInfo, Verdict
from domain_embed.evaluation.measures import HEADLINE
from domain_embed.evaluation.names import system_name, variant_name
from domain_embed.indexing.parity import check_parity
from domain_embed.monitoring.query_log import finished_days, read_query_log
from domain_embed.promotion.champion import Move, PromotionLog, promote, rollback_target
from domain_embed.promotion.retention import prune
from domain_embed.retrieval import shadow
from domain_embed.settings import DomainSettings
from domain_embed.stores.vectors import evict
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace

LOGGED_DAYS = 14
"""Queries of so many days are recent."""


def stored_verdict(
    workspace: Workspace, challenger: CollectionInfo, settings: DomainSettings, *, promote_anyway: str | None = None
) -> Verdict:
    """The verdict of the latest report; a refusal where that is about another model, or about other settings.

    `promote_anyway` is a person's reason to go past a negative verdict, though not past a report about something else.
    """
    report = workspace.latest_report()
    obstacle = _report_obstacle(report, challenger, settings)
    if obstacle:
        return Verdict(False, (f"{obstacle}: materialize eval_report first",))
    reasons = tuple(report["verdict"]["reasons"])
    if promote_anyway:
        return Verdict(True, (f"promoted by a person: {promote_anyway}", *reasons))
    return Verdict(report["verdict"]["promote"], reasons)


def _report_obstacle(report: Mapping[str, Any], challenger: CollectionInfo, settings: DomainSettings) -> str | None:
    """Why a report says nothing about promoting this challenger as it would serve now; None if it does."""
    judged = report["evidence"]["challenger_fingerprint"]
    if judged != challenger.fingerprint:
        return f"the report judges model {judged}, not {challenger.fingerprint}"
    made_with = report.get("settings", {})
    changed = [name for name, version in judged_by(settings).items() if made_with.get(name) != version]
    return f"the report was made with other settings ({', '.join(changed)})" if changed else None


def judged_by(settings: DomainSettings) -> dict[str, str]:
    """Versions of the settings a verdict depends on: after an edit of one, an old verdict promotes nothing."""
    return {name: getattr(settings, name).version() for name in ("retrieval", "evaluation", "promotion")}


def require_parity(workspace: Workspace, info: CollectionInfo) -> None:
    """Raises StoreError unless the collection holds exactly the current passages, by the model it names."""
    opened = workspace.vector_store.open(info.name)
    findings = check_parity(opened, workspace.tables.read("passages"), workspace.encoder_of(info))
    failed = [f"{finding.name}: {finding.detail}" for finding in findings if not finding.passed]
    if failed:
        raise StoreError(f"collection {info.name} is not what it says ({'; '.join(failed)}); the alias stays")


def shadow_comparison(workspace: Workspace, challenger: str) -> dict[str, float] | None:
    """Live (the base model where nothing is) beside the challenger on recent queries, or validation's without a log.

    None where both are the same collection, or there is no query.
    """
    live = workspace.vector_store.alias(LIVE) or workspace.aliased(BASE)
    if live == challenger:
        return None
    retrieval = workspace.settings.retrieval
    reranker = workspace.reranker() if retrieval.rerank else None
    before, after = (workspace.searcher(name, retrieval, reranker) for name in (live, challenger))
    found = shadow.compare(before, after, _recent_queries(workspace))
    return None if found is None else asdict(found)


def promote_challenger(workspace: Workspace, *, reason: str = "", force: bool = False) -> Move:
    """Makes the newest tuned model live. See `promotion.champion.promote` for what is refused."""
    store = workspace.vector_store
    infos = {info.name: info for info in store.collections()}
    challenger, base = infos[workspace.aliased(CHALLENGER)], infos[workspace.aliased(BASE)]
    verdict = stored_verdict(workspace, challenger, workspace.settings)
    return promote(
        store, PromotionLog(workspace.promotions), LIVE, verdict, challenger, base,
        lambda info: require_parity(workspace, info), reason=reason, force=force,
        shadow=shadow_comparison(workspace, challenger.name),
    )  # fmt: skip


def prune_workspace(workspace: Workspace, keep: int | None = None) -> list[CollectionInfo]:
    """Removes collections beyond the retention, and vectors beyond theirs; what is in use stays."""
    store, retention = workspace.vector_store, workspace.settings.retention
    live = store.alias(LIVE)
    in_use = {store.alias(alias) for alias in (LIVE, BASE, CHALLENGER)}
    in_use.add(rollback_target(PromotionLog(workspace.promotions), live))
    removed = prune(store, {name for name in in_use if name}, retention.collections if keep is None else keep)
    caches = {info.vector_cache for info in store.collections() if info.name in in_use}
    evict(workspace.vectors, caches, retention.vectors_gb * 1e9)
    return removed


def version_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """What is known of every collection, oldest first; quality is nDCG@10 on the test queries, as served."""
    store, measured = workspace.vector_store, _measured(workspace.all_reports())
    named = {"live": store.alias(LIVE), "challenger": store.alias(CHALLENGER), "base": store.alias(BASE)}
    return [
        {
            "collection": info.name,
            "model": info.model,
            "fingerprint": info.fingerprint,
            "passages": info.count,
            "size_bytes": store.size_bytes(info.name),
            "built_at": info.built_at,
            "age_days": round((datetime.now(UTC) - datetime.fromisoformat(info.built_at)).total_seconds() / 86400, 1),
            "ndcg_at_10": measured.get(info.fingerprint),
            "aliases": [alias for alias, target in named.items() if target == info.name],
        }
        for info in store.collections()
    ]


def _measured(reports: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """nDCG@10 of each model by fingerprint, as served, from the newest report that measured it."""
    found: dict[str, float] = {}
    for evidence in (report["evidence"] for report in reports):
        mode = "dense" if evidence["served_mode"] == "sparse" else evidence["served_mode"]
        variant = variant_name(mode, evidence.get("served_rerank", False))
        for model, field in (("base", "baseline"), ("champion", "champion"), ("tuned", "challenger")):
            fingerprint, means = evidence[f"{field}_fingerprint"], evidence["systems"].get(system_name(model, variant))
            if fingerprint is not None and means is not None:
                found[fingerprint] = means[HEADLINE]
    return found


def _recent_queries(workspace: Workspace) -> list[str]:
    folder = workspace.settings.monitoring.query_log
    if folder is not None:
        days = finished_days(workspace.folder / folder, datetime.now(UTC).date(), LOGGED_DAYS)
        if logged := [str(query) for query in reversed(read_query_log(days)[0]["query"])]:
            return logged
    try:
        return list(workspace.judged("validation")[0].values())
    except NotReadyError:
        return []
