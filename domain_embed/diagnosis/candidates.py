"""Other base models, compared without training on a part of the corpus that favours none of them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, Encoder, TableReader
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Point, Qrels, embedded_text
from domain_embed.diagnosis.causes import DEPTH
from domain_embed.diagnosis.levers import Lever, Yardstick
from domain_embed.diagnosis.rankings import Rankings
from domain_embed.encoding.agreement import require_cosine
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.models import load_model
from domain_embed.evaluation.measures import HEADLINE, ndcg_scores
from domain_embed.evaluation.significance import compare
from domain_embed.settings import DiagnosisSettings, ModelSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

NEAR_MISSES = 5
"""Of BM25, for each query: it belongs to none of the models that are compared."""
PASSAGES_PER_QUERY = 10
"""Of the pool: the rest is near misses and passages drawn at random."""
TIMED_QUERIES = 16
BATCH = 64


@dataclass(frozen=True)
class Pool:
    """Some queries and the passages they are ranked over: their positives, BM25's near misses, and a random rest."""

    queries: Mapping[str, str]
    qrels: Qrels
    points: tuple[Point, ...]

    def scores(self, queries: NDArray[np.float32], passages: NDArray[np.float32]) -> "pd.Series[float]":
        """nDCG@10 by query id of the model that made the vectors; equal scores in order of passage id."""
        ids = [point.passage_id for point in self.points]
        best = np.argsort(-(queries @ passages.T), axis=1, kind="stable")[:, :DEPTH]
        run = {key: [ids[place] for place in places] for key, places in zip(self.queries, best, strict=True)}
        return ndcg_scores(run, self.qrels)


def neutral_pool(
    rankings: Rankings, collection: Collection, passages: TableReader, settings: DiagnosisSettings
) -> Pool:  # fmt: skip
    """A pool of about `candidate_passages` passages; the same for equal arguments."""
    generator = np.random.default_rng(settings.seed)
    ids = np.array(rankings.query_ids, dtype=object)
    chosen = sorted(ids[generator.permutation(len(ids))[: max(1, settings.candidate_passages // PASSAGES_PER_QUERY)]])
    near = dict(zip(rankings.query_ids, rankings.hits["sparse"], strict=True))
    wanted = {one for key in chosen for one in rankings.qrels[key]}
    wanted |= {hit.passage_id for key in chosen for hit in near[key][:NEAR_MISSES]}
    everything = np.array(sorted(passages.read(["passage_id"])["passage_id"].to_pylist()), dtype=object)
    rest = everything[generator.permutation(len(everything))]
    wanted |= set(rest[: max(0, settings.candidate_passages - len(wanted))])
    return Pool(
        {key: rankings.queries[key] for key in chosen},
        {key: rankings.qrels[key] for key in chosen},
        tuple(sorted(collection.fetch(sorted(wanted)), key=lambda point: point.passage_id)),
    )


def candidate_levers(
    pool: Pool, base: Encoder, yardstick: Yardstick, passages: int, settings: DiagnosisSettings,
    resolve: Callable[[str], str],
) -> list[Lever]:  # fmt: skip
    """One lever for each model of `candidates`: what its dense ranking gains over the base model's in the pool.

    Raises ModelError for a model that cannot be loaded.
    """
    known = pool.scores(
        base.encode_queries(list(pool.queries.values())), np.stack([point.dense for point in pool.points])
    )  # fmt: skip
    return [_lever(name, resolve(name), pool, known, yardstick, passages) for name in settings.candidates]


def _lever(
    name: str, location: str, pool: Pool, known: "pd.Series[float]", yardstick: Yardstick, passages: int
) -> Lever:  # fmt: skip
    model = load_model(location, ModelSettings())
    require_cosine(model, name, ModelSettings())
    facts = _facts(model)
    encoder = TorchEncoder(model, ModelSettings())
    texts = [embedded_text(point.title, point.text) for point in pool.points]
    started = time.monotonic()
    vectors = embed_with_progress(encoder, texts, name)
    per_passage = (time.monotonic() - started) / len(pool.points)
    scores = pool.scores(encoder.encode_queries(list(pool.queries.values())), vectors)
    found = compare(
        name, "base/dense", HEADLINE, scores, known,
        resamples=yardstick.settings.resamples, seed=yardstick.settings.seed,
    )  # fmt: skip
    return Lever(
        f"model:{name}", f"Base model {name}", "measured", found.delta, found.ci95, yardstick.mean + found.delta,
        f"`model.base: {name}`", seconds=per_passage * passages, reembeds=passages, comparison=found,
        note=f"dense, untrained, its own prompts, {len(pool.queries):,} queries over {len(pool.points):,} passages",
        facts={**facts, "milliseconds a query": f"{_latency_ms(encoder, pool):.0f}"},
    )  # fmt: skip


def embed_with_progress(encoder: Encoder, texts: Sequence[str], what: str) -> NDArray[np.float32]:
    """(n, dim) vectors of passages, while a progress bar says what is tried."""
    parts = []
    with progress_bar(f"try {what}", len(texts), "passages") as progress:
        for start in range(0, len(texts), BATCH):
            parts.append(encoder.encode_documents(texts[start : start + BATCH]))
            progress.update(len(parts[-1]))
    return np.concatenate(parts)


def _facts(model: "SentenceTransformer") -> dict[str, str]:
    """What a choice among models also depends on."""
    size = sum(parameter.numel() for parameter in model.parameters())
    languages = model.model_card_data.language or ["not stated"]
    return {
        "dimensions": str(model.get_embedding_dimension()),
        "tokens": str(model.max_seq_length),
        "megabytes": f"{size * 4 / 1e6:.0f}",
        "languages": ", ".join([languages] if isinstance(languages, str) else languages),
    }


def _latency_ms(encoder: Encoder, pool: Pool) -> float:
    """The median of single queries."""
    times = []
    for text in list(pool.queries.values())[:TIMED_QUERIES]:
        started = time.monotonic()
        encoder.encode_queries([text])
        times.append(1000 * (time.monotonic() - started))
    return statistics.median(times)
