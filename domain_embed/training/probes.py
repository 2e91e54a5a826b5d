"""Probes of general ability: small ranking tasks about other subjects, by which forgetting is measured.

A probe is a sample of a BEIR folder: queries, and for all of them one pool of their answers and the passages nearest to
them by BM25. Its figures compare one model before and after training; they are not the benchmark's published ones.
"""

import hashlib
import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domain_embed.contracts.errors import InputError, TrainingError
from domain_embed.contracts.records import Qrels, embedded_text
from domain_embed.contracts.tables import normalized_query
from domain_embed.encoding.words import words
from domain_embed.judgments.detect import beir_source
from domain_embed.judgments.sources.rows import queries_by_id, read
from domain_embed.settings import ForgettingSettings

SPLIT_ORDER = ("test", "validation", "train")
CANDIDATES = 20_000
"""Passages that BM25 may choose from: a sample keeps probes of millions of passages quick."""
CHARACTERS = 600
"""Of a passage: about 128 tokens. What was forgotten shows in the beginning, too, at a fraction of the time."""
MOST_SHARED = 0.1
"""Share of a probe's queries that may stand in the training data by chance."""


@dataclass(frozen=True)
class Probe:
    """Queries, and the pool they are ranked against; `version` is a hash of all of it."""

    name: str
    query_ids: Sequence[str]
    queries: Sequence[str]
    passage_ids: Sequence[str]
    passages: Sequence[str]
    qrels: Qrels

    @property
    def version(self) -> str:
        """Equal for equal content."""
        digest = hashlib.sha256()
        for part in (self.query_ids, self.queries, self.passage_ids, self.passages, sorted(self.qrels.items())):
            digest.update(repr(list(part)).encode())
        return digest.hexdigest()[:16]


def read_probes(folder: Path, settings: ForgettingSettings) -> list[Probe]:
    """All probes of the settings, named by their folder; relative ones count from `folder`.

    Raises InputError when one is not in the BEIR layout or two have one name.
    """
    folders = [(folder / path).resolve() for path in settings.probes]
    names = [path.name for path in folders]
    if len(set(names)) < len(names):
        raise InputError.of_culprits("training.forgetting.probes: two folders of one name", names, hint="rename one")
    return [read_probe(path, settings) for path in folders]


def read_probe(folder: Path, settings: ForgettingSettings) -> Probe:
    """A probe of a BEIR folder; the same sample every time. Its test split is asked, or what else there is.

    Raises InputError when the folder is not in the BEIR layout, or no judged passage is in its corpus.
    """
    source = beir_source(folder)
    qrels = _judged(Path(next(source.qrels[split] for split in SPLIT_ORDER if split in source.qrels)))
    texts = queries_by_id(read(Path(source.queries)), "_id", "id")
    asked = sorted((query_id for query_id in qrels if query_id in texts), key=_lot)
    answers = {passage_id for query_id in asked for passage_id in qrels[query_id]}
    corpus = _sample(folder / "corpus.jsonl", answers)
    sampled = _bounded(asked, {q: {p: g for p, g in qrels[q].items() if p in corpus} for q in asked}, settings)
    if not sampled:
        raise InputError(f"{folder}: none of its judged passages is in corpus.jsonl", "see training.forgetting.probes")
    pool = _pool([texts[query_id].text for query_id in sampled], sampled, corpus, settings.max_passages)
    return Probe(
        folder.name,
        list(sampled),
        [texts[query_id].text for query_id in sampled],
        pool,
        [corpus[passage_id] for passage_id in pool],
        sampled,
    )


def require_other_subject(probe: Probe, queries: Sequence[str]) -> None:
    """Raises TrainingError when the probe asks what training teaches: it could not show what is forgotten."""
    known = {normalized_query(query) for query in queries}
    shared = np.mean([normalized_query(query) in known for query in probe.queries])
    if shared > MOST_SHARED:
        raise TrainingError(
            f"{shared:.0%} of the queries of probe {probe.name!r} are training queries: it is the domain itself",
            "name other subjects in training.forgetting.probes",
        )


def _judged(path: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    for row in read(path):
        grade = row.grade("score", default=None)
        if grade > 0:
            qrels.setdefault(row.text("query-id").strip(), {})[row.text("corpus-id").strip()] = grade
    return qrels


def _sample(path: Path, wanted: set[str]) -> dict[str, str]:
    """The texts of the wanted passages, and of up to CANDIDATES others that a hash draws, in one streamed reading."""
    if not path.exists():
        raise InputError.of_culprits("the BEIR layout needs", [str(path)])
    found: dict[str, str] = {}

    def others() -> Iterator[tuple[str, str, str]]:
        for row in read(path):
            passage_id = row.text("_id", "id").strip()
            text = embedded_text(row.optional_text("title") or "", row.optional_text("text") or "")[:CHARACTERS]
            if passage_id in wanted:
                found[passage_id] = text
            elif text:
                yield _lot(passage_id), passage_id, text

    drawn = heapq.nsmallest(CANDIDATES, others())
    return found | {passage_id: text for _, passage_id, text in drawn}


def _bounded(asked: Sequence[str], qrels: Qrels, settings: ForgettingSettings) -> dict[str, Mapping[str, int]]:
    """The first queries with an answer whose answers fill no more than half of the pool."""
    taken: dict[str, Mapping[str, int]] = {}
    answers: set[str] = set()
    for query_id in asked:
        if len(taken) == settings.max_queries:
            break
        if qrels[query_id] and len(answers | set(qrels[query_id])) <= settings.max_passages / 2:
            taken[query_id] = qrels[query_id]
            answers |= set(qrels[query_id])
    return taken


def _pool(queries: Sequence[str], qrels: Qrels, corpus: Mapping[str, str], size: int) -> list[str]:
    """All answers, then every query's nearest passages by BM25, nearest first, until the pool is full."""
    import bm25s

    ids = list(corpus)
    index = bm25s.BM25()
    index.index([words(corpus[one]) for one in ids], show_progress=False)
    depth = min(len(ids), max(1, 2 * size // len(queries)))
    near, _ = index.retrieve([words(query) for query in queries], k=depth, show_progress=False)
    pool = dict.fromkeys(sorted({passage_id for judged in qrels.values() for passage_id in judged}))
    for row in near.T.reshape(-1).tolist():
        if len(pool) >= size:
            break
        pool.setdefault(ids[row])
    return list(pool)


def _lot(key: str) -> str:
    """A draw that only the id decides."""
    return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
