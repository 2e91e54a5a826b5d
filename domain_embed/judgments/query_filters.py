"""Which made-up queries are of no use: too short, asked before, or copied from the passage."""

import re
from collections.abc import Iterable

from domain_embed.contracts.tables import normalized_query

NO_WORDS, TOO_SHORT, DUPLICATE, COPIED = "no words", "too short", "duplicate", "copied from the passage"

# Scripts without spaces between words (Thai, Lao, Khmer, Japanese, Chinese): there a character counts as a word.
_UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


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
        words = words_of(query)
        if not words:
            return NO_WORDS
        if len(words) < self._min_words:
            return TOO_SHORT
        folded = normalized_query(query)
        if folded in self._seen:
            return DUPLICATE
        if is_copied(words, words_of(passage), self._max_copied):
            return COPIED
        self._seen.add(folded)
        return None


def words_of(text: str) -> list[str]:
    """The words of a text, case folded."""
    return _WORD.findall(text.casefold())


def is_copied(query: list[str], passage: list[str], max_share: float) -> bool:
    """Whether more than `max_share` of the query's words stand in the passage one after the other."""
    too_long = next((run for run in range(1, len(query) + 1) if run / len(query) > max_share), None)
    if too_long is None:
        return False
    text = f" {' '.join(passage)} "
    return any(f" {' '.join(query[i : i + too_long])} " in text for i in range(len(query) - too_long + 1))
