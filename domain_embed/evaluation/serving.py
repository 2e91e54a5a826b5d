"""How a system serves, apart from how good it is: the time of single queries, and what its index misses."""

import time
from collections.abc import Sequence

import numpy as np

from domain_embed.contracts.records import Mode
from domain_embed.evaluation.subject import Serving
from domain_embed.retrieval.searcher import Searcher

TOP = 10
_WARM_UP = 3


def measure_serving(
    system: str, searcher: Searcher, queries: Sequence[str], mode: Mode, *, rerank: bool = False
) -> Serving:
    """Latency of queries asked one after the other, payload included, and recall of approximate dense search.

    Times are of this machine, with the load it has, and differ from run to run; recall does not.

    Args:
        system: Its name.
        searcher: What serves it.
        queries: Texts, at least one.
        mode: How it is asked.
        rerank: Whether its reranker looks again.
    """
    for query in queries[:_WARM_UP]:
        searcher.search(query, TOP, mode=mode, rerank=rerank)
    milliseconds = []
    for query in queries:
        started = time.perf_counter()
        searcher.search(query, TOP, mode=mode, rerank=rerank)
        milliseconds.append(1000 * (time.perf_counter() - started))
    p50, p95, p99 = np.percentile(milliseconds, [50, 95, 99]).tolist()
    return Serving(
        system=system, queries=len(queries), p50_ms=p50, p95_ms=p95, p99_ms=p99,
        ann_recall=None if mode == "sparse" else ann_recall(searcher, queries),
    )  # fmt: skip


def ann_recall(searcher: Searcher, queries: Sequence[str]) -> float:
    """Mean share of the exact first ten of each query that approximate dense search also has among its first ten."""
    exact, approximate = (searcher.rank(queries, TOP, ["dense"], exact=exactly)["dense"] for exactly in (True, False))
    shares = [
        len({hit.passage_id for hit in true} & {hit.passage_id for hit in found}) / len(true)
        for true, found in zip(exact, approximate, strict=True)
        if true
    ]
    return float(np.mean(shares)) if shares else 1.0
