"""Which unjudged passages get made-up queries, and under which name a passage may be asked for."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.tables import normalized_query
from domain_embed.judgments.passage_rows import all_rows, rows_of

MAX_PASSAGES_PER_NAME = 3
"""A heading of more passages ("Overview", or the title of a long document) tells none of them apart."""
TEXT_CHARACTERS = 6000
"""Of a passage, as the language model reads it: some 1,500 tokens, which leaves small models room to answer."""


@dataclass(frozen=True, slots=True)
class DrawnPassage:
    """A passage that gets queries; `text` is cut to TEXT_CHARACTERS."""

    passage_id: str
    title: str
    text: str
    heading: str
    content_hash: str

    @property
    def name(self) -> str:
        """The last of its headings, or its title when it stands under none."""
        return name_of(self.title, self.heading)


def name_of(title: str, heading: str) -> str:
    """The last of several headings ("A > B"), or the title when there is none."""
    return (heading.rpartition(" > ")[2] or title).strip()


def count_names(passages: TableReader) -> Counter[str]:
    """How many passages have a name, case and white space folded."""
    rows = all_rows(passages, ["title", "heading"], "counting headings")
    return Counter(normalized_query(name_of(title, heading)) for title, heading in rows)


def draw_passages(passages: TableReader, candidates: Iterable[str], count: int, seed: int) -> list[DrawnPassage]:
    """At most `count` of the candidates, by the hash of seed and passage id, in its order.

    A passage is drawn or not whatever the others are, but for those at the end of the order, which make room.
    """
    drawn = heapq.nsmallest(count, candidates, key=lambda passage_id: _position(seed, passage_id))
    names = [field.name for field in fields(DrawnPassage)]
    found = (DrawnPassage(*row) for row in rows_of(passages, drawn, names))
    by_id = {one.passage_id: replace(one, text=one.text[:TEXT_CHARACTERS]) for one in found}
    return [by_id[passage_id] for passage_id in drawn]


def _position(seed: int, passage_id: str) -> bytes:
    return hashlib.sha256(f"{seed}\x00{passage_id}".encode()).digest()
