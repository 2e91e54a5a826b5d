"""Going live and back, and keeping up with the corpus: the steps that assets and commands share."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Collection as AnyCollection
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from domain_embed.audit import Deed
from domain_embed.contracts.errors import NotReadyError, StoreError, StoreUnavailableError
from domain_embed.contracts.ports import TableReader, VectorStore
from domain_embed.contracts.records import CollectionInfo, Served, Verdict
from domain_embed.encoding.agreement import require_agreement
from domain_embed.encoding.words import reads_otherwise
from domain_embed.evaluation.measures import HEADLINE
from domain_embed.evaluation.names import system_name, variant_name
from domain_embed.files import alone
from domain_embed.indexing.build import BuildReport, build_collection
from domain_embed.indexing.contents import holds_exactly
from domain_embed.indexing.parity import check_parity
from domain_embed.indexing.withhold import Alignments, Withheld, withhold
from domain_embed.monitoring.query_log import finished_days, read_query_log
from domain_embed.promotion.champion import Move, PromotionLog, promote, refresh, roll_back, rollback_target
from domain_embed.promotion.retention import prune
from domain_embed.retrieval import shadow
from domain_embed.settings import DomainSettings, ModelSettings
from domain_embed.stores.vectors import evict
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace

LOGGED_DAYS = 14
"""Queries of so many days are recent."""
TAKEN_OUT = "passages are missing in it"
NOT_THERE = "the vector store no longer has its collection"
OTHER_WORDS = "the words of these passages are told apart better now"
LOOKED_AT = 200
"""Passages that show in which script a corpus is written."""


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
    return Verdict(report["verdict"]["promote"], reasons, untuned=report["verdict"].get("untuned", ""))


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


def withhold_gone(
    workspace: Workspace, *, only: AnyCollection[str] | None = None, purge: bool = False
) -> list[Withheld]:
    """Takes what is gone or restricted out of all collections, or out of these; see `indexing.withhold`.

    While the passages are not cut from today's documents, because their step has failed or is not yet done, the
    documents alone say what may be served.
    """
    with alone(workspace.alignments):
        documents, passages = workspace.tables.read("documents"), workspace.tables.read("passages")
        cut_from_these = passages.made_of in ("", documents.version)
        return withhold(
            workspace.vector_store, passages if cut_from_these else None, Alignments(workspace.alignments),
            documents=documents, only=only, purge=purge,
        )  # fmt: skip


def lacking(workspace: Workspace, alias: str) -> str | None:
    """What is not as it should be in the collection that was put behind an alias, or None.

    It is gone, since the store was emptied or is another one now; passages were taken out of it that are there (again)
    today; or its words are not those of today's definition. Its inputs do not tell: the corpus is what it was. A server
    that does not answer is not waited for: then it is not known, and None.
    """
    try:
        name = workspace.vector_store.alias(alias)
        if name is None:
            return NOT_THERE
        if not workspace.tables.has("passages"):
            return None
        collection, passages = workspace.vector_store.open(name), workspace.tables.read("passages")
        try:
            if collection.info.passages_version != passages.version:
                return None
            if reads_otherwise(_first_texts(passages), collection.info.words_version):
                return OTHER_WORDS
            return TAKEN_OUT if collection.info.amended and not holds_exactly(collection, passages) else None
        finally:
            collection.close()
    except StoreUnavailableError:
        return None


def _first_texts(passages: TableReader) -> list[str]:
    batch = next(passages.batches(LOOKED_AT, columns=["text"]), None)
    return [] if batch is None else batch.column("text").to_pylist()


def nothing_is_live(workspace: Workspace) -> str | None:
    """That what went live is gone; None where it is there, or where the server does not answer."""
    try:
        return NOT_THERE if workspace.vector_store.alias(LIVE) is None else None
    except StoreUnavailableError:
        return None


def live_is_behind(workspace: Workspace) -> str | None:
    """What of today's passages the live collection lacks, as after a rollback whose new texts could not be embedded."""
    try:
        name = workspace.vector_store.alias(LIVE)
        if name is None or not workspace.tables.has("passages"):
            return None
        built_of = {info.name: info.passages_version for info in workspace.vector_store.collections()}
    except StoreUnavailableError:
        return None
    is_of_others = built_of.get(name) != workspace.tables.read("passages").version
    return TAKEN_OUT if is_of_others else lacking(workspace, LIVE)


