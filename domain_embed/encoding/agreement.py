"""Our path makes the vectors that sentence-transformers makes: proven when a model is first met, then remembered."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import StoreError
from domain_embed.encoding.encoder import TorchEncoder, on_cosine
from domain_embed.encoding.models import ModelError, load_model
from domain_embed.files import keep_file
from domain_embed.settings import ModelSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TEXTS = (
    "disk full",
    "How do I give another user permission to read my files?",
    "Versions are kept for thirty days; error 0x80070005, build 4.2.1-rc3. " * 60,
    "Wo finde ich die Größe der Datei?",
    "如何重置密码",
    "पासवर्ड कैसे बदलें",
    "",
)
"""Short, long enough to be cut by most limits, of other scripts, and nothing at all."""
MIN_COSINE = {"float32": 0.9999, "bfloat16": 0.999, "float16": 0.999, "int8": 0.98}
"""By the numbers that are computed in. Seen: 1.0000, 0.9999, 0.9999 and 0.99 for the worst text of good models."""


def require_agreement(encoder: TorchEncoder, name: str, settings: ModelSettings, folder: Path) -> None:
    """Proves once for each model, device and number format that queries and passages get their makers' vectors.

    Args:
        encoder: Our path.
        name: Where its model is loaded from.
        settings: How texts are put to it.
        folder: Where proofs are kept, a small file each.

    Raises:
        ModelError: The vectors are others, or the model is meant for another similarity than cosine.
    """
    proof = folder / f"agrees-{encoder.fingerprint}-{encoder.device}-{encoder.number_format}.json"
    if _is_proven(proof):
        return
    reference = load_model(name, settings, device="cpu")
    require_cosine(reference, name, settings)
    lowest = lowest_agreement(encoder, reference, settings)
    needed = MIN_COSINE[encoder.number_format]
    if not min(lowest.values()) >= needed:  # a NaN agrees with nothing
        told = ", ".join(f"{side} {cosine:.4f}" for side, cosine in lowest.items())
        raise ModelError(
            f"model {name!r}: our vectors are not those of sentence-transformers (lowest cosine: {told}; "
            f"needed {needed} in {encoder.number_format})",
            "set DOMAIN_EMBED_BACKEND=torch and DOMAIN_EMBED_PRECISION=fp32; if that does not help, take another model",
        )
    keep_file(proof, json.dumps({"lowest_cosine": lowest}))


def lowest_agreement(
    encoder: TorchEncoder, reference: "SentenceTransformer", settings: ModelSettings
) -> dict[str, float]:
    """The lowest cosine of fixed texts' vectors to `encode_query`'s and `encode_document`'s, at the same dimensions."""
    shared = {"normalize_embeddings": True, "truncate_dim": settings.dimensions, "show_progress_bar": False}
    theirs = {
        "queries": reference.encode_query(list(TEXTS), **shared),
        "passages": reference.encode_document(list(TEXTS), **shared),
    }
    ours = {"queries": encoder.encode_queries(TEXTS), "passages": encoder.encode_documents(TEXTS)}
    return {side: _lowest_cosine(ours[side], theirs[side]) for side in ours}


def _lowest_cosine(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Of unit vectors, row by row; where both are nothing, as static embeddings make of no text, they agree."""
    nothing = ~ours.any(axis=1) & ~theirs.any(axis=1)
    return float(np.min(np.sum(ours * theirs, axis=1) + nothing))


def require_cosine(model: "SentenceTransformer", name: str, settings: ModelSettings) -> None:
    """Raises ModelError for a model whose vectors are not meant to be compared by cosine."""
    if settings.similarity == "own" and not on_cosine(model):
        raise ModelError(
            f"model {name!r} was trained for similarity {model.similarity_fn_name!r} of vectors that are not of unit "
            "length, and here vectors are compared by cosine",
            "take a model for cosine, or set model.similarity: cosine to scale its vectors all the same",
        )


def _is_proven(proof: Path) -> bool:
    if not proof.exists():
        return False
    try:
        return bool(json.loads(proof.read_text(encoding="utf-8"))["lowest_cosine"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{proof} is damaged: {error}", "delete it: it is proven again") from error
