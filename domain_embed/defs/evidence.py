"""Asset bodies that judge and decide: eval_report and champion."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, cast

import dagster as dg
import pandas as pd

from domain_embed.contracts.errors import NotReadyError
from domain_embed.contracts.ports import Reranker
from domain_embed.contracts.records import Mode, Served, Verdict
from domain_embed.cutover import (
    audited,
    judged_by,
    prune_workspace,
    require_parity,
    serves,
    shadow_comparison,
    stored_verdict,
)
from domain_embed.defs.circumstances import circumstances, generated_answers, training_record, with_negatives
from domain_embed.defs.collections import bring_up, current_collections
from domain_embed.defs.labels import queries_per_split
from domain_embed.defs.plots import intervals_markdown
from domain_embed.defs.work import Produced, Work, bullets, record_table
from domain_embed.evaluation.choice import ROBUST, choose
from domain_embed.evaluation.evidence import Evidence, gather_evidence
from domain_embed.evaluation.measures import HEADLINE, mean_ndcg, ndcg_scores
from domain_embed.evaluation.movement import (
    Movement,
    Unjudged,
    gained,
    lost,
    named_passages,
    trace_movements,
    unjudged,
    unjudged_table,
)
from domain_embed.evaluation.names import mode_of, system_name, variant_name
from domain_embed.evaluation.report import PassageText, render_html, report_content
from domain_embed.evaluation.slices import label_queries
from domain_embed.evaluation.subject import Subject, TestSetLook
from domain_embed.evaluation.systems import every_variant, run_systems
from domain_embed.evaluation.trec import save_qrels, save_runs
from domain_embed.files import private_file
from domain_embed.promotion.champion import PromotionLog, settle
from domain_embed.promotion.looks import LookLedger, fresh, number, query_hashes
from domain_embed.promotion.verdict import decide, refused
from domain_embed.retrieval.fusion import EQUAL_WEIGHT
from domain_embed.retrieval.searcher import Searcher
from domain_embed.retrieval.tuning import tune_searcher
from domain_embed.settings import DomainSettings, RetrievalSettings
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE, KeptBase, Workspace


def eval_report(work: Work) -> Produced:
    """What changed for held-out queries, through the store that will serve them, and the verdict that follows.

    Where nothing was trained, and why: what BM25 and the base model do, in the place of a tuned one, too.
    """
    kept = work.workspace.kept_base
    return _evaluate(work, _searchers(work, work.workspace.aliased(BASE if kept else CHALLENGER)), kept)


def sends_some_passages(settings: DomainSettings) -> bool:
    """Whether a language model answers from passages, and may read only some of them."""
    return settings.answers.source != "none" and settings.access.rule is not None


def _evaluate(work: Work, searchers: dict[str, Searcher], kept: KeptBase | None) -> Produced:
    """The report, kept and sent to MLflow; `kept` says why there is no tuned model, and what that was found on."""
    workspace, settings = work.workspace, work.settings.evaluation
    queries, positives = workspace.judged("test")
    qrels = with_negatives(workspace, positives)
    variants = every_variant(rerank=searchers["tuned"].reranks)
    runs = run_systems(searchers, queries, variants, workspace.filters("test"))
    subject = _subject(work, searchers)
    looked = None if kept or subject.nothing_tuned else _look(work, subject, queries)
    answers = generated_answers(work, subject, searchers["tuned"], runs, queries)
    evidence, scores = gather_evidence(
        runs, qrels, subject, circumstances(work, subject, searchers, runs, queries, qrels, answers, looked),
        label_queries(workspace.tables.read("splits").read(), workspace.tables.read("passages")),
        resamples=settings.resamples, seed=settings.seed,
    )  # fmt: skip
    verdict = (
        refused(f"Nothing was trained: {kept.reason}.", evidence) if kept else decide(evidence, work.settings.promotion)
    )
    movements = trace_movements(runs[evidence.gain.challenger], runs[evidence.gain.baseline], qrels)
    open_questions = unjudged(runs[evidence.gain.challenger], movements, qrels, settings.ask_about)
    workspace.tables.write_table("unjudged", unjudged_table(open_questions, queries))
    content = report_content(evidence, verdict, movements, open_questions) | {"settings": judged_by(work.settings)}
    content |= {"untrained": asdict(kept)} if kept else {}
    html = _page(work, searchers["tuned"], evidence, verdict, movements, open_questions, queries)
    version = _content_version(evidence, verdict, work.settings)
    page = workspace.save_report(version, content, html)
    scores.to_parquet(private_file(page.with_name("scores.parquet")))
    save_runs(page.with_name("runs.parquet"), runs)
    save_qrels(page.with_name("qrels.parquet"), qrels)
    if answers:
        answers.rows.to_parquet(private_file(page.with_name("answers.parquet")))
    link = work.publish(page, content)
    work.tracker.set_tags({"verdict": "promote" if verdict.promote else "refuse", "reasons": " ".join(verdict.reasons)})
    return Produced(version, _report_metadata(evidence, verdict, str(page), link), _report_metrics(evidence, verdict))


def champion(work: Work) -> Produced:
    """What is live. The alias moves only on a passed verdict about this very model, to a collection proven complete."""
    workspace, store = work.workspace, work.workspace.vector_store
    infos = {info.name: info for info in store.collections()}
    challenger, base = infos[workspace.aliased(CHALLENGER)], infos[workspace.aliased(BASE)]
    verdict = stored_verdict(workspace, challenger, work.settings, promote_anyway=work.promote_anyway)
    shadow = shadow_comparison(workspace, challenger.name) if verdict.promote else None
    current = current_collections(work)
    move = settle(
        store, PromotionLog(workspace.promotions), LIVE, verdict, challenger, current, base.fingerprint,
        lambda info: require_parity(workspace, info), override_hold=work.forced, shadow=shadow,
        record=audited(workspace), serves=serves(workspace, work.settings),
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
            **({"asked": variant_name(move.served.mode, move.served.rerank)} if move.served else {}),
            "verdict": bullets(verdict.reasons),
            **({"shadow comparison": dg.MetadataValue.json(shadow)} if shadow else {}),
            **({"removed collections": ", ".join(info.name for info in pruned)} if pruned else {}),
        },
        {"promoted": float(move.action == "promoted")},
    )


def _look(work: Work, subject: Subject, queries: Mapping[str, str]) -> TestSetLook | None:
    """This look at the test queries, written down before anything is decided; None where looks are not counted.

    The same challenger judged once more, by the same settings, is the same look.
    """
    planned = work.settings.promotion.looks
    if planned is None:
        return None
    ledger, asked = LookLedger(work.workspace.looks), query_hashes(queries)
    settings = hashlib.sha256(json.dumps(judged_by(work.settings), sort_keys=True).encode()).hexdigest()[:16]
    look = ledger.look(subject.challenger_fingerprint, settings, asked, planned, datetime.now(UTC).isoformat())
    before = ledger.before(look)
    return TestSetLook(
        number=number(before, asked) + 1, planned=planned, level=look.level, fresh=fresh(before, asked) if before else 0
    )


def _searchers(work: Work, challenger: str) -> dict[str, Searcher]:
    """Base and tuned, and the live model where it is neither, brought up to the current passages first."""
    found = _models(work, challenger)
    _choose(work, found)
    return found


def _models(work: Work, challenger: str) -> dict[str, Searcher]:
    workspace, retrieval, reranker = work.workspace, work.settings.retrieval, _reranker(work)
    found = {
        name: _tuned_searcher(workspace, collection, retrieval, reranker)
        for name, collection in (("base", workspace.aliased(BASE)), ("tuned", challenger))
    }
    live = workspace.vector_store.alias(LIVE)
    if live is None:
        return found
    info = workspace.vector_store.open(live).info
    if info.fingerprint not in {searcher.collection.info.fingerprint for searcher in found.values()}:
        current = bring_up(work, info.model, info.model_settings).info
        served = PromotionLog(workspace.promotions).served(live)
        as_it_serves = retrieval.served_as(served) if served else retrieval
        found["champion"] = _tuned_searcher(workspace, current.name, as_it_serves, reranker)
    return found


def _tuned_searcher(
    workspace: Workspace, collection: str, retrieval: RetrievalSettings, reranker: Reranker | None
) -> Searcher:
    """A searcher whose dense weight, where the settings leave it open, is tuned on the validation queries."""
    if retrieval.dense_weight is None:
        queries, qrels = workspace.judged("validation")
        weight = tune_searcher(
            workspace.searcher(collection, retrieval), queries, workspace.filters("validation"),
            lambda run: mean_ndcg(run, qrels),
        )  # fmt: skip
        workspace.save_tuned_weight(collection, weight, workspace.tables.read("splits").version)
    return workspace.searcher(collection, retrieval, reranker)


def _choose(work: Work, searchers: Mapping[str, Searcher]) -> None:
    """How each model would serve, chosen on the validation queries where the settings leave that open.

    Made once for the same queries, settings and reranker, and kept for the collection. What is live is asked as it is.
    """
    workspace, retrieval = work.workspace, work.settings.retrieval
    if retrieval.mode != "auto":
        return
    of = {"splits": workspace.tables.read("splits").version, "retrieval": retrieval.version()}
    bases = searchers["base"].collection.info.fingerprint
    for name, searcher in searchers.items():
        collection = searcher.collection.info.name
        if name != "base" and searcher.collection.info.fingerprint == bases:
            continue  # nothing was tuned, and what is chosen for the base model stands for both
        made_of = of | {"tuned": name != "base", "reranks": searcher.reranks}
        known = workspace.choice(collection)
        if known is None or known["of"] != made_of:
            choice = choose(_validation_scores(workspace, name, searcher))
            mode, rerank = mode_of(choice.variant)
            served = Served(cast(Mode, mode), rerank, _dense_weight(work, collection) if mode == "weighted" else None)
            workspace.save_choice(collection, served, choice.sentence, made_of)


def _validation_scores(workspace: Workspace, name: str, searcher: Searcher) -> dict[str, "pd.Series[float]"]:
    """nDCG@10 on the validation queries by variant; BM25, which needs no model, is a variant of the base model."""
    queries, qrels = workspace.judged("validation")
    if not queries:
        return {}
    variants = [one for one in every_variant(rerank=searcher.reranks) if name == "base" or mode_of(one)[0] != "sparse"]
    runs = run_systems({name: searcher}, queries, variants, workspace.filters("validation"))
    return {variant: ndcg_scores(runs.get(system_name(name, variant), {}), qrels) for variant in variants}


def _subject(work: Work, searchers: dict[str, Searcher]) -> Subject:
    infos = {name: searcher.collection.info for name, searcher in searchers.items()}
    ways, choices = _ways(work, searchers)
    return Subject(
        domain=work.workspace.domain,
        served_mode=work.settings.retrieval.mode,
        served_rerank=work.settings.retrieval.rerank,
        queries_per_split=queries_per_split(work.workspace),
        passages=infos["tuned"].count,
        challenger_fingerprint=infos["tuned"].fingerprint,
        baseline_fingerprint=infos["base"].fingerprint,
        champion_fingerprint=infos["champion"].fingerprint if "champion" in infos else None,
        model_path=work.workspace.model_location(infos["tuned"].model),
        collection=infos["tuned"].name,
        created_at=datetime.now(UTC),
        dense_weights={name: _dense_weight(work, info.name) for name, info in infos.items()},
        serves=ways,
        choices=choices,
    )


def _ways(work: Work, searchers: Mapping[str, Searcher]) -> tuple[dict[str, str], dict[str, str]]:
    """By model the variant in which it would serve, and why; nothing where the settings say it.

    The champion is asked as it is. Where nothing was tuned, what stands for the tuned model is asked as the base model,
    but by its vectors.
    """
    workspace = work.workspace
    if work.settings.retrieval.mode != "auto":
        return {}, {}
    names = {model: searcher.collection.info.name for model, searcher in searchers.items()}
    found = {model: workspace.choice(name) or {} for model, name in names.items()}
    ways = {model: workspace.chosen(name) or Served(ROBUST) for model, name in names.items()}
    live = PromotionLog(workspace.promotions).served(workspace.vector_store.alias(LIVE))
    if "champion" in ways and live is not None and (searchers["champion"].reranks or not live.rerank):
        ways["champion"] = live
    if ways["tuned"].mode == "sparse":
        ways["tuned"] = replace(ways["tuned"], mode="dense")
    return (
        {model: variant_name(way.mode, way.rerank) for model, way in ways.items()},
        {model: one["why"] for model, one in found.items() if one and model != "champion"},
    )


def _reranker(work: Work) -> Reranker | None:
    """The domain's reranker, which reads no pair twice. Raises NotReadyError where one should serve and none is."""
    reranker = work.workspace.teacher()
    if reranker is None and work.settings.retrieval.rerank:
        raise NotReadyError("there is no reranker", "set reranker.source, or retrieval.rerank: false")
    return reranker


