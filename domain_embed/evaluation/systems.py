"""Running the systems: every query through the store, as it would be served, exactly and without shortcuts."""

from collections.abc import Mapping, Sequence
from typing import cast, get_args

from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Hit, Mode, Run, Where
from domain_embed.evaluation.names import mode_of, system_name, variant_name
from domain_embed.retrieval.searcher import Searcher

DEPTH = 100
BATCH_QUERIES = 256


def every_variant(*, rerank: bool) -> tuple[str, ...]:
    """Every way to ask a model: all modes, and with a reranker all of them again."""
    modes: tuple[str, ...] = get_args(Mode)
    return (*modes, *(variant_name(mode, rerank=True) for mode in modes)) if rerank else modes


def run_systems(
    searchers: Mapping[str, Searcher], queries: Mapping[str, str], variants: Sequence[str],
    filters: Mapping[str, Where] | None = None,
) -> dict[str, Run]:  # fmt: skip
    """The top 100 of every query for every system, by system name.

    A searcher named "base" gives "base/dense", "base/hybrid+rerank" and so on, as the variants say. BM25 does not
    depend on the model and is run once, through the first searcher, as "bm25". Search is exact, so that no loss of the
    index is read as a loss of the model.

    Args:
        searchers: By name of the model.
        queries: Text by id.
        variants: Modes, with or without "+rerank", which needs searchers with a reranker.
        filters: What narrows the search for a query, by query id.
    """
    runs: dict[str, dict[str, list[str]]] = {}
    ids, known = list(queries), dict[str, str]()
    with progress_bar("evaluate", len(ids) * len(searchers), "queries") as progress:
        for start in range(0, len(ids), BATCH_QUERIES):
            batch = ids[start : start + BATCH_QUERIES]
            texts = [queries[query_id] for query_id in batch]
            where = [(filters or {}).get(query_id) for query_id in batch]
            for position, (name, searcher) in enumerate(searchers.items()):
                wanted = [variant for variant in variants if position == 0 or mode_of(variant)[0] != "sparse"]
                for variant, ranked in _rankings(searcher, texts, where, wanted).items():
                    run = runs.setdefault(system_name(name, variant), {})
                    for query_id, hits in zip(batch, ranked, strict=True):
                        # One string for each passage, however many rankings name it.
                        run[query_id] = [known.setdefault(hit.passage_id, hit.passage_id) for hit in hits]
                progress.update(len(batch))
    return dict(runs)


def _rankings(
    searcher: Searcher, texts: Sequence[str], where: Sequence[Where | None], variants: Sequence[str]
) -> dict[str, list[list[Hit]]]:
    """By variant, for each text; each stage is asked once for all modes."""
    found: dict[str, list[list[Hit]]] = {}
    for rerank in (False, True):
        modes = [cast(Mode, mode) for mode, reranked in map(mode_of, variants) if reranked == rerank]
        if modes:
            rankings = searcher.rank(texts, DEPTH, modes, where=where, exact=True, rerank=rerank)
            found |= {variant_name(mode, rerank): ranked for mode, ranked in rankings.items()}
    return found
