"""How much the dense score counts beside BM25, found on validation queries."""

from collections.abc import Callable, Mapping

from domain_embed.contracts.records import Run, Where
from domain_embed.retrieval.fusion import tune_weight
from domain_embed.retrieval.searcher import Searcher


def tune_searcher(
    searcher: Searcher, queries: Mapping[str, str], filters: Mapping[str, Where], measure: Callable[[Run], float]
) -> float:
    """The dense weight for this searcher that `tune_weight` finds on `queries` (text by id), by exact search.

    Args:
        searcher: Over the collection that will be searched.
        queries: Validation queries: never those that the result is then reported on.
        filters: What narrows the search for a query, by query id.
        measure: Of a run; higher is better.
    """
    where = [filters.get(query_id) for query_id in queries]
    rankings = searcher.rank(list(queries.values()), searcher.depth, ["dense", "sparse"], where=where, exact=True)
    dense, sparse = (dict(zip(queries, rankings[mode], strict=True)) for mode in ("dense", "sparse"))
    return tune_weight(dense, sparse, measure)