def _dense_weight(work: Work, collection: str) -> float:
    """What the settings say, else what was tuned for the collection."""
    tuned = work.workspace.tuned_weight(collection)
    given = work.settings.retrieval.dense_weight
    return given if given is not None else tuned["dense_weight"] if tuned is not None else EQUAL_WEIGHT


def _page(
    work: Work, searcher: Searcher, evidence: Evidence, verdict: Verdict, movements: list[Movement],
    open_questions: list[Unjudged], queries: dict[str, str],
) -> str:  # fmt: skip
    told = [*gained(movements), *lost(movements)]
    wanted = {*named_passages(told), *(question.passage_id for question in open_questions)}
    shown = searcher.collection.fetch(sorted(wanted))
    return render_html(
        evidence, verdict, movements, open_questions,
        queries=queries,
        passages={point.passage_id: PassageText(point.title, point.text) for point in shown},
        record=training_record(work.workspace, evidence.challenger_fingerprint),
    )  # fmt: skip


def _content_version(evidence: Evidence, verdict: Verdict, settings: DomainSettings) -> str:
    """Hash of all figures, the verdict and its settings, but not of when and where they were made or times measured.

    Figures count with nine digits: how many threads added them up must not make the same result another one.
    """
    timeless = evidence.model_copy(update={"serving": ()})
    content = {key: value for key, value in timeless.to_json().items() if key not in ("created_at", "model_path")}
    decision = [verdict.promote, decide(timeless, settings.promotion).reasons, judged_by(settings)]
    return hashlib.sha256(json.dumps(_rounded([content, decision]), sort_keys=True).encode()).hexdigest()[:16]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, Mapping):
        return {key: _rounded(member) for key, member in value.items()}
    return [_rounded(member) for member in value] if isinstance(value, list | tuple) else value


