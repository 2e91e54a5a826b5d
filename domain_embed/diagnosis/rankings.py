"""The development queries and how the untouched systems rank the corpus for them: what everything else is read from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, Encoder
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Hit, Mode, Qrels, Run, Where
from domain_embed.diagnosis.causes import DEPTH
from domain_embed.evaluation.measures import ndcg_scores
from domain_embed.retrieval.searcher import Searcher
from domain_embed.settings import RetrievalSettings

BATCH_QUERIES = 128


class QueryMemory:
    """An encoder that encodes every query once, however many parts of the diagnosis ask for it."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self.fingerprint, self.dimensions = encoder.fingerprint, encoder.dimensions

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dimensions) float32 of unit length, in the order of `texts`."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        with progress_bar("encode queries", len(new), "queries") as progress:
            for start in range(0, len(new), BATCH_QUERIES):
                batch = new[start : start + BATCH_QUERIES]
                self._vectors |= zip(batch, self._encoder.encode_queries(batch), strict=True)
                progress.update(len(batch))
        found = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            found[row] = self._vectors[text]
        return found

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As the encoder does."""
        return self._encoder.encode_documents(texts)


@dataclass(frozen=True)
class Rankings:
    """The first DEPTH passages of every query by mode, exactly searched; `hits[mode][i]` belongs to `query_ids[i]`.

    `fused` holds of dense and sparse what a fusion is made of when it serves: as many passages as `retrieval.depth`.
    """

    queries: Mapping[str, str]
    qrels: Qrels
    hits: Mapping[Mode, Sequence[Sequence[Hit]]]
    fused: Mapping[Mode, Sequence[Sequence[Hit]]]

    @property
    def query_ids(self) -> list[str]:
        """In the order of the hits."""
        return list(self.queries)

    def run(self, mode: Mode) -> Run:
        """The ranked ids of one mode."""
        return {
            query_id: [hit.passage_id for hit in hits]
            for query_id, hits in zip(self.queries, self.hits[mode], strict=True)
        }

    def scores(self, run: Run) -> "pd.Series[float]":
        """nDCG@10 of a run by query id."""
        return ndcg_scores(run, self.qrels)


def development_queries(splits: pa.Table, limit: int, seed: int) -> pa.Table:
    """The SPLITS rows of at most `limit` queries: validation's, then training's as far as there is room; never test's.

    Before anything is trained, training queries are as new to every system as validation's. Made-up ones are left out.
    """
    chosen = drawn(splits, "validation", limit, seed)
    room = limit - len(pc.unique(chosen["query_id"]))
    asked = splits.filter(pc.invert(splits["train_only"]))
    return pa.concat_tables([chosen, drawn(asked, "train", room, seed)]) if room else chosen


def drawn(splits: pa.Table, split: str, limit: int, seed: int) -> pa.Table:
    """All rows of at most `limit` queries of one split, drawn at random; equal arguments, equal queries."""
    rows = splits.filter(pc.equal(splits["split"], split))
    ids = np.array(sorted(set(rows["query_id"].to_pylist())), dtype=object)
    chosen = ids[np.random.default_rng(seed).permutation(len(ids))[:limit]].tolist()
    return rows.filter(pc.is_in(rows["query_id"], pa.array(chosen, pa.string())))


def rank_queries(
    queries: Mapping[str, str], qrels: Qrels, collection: Collection, encoder: Encoder, settings: RetrievalSettings,
    filters: Mapping[str, Where] | None = None,
) -> Rankings:  # fmt: skip
    """Ranks all queries by the base model, by BM25 and by their fusion, each through the store and its own filter."""
    searcher, texts = Searcher(collection, encoder, settings), list(queries.values())
    where = [(filters or {}).get(query_id) for query_id in queries]
    modes: list[Mode] = ["dense", "sparse", "hybrid"]
    hits: dict[Mode, list[list[Hit]]] = {mode: [] for mode in modes}
    deepest = max(DEPTH, settings.depth)
    with progress_bar("rank queries", len(texts), "queries") as progress:
        for start in range(0, len(texts), BATCH_QUERIES):
            batch = texts[start : start + BATCH_QUERIES]
            for mode, found in searcher.rank(
                batch, deepest, modes, where=where[start : start + BATCH_QUERIES], exact=True
            ).items():
                hits[mode] += found
            progress.update(len(batch))
    return Rankings(
        dict(queries), qrels,
        {mode: [found[:DEPTH] for found in ranked] for mode, ranked in hits.items()},
        {mode: [found[: settings.depth] for found in hits[mode]] for mode in ("dense", "sparse")},
    )  # fmt: skip


def best_rank(hits: Sequence[Hit], wanted: Mapping[str, int]) -> int | None:
    """The 1-based rank of the first wanted passage."""
    return next((rank for rank, hit in enumerate(hits, start=1) if hit.passage_id in wanted), None)
