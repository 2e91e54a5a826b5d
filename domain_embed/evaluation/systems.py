"""Running the systems: every query through the store, as it would be served, exactly and without shortcuts."""

from collections.abc import Mapping

from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Mode, Run
from domain_embed.retrieval.searcher import Searcher

DEPTH = 100
BATCH_QUERIES = 256


def run_systems(searchers: Mapping[str, Searcher], queries: Mapping[str, str]) -> dict[str, Run]:
    """The top 100 of every query for every system, by system name.

    A searcher named "base" gives "base/dense" and "base/hybrid"; BM25 does not depend on the model and is run once,
    through the first searcher, as "bm25". Search is exact, so that no loss of the index is read as a loss of the model.
    """
    runs: dict[str, dict[str, list[str]]] = {}
    ids = list(queries)
    with progress_bar("evaluate", len(ids) * len(searchers), "queries") as progress:
        for position, (name, searcher) in enumerate(searchers.items()):
            modes: list[Mode] = ["dense", "hybrid", "sparse"] if position == 0 else ["dense", "hybrid"]
            for start in range(0, len(ids), BATCH_QUERIES):
                batch = ids[start : start + BATCH_QUERIES]
                rankings = searcher.rank([queries[query_id] for query_id in batch], DEPTH, modes, exact=True)
                for mode, ranked in rankings.items():
                    run = runs.setdefault("bm25" if mode == "sparse" else f"{name}/{mode}", {})
                    for query_id, hits in zip(batch, ranked, strict=True):
                        run[query_id] = [hit.passage_id for hit in hits]
                progress.update(len(batch))
    return dict(runs)
