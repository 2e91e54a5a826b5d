"""Other ways to cut the documents: what counts as found, and that a cut is measured for what it is."""

from dataclasses import replace

import pyarrow as pa
import pytest

from domain_embed.contracts.tables import DOCUMENTS, content_hash
from domain_embed.corpus.chunking import ChunkReport, chunk_documents
from domain_embed.diagnosis.candidates import neutral_pool
from domain_embed.diagnosis.chunkings import Span, _as_judged, chunking_levers, compare_on, describe
from domain_embed.diagnosis.levers import Lever, Yardstick
from domain_embed.diagnosis.rankings import rank_queries
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import ChunkingSettings, DiagnosisSettings, EvaluationSettings, RetrievalSettings
from domain_embed_tests.diagnosis.faults import QRELS, TEXTS, label_table
from domain_embed_tests.encoding.fakes import MemoryTable
from domain_embed_tests.judgments.quality_material import collection_of
from domain_embed_tests.scenario import CORPUS

SETTINGS = DiagnosisSettings(candidate_passages=1000)


@pytest.mark.parametrize(
    ("one", "other", "counts"),
    [
        (Span("d", 0, 100), Span("d", 0, 100), True),
        (Span("d", 0, 100), Span("e", 0, 100), False),
        (Span("d", 0, 1000), Span("d", 400, 420), True),  # a quoted answer in a long passage
        (Span("d", 400, 420), Span("d", 0, 1000), True),  # a part of the judged passage
        (Span("d", 0, 100), Span("d", 50, 150), True),
        (Span("d", 0, 100), Span("d", 51, 151), False),
        (Span("d", 0, 100), Span("d", 100, 200), False),
    ],
)
def test_half_of_the_shorter_text_must_be_shared(one: Span, other: Span, counts: bool) -> None:
    assert one.holds(other) is counts


def test_a_judged_passage_stands_where_it_is_first_reached() -> None:
    judged = {"a": Span("d", 0, 100), "b": Span("d", 100, 200)}
    ranked = [Span("e", 0, 9), Span("d", 20, 40), Span("d", 60, 80), Span("d", 0, 200)]
    assert [one if one in judged else "" for one in _as_judged(ranked, judged)] == ["", "a", "", "b"]
    assert _as_judged([Span("d", 0, 200)], judged) == ["a", "b"]


def test_a_cut_is_described() -> None:
    assert describe(ChunkingSettings()) == "whole documents"
    told = describe(ChunkingSettings(strategy="sentences", max_tokens=128, overlap_tokens=32))
    assert told == "sentences, 128 tokens, 32 of them repeated"


class Handbook:
    """Some runbooks a document, cut in some way; each runbook is what was judged, wherever it now lies."""

    def __init__(self, encoder: TorchEncoder, chunking: ChunkingSettings, runbooks: int = 5, head: str = "") -> None:
        self.encoder = encoder
        texts, self.place_of = {}, {}
        for first in range(0, len(CORPUS), runbooks):
            parts, doc_id = CORPUS[first : first + runbooks], f"handbook-{first}"
            texts[doc_id] = head + "\n\n".join(part.text for part in parts)
            for part in parts:
                start = texts[doc_id].index(part.text)
                self.place_of[part.passage_id] = Span(doc_id, start, start + len(part.text))
        rows = [
            {"doc_id": key, "title": "", "text": text, "metadata": "{}", "content_hash": content_hash("", text)}
            for key, text in texts.items()
        ]  # fmt: skip
        self.documents = MemoryTable(pa.Table.from_pylist(rows, schema=DOCUMENTS))
        batches = chunk_documents(
            self.documents.batches(100), chunking, encoder.tokenizer, encoder.max_tokens, ChunkReport()
        )
        self.passages = MemoryTable(pa.Table.from_batches(list(batches)))
        self.collection = collection_of(self.passages, encoder)

    def qrels(self) -> dict[str, dict[str, int]]:
        """The runbooks' judgments as judgments of the passages that hold them."""
        places = {row["passage_id"]: Span(row["doc_id"], row["start"], row["end"]) for row in self.rows()}
        return {
            query_id: {
                key: grade for one, grade in grades.items() for key, place in places.items()
                if place.holds(self.place_of[one])
            }
            for query_id, grades in QRELS.items()
        }  # fmt: skip

    def rows(self) -> list[dict[str, object]]:
        return self.passages.read().to_pylist()

    def levers(self, *chunkings: ChunkingSettings, labels: pa.Table | None = None) -> list[Lever]:
        rankings = rank_queries(TEXTS, self.qrels(), self.collection, self.encoder, RetrievalSettings())
        scores = rankings.scores(rankings.run("dense"))
        pool = neutral_pool(rankings, self.collection, self.passages, SETTINGS)
        given = label_table([]) if labels is None else labels
        comparing = compare_on(pool, self.documents, self.passages, given, self.encoder)
        yardstick = Yardstick("dense", scores, EvaluationSettings(resamples=300))
        return chunking_levers(comparing, self.collection, chunkings, yardstick)


HEAD = "This page belongs to the company. Ask the owner before you change it. It is reviewed every year. " * 4
SENTENCES = ChunkingSettings(strategy="sentences", max_tokens=64)


def test_the_cut_there_is_gains_nothing_over_itself(minilm: TorchEncoder) -> None:
    (lever,) = Handbook(minilm, SENTENCES).levers(SENTENCES)
    assert lever.gain == pytest.approx(0, abs=1e-9)
    assert lever.name == "chunking:sentences, 64 tokens"
    assert lever.how == "`chunking: {strategy: sentences, max_tokens: 64}`"


def test_documents_too_long_for_the_model_are_better_cut(minilm: TorchEncoder) -> None:
    """Of a whole document the model reads what stands at the head of all of them, and little more."""
    answers = [
        (query_id, TEXTS[query_id], None, part.text)
        for query_id, grades in QRELS.items() for part in CORPUS if part.passage_id in grades
    ]  # fmt: skip
    (lever,) = Handbook(minilm, ChunkingSettings(), 1, HEAD).levers(SENTENCES, labels=label_table(answers))
    assert lever.kind == "measured"
    assert lever.gain > 0.05
    assert lever.ci95[0] > 0
    assert lever.reembeds > len(CORPUS)


def test_cutting_too_small_is_seen(minilm: TorchEncoder) -> None:
    tiny, better = ChunkingSettings(strategy="sentences", max_tokens=16), SENTENCES
    worse, same = Handbook(minilm, better).levers(tiny, better)
    assert worse.reaches != same.reaches
    assert worse.reembeds > same.reembeds


def test_an_answer_quoted_by_a_label_is_what_must_be_found(minilm: TorchEncoder) -> None:
    book = Handbook(minilm, ChunkingSettings())
    query_id = next(iter(QRELS))
    part = next(one for one in CORPUS if one.passage_id in QRELS[query_id])
    labels = label_table([(query_id, TEXTS[query_id], None, part.text)])
    rankings = rank_queries(TEXTS, book.qrels(), book.collection, minilm, RetrievalSettings())
    pool = replace(
        neutral_pool(rankings, book.collection, book.passages, SETTINGS),
        queries={query_id: TEXTS[query_id]}, qrels={query_id: book.qrels()[query_id]},
    )  # fmt: skip
    comparing = compare_on(pool, book.documents, book.passages, labels, minilm)
    place = book.place_of[part.passage_id]
    assert place in comparing.spans[query_id].values()
    assert sorted(comparing.places) == sorted(row["passage_id"] for row in book.rows())