def _report_metadata(evidence: Evidence, verdict: Verdict, page: str, link: str) -> dict[str, Any]:
    return {
        "promote": "yes" if verdict.promote else "no",
        "reasons": bullets(verdict.reasons),
        "gains": intervals_markdown(
            [(f"{one.challenger} − {one.baseline}", one.delta, one.ci95) for one in evidence.comparisons], HEADLINE
        ),
        "figures": record_table(_by_system(evidence.systems)),
        **({"groups, worst first": record_table([asdict(one) for one in evidence.slices])} if evidence.slices else {}),
        **({"answers": record_table(_by_system(evidence.answers.means))} if evidence.answers else {}),
        **({"serving": record_table([dict(one) for one in evidence.serving])} if evidence.serving else {}),
        "gain in nDCG@10": evidence.headline.delta,
        **({"smallest gain to be seen": evidence.detectable} if evidence.detectable is not None else {}),
        "report": dg.MetadataValue.path(page),
        "report in MLflow": dg.MetadataValue.url(link),
    }


def _report_metrics(evidence: Evidence, verdict: Verdict) -> dict[str, float]:
    means = {f"{name}/{measure}": value for name, table in evidence.systems.items() for measure, value in table.items()}
    answers = evidence.answers.means if evidence.answers else {}
    means |= {f"answers/{name}/{figure}": mean for name, table in answers.items() for figure, mean in table.items()}
    return {**means, f"gain/{HEADLINE}": evidence.headline.delta, "promote": float(verdict.promote)}


def _by_system(means: Mapping[str, Mapping[str, float]]) -> list[dict[str, object]]:
    return [{"system": name, **table} for name, table in means.items()]
