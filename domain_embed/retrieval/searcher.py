"""The query path that serves and that is evaluated: one encoder bound to one collection of the same model."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

from domain_embed.contracts.errors import ModelMismatchError, NotReadyError
from domain_embed.contracts.patience import held
from domain_embed.contracts.ports import Collection, Encoder, Reranker
from domain_embed.contracts.records import DocumentHit, Hit, Mode, Where
from domain_embed.encoding.bm25 import Analyzer
from domain_embed.retrieval.access import VisibleCollection, without_bm25
from domain_embed.retrieval.explanation import FUSED, explained
from domain_embed.retrieval.fusion import EQUAL_WEIGHT, fuse, weigh
from domain_embed.retrieval.grouping import best_documents
from domain_embed.retrieval.reranking import rerank_heads
from domain_embed.settings import RetrievalSettings

Filters: TypeAlias = Where | Sequence[Where | None] | None
"""One filter for every query, or one (or None) for each."""


_MODELS = threading.RLock()
"""Tokenizers and stemmers are not made for two threads at once; the search itself is."""
WHAT = "the model"


class Searcher:
    """Ranks passages for queries. Raises ModelMismatchError when encoder and collection are of two models."""

    def __init__(
        self, collection: Collection, encoder: Encoder, settings: RetrievalSettings, reranker: Reranker | None = None
    ) -> None:
        if collection.info.fingerprint != encoder.fingerprint:
            raise ModelMismatchError(collection.info.name, collection.info.fingerprint, encoder.fingerprint)
        self.collection = collection
        self._encoder = encoder
        self._settings = settings.served_as(None)
        self._reranker = reranker
        self._analyzer = Analyzer.of(collection.info)
        self._restricted = isinstance(collection, VisibleCollection)

    @property
    def retrieval(self) -> RetrievalSettings:
        """How it is asked, unless a search says otherwise."""
        return self._settings

    @property
    def reranks(self) -> bool:
        """Whether there is a reranker to have the last word."""
        return self._reranker is not None

    @property
    def depth(self) -> int:
        """How many passages each ranking contributes to a fusion."""
        return self._settings.depth

    def search(
        self, query: str, k: int = 10, *, mode: Mode | None = None, where: Where | None = None,
        rerank: bool | None = None,
    ) -> list[Hit]:  # fmt: skip
        """The best k passages with payload and explanation, as served unless another mode is asked for."""
        return self.search_many([query], k, mode=mode, where=where, rerank=rerank)[0]

    def search_many(
        self, queries: Sequence[str], k: int = 10, *, mode: Mode | None = None, where: Filters = None,
        rerank: bool | None = None,
    ) -> list[list[Hit]]:  # fmt: skip
        """As `search`, for many queries at once; `where` may be one filter for all, or one for each."""
        chosen = mode or cast(Mode, self._settings.mode)
        wanted = self._settings.rerank if rerank is None else rerank
        return self.rank(queries, k, [chosen], where=where, payload=True, rerank=wanted)[chosen]

    def search_documents(
        self, query: str, k: int = 10, *, passages: int = 3, mode: Mode | None = None, where: Where | None = None,
        rerank: bool | None = None,
    ) -> list[DocumentHit]:  # fmt: skip
        """The best k documents, each by its best passage and with at most `passages` of them."""

        def search(depth: int) -> list[Hit]:
            return self.search(query, depth, mode=mode, where=where, rerank=rerank)

        return best_documents(search, k, passages)

    def rank(
        self, queries: Sequence[str], k: int, modes: Sequence[Mode], *, where: Filters = None, exact: bool = False,
        payload: bool = False, rerank: bool = False,
    ) -> dict[Mode, list[list[Hit]]]:  # fmt: skip
        """The best k passages per query in each mode; each query is encoded and searched once for all of them.

        Hits are ordered by score, descending, then passage id. With `rerank` the first `rerank_depth` of each mode are
        ordered by the reranker's score, the others follow as they were. With `payload` hits bring their places. Where
        the collection is seen by some groups only, there are no places, and where BM25 takes part in a mode its score
        is 1 / rank: see `without_bm25`.

        Raises:
            NotReadyError: `rerank` is asked for where there is no reranker.
        """
        reranker = self._required_reranker() if rerank else None
        wanted = max(k, self._settings.rerank_depth if rerank else 0)
        first = self._first_stage(queries, wanted, modes, where, exact)
        found = {mode: explained(first, mode, wanted) if payload else _heads(first[mode], wanted) for mode in modes}
        if payload or rerank or self._restricted:  # to describe is to leave out what groups cannot be told of
            found = {mode: self.collection.describe(ranked) for mode, ranked in found.items()}
        if reranker is not None:
            with held(_MODELS, WHAT):
                found = rerank_heads(reranker, queries, found, self._settings.rerank_depth)
        if self._restricted:
            scored = self._settings.rerank_depth if reranker is not None else 0
            found = {mode: [without_bm25(hits, mode, scored) for hits in ranked] for mode, ranked in found.items()}
        return {mode: [_cut(hits, k, payload) for hits in ranked] for mode, ranked in found.items()}

    def _first_stage(
        self, queries: Sequence[str], wanted: int, modes: Sequence[Mode], where: Filters, exact: bool
    ) -> dict[Mode, list[list[Hit]]]:
        """The best `wanted` passages of every mode; the rankings that modes are fused of go as deep as fusion does."""
        asked, filters = set(modes), _one_each(where, len(queries))
        depth = max(wanted, self._settings.depth if FUSED & asked else 0)
        found: dict[Mode, list[list[Hit]]] = {}
        if asked & {"dense", *FUSED}:
            with held(_MODELS, WHAT):
                vectors = self._encoder.encode_queries(queries)
            found["dense"] = _by_filter(
                filters,
                lambda rows, one: self.collection.search_dense(vectors[rows], depth, where=one, exact=exact),
            )
        if asked & {"sparse", *FUSED}:
            with held(_MODELS, WHAT):
                terms = [self._analyzer.query_vector(query) for query in queries]
            found["sparse"] = _by_filter(
                filters,
                lambda rows, one: self.collection.search_sparse([terms[row] for row in rows], depth, where=one),
            )
        for mode in FUSED & asked:
            pairs = zip(found["dense"], found["sparse"], strict=True)
            found[mode] = [self._fused(mode, dense, sparse, wanted) for dense, sparse in pairs]
        return found

    def _fused(self, mode: Mode, dense: Sequence[Hit], sparse: Sequence[Hit], wanted: int) -> list[Hit]:
        if mode == "hybrid":
            return fuse([dense, sparse], wanted, self._settings.rrf_k)
        weight = self._settings.dense_weight
        return weigh(dense, sparse, wanted, EQUAL_WEIGHT if weight is None else weight)

    def _required_reranker(self) -> Reranker:
        if self._reranker is None:
            raise NotReadyError("there is no reranker", "set reranker.source, or retrieval.rerank: false")
        return self._reranker


def _one_each(where: Filters, n_queries: int) -> list[Where | None]:
    if where is None or isinstance(where, Mapping):
        return [where] * n_queries
    if len(where) != n_queries:
        raise ValueError(f"{len(where)} filters for {n_queries} queries")
    return list(where)


def _by_filter(
    filters: Sequence[Where | None], search: Callable[[list[int], Where | None], list[list[Hit]]]
) -> list[list[Hit]]:
    """Searches once for each distinct filter, with all its queries."""
    distinct: list[tuple[Where | None, list[int]]] = []
    for number, where in enumerate(filters):
        rows = next((rows for known, rows in distinct if known == where), None)
        if rows is None:
            distinct.append((where, [number]))
        else:
            rows.append(number)
    found: dict[int, list[Hit]] = {}
    for where, rows in distinct:
        found |= zip(rows, search(rows, where), strict=True)
    return [found[number] for number in range(len(filters))]


def _heads(rankings: Sequence[Sequence[Hit]], count: int) -> list[list[Hit]]:
    return [list(hits[:count]) for hits in rankings]


def _cut(hits: Sequence[Hit], k: int, payload: bool) -> list[Hit]:
    return list(hits[:k]) if payload else [Hit(hit.passage_id, hit.score) for hit in hits[:k]]
