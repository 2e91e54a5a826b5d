"""Other ways to cut the documents, compared without training on a part of the corpus.

Judgments are about passages as they are cut now. What counts of another cut is overlap with what was judged: with the
answer's own text where a label quotes it, else with the judged passage. So the same judgments measure both. Longer
passages are found more easily, and cost whoever reads them more: their length is told beside the figure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection, TableReader
from domain_embed.contracts.records import embedded_text
from domain_embed.corpus.chunking import ChunkReport, chunk_documents
from domain_embed.diagnosis.candidates import Pool, embed_with_progress
from domain_embed.diagnosis.causes import DEPTH
from domain_embed.diagnosis.levers import Lever, Yardstick
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.measures import HEADLINE, ndcg_scores
from domain_embed.evaluation.significance import compare
from domain_embed.judgments.passage_rows import all_rows
from domain_embed.settings import ChunkingSettings

BATCH_ROWS = 4096
OVERLAP = 0.5
"""Of the shorter of both texts: a passage that shares so much of it with what was judged counts as it."""
PLACE = ("passage_id", "doc_id", "start", "end")


@dataclass(frozen=True)
class Span:
    """Characters of a document's text."""

    doc_id: str
    start: int
    end: int

    def holds(self, other: "Span") -> bool:
        """Whether both share enough to count as one answer."""
        shared = min(self.end, other.end) - max(self.start, other.start)
        shorter = max(1, min(self.end - self.start, other.end - other.start))
        return self.doc_id == other.doc_id and shared >= OVERLAP * shorter


@dataclass(frozen=True)
class Cut:
    """The passages that some documents are cut into, and the vectors of these, (n, dim) float32, in the same order."""

    spans: Sequence[Span]
    vectors: NDArray[np.float32] = field(repr=False)

    @property
    def mean_length(self) -> float:
        """Of a passage, in characters."""
        return sum(span.end - span.start for span in self.spans) / len(self.spans)


@dataclass(frozen=True)
class Comparing:
    """What cuts are compared on: the pool's queries, what was judged for them, and the documents that are cut.

    `query_vectors` (n, dim) float32 are of the pool's queries, `spans` by query id and judged passage id, `documents`
    DOCUMENTS rows out of `all_documents`, and `places` says where the passages lie that they are cut into now.
    """

    pool: Pool
    query_vectors: NDArray[np.float32]
    spans: Mapping[str, Mapping[str, Span]]
    documents: pa.Table
    all_documents: int
    places: Mapping[str, Span]
    encoder: TorchEncoder

    def scores(self, cut: Cut) -> "pd.Series[float]":
        """nDCG@10 by query id of the dense ranking over a cut."""
        best = np.argsort(-(self.query_vectors @ cut.vectors.T), axis=1, kind="stable")[:, :DEPTH]
        run = {
            query_id: _as_judged([cut.spans[place] for place in places], self.spans[query_id])
            for query_id, places in zip(self.pool.queries, best.tolist(), strict=True)
        }
        return ndcg_scores(run, self.pool.qrels)


def _as_judged(ranked: Iterable[Span], judged: Mapping[str, Span]) -> list[str]:
    """The ranking as ids of judged passages where it first reaches one, and of nothing known elsewhere."""
    found: list[str] = []
    open_ones = dict(judged)
    for rank, span in enumerate(ranked):
        reached = [passage_id for passage_id, wanted in open_ones.items() if span.holds(wanted)]
        found += reached or [f"(unjudged {rank})"]
        for passage_id in reached:
            del open_ones[passage_id]
    return found


def compare_on(
    pool: Pool, documents: TableReader, passages: TableReader, labels: pa.Table, encoder: TorchEncoder
) -> Comparing:
    """The whole documents that the pool's passages are cut from."""
    in_pool = {point.passage_id for point in pool.points}
    place_of = {row[0]: Span(*row[1:]) for row in all_rows(passages, PLACE, "finding documents")}
    wanted = {place_of[passage_id].doc_id for passage_id in in_pool}
    kept = pa.Table.from_batches(_rows_of_documents(documents, wanted))
    text_of = dict(zip(kept["doc_id"].to_pylist(), kept["text"].to_pylist(), strict=True))
    answers = _answers(labels)
    spans = {
        query_id: {
            one: _answer_span(place_of[one], answers.get(query_id, ()), text_of) for one in grades if one in place_of
        }
        for query_id, grades in pool.qrels.items()
    }
    places = {passage_id: place for passage_id, place in place_of.items() if place.doc_id in wanted}
    asked = encoder.encode_queries(list(pool.queries.values()))
    return Comparing(pool, asked, spans, kept, documents.count, places, encoder)