def bring_up(
    workspace: Workspace, settings: DomainSettings, model: str, model_settings: Mapping[str, Any]
) -> BuildReport:
    """The collection of a model and the current passages, made unless it is there; only new texts are embedded.

    It is in line with the passages there are when it can be seen: those may have changed while it was built.
    """
    as_meant = ModelSettings(**model_settings)
    encoder = workspace.encoder(model, as_meant)
    require_agreement(encoder, workspace.model_location(model), as_meant, workspace.root / "converted")
    report = build_collection(
        workspace.vector_store, encoder, model, workspace.tables.read("passages"), settings.sparse,
        workspace.vector_cache(encoder.document_fingerprint), model_settings,
        settings.chunking.model_dump(mode="json"), settings.index, settings.access.rule,
    )  # fmt: skip
    if withhold_gone(workspace, only=[report.info.name]):
        return replace(report, info=workspace.vector_store.open(report.info.name).info)
    return report


def refresh_live(workspace: Workspace, settings: DomainSettings) -> Move | None:
    """Gives the live model the current passages, without any evaluation; None where it has them, or nothing is live.

    The weight tuned for its collection goes along.
    """
    store, live = workspace.vector_store, workspace.vector_store.alias(LIVE)
    if live is None:
        return None
    info = store.open(live).info
    target = bring_up(workspace, settings, info.model, info.model_settings).info
    tuned = workspace.tuned_weight(live)
    if tuned is not None and workspace.tuned_weight(target.name) is None:
        workspace.save_tuned_weight(target.name, tuned["dense_weight"], tuned["splits"])
    return refresh(
        store, PromotionLog(workspace.promotions), LIVE, target, lambda found: require_parity(workspace, found),
        reason="the corpus has changed",
    )  # fmt: skip


def roll_back_model(workspace: Workspace) -> Move:
    """Puts the previous live model back, at once: in its old collection, less what was deleted or restricted since."""
    return roll_back(
        workspace.vector_store, PromotionLog(workspace.promotions), LIVE,
        align=lambda info: _require_aligned(workspace, info), record=audited(workspace),
    )  # fmt: skip


def _require_aligned(workspace: Workspace, info: CollectionInfo) -> None:
    withhold_gone(workspace, only=[info.name])


def audited(workspace: Workspace) -> Callable[[Move], None]:
    """Writes a promotion or a rollback in the audit trail."""

    def record(move: Move) -> None:
        deed: Deed = "rollback" if move.action == "rolled back" else "promote"
        model = {"source_model": move.source_fingerprint, "model": move.fingerprint}
        workspace.trail.record(
            deed, workspace.domain, source=move.source, target=move.target, reason=move.reason, **model
        )

    return record


def require_parity(workspace: Workspace, info: CollectionInfo) -> None:
    """Raises StoreError unless the collection holds exactly the current passages, by the model it names."""
    opened = workspace.vector_store.open(info.name)
    findings = check_parity(opened, workspace.tables.read("passages"), workspace.encoder_of(info))
    failed = [f"{finding.name}: {finding.detail}" for finding in findings if not finding.passed]
    if failed:
        raise StoreError(f"collection {info.name} is not what it says ({'; '.join(failed)}); the alias stays")


def serves(workspace: Workspace, settings: DomainSettings) -> Callable[[CollectionInfo], Served | None]:
    """How a collection would be asked once it is live; None where the settings name the way."""

    def served(info: CollectionInfo) -> Served | None:
        return workspace.chosen(info.name) if settings.retrieval.mode == "auto" else None

    return served


def shadow_comparison(workspace: Workspace, challenger: str) -> dict[str, float] | None:
    """Live (the base model where nothing is) beside the challenger on recent queries, or validation's without a log.

    None where both are the same collection, or there is no query.
    """
    live = workspace.vector_store.alias(LIVE) or workspace.aliased(BASE)
    if live == challenger:
        return None
    reranker = workspace.reranker()
    before, after = (workspace.searcher(name, reranker=reranker) for name in (live, challenger))
    found = shadow.compare(before, after, _recent_queries(workspace))
    return None if found is None else asdict(found)


