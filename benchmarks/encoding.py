"""Encoding: TorchEncoder against `SentenceTransformer.encode` with its defaults, in texts per second."""

import random
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.aws import aws_domain, services_argument
from domain_embed.settings import ModelSettings

TEXTS = 1000
ROUNDS = 3


def main() -> None:
    """Alternates both encoders on the same texts and compares the best round of each."""
    from sentence_transformers import SentenceTransformer

    with aws_domain(services_argument(__doc__, "all")) as domain:
        texts = random.Random(0).sample(list(domain.texts.values()), TEXTS)
        peer = SentenceTransformer(domain.base)
        ours = domain.workspace.encoder(domain.settings.model.base, ModelSettings())
        rounds = [(_timed(peer.encode, texts), _timed(ours.encode_documents, texts)) for _ in range(ROUNDS)]
    peer_vectors, our_vectors = rounds[0][0][1], rounds[0][1][1]
    peer_s, our_s = min(r[0][0] for r in rounds), min(r[1][0] for r in rounds)
    cosine = np.sum(peer_vectors * our_vectors, axis=1)
    print(f"SentenceTransformer.encode  {TEXTS / peer_s:8.1f} texts/s")
    print(f"domain-embed                {TEXTS / our_s:8.1f} texts/s")
    print(f"ratio {peer_s / our_s:.2f}; cosine between both: lowest {cosine.min():.4f}, mean {cosine.mean():.5f}")


def _timed(
    encode: Callable[[Sequence[str]], NDArray[np.float32]], texts: Sequence[str]
) -> tuple[float, NDArray[np.float32]]:
    started = time.perf_counter()
    vectors = encode(texts)
    return time.perf_counter() - started, vectors


if __name__ == "__main__":
    main()
