"""Hard negatives: near misses of several rankings that are unlikely to be unlabeled positives.

Judged negatives come first. Then each miner's best passages are candidates; one model judges how close they are to the
query and to its known positives, and what comes too close to either is left out; a few of the rest are drawn, and a
cross-encoder may look at those once more.

Memory: one block of queries, about 70 bytes a passage, and the training queries with their positives. The vectors lie
in a temporary file of 4 · dimensions bytes a passage. Time: one product of all queries with all passages.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, Encoder, Reranker
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.tables import normalized_query
from domain_embed.mining.closeness import Closeness, hidden_positives, limit
from domain_embed.mining.miners import BASE_MINER, Bm25Miner, DenseModel, Miner
from domain_embed.mining.passages import PassageRows, VectorFile
from domain_embed.mining.queries import JudgedNegative, TrainingQuery, judged_negatives, training_queries
from domain_embed.mining.report import MiningReport
from domain_embed.mining.rows import Row, as_batch
from domain_embed.mining.sampling import draw
from domain_embed.mining.veto import Veto
from domain_embed.settings import MiningSettings

__all__ = ["BLOCK_QUERIES", "MiningReport", "SecondRound", "mine_hard_negatives"]

BLOCK_QUERIES = 2048
"""Ranked together: bounds memory to this many scores per page of passages."""


@dataclass(frozen=True)
class SecondRound:
    """An earlier checkpoint that mines too: its fingerprint, its encoder, and its collection of the same passages."""

    fingerprint: str
    collection: Collection
    encoder: Encoder


def mine_hard_negatives(
    splits: pa.Table, collection: Collection, encoder: Encoder, settings: MiningSettings, report: MiningReport, *,
    judged: pa.Table | None = None, second_round: SecondRound | None = None, veto: Reranker | None = None,
    folder: Path | None = None,
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """Yields HARD_NEGATIVES batches for the training queries, ordered by query id, rank and passage id.

    Never yields a known positive of the query, nor a passage with the same content as one. The draw depends on the
    seed and the query id alone, so a query keeps its negatives when others come or go.

    Args:
        splits: A SPLITS table, or those of its columns that say query, passage and split; only train rows are used.
        collection: The base model's collection.
        encoder: The base model.
        settings: Miners, limits, number kept and seed.
        report: Filled on the way.
        judged: A JUDGED_NEGATIVES table.
        second_round: The model behind the miner "checkpoint"; it then also judges closeness, since it knows more.
        veto: Scores the chosen candidates once more.
        folder: Where vectors are spooled.

    Raises:
        InputError: When a positive is not in the collection.
        StoreError: When the checkpoint's collection holds other passages, or the disk is full.
    """
    passages = PassageRows.of(collection)
    queries = training_queries(splits, passages)
    known_negatives = judged_negatives(judged, passages)
    with ExitStack() as files, progress_bar("mine hard negatives", len(queries), "queries") as progress:
        models = _models(collection, encoder, second_round, passages, settings, folder, files)
        miners = [Bm25Miner(collection, passages) if name == "bm25" else models[name] for name in settings.miners]
        judge = models.get("checkpoint", models.get("dense"))
        assert judge is not None  # _models makes the base model where no checkpoint judges
        mining = _Mining(judge, miners, passages, known_negatives, settings, report)
        second_look = Veto(veto, collection, passages, settings) if veto else None
        for start in range(0, len(queries), BLOCK_QUERIES):
            block = queries[start : start + BLOCK_QUERIES]
            rows = mining.negatives(block)
            kept = second_look.keep(block, rows, report) if second_look else rows
            report.count(block, kept)
            yield as_batch(kept, passages)
            progress.update(len(block))


def _models(
    collection: Collection, encoder: Encoder, second_round: SecondRound | None, passages: PassageRows,
    settings: MiningSettings, folder: Path | None, files: ExitStack,
) -> dict[str, DenseModel]:  # fmt: skip
    """The dense models by miner: those that mine, and the base model where no checkpoint judges."""
    found = {}
    if second_round is not None:
        vectors = files.enter_context(closing(VectorFile(second_round.collection, passages, folder)))
        name = f"checkpoint/{second_round.fingerprint}"
        found["checkpoint"] = DenseModel(name, second_round.encoder, passages, vectors)
    if "dense" in settings.miners or not found:
        vectors = files.enter_context(closing(VectorFile(collection, passages, folder)))
        found["dense"] = DenseModel(BASE_MINER, encoder, passages, vectors)
    return found


@dataclass(frozen=True)
class _Mining:
    """All that stays the same from block to block."""

    judge: DenseModel
    miners: Sequence[Miner]
    passages: PassageRows
    judged: Mapping[str, list[JudgedNegative]]
    settings: MiningSettings
    report: MiningReport

    def negatives(self, block: Sequence[TrainingQuery]) -> list[list[Row]]:
        """The negatives of each query of a block."""
        texts = [query.text for query in block]
        vectors = self.judge.encoder.encode_queries(texts)
        depth = self.settings.depth + max(self._like_positives(query) for query in block)
        rankings = [
            self.judge.rank_vectors(vectors, depth) if miner is self.judge else miner.rank(texts, depth)
            for miner in self.miners
        ]
        view = self.judge.vectors.mapped()
        return [
            self._of_query(Closeness(query, vector, view), found)
            for query, vector, found in zip(block, vectors, zip(*rankings, strict=True), strict=True)
        ]

    def _like_positives(self, query: TrainingQuery) -> int:
        """How many passages have the content of a positive: so many may stand before the candidates."""
        _, first = np.unique(self.passages.content[query.positives], return_index=True)
        return int(self.passages.copies[query.positives[first]].sum())

    def _of_query(self, closeness: Closeness, rankings: Sequence[NDArray[np.int64]]) -> list[Row]:
        query, report = closeness.query, self.report
        positive_score = float(closeness.scores(query.positives).min())
        if len(query.positives) > 1:
            hidden, eligible = hidden_positives(closeness, rankings, self.passages, self.settings)
            report.hidden_positives += hidden
            report.hidden_positives_eligible += eligible
        judged = self._judged(closeness, positive_score)
        mined = self._mined(closeness, rankings, positive_score, {row.row for row in judged})
        return judged + mined

    def _judged(self, closeness: Closeness, positive_score: float) -> list[Row]:
        """The most certain judged negatives, in that order."""
        known = self.judged.get(normalized_query(closeness.query.text), [])
        certain = [negative for negative in known if negative.confidence >= self.settings.judged_min_confidence]
        if not known or not certain:
            self.report.judged_unused += len(known)
            return []
        rows = np.array([negative.row for negative in certain])
        usable = self._differs(closeness, rows)
        scores = closeness.scores(rows)
        kept = [
            Row(closeness.query.query_id, negative.row, float(score), positive_score, 0, f"judged/{negative.source}")
            for negative, score, use in zip(certain, scores, usable, strict=True)
            if use
        ][: self.settings.per_query]
        self.report.judged_unused += len(known) - len(kept)
        return kept

    def _differs(self, closeness: Closeness, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which rows are neither a positive's content nor nearly so."""
        positives, content = closeness.query.positives, self.passages.content
        same = np.isin(content[rows], content[positives])
        differs: NDArray[np.bool_] = ~same & (closeness.alike(rows, positives) < self.settings.near_duplicate)
        return differs

    def _mined(
        self, closeness: Closeness, rankings: Sequence[NDArray[np.int64]], positive_score: float, taken: set[int]
    ) -> list[Row]:
        rows, ranks, found_by = self._candidates(closeness.query, rankings, taken)
        if not len(rows):
            return []
        scores = closeness.scores(rows)
        alike = closeness.alike(rows, closeness.query.positives)
        near = alike >= self.settings.near_duplicate
        close = ~near & (scores > limit(positive_score, self.settings))
        eligible = np.flatnonzero(~near & ~close)
        self.report.like_positive += int(near.sum())
        self.report.too_close += int(close.sum())
        wanted = self.settings.per_query - len(taken)
        chosen = eligible[draw(scores[eligible], wanted, closeness.query.query_id, self.settings)]
        return [
            Row(
                closeness.query.query_id, int(rows[at]), float(scores[at]), positive_score, int(ranks[at]),
                self._names(int(found_by[at])), float(alike[at]),
            )
            for at in chosen
        ]  # fmt: skip

    def _candidates(
        self, query: TrainingQuery, rankings: Sequence[NDArray[np.int64]], taken: set[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Rows, best ranks and finders (one bit each) of all miners' candidates, by rank, then passage id.

        Judged negatives, which are `taken`, are no candidates, and neither is what has a positive's content.
        """
        positive_content = self.passages.content[query.positives]
        rows, ranks, bits = [], [], []
        for number, ranking in enumerate(rankings):
            other = np.flatnonzero(~np.isin(self.passages.content[ranking], positive_content))[: self.settings.depth]
            rows.append(ranking[other])
            ranks.append(other + 1)
            bits.append(np.full(len(other), 1 << number))
        found, owner = np.unique(np.concatenate(rows), return_inverse=True)
        best = np.full(len(found), np.iinfo(np.int64).max)
        np.minimum.at(best, owner, np.concatenate(ranks))
        finders = np.zeros(len(found), dtype=np.int64)
        np.bitwise_or.at(finders, owner, np.concatenate(bits))
        order = np.lexsort((self.passages.place[found], best))
        order = order[~np.isin(found[order], list(taken))]
        return found[order], best[order], finders[order]

    def _names(self, bits: int) -> str:
        return "+".join(miner.name for number, miner in enumerate(self.miners) if bits >> number & 1)
