"""Which model made a collection, proven and not only named: fixed texts whose vectors are kept with it."""

import base64
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import ModelMismatchError, StoreError
from domain_embed.contracts.ports import Encoder
from domain_embed.contracts.records import COLLECTION_SCHEMA, CollectionInfo

CANARIES = (
    "disk full",
    "How do I give another user permission to read my files?",
    "Versions are kept for thirty days; error 0x80070005, build 4.2.1-rc3.",
    "Wo finde ich die Größe der Datei?",
    "如何重置密码",
)
"""Short and different: words, a question, numbers and signs, other scripts."""
MIN_COSINE = 0.99
"""To the vector kept. Other number formats move it less (bf16 to 0.9999, int8 to 0.998); the fingerprint tells other
models apart, this tells when the same files no longer make the same vectors."""

_proven: WeakKeyDictionary[Encoder, set[str]] = WeakKeyDictionary()


def canary_vectors(encoder: Encoder) -> dict[str, str]:
    """What to keep of an encoder: each canary's query vector as base64 of little-endian float16."""
    vectors = encoder.encode_queries(CANARIES).astype("<f2")
    return {text: base64.b64encode(vector.tobytes()).decode() for text, vector in zip(CANARIES, vectors, strict=True)}


def require_usable(info: CollectionInfo, encoder: Encoder) -> None:
    """Proves that queries by this encoder may meet the collection's vectors; done once per encoder and collection.

    Raises:
        ModelMismatchError: The encoder is another model, or makes other vectors than when the collection was built.
        StoreError: The collection was written by a version of this product that kept less, or other things.
    """
    if info.schema_version != COLLECTION_SCHEMA:
        raise StoreError(
            f"collection {info.name!r} has schema {info.schema_version}, and this version reads {COLLECTION_SCHEMA}",
            "`domain-embed run` builds it again, without embedding anything that is known",
        )
    if info.fingerprint != encoder.fingerprint:
        raise ModelMismatchError(info.name, info.fingerprint, encoder.fingerprint)
    if info.name in _proven.setdefault(encoder, set()):
        return
    lowest = lowest_canary_cosine(info, encoder)
    if not lowest >= MIN_COSINE:  # a NaN is no proof
        raise ModelMismatchError(
            info.name, info.fingerprint, encoder.fingerprint,
            f"its vectors of fixed texts are not the kept ones (lowest cosine {lowest:.4f}, needed {MIN_COSINE})",
        )  # fmt: skip
    _proven[encoder].add(info.name)


def lowest_canary_cosine(info: CollectionInfo, encoder: Encoder) -> float:
    """Of the canaries' vectors, as kept and as this encoder makes them now; −1 where they cannot be compared."""
    if not info.canaries:
        return -1.0
    before = np.stack([_vector(encoded) for encoded in info.canaries.values()])
    now = encoder.encode_queries(list(info.canaries))
    return float(np.min(np.sum(before * now, axis=1))) if before.shape == now.shape else -1.0


def _vector(encoded: str) -> NDArray[np.float32]:
    vector = np.frombuffer(base64.b64decode(encoded), "<f2").astype(np.float32)
    return vector / np.linalg.norm(vector)  # rounding has changed its length
