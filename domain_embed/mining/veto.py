"""A cross-encoder's second look at the chosen candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain_embed.contracts.ports import Collection, Reranker
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import embedded_text
from domain_embed.mining.passages import PassageRows
from domain_embed.mining.queries import TrainingQuery
from domain_embed.mining.report import MiningReport
from domain_embed.mining.rows import Row
from domain_embed.settings import MiningSettings

QUERIES_PER_CALL = 64
"""Whose passages' texts are in memory at once."""


@dataclass(frozen=True)
class Veto:
    """Leaves out mined negatives that the cross-encoder scores as high as the query's lowest positive, or nearly.

    What is left out is not replaced: the cost is bounded by the number chosen. Judged negatives are not asked about.
    """

    reranker: Reranker
    collection: Collection
    passages: PassageRows
    settings: MiningSettings

    def keep(
        self, block: Sequence[TrainingQuery], rows: Sequence[Sequence[Row]], report: MiningReport
    ) -> list[list[Row]]:
        """The rows of each query that pass."""
        kept: list[list[Row]] = []
        with progress_bar("cross-encoder veto", len(block), "queries") as progress:
            for start in range(0, len(block), QUERIES_PER_CALL):
                some = slice(start, start + QUERIES_PER_CALL)
                kept += self._keep(block[some], rows[some], report)
                progress.update(len(block[some]))
        return kept

    def _keep(
        self, queries: Sequence[TrainingQuery], rows: Sequence[Sequence[Row]], report: MiningReport
    ) -> list[list[Row]]:
        asked = [
            (query, [*query.positives.tolist(), *(row.row for row in chosen if row.rank)])
            for query, chosen in zip(queries, rows, strict=True)
        ]
        texts = self._texts({row for _, wanted in asked for row in wanted})
        scores = self.reranker.score([(query.text, texts[row]) for query, wanted in asked for row in wanted])
        ends = np.cumsum([len(wanted) for _, wanted in asked])
        kept = []
        for (query, wanted), chosen, of_query in zip(asked, rows, np.split(scores, ends[:-1]), strict=True):
            score_of = dict(zip(wanted, of_query.tolist(), strict=True))
            highest = min(score_of[row] for row in query.positives.tolist()) - self.settings.veto_gap
            passed = [row for row in chosen if row.rank == 0 or score_of[row.row] < highest]
            report.vetoed += len(chosen) - len(passed)
            kept.append(passed)
        return kept

    def _texts(self, rows: set[int]) -> dict[int, str]:
        ordered = np.array(sorted(rows), dtype=np.int64)
        points = self.collection.fetch(self.passages.ids(ordered))
        texts = [embedded_text(point.title, point.text) for point in points]
        return dict(zip(ordered.tolist(), texts, strict=True))
