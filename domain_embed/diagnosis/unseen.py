"""Texts that the collection does not hold but could: what lies beyond the length limit, and neighbours joined."""

import itertools
from collections.abc import Collection as Ids
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.records import embedded_text
from domain_embed.corpus.tokens import TokenCounter

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MOST_TAILS = 4
"""Of one passage: what lies farther from its beginning is not looked at."""
FEWEST_TOKENS = 16
"""Left for text, however long the title is."""
ROWS = 65_536


class Windows:
    """Cuts and joins texts to what a model reads.

    Args:
        tokenizer: The model's.
        max_tokens: What it reads of a text, special tokens included.
    """

    def __init__(self, tokenizer: "Tokenizer", max_tokens: int) -> None:
        counter = TokenCounter(tokenizer)
        self._tokenizer = counter.tokenizer
        self._limit = max(FEWEST_TOKENS, max_tokens - counter.special)

    def tails(self, title: str, text: str) -> list[str]:
        """What the model does not read of a passage, as passages of the same title; none when it reads all of it."""
        whole = embedded_text(title, text)
        spans = self._spans(whole)
        size = self._room(title)
        starts = range(self._limit, len(spans), size)[:MOST_TAILS]
        return [
            embedded_text(title, whole[spans[start][0] : spans[min(start + size, len(spans)) - 1][1]])
            for start in starts
        ]

    def joined(self, title: str, first: str, second: str) -> str:
        """Two texts that follow each other as one: as much around the cut between them as the model reads."""
        left, right, room = self._spans(first), self._spans(second), self._room(title)
        if not left or not right:
            return embedded_text(title, f"{first} {second}".strip())
        after = min(len(right), max(room // 2, room - len(left)))
        before = min(len(left), max(1, room - after))
        return embedded_text(title, f"{first[left[-before][0] :]} {second[: right[after - 1][1]]}")

    def _room(self, title: str) -> int:
        return max(FEWEST_TOKENS, self._limit - len(self._spans(title)))

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """The characters of each token."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets) if text else []


@dataclass(frozen=True)
class Neighbours:
    """The passages next to some passages, in the order of their documents' text."""

    before: dict[str, str]
    after: dict[str, str]

    @classmethod
    def of(cls, passage_ids: Ids[str], passages: TableReader) -> "Neighbours":
        """Reads a PASSAGES table twice: for the documents of these passages, then for the order within them."""
        documents = {
            row["doc_id"]
            for batch in passages.batches(ROWS, columns=["passage_id", "doc_id"])
            for row in batch.to_pylist()
            if row["passage_id"] in passage_ids
        }
        places: dict[str, list[tuple[int, str]]] = {}
        for batch in passages.batches(ROWS, columns=["passage_id", "doc_id", "start"]):
            for row in batch.to_pylist():
                if row["doc_id"] in documents:
                    places.setdefault(row["doc_id"], []).append((row["start"], row["passage_id"]))
        before, after = {}, {}
        for ordered in map(sorted, places.values()):
            for (_, first), (_, second) in itertools.pairwise(ordered):
                before[second], after[first] = first, second
        return cls(before, after)

    def pairs(self, passage_id: str) -> list[tuple[str, str]]:
        """The passage with the one before it and with the one after it, each pair in reading order."""
        found = []
        if passage_id in self.before:
            found.append((self.before[passage_id], passage_id))
        if passage_id in self.after:
            found.append((passage_id, self.after[passage_id]))
        return found
