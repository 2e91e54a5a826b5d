"""Asset bodies that judge and decide: eval_report and champion."""

import hashlib
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from domain_embed.contracts.records import Verdict
from domain_embed.cutover import judged_by, prune_workspace, require_parity, shadow_comparison, stored_verdict
from domain_embed.defs.labels import queries_per_split
from domain_embed.defs.model import mean_ndcg
from domain_embed.defs.work import Produced, Work, record_table
from domain_embed.evaluation.evidence import Evidence, gather_evidence
from domain_embed.evaluation.measures import HEADLINE
from domain_embed.evaluation.movement import named_passages, trace_movements
from domain_embed.evaluation.report import Curves, PassageText, render_html
from domain_embed.evaluation.subject import Subject
from domain_embed.evaluation.systems import run_systems
from domain_embed.indexing.build import build_collection
from domain_embed.promotion.champion import PromotionLog, settle
from domain_embed.promotion.verdict import decide
from domain_embed.retrieval.searcher import Searcher
from domain_embed.retrieval.tuning import tune_searcher
from domain_embed.settings import RetrievalSettings
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, Workspace
from domain_embed.training.checkpoint import RECORD_FILE


def eval_report(work: Work) -> Produced:
    """What changed for held-out queries, through the store that will serve them, and the verdict that follows."""
    searchers = _searchers(work)
    queries, qrels = _judged(work.workspace, "test")
    runs = run_systems(searchers, queries)
    settings = work.settings.evaluation
    evidence, scores = gather_evidence(
        runs, qrels, _subject(work, searchers), resamples=settings.resamples, seed=settings.seed
    )
    verdict = decide(evidence, work.settings.promotion)
    movements = trace_movements(runs[evidence.headline.challenger], runs[evidence.headline.baseline], qrels)
    shown = searchers["tuned"].collection.fetch(named_passages(movements))
    html = render_html(
        evidence,
        verdict,
        movements,
        queries=queries,
        passages={point.passage_id: PassageText(point.title, point.text) for point in shown},
        curves=_curves(work.workspace, evidence.challenger_fingerprint),
    )
    content = {"evidence": evidence.to_json(), "verdict": asdict(verdict), "settings": judged_by(work.settings)}
    version = _content_version(content)
    page = work.workspace.save_report(version, content, html)
    scores.to_parquet(page.with_name("scores.parquet"))
    link = work.tracker.log_artifact(page)
    return Produced(version, _report_metadata(evidence, verdict, str(page), link), _report_metrics(evidence))


def champion(work: Work) -> Produced:
    """What is live. The alias moves only on a passed verdict about this very model, to a collection proven complete."""
    workspace, store = work.workspace, work.workspace.vector_store
    infos = {info.name: info for info in store.collections()}
    challenger, base = infos[workspace.aliased(CHALLENGER)], infos[workspace.aliased(BASE)]
    verdict = stored_verdict(workspace, challenger, work.settings, promote_anyway=work.promote_anyway)
    shadow = shadow_comparison(workspace, challenger.name) if verdict.promote else None
    current = {info.fingerprint: info for info in infos.values() if info.passages_version == base.passages_version}
    move = settle(
        store, PromotionLog(workspace.promotions), LIVE, verdict, challenger, current, base.fingerprint,
        lambda info: require_parity(workspace, info), override_hold=work.forced, shadow=shadow,
    )  # fmt: skip
    pruned = prune_workspace(workspace)
    work.tracking.set_alias(work.workspace.domain, "champion", move.fingerprint)
    return Produced(
        move.target,
        {
            "decision": move.action,
            "reason": move.reason,
            "live collection": move.target,
            "live model": move.fingerprint,
            "verdict": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in verdict.reasons)),
            **({"shadow comparison": dg.MetadataValue.json(shadow)} if shadow else {}),
            **({"removed collections": ", ".join(info.name for info in pruned)} if pruned else {}),
        },
        {"promoted": float(move.action == "promoted")},
    )


