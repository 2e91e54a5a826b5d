"""Passages to documents: each document stands where its best passage does."""

from collections.abc import Callable, Sequence

from domain_embed.contracts.records import DocumentHit, Hit

PASSAGES_PER_DOCUMENT = 5
"""How many passages are asked for at first, for each document wanted."""


def best_documents(search: Callable[[int], Sequence[Hit]], k: int, passages: int) -> list[DocumentHit]:
    """The best k documents in the order of their best passages, each with at most `passages` of the passages found.

    Looks deeper, twice as far each time, until there are k documents or the ranking ends.
    """
    depth = k * max(passages, PASSAGES_PER_DOCUMENT)
    while True:
        hits = search(depth)
        found = _by_document(hits)
        if len(found) >= k or len(hits) < depth:
            return [DocumentHit(doc_id, own[0].score, tuple(own[:passages])) for doc_id, own in found[:k]]
        depth *= 2


def _by_document(hits: Sequence[Hit]) -> list[tuple[str, list[Hit]]]:
    found: dict[str, list[Hit]] = {}
    for hit in hits:
        found.setdefault(hit.doc_id, []).append(hit)
    return list(found.items())
