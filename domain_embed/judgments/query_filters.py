"""Which made-up queries are of no use: too short, asked before, or copied from the passage."""

from collections.abc import Iterable

from domain_embed.contracts.tables import normalized_query
from domain_embed.encoding.words import words

NO_WORDS, TOO_SHORT, DUPLICATE, COPIED = "no words", "too short", "duplicate", "copied from the passage"


class QueryFilter:
    """Judges queries in the order they come; of equal ones, the first is kept.

    Args:
        asked: Queries that exist already.
        min_words: Fewer are too short.
        max_copied: Largest share of a query's words that may stand in its passage in one piece.
    """

    def __init__(self, asked: Iterable[str], min_words: int, max_copied: float) -> None:
        self._seen = {normalized_query(query) for query in asked}
        self._min_words = min_words
        self._max_copied = max_copied

    def objection(self, query: str, passage: str) -> str | None:
        """Why a query is of no use for its passage, or None when it is; it is then taken for asked."""
        asked = words(query)
        if not asked:
            return NO_WORDS
        if len(asked) < self._min_words:
            return TOO_SHORT
        folded = normalized_query(query)
        if folded in self._seen:
            return DUPLICATE
        if is_copied(asked, words(passage), self._max_copied):
            return COPIED
        self._seen.add(folded)
        return None


def is_copied(query: list[str], passage: list[str], max_share: float) -> bool:
    """Whether more than `max_share` of the query's words stand in the passage one after the other."""
    too_long = next((run for run in range(1, len(query) + 1) if run / len(query) > max_share), None)
    if too_long is None:
        return False
    text = f" {' '.join(passage)} "
    return any(f" {' '.join(query[i : i + too_long])} " in text for i in range(len(query) - too_long + 1))