def chunking_levers(
    comparing: Comparing, collection: Collection, chunkings: Sequence[ChunkingSettings], yardstick: Yardstick
) -> list[Lever]:
    """One lever for each way to cut: what its dense ranking gains over that of the current passages."""
    points = collection.fetch(list(comparing.places))
    current = Cut(
        [comparing.places[point.passage_id] for point in points], np.stack([point.dense for point in points])
    )  # fmt: skip
    known = comparing.scores(current)
    return [_lever(comparing, chunking, known, yardstick) for chunking in chunkings]


def _lever(comparing: Comparing, chunking: ChunkingSettings, known: "pd.Series[float]", yardstick: Yardstick) -> Lever:
    cut = _cut(comparing, chunking)
    scores = comparing.scores(cut)
    name = describe(chunking)
    found = compare(
        name, "current passages", HEADLINE, scores, known,
        resamples=yardstick.settings.resamples, seed=yardstick.settings.seed,
    )  # fmt: skip
    in_all = round(len(cut.spans) / len(comparing.documents) * comparing.all_documents)
    told = ", ".join(f"{key}: {value}" for key, value in chunking.model_dump(exclude_defaults=True).items())
    return Lever(
        f"chunking:{name}", f"Passages by {name}", "measured", found.delta, found.ci95, yardstick.mean + found.delta,
        f"`chunking: {{{told}}}`", reembeds=in_all, comparison=found,
        note=f"dense, on {len(known):,} queries over {len(comparing.documents):,} documents, judged by overlap",
        facts={"passages": f"about {in_all:,}", "characters each": f"{cut.mean_length:.0f}"},
    )  # fmt: skip


def describe(chunking: ChunkingSettings) -> str:
    """In words, such as: sentences, 128 tokens, 32 of them repeated."""
    parts: list[str] = ["whole documents" if chunking.strategy == "none" else chunking.strategy]
    if chunking.max_tokens is not None:
        parts.append(f"{chunking.max_tokens} tokens")
    if chunking.overlap_tokens:
        parts.append(f"{chunking.overlap_tokens} of them repeated")
    return ", ".join(parts)


def _cut(comparing: Comparing, chunking: ChunkingSettings) -> Cut:
    """The pool's documents cut in this way and embedded."""
    encoder = comparing.encoder
    batches = chunk_documents(
        comparing.documents.to_batches(), chunking, encoder.tokenizer, encoder.max_tokens, ChunkReport(),
        count=len(comparing.documents),
    )  # fmt: skip
    rows = [row for batch in batches for row in batch.to_pylist()]
    texts = [embedded_text(row["title"], row["text"]) for row in rows]
    vectors = embed_with_progress(encoder, texts, describe(chunking))
    return Cut([Span(row["doc_id"], row["start"], row["end"]) for row in rows], vectors)


def _rows_of_documents(documents: TableReader, wanted: set[str]) -> Iterator[pa.RecordBatch]:
    ids = pa.array(sorted(wanted), pa.string())
    for batch in documents.batches(BATCH_ROWS):
        yield batch.filter(pc.is_in(batch["doc_id"], ids))


def _answers(labels: pa.Table) -> dict[str, list[str]]:
    """The quoted answers of every query that has some."""
    quoted = labels.filter(pc.is_valid(labels["answer"])).select(["query_id", "answer"]).to_pylist()
    found: dict[str, list[str]] = {}
    for row in quoted:
        found.setdefault(row["query_id"], []).append(row["answer"].strip())
    return found


def _answer_span(place: Span, answers: Sequence[str], text_of: Mapping[str, str]) -> Span:
    """Where an answer stands word for word in the judged passage; the passage itself when none does."""
    for answer in answers:
        start = text_of[place.doc_id].find(answer, place.start, place.end) if answer else -1
        if start >= 0:
            return Span(place.doc_id, start, start + len(answer))
    return place
