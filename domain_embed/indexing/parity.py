"""Parity: does a collection hold exactly the passages, embedded by exactly the model, that it says?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, Encoder, TableReader
from domain_embed.contracts.records import embedded_text
from domain_embed.indexing.contents import contents_of, stored_contents
from domain_embed.indexing.identity import MIN_COSINE as CANARY_COSINE
from domain_embed.indexing.identity import lowest_canary_cosine

SAMPLE = 32
NEIGHBOURS = 10
MIN_RECALL = 0.9
"""Of the nearest ten. An index that was built as it should be finds nearly all of them."""
SAME_SCORE = 1e-4
MIN_COSINE = 0.995
"""Between a stored vector and its text embedded again: bf16 in another batch moves it by less than 0.001."""


@dataclass(frozen=True)
class ParityFinding:
    """One thing that was compared, whether it holds, and the figures."""

    name: str
    passed: bool
    detail: str


def check_parity(collection: Collection, passages: TableReader, encoder: Encoder) -> list[ParityFinding]:
    """Compares a collection with the table and the model it should come from; every finding must pass."""
    expected, stored = contents_of(passages), stored_contents(collection)
    missing, extra = expected.keys() - stored.keys(), stored.keys() - expected.keys()
    common = expected.keys() & stored.keys()
    other_text = [key for key in common if expected[key].text != stored[key].text]
    other_metadata = [key for key in common if expected[key]._replace(text="") != stored[key]._replace(text="")]
    fingerprint = collection.info.fingerprint
    return [
        ParityFinding("model", fingerprint == encoder.fingerprint, f"{fingerprint} and {encoder.fingerprint}"),
        ParityFinding("count", collection.count() == passages.count, f"{collection.count()} of {passages.count}"),
        ParityFinding("passages", not missing and not extra, f"{len(missing)} missing, {len(extra)} too many"),
        ParityFinding("content", not other_text, f"{len(other_text)} differ"),
        ParityFinding("metadata", not other_metadata, f"{len(other_metadata)} differ"),
        _canaries_agree(collection, encoder),
        *_sample_agrees(collection, encoder, sorted(stored)),
    ]


def _canaries_agree(collection: Collection, encoder: Encoder) -> ParityFinding:
    """The query encoder makes what it made when the collection was built."""
    lowest = lowest_canary_cosine(collection.info, encoder)
    return ParityFinding("query encoder", lowest >= CANARY_COSINE, f"lowest cosine {lowest:.4f} of fixed texts")


def _sample_agrees(collection: Collection, encoder: Encoder, passage_ids: Sequence[str]) -> list[ParityFinding]:
    """Embeds an evenly spread sample again, and looks its neighbours up with and without the index."""
    spread = passage_ids[:: max(1, len(passage_ids) // SAMPLE)][:SAMPLE]
    points = collection.fetch(spread)
    again = encoder.encode_documents([embedded_text(point.title, point.text) for point in points])
    if not points or again.shape[1] != points[0].dense.shape[0]:
        return [ParityFinding("vectors", False, "no vectors of the encoder's dimension")]
    stored = np.stack([point.dense for point in points])
    lowest = float(np.min(np.sum(again * stored, axis=1)))
    return [
        ParityFinding("vectors", lowest >= MIN_COSINE, f"lowest cosine {lowest:.4f} over {len(points)} passages"),
        _index_finds(collection, stored),
    ]


def _index_finds(collection: Collection, vectors: NDArray[np.float32]) -> ParityFinding:
    """The index finds the neighbours that a scan finds; one of equal distance is as good."""
    found = collection.search_dense(vectors, NEIGHBOURS)
    true = collection.search_dense(vectors, NEIGHBOURS, exact=True)
    share = float(np.mean([
        np.mean([hit.score >= scan[-1].score - SAME_SCORE for hit in hits] + [False] * (len(scan) - len(hits)))
        for hits, scan in zip(found, true, strict=True)
    ]))  # fmt: skip
    return ParityFinding("index", share >= MIN_RECALL, f"{share:.3f} of the {NEIGHBOURS} nearest are found")
