"""The asset that says what to do before anything is trained."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from domain_embed.defs.reranker import names_reranker
from domain_embed.defs.work import Produced, Work, bullets, joint_version, record_table
from domain_embed.diagnosis.causes import CAUSES
from domain_embed.diagnosis.diagnose import Diagnosis, Material, diagnose
from domain_embed.diagnosis.page import render_html
from domain_embed.settings import DomainSettings, QualitySettings
from domain_embed.stores.workspace import BASE


def diagnosis(work: Work) -> Produced:
    """Why queries fail, what each lever would gain and cost, and which one to pull, before anything is trained."""
    tables, workspace = work.workspace.tables, work.workspace
    collection = workspace.vector_store.open(workspace.aliased(BASE))
    splits = tables.read("splits")
    material = Material(
        splits=splits.read(),
        labels=tables.read("labels").read(),
        judged=set(tables.read("judgments").read(["query_id"])["query_id"].to_pylist()),
        documents=tables.read("documents") if compares_chunkings(work.settings) else None,
        passages=tables.read("passages"),
        collection=collection,
        encoder=workspace.encoder_of(collection.info),
        base=workspace.model_location(collection.info.model),
        resolve=workspace.model_location,
        reranker=workspace.reranker() if names_reranker(work.settings) else None,
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
    version = joint_version(found.version(), collection.info.fingerprint, splits.version)
    return Produced(version, _metadata(found, str(page), link), _metrics(found))


def _figures(found: Diagnosis) -> dict[str, Any]:
    """The diagnosis without its examples, which quote queries and passages."""
    content = asdict(found)
    return {**content, "causes": [{**cause, "examples": []} for cause in content["causes"]]}


def compares_chunkings(settings: DomainSettings) -> bool:
    """Whether other ways to cut the documents are looked at."""
    return bool(settings.diagnosis.chunkings)


def suspects_at_own_depth(settings: DomainSettings) -> bool:
    """Whether the quality settings have a say in what is a suspect label here."""
    return settings.quality.suspect_depth != QualitySettings().suspect_depth


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
