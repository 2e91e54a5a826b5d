"""A reranker that is there already, measured on a few queries: it reads every pair, and that takes long."""

import numpy as np

from domain_embed.contracts.ports import Collection, Reranker
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Run, embedded_text
from domain_embed.diagnosis.levers import Lever, Yardstick
from domain_embed.diagnosis.rankings import Rankings

READ = 20
"""Passages of each query."""


def measured_reranking(
    rankings: Rankings,
    run: Run,
    collection: Collection,
    reranker: Reranker,
    yardstick: Yardstick,
    queries: int,
    seed: int,
) -> Lever:
    """What the reranker gains on `queries` queries, drawn at random, when it orders the first READ of each."""
    ids = np.array(rankings.query_ids, dtype=object)
    chosen = sorted(ids[np.random.default_rng(seed).permutation(len(ids))[:queries]])
    texts = {
        point.passage_id: embedded_text(point.title, point.text)
        for point in collection.fetch(sorted({one for key in chosen for one in run[key][:READ]}))
    }
    ordered = dict(run)
    with progress_bar("try the reranker", len(chosen), "queries") as progress:
        for key in chosen:
            head = list(run[key][:READ])
            scores = reranker.score([(rankings.queries[key], texts[one]) for one in head])
            ordered[key] = [head[place] for place in np.argsort(-scores, kind="stable")] + list(run[key][READ:])
            progress.update(1)
    scores_by_query = rankings.scores(ordered).loc[chosen]
    return yardstick.measured(
        "reranker", "The reranker", scores_by_query, "`retrieval.rerank: true`",
        note=f"ordering the first {READ}, on {len(chosen):,} of the queries",
    )  # fmt: skip
