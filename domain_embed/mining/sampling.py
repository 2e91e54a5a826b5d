"""Which of the eligible candidates are kept."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from domain_embed.settings import MiningSettings


def draw(scores: NDArray[np.float32], count: int, query_id: str, settings: MiningSettings) -> NDArray[np.int64]:
    """Up to `count` places in `scores` (n,), rising, by the sampling strategy.

    The draw depends on seed and query id alone, so a query keeps its negatives when others come or go. Softmax
    sampling without replacement adds Gumbel noise and takes the highest (Kool, van Hoof & Welling 2019, "Stochastic
    Beams and Where to Find Them").
    """
    if count <= 0:
        return np.empty(0, dtype=np.int64)
    if settings.sampling == "top":
        return np.sort(np.argsort(-scores, kind="stable")[:count])
    seed = hashlib.sha256(f"{settings.seed} {query_id}".encode()).digest()[:8]
    generator = np.random.default_rng(int.from_bytes(seed))
    if settings.sampling == "random":
        return np.sort(generator.permutation(len(scores))[:count])
    keys = scores / settings.temperature + generator.gumbel(size=len(scores))
    return np.sort(np.argsort(-keys, kind="stable")[:count])
