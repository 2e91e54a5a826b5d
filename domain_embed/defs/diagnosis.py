"""The asset that says what to do before anything is trained, and what follows when training is not it."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from domain_embed.contracts.records import Verdict
from domain_embed.cutover import require_parity
from domain_embed.defs.collections import current_collections
from domain_embed.defs.evidence import report_untrained
from domain_embed.defs.work import Produced, Stopped, Work, bullets, record_table
from domain_embed.diagnosis.causes import CAUSES
from domain_embed.diagnosis.diagnose import Diagnosis, Material, diagnose
from domain_embed.diagnosis.page import render_html
from domain_embed.promotion.champion import Move, PromotionLog, settle
from domain_embed.settings import ADAPTERS, DomainSettings
from domain_embed.stores.workspace import BASE, LIVE


def diagnosis(work: Work) -> Produced:
    """Why queries fail, what each lever would gain and cost, and which one to pull, before anything is trained."""
    tables, workspace = work.workspace.tables, work.workspace
    collection = workspace.vector_store.open(workspace.aliased(BASE))
    splits = tables.read("splits")
    material = Material(
        splits=splits.read(),
        labels=tables.read("labels").read(),
        judged=set(tables.read("judgments").read(["query_id"])["query_id"].to_pylist()),
        documents=tables.read("documents"),
        passages=tables.read("passages"),
        collection=collection,
        encoder=workspace.encoder_of(collection.info),
        base=workspace.model_location(collection.info.model),
        resolve=workspace.model_location,
        reranker=workspace.reranker(),
    )
    found = diagnose(material, work.settings)
    about = {
        "domain": workspace.domain,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "base_fingerprint": collection.info.fingerprint,
        "splits_version": splits.version,
    }
    page = workspace.save_diagnosis({**about, **asdict(found)}, render_html(found, about))
    link = work.publish(page, {**about, **_figures(found)})
    return Produced(found.version(), _metadata(found, str(page), link), _metrics(found))


def _figures(found: Diagnosis) -> dict[str, Any]:
    """The diagnosis without its examples, which quote queries and passages."""
    content = asdict(found)
    return {**content, "causes": [{**cause, "examples": []} for cause in content["causes"]]}


def compares_chunkings(settings: DomainSettings) -> bool:
    """Whether other ways to cut the documents are looked at."""
    return bool(settings.diagnosis.chunkings)


def held_back(work: Work) -> Stopped | None:
    """Why nothing is trained: the diagnosis of these very judgments and this base model shows that it is not the lever.

    None when it does not, when the run is forced, or when `diagnosis.on_negative` says to continue. The untuned systems
    are then evaluated on the test queries, and what is live is settled as after a refused model.
    """
    workspace = work.workspace
    adapts = isinstance(work.settings.training.method, ADAPTERS)  # another lever than fine-tuning
    goes_on = work.forced or adapts or work.settings.diagnosis.on_negative == "continue"
    if goes_on or not workspace.has_diagnosis:
        return None
    found = workspace.diagnosis()
    base = workspace.vector_store.open(workspace.aliased(BASE)).info
    about = (found["splits_version"], found["base_fingerprint"])
    if found["recommendation"]["fine_tune"] != "no" or about != (
        workspace.tables.read("splits").version,
        base.fingerprint,
    ):
        return None
    reason = f"the diagnosis speaks against training: {found['recommendation']['headline']}"
    report_untrained(work, reason)
    move = _settle_untrained(work, reason)
    work.tracker.log_metrics({"stopped_before_training": 1.0})
    return Stopped(f"{reason}. Live is {move.target}")


def _settle_untrained(work: Work, reason: str) -> Move:
    """Where nothing was live the base model's collection goes live; a live model keeps up with the passages."""
    workspace, store = work.workspace, work.workspace.vector_store
    base = store.open(workspace.aliased(BASE)).info
    move = settle(
        store, PromotionLog(workspace.promotions), LIVE, Verdict(False, (reason,)), base, current_collections(work),
        base.fingerprint, lambda info: require_parity(workspace, info),
    )  # fmt: skip
    work.tracking.set_alias(workspace.domain, "champion", move.fingerprint)
    return move


def _metadata(found: Diagnosis, page: str, link: str) -> dict[str, Any]:
    causes = [
        {"cause": CAUSES[one.cause].title, "queries": one.queries, "share": one.share}
        for one in found.causes
        if one.queries
    ]
    levers = [
        {"lever": one.title, "gain": one.gain, "95 % from": one.ci95[0], "to": one.ci95[1], "what it is": one.kind}
        for one in found.levers
    ]
    return {
        "recommendation": found.recommendation.headline,
        "fine-tune": found.recommendation.fine_tune,
        "why": bullets(found.recommendation.reasons),
        **({"why queries fail": record_table(causes)} if causes else {}),
        "levers": record_table(levers),
        "report": dg.MetadataValue.path(page),
        "report in MLflow": dg.MetadataValue.url(link),
    }


def _metrics(found: Diagnosis) -> dict[str, float]:
    return {
        "queries": found.queries,
        "failures": found.failures,
        **{f"failed/{one.cause}": one.queries for one in found.causes},
        **{f"gain/{one.name}": one.gain for one in found.levers},
    }
