"""The results shown by a search engine as columns of numbers, so that tens of millions fit in memory."""

import hashlib
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import normalized_query
from domain_embed.judgments.click_model import ClickCounts, Integers, sums
from domain_embed.judgments.sources.rows import Row

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class CountedPairs:
    """The pairs of query and passage of a log, and how often each was shown and clicked at each position.

    `query` and `passage` (n_pairs,) int64 are numbers of the log, `shown` (n_pairs,) int64 counts impressions,
    `passed_over` (n_pairs,) says whether a result below was clicked instead, at least once.
    """

    query: Integers
    passage: Integers
    shown: Integers
    passed_over: Flags
    counts: ClickCounts


class SearchLog:
    """Results shown, in any order; about 30 bytes each, beside the distinct texts."""

    def __init__(self, min_dwell_s: float) -> None:
        self._min_dwell_s = min_dwell_s
        self._searches, self._lines = array("Q"), array("q")
        self._queries, self._passages, self._positions = array("i"), array("i"), array("i")
        self._clicked, self._satisfied = array("b"), array("b")
        self._query_of_spelling: dict[str, int] = {}
        self._query_of_folded: dict[str, int] = {}
        self._passage_of_id: dict[str, int] = {}
        self.queries: list[str] = []
        """Texts by query number, as first written; case and white space make no other query."""
        self.passage_ids: list[str] = []
        """By passage number."""
        self.last_click: dict[tuple[int, int], str] = {}
        """Time of the last click that counts, by query and passage number."""

    def __len__(self) -> int:
        return len(self._searches)

    def add(self, row: Row, max_positions: int) -> bool:
        """Takes one result shown; returns False, and takes nothing, when it stands too far down."""
        search_id, query, passage_id = row.text("search_id"), row.text("query").strip(), row.text("passage_id")
        position, clicked = row.position(), row.flag("clicked")
        dwell_s, time = row.seconds("dwell_s"), row.moment("time")
        if position > max_positions:
            return False
        satisfied = clicked and (dwell_s is None or dwell_s >= self._min_dwell_s)
        pair = (self._query(query), self._passage(passage_id))
        # Eight bytes instead of the text: two of a million searches share them with a probability below 1e-7.
        self._searches.append(int.from_bytes(hashlib.blake2b(search_id.encode(), digest_size=8).digest()))
        self._lines.append(row.line)
        self._queries.append(pair[0])
        self._passages.append(pair[1])
        self._positions.append(position)
        self._clicked.append(clicked)
        self._satisfied.append(satisfied)
        if satisfied and time is not None:
            self.last_click[pair] = max(time, self.last_click.get(pair, ""))
        return True

    def _query(self, spelling: str) -> int:
        if spelling not in self._query_of_spelling:
            query = self._query_of_folded.setdefault(normalized_query(spelling), len(self.queries))
            if query == len(self.queries):
                self.queries.append(spelling)
            self._query_of_spelling[spelling] = query
        return self._query_of_spelling[spelling]

    def _passage(self, passage_id: str) -> int:
        passage = self._passage_of_id.setdefault(passage_id, len(self.passage_ids))
        if passage == len(self.passage_ids):
            self.passage_ids.append(passage_id)
        return passage

    def count(self, path: Path) -> CountedPairs:
        """The log by pair and position; it must not be empty.

        Raises:
            InputError: When a search has two results at one position; it names the row in `path`.
        """
        passed_over = self._passed_over(path)
        queries, passages, positions = map(np.asarray, (self._queries, self._passages, self._positions))
        depth, n_passages = int(positions.max()) + 1, len(self.passage_ids)
        keys = (queries.astype(np.int64) * n_passages + passages) * depth + positions
        cells, cell = np.unique(keys, return_inverse=True)
        pairs, pair = np.unique(cells // depth, return_inverse=True)
        shown = np.bincount(cell).astype(np.float64)
        return CountedPairs(
            query=pairs // n_passages,
            passage=pairs % n_passages,
            shown=sums(pair, shown).astype(np.int64),
            passed_over=sums(pair, sums(cell, passed_over)) > 0,
            counts=ClickCounts(pair, cells % depth, shown, sums(cell, np.asarray(self._satisfied))),
        )

    def _passed_over(self, path: Path) -> Flags:
        """For each result shown, whether it was not clicked and one below it was, in the same search."""
        searches, positions = np.asarray(self._searches), np.asarray(self._positions)
        order = np.lexsort((positions, searches))
        searches, positions = searches[order], positions[order]
        starts = np.append(True, searches[1:] != searches[:-1])
        repeated = ~starts[1:] & (positions[1:] == positions[:-1])
        if repeated.any():
            line = int(np.asarray(self._lines)[order[1:][repeated]].min())
            hint = "give every search its own search_id, and every result of it its own position"
            raise InputError.at(path, "this search has two results at this position", line=line, hint=hint)
        clicked = np.asarray(self._clicked)[order].astype(bool)
        deepest = np.maximum.reduceat(np.where(clicked, positions, 0), np.flatnonzero(starts))
        passed_over = np.empty(len(order), dtype=bool)
        passed_over[order] = ~clicked & (positions < deepest[np.cumsum(starts) - 1])
        return passed_over
