"""The asset body that reads the query log: how well the live model serves."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from domain_embed.contracts.records import CollectionInfo, Comparison
from domain_embed.defs.data import query_log
from domain_embed.defs.plots import curve_markdown
from domain_embed.defs.reference import new_passages
from domain_embed.defs.work import Produced, Work, joint_version, record_table
from domain_embed.evaluation.measures import HEADLINE, ndcg_scores
from domain_embed.evaluation.names import system_name, variant_name
from domain_embed.evaluation.significance import compare
from domain_embed.monitoring.drift import sample_queries, unlike_share, unseen_words_share
from domain_embed.monitoring.query_log import read_query_log
from domain_embed.monitoring.served import (
    MEASURES,
    TOP,
    compare_days,
    daily_figures,
    find_alarms,
    mean_of,
    score_searches,
    trend,
)
from domain_embed.promotion.champion import PromotionLog
from domain_embed.promotion.verdict import FEWEST_QUERIES
from domain_embed.stores.tables import TableStore
from domain_embed.stores.workspace import BASE, LIVE, Workspace

MOST_JUDGED = 500
NOT_WATCHED = "no finished day in the query log: see monitoring.query_log and domain_embed.log_query"


def served_quality(work: Work) -> Produced:
    """How well the live model serves, day by day, from the query log, and what about it calls for training."""
    paths = query_log(work.workspace, work.settings)
    log, damaged = read_query_log(paths)
    live = work.workspace.aliased(LIVE)
    info = work.workspace.vector_store.open(live).info
    if log.empty:
        summary: dict[str, Any] = {"collection": live, "model": info.fingerprint, "alarms": {}, "daily": []}
        work.workspace.save_served(summary)
        return Produced(joint_version(live, "none"), {"served quality": NOT_WATCHED}, {"unreadable_lines": damaged})
    summary = _look(work, log, info)
    work.workspace.save_served({"collection": live, "model": info.fingerprint, **summary})
    shown = {key: value for key, value in summary["recent"].items() if value is not None}
    return Produced(
        joint_version(live, json.dumps(summary, sort_keys=True)),
        _metadata(summary),
        {**shown, "searches": len(log), "unreadable_lines": damaged, "alarms": len(summary["alarms"])},
    )


def _look(work: Work, log: pd.DataFrame, info: CollectionInfo) -> dict[str, Any]:
    """Everything that is found out about the log, as JSON."""
    settings, last = work.settings.monitoring, date.fromisoformat(log["day"].max())
    log = log[log["day"] > (last - timedelta(days=settings.days)).isoformat()]
    scores = score_searches(log, _newer_than(work.workspace, info.fingerprint), settings.low_score)
    changes = compare_days(
        scores, last, settings.recent_days, settings.min_searches, live_since=_live_since(work.workspace)
    )
    is_recent = log["day"] > (last - timedelta(days=settings.recent_days)).isoformat()
    unlike, unseen = _query_drift(work, log.loc[is_recent, "query"], info)
    enough = int(is_recent.sum()) >= settings.min_searches
    means = {measure: mean_of(scores.loc[is_recent.to_numpy(), measure]) for measure in MEASURES}
    judged = _judged(work, log, info)
    return {
        "daily": daily_figures(scores),
        "recent": {
            **{measure: mean.value if mean else None for measure, mean in means.items()},
            "queries_unlike_training": unlike,
            "words_unseen_in_training": unseen,
            "passages_new_since_training": new_passages(work.workspace, info.fingerprint),
        },
        "changes": [change.describe() for change in changes],
        "against_base": asdict(judged) if judged else None,
        "alarms": find_alarms(changes, settings.max_drop, unlike if enough else None, settings.max_query_drift),
    }


def _newer_than(workspace: Workspace, fingerprint: str) -> Callable[[str], bool]:
    """Whether a passage is new or has another text than when the model was trained; never for the base model."""
    if not workspace.reference(fingerprint).has("passages"):
        return lambda passage_id: False
    known = _content_hashes(workspace.reference(fingerprint))
    now = _content_hashes(workspace.tables)
    return lambda passage_id: passage_id in now and known.get(passage_id) != now[passage_id]


def _content_hashes(tables: TableStore) -> dict[str, str]:
    table = tables.read("passages").read(["passage_id", "content_hash"])
    return dict(zip(table["passage_id"].to_pylist(), table["content_hash"].to_pylist(), strict=True))


def _query_drift(work: Work, queries: "pd.Series[str]", info: CollectionInfo) -> tuple[float | None, float | None]:
    """The shares of queries unlike the training queries, and of words that stand in none of them."""
    workspace = work.workspace
    reference = workspace.reference(info.fingerprint)
    splits = (reference if reference.has("splits") else workspace.tables).read("splits").read(["query", "split"])
    trained = [row["query"] for row in splits.to_pylist() if row["split"] == "train"]
    asked, known = sample_queries(queries), sample_queries(trained)
    encoder = workspace.encoder_of(info)
    unlike = unlike_share(encoder.encode_queries(asked), encoder.encode_queries(known)) if asked and known else None
    return unlike, unseen_words_share(queries, trained)


def _live_since(workspace: Workspace) -> date | None:
    """The day (UTC) on which another model went live for the last time."""
    moves = [move for move in PromotionLog(workspace.promotions).read() if move.source_fingerprint != move.fingerprint]
    return datetime.fromisoformat(moves[-1].at).astimezone(UTC).date() if moves else None


def _judged(work: Work, log: pd.DataFrame, info: CollectionInfo) -> Comparison | None:
    """What was served against what the base model would have answered, on held-out queries that users really asked."""
    base = work.workspace.vector_store.alias(BASE)
    if base is None or work.workspace.vector_store.open(base).info.fingerprint == info.fingerprint:
        return None
    splits = work.workspace.tables.read("splits").read(["query", "passage_id", "grade", "split"]).to_pandas()
    held_out = splits[(splits["split"] != "train") & (splits["grade"] > 0)]
    asked = log[~log["filtered"] & log["query"].isin(held_out["query"])].drop_duplicates("query", keep="last")
    asked = asked.sort_values("query").head(MOST_JUDGED)
    if len(asked) < FEWEST_QUERIES:
        return None
    grades = held_out[held_out["query"].isin(asked["query"])].groupby("query")
    qrels = {str(query): dict(zip(rows["passage_id"], rows["grade"], strict=True)) for query, rows in grades}
    served = {
        str(query): list(dict.fromkeys(passage_ids[:TOP]))
        for query, passage_ids in zip(asked["query"], asked["passage_ids"], strict=True)
    }
    workspace, queries = work.workspace, list(served)
    retrieval = work.settings.retrieval.served_as(workspace.chosen(base))
    searcher = workspace.searcher(base, retrieval, workspace.reranker() if retrieval.rerank else None)
    system = system_name("base", variant_name(retrieval.mode, retrieval.rerank))
    ranked = searcher.search_many(queries, TOP)
    without = {query: [hit.passage_id for hit in hits] for query, hits in zip(queries, ranked, strict=True)}
    figures = [ndcg_scores(run, qrels) for run in (served, without)]
    evaluation = work.settings.evaluation
    return compare(
        "served", system, HEADLINE, *figures, resamples=evaluation.resamples, seed=evaluation.seed
    )  # fmt: skip


def _metadata(summary: dict[str, Any]) -> dict[str, Any]:
    daily, alarms = summary["daily"], summary["alarms"]
    curves = {
        measure: curve_markdown(points, "days", measure)
        for measure in ("zero_results", "click_mrr", "success")
        if len(points := trend(daily, measure)) > 1
    }
    against = summary["against_base"]
    return {
        "days": record_table(daily),
        **curves,
        **({"changes": "\n".join(summary["changes"])} if summary["changes"] else {}),
        **({"served minus base, held-out queries": f"{against['delta']:+.3f} {against['ci95']}"} if against else {}),
        **({"alarms": "\n".join(alarms.values())} if alarms else {}),
    }