def _searchers(work: Work) -> dict[str, Searcher]:
    """Base and tuned, and the live model where it is neither, brought up to the current passages first."""
    workspace, retrieval = work.workspace, work.settings.retrieval
    found = {
        name: _tuned_searcher(workspace, workspace.aliased(alias), retrieval)
        for name, alias in (("base", BASE), ("tuned", CHALLENGER))
    }
    live = workspace.vector_store.alias(LIVE)
    if live is None:
        return found
    info = workspace.vector_store.open(live).info
    if info.fingerprint not in {searcher.collection.info.fingerprint for searcher in found.values()}:
        encoder = workspace.encoder_of(info)
        current = build_collection(
            workspace.vector_store, encoder, info.model, workspace.tables.read("passages"), work.settings.sparse,
            workspace.vector_cache(encoder.document_fingerprint), info.model_settings,
            work.settings.chunking.model_dump(mode="json"),
        )  # fmt: skip
        found["champion"] = _tuned_searcher(workspace, current.info.name, retrieval)
    return found


def _tuned_searcher(workspace: Workspace, collection: str, retrieval: RetrievalSettings) -> Searcher:
    """A searcher whose dense weight, where the settings leave it open, is tuned on the validation queries."""
    splits = workspace.tables.read("splits").version
    known = workspace.tuned_weight(collection)
    if retrieval.dense_weight is None and (known is None or known["splits"] != splits):
        queries, qrels = _judged(workspace, "validation")
        weight = tune_searcher(workspace.searcher(collection, retrieval), queries, lambda run: mean_ndcg(run, qrels))
        workspace.save_tuned_weight(collection, weight, splits)
    return workspace.searcher(collection, retrieval)


def _judged(workspace: Workspace, split: str) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """The queries of a split, text by id, and the grades of their passages."""
    frame = workspace.tables.read("splits").read().to_pandas()
    rows = frame[frame["split"] == split].sort_values(["query_id", "passage_id"])
    qrels: dict[str, dict[str, int]] = {}
    for query_id, passage_id, grade in zip(rows["query_id"], rows["passage_id"], rows["grade"], strict=True):
        qrels.setdefault(str(query_id), {})[str(passage_id)] = int(grade)
    return dict(zip(rows["query_id"], rows["query"], strict=True)), qrels


def _subject(work: Work, searchers: dict[str, Searcher]) -> Subject:
    infos = {name: searcher.collection.info for name, searcher in searchers.items()}
    return Subject(
        domain=work.workspace.domain,
        served_mode=work.settings.retrieval.mode,
        queries_per_split=queries_per_split(work.workspace),
        passages=infos["tuned"].count,
        challenger_fingerprint=infos["tuned"].fingerprint,
        baseline_fingerprint=infos["base"].fingerprint,
        champion_fingerprint=infos["champion"].fingerprint if "champion" in infos else None,
        model_path=work.workspace.model_location(infos["tuned"].model),
        collection=infos["tuned"].name,
        created_at=datetime.now(UTC),
    )


def _curves(workspace: Workspace, fingerprint: str) -> Curves | None:
    path = workspace.checkpoints / fingerprint / RECORD_FILE
    if not path.exists():
        return None
    history = json.loads(path.read_text(encoding="utf-8"))["history"]
    return Curves(
        loss=list(enumerate(history["loss"], start=1)), validation=list(enumerate(history["validation"], start=1))
    )


def _content_version(content: dict[str, Any]) -> str:
    """Hash of all figures and the verdict, and by which settings, without the time they were made at."""
    evidence = {key: value for key, value in content["evidence"].items() if key != "created_at"}
    canonical = json.dumps([evidence, content["verdict"], content["settings"]], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _report_metadata(evidence: Evidence, verdict: Verdict, page: str, link: str) -> dict[str, Any]:
    table = [{"system": name, **means} for name, means in evidence.systems.items()]
    return {
        "promote": "yes" if verdict.promote else "no",
        "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in verdict.reasons)),
        "figures": record_table(table),
        "gain in nDCG@10": evidence.headline.delta,
        "report": dg.MetadataValue.path(page),
        "report in MLflow": dg.MetadataValue.url(link),
    }


def _report_metrics(evidence: Evidence) -> dict[str, float]:
    means = {f"{name}/{measure}": value for name, table in evidence.systems.items() for measure, value in table.items()}
    return {**means, f"gain/{HEADLINE}": evidence.headline.delta}