def promote_challenger(workspace: Workspace, *, reason: str = "", force: bool = False) -> Move:
    """Makes the newest tuned model live. See `promotion.champion.promote` for what is refused."""
    store = workspace.vector_store
    infos = {info.name: info for info in store.collections()}
    challenger, base = infos[workspace.aliased(CHALLENGER)], infos[workspace.aliased(BASE)]
    withhold_gone(workspace, only=[challenger.name])
    verdict = stored_verdict(workspace, challenger, workspace.settings)
    return promote(
        store, PromotionLog(workspace.promotions), LIVE, verdict, challenger, base,
        lambda info: require_parity(workspace, info), reason=reason, force=force,
        shadow=shadow_comparison(workspace, challenger.name), record=audited(workspace),
        serves=serves(workspace, workspace.settings),
    )  # fmt: skip


def prune_workspace(workspace: Workspace, keep: int | None = None, *, model: str | None = None) -> list[CollectionInfo]:
    """Removes collections beyond the retention, and vectors beyond theirs; what is in use stays.

    With `model`, a fingerprint, only collections of that model are looked at.
    """
    store, retention = workspace.vector_store, workspace.settings.retention
    live = store.alias(LIVE)
    in_use = {store.alias(alias) for alias in (LIVE, BASE, CHALLENGER)}
    in_use.add(rollback_target(PromotionLog(workspace.promotions), live))
    others = {info.name for info in store.collections() if model is not None and info.fingerprint != model}
    removed = prune(
        store, {name for name in in_use if name} | others, retention.collections if keep is None else keep,
        record=lambda info: workspace.trail.record("prune", workspace.domain, source=info.name, reason="retention"),
    )  # fmt: skip
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
            "passages": _counted(store, info.name),
            "size_bytes": store.size_bytes(info.name),
            "built_at": info.built_at,
            "age_days": round((datetime.now(UTC) - datetime.fromisoformat(info.built_at)).total_seconds() / 86400, 1),
            "ndcg_at_10": measured.get(info.fingerprint),
            "served": way_of(workspace, info.name),
            "aliases": [alias for alias, target in named.items() if target == info.name],
        }
        for info in store.collections()
    ]


def live_system(workspace: Workspace) -> str | None:
    """What is live and why, in a sentence: the model, the way it is asked, and what was said when it went live.

    None where nothing is live.
    """
    live = workspace.vector_store.alias(LIVE)
    if live is None:
        return None
    fingerprint = workspace.vector_store.open(live).info.fingerprint
    base = workspace.vector_store.alias(BASE)
    is_base = base is not None and workspace.vector_store.open(base).info.fingerprint == fingerprint
    moves = [move for move in PromotionLog(workspace.promotions).read() if move.target == live]
    why = f": {moves[-1].reason}" if moves else ""
    return f"{'base' if is_base else 'tuned'}/{way_of(workspace, live)} is live{why}"


def way_of(workspace: Workspace, collection: str) -> str:
    """How a collection is asked, as `weighted 0.30`."""
    retrieval = workspace.retrieval(collection)
    weight = retrieval.dense_weight if retrieval.mode == "weighted" else None
    return variant_name(retrieval.mode, retrieval.rerank) + ("" if weight is None else f" {weight:.2f}")


def _counted(store: VectorStore, name: str) -> int:
    """How many passages a collection has now: some may have been taken out since it was built."""
    collection = store.open(name)
    try:
        return collection.count()
    finally:
        collection.close()


def _measured(reports: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """nDCG@10 of each model by fingerprint, as served, from the newest report that measured it."""
    found: dict[str, float] = {}
    for evidence in (report["evidence"] for report in reports):
        mode = "dense" if evidence["served_mode"] == "sparse" else evidence["served_mode"]
        variant, own = variant_name(mode, evidence.get("served_rerank", False)), evidence.get("serves", {})
        for model, field in (("base", "baseline"), ("champion", "champion"), ("tuned", "challenger")):
            system = system_name(model, own.get(model, variant))
            fingerprint, means = evidence[f"{field}_fingerprint"], evidence["systems"].get(system)
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
