"""Encoding: passages by the backend that is best here, against `SentenceTransformer.encode` with its defaults.

Prints texts per second, the share of the processor's matrix peak, and what the difference of the vectors does to
nDCG@10 through the store. Both encoders run in this process, in alternating rounds; the best round of each counts.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.aws import AwsDomain, aws_domain, services_argument
from domain_embed.contracts.ports import Encoder
from domain_embed.encoding.backend import WORTH_AFTER_S
from domain_embed.encoding.encoder import cpu_has_bf16
from domain_embed.evaluation.measures import mean_ndcg
from domain_embed.judgments.graded import graded_queries
from domain_embed.retrieval.searcher import Searcher

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

TEXTS = 1000
ROUNDS = 4
PEAK_SIZE = 2048


class PeerEncoder:
    """`SentenceTransformer.encode` behind the Encoder port."""

    fingerprint = "sentence-transformers"

    def __init__(self, model: "SentenceTransformer") -> None:
        self.model = model
        self.dimensions: int = model.get_embedding_dimension()

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """By its defaults."""
        vectors: NDArray[np.float32] = self.model.encode(list(texts))
        return vectors

    encode_documents = encode_queries


def main() -> None:
    """Alternates both encoders on the same texts."""
    from sentence_transformers import SentenceTransformer

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    with aws_domain(services_argument(__doc__ or "", "fast")) as domain:
        texts = random.Random(0).sample(list(domain.texts.values()), TEXTS)
        peer, ours = PeerEncoder(SentenceTransformer(domain.base)), domain.encoder()
        operations = _operations(peer.model, texts)
        started = time.perf_counter()
        while time.perf_counter() - started <= WORTH_AFTER_S:
            ours.encode_documents(texts)
        ours.encode_documents(texts)  # after so long, it chooses its backend
        rounds = [(_timed(peer.encode_documents, texts), _timed(ours.encode_documents, texts)) for _ in range(ROUNDS)]
        peer_s, our_s = min(r[0][0] for r in rounds), min(r[1][0] for r in rounds)
        cosine = np.sum(rounds[0][0][1] * rounds[0][1][1], axis=1)
        peak = max(_matrix_peak() for _ in range(3))
        for name, seconds in (("SentenceTransformer.encode", peer_s), ("domain-embed", our_s)):
            print(f"{name:28}{TEXTS / seconds:8.1f} texts/s, {operations / seconds / peak:.0%} of the peak")
        print(f"matrix peak {peak / 1e9:.0f} GFLOP/s in {'bf16' if cpu_has_bf16() else 'fp32'}")
        print(f"ratio {peer_s / our_s:.2f}; cosine: lowest {cosine.min():.5f}, mean {cosine.mean():.6f}")
        figures = [_ndcg(domain, encoder) for encoder in (peer, ours)]
        print(f"nDCG@10 through the store {figures[0]:.4f} and {figures[1]:.4f}: {figures[1] - figures[0]:+.4f}")


def _ndcg(domain: AwsDomain, encoder: Encoder) -> float:
    """Of all judged queries, by an exact search of a collection that this encoder made."""
    queries, qrels = graded_queries(domain.splits)
    searcher = Searcher(domain.collection(encoder, "base"), encoder, domain.settings.retrieval)
    hits = searcher.rank(list(queries.values()), 10, ["dense"], exact=True)["dense"]
    run = {key: [hit.passage_id for hit in found] for key, found in zip(queries, hits, strict=True)}
    return mean_ndcg(run, qrels)


def _operations(model: "SentenceTransformer", texts: Sequence[str]) -> float:
    """Floating-point operations of the matrix products with weights, without padding; attention's own not counted."""
    tokens = sum(len(ids) for ids in model.tokenizer(list(texts), truncation=True)["input_ids"])
    layers = sum(p.numel() for name, p in model.named_parameters() if ".layer." in name and p.ndim == 2)
    return float(2 * layers * tokens)


def _matrix_peak() -> float:
    """Operations per second of a large square product, with all threads."""
    import torch

    dtype = torch.bfloat16 if cpu_has_bf16() else torch.float32
    one, other = (torch.randn(PEAK_SIZE, PEAK_SIZE).to(dtype) for _ in range(2))
    seconds = min(_timed(lambda _: (one @ other).float().numpy(), [])[0] for _ in range(5))
    return 2 * float(PEAK_SIZE) ** 3 / seconds


def _timed(
    encode: Callable[[Sequence[str]], NDArray[np.float32]], texts: Sequence[str]
) -> tuple[float, NDArray[np.float32]]:
    started = time.perf_counter()
    vectors = encode(texts)
    return time.perf_counter() - started, vectors


if __name__ == "__main__":
    main()
