"""Parity: does a collection hold exactly the passages, embedded by exactly the model, that it says?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain_embed.contracts.ports import Collection, Encoder, TableReader
from domain_embed.contracts.records import embedded_text

SAMPLE = 32
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
    expected = dict(_ids_and_hashes(passages))
    stored = dict(collection.content_hashes())
    missing, extra = expected.keys() - stored.keys(), stored.keys() - expected.keys()
    changed = [key for key in expected.keys() & stored.keys() if expected[key] != stored[key]]
    fingerprint = collection.info.fingerprint
    return [
        ParityFinding("model", fingerprint == encoder.fingerprint, f"{fingerprint} and {encoder.fingerprint}"),
        ParityFinding("count", collection.count() == passages.count, f"{collection.count()} of {passages.count}"),
        ParityFinding("passages", not missing and not extra, f"{len(missing)} missing, {len(extra)} too many"),
        ParityFinding("content", not changed, f"{len(changed)} differ"),
        _vectors_agree(collection, encoder, sorted(stored)),
    ]


def _vectors_agree(collection: Collection, encoder: Encoder, passage_ids: Sequence[str]) -> ParityFinding:
    """Embeds an evenly spread sample again: the stored vectors must be what this encoder makes today."""
    spread = passage_ids[:: max(1, len(passage_ids) // SAMPLE)][:SAMPLE]
    points = collection.fetch(spread)
    again = encoder.encode_documents([embedded_text(point.title, point.text) for point in points])
    if not points or again.shape[1] != points[0].dense.shape[0]:
        return ParityFinding("vectors", False, "no vectors of the encoder's dimension")
    lowest = float(np.min(np.sum(again * np.stack([point.dense for point in points]), axis=1)))
    return ParityFinding("vectors", lowest >= MIN_COSINE, f"lowest cosine {lowest:.4f} over {len(points)} passages")


def _ids_and_hashes(passages: TableReader) -> list[tuple[str, str]]:
    table = passages.read(columns=["passage_id", "content_hash"])
    return list(zip(table["passage_id"].to_pylist(), table["content_hash"].to_pylist(), strict=True))
