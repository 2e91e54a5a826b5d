"""Alignment: an answer's passage by its words, a document's passage by base model and BM25 together."""

from collections.abc import Mapping, Sequence
from math import exp

import numpy as np
import pyarrow as pa
import pytest

from domain_embed.contracts.records import CollectionInfo, Hit, Mode, Point
from domain_embed.contracts.tables import PASSAGES, content_hash
from domain_embed.encoding.bm25 import Bm25Weights
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.judgments.alignment import Aligner, Alignment, Label, Places, answer_share
from domain_embed.retrieval.searcher import Searcher
from domain_embed.settings import AlignmentSettings, RetrievalSettings, SparseSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.encoding.fakes import MemoryTable

TEXTS = {
    "tea#1": "Boil fresh water and warm the pot before the leaves go in.",
    "tea#2": "Black leaves draw for four minutes, green ones for two.",
    "tea#3": "Rinse the pot with hot water alone, never with soap.",
    "bike#1": "Turn the barrel adjuster until the derailleur shifts cleanly.",
    "bike#2": "Rub wax on a dry chain and wipe it off after ten minutes.",
}


@pytest.fixture(scope="module")
def aligner(minilm: TorchEncoder) -> Aligner:
    weights = Bm25Weights.fit(SparseSettings(), [list(TEXTS.values())])
    vectors = minilm.encode_documents(list(TEXTS.values()))
    points = [
        Point(key, key.split("#")[0], "", text, {}, content_hash("", text), vector, weights.passage_vector(text))
        for (key, text), vector in zip(TEXTS.items(), vectors, strict=True)
    ]
    store = QdrantStore.in_memory()
    info = CollectionInfo(
        "c", minilm.fingerprint, "base", minilm.dimensions, "v1", len(points), "english", {}, "2026"
    )  # fmt: skip
    store.build(info, [points])
    return Aligner(Searcher(store.open("c"), minilm, RetrievalSettings()), places(), AlignmentSettings())


def places() -> Places:
    rows = [
        {"passage_id": key, "doc_id": key.split("#")[0], "title": "", "text": text, "metadata": "{}",
         "content_hash": "", "heading": "", "start": 0, "end": len(text)}
        for key, text in TEXTS.items()
    ]  # fmt: skip
    return Places.of(MemoryTable(pa.Table.from_pylist(rows, schema=PASSAGES)))


def one(aligner: Aligner, query: str, document: str | None = None, answer: str | None = None) -> Alignment:
    [alignment] = aligner.align([Label(query, document, answer)])
    return alignment


def test_places_know_passages_by_themselves_and_by_document() -> None:
    known = places()
    assert known.passages("tea#2") == ["tea#2"]
    assert known.passages("bike") == ["bike#1", "bike#2"]
    assert known.passages("nowhere") == []


def test_an_answer_is_found_in_its_document_by_its_words(aligner: Aligner) -> None:
    found = one(aligner, "how long", "tea", "GREEN ones, for two")
    assert found == Alignment("tea#2", 1.0, "100% of the answer stands in it")


def test_an_answer_without_a_document_is_looked_up_in_the_corpus(aligner: Aligner) -> None:
    assert one(aligner, "how do I look after a chain", answer="rub wax on a dry chain").passage_id == "bike#2"


def test_an_answer_that_stands_nowhere_has_no_passage(aligner: Aligner) -> None:
    found = one(aligner, "how long", answer="feed the cat at noon, and again before the leaves of the tree fall")
    assert found == Alignment(None, 0.0, "the answer stands in no passage")


def test_half_an_answer_is_less_certain_than_any_that_counts(aligner: Aligner) -> None:
    found = one(aligner, "how long", "tea", "black leaves draw for four minutes unless they are very broken ones")
    assert found.passage_id == "tea#2"
    assert found.confidence < AlignmentSettings().min_confidence
    assert found.grounds == "only 58% of the answer stands in it"


def test_an_answer_in_several_passages_is_decided_by_the_query(aligner: Aligner) -> None:
    assert one(aligner, "how do I clean the tea pot without soap", "tea", "the pot").passage_id == "tea#3"


def test_a_document_is_narrowed_to_the_passage_both_rankings_prefer(aligner: Aligner) -> None:
    found = one(aligner, "how many minutes do green leaves draw", "tea")
    assert found.passage_id == "tea#2"
    assert found.confidence > 0.9
    assert found.grounds == "base model and BM25 agree on it, among 3 passages"


def test_labels_come_back_in_order(aligner: Aligner) -> None:
    asked = [
        Label("shift gears", "bike", None), Label("how long", None, "black leaves draw for four minutes"),
        Label("wax", "bike", "wax on a dry chain"),
    ]  # fmt: skip
    assert [found.passage_id for found in aligner.align(asked)] == ["bike#1", "tea#2", "bike#2"]


class TwoRankings:
    """Answers with the same hits whatever is asked."""

    def __init__(self, dense: Mapping[str, float], sparse: Mapping[str, float]) -> None:
        self._hits: dict[Mode, list[Hit]] = {
            "dense": [Hit(key, score) for key, score in dense.items()],
            "sparse": [Hit(key, score) for key, score in sparse.items()],
        }

    def rank(
        self, queries: Sequence[str], k: int, modes: Sequence[Mode], *, exact: bool = False
    ) -> dict[Mode, list[list[Hit]]]:
        return {mode: [self._hits[mode] for _ in queries] for mode in modes}


def confidence(dense: Mapping[str, float], sparse: Mapping[str, float]) -> Alignment:
    known = Places({"x": "d", "y": "d"}, {"d": ["x", "y"]})
    return one(Aligner(TwoRankings(dense, sparse), known, AlignmentSettings()), "ask", "d")  # type: ignore[arg-type]


def test_the_confidence_by_hand() -> None:
    found = confidence({"x": 0.6, "y": 0.5}, {"x": 3.0, "y": 1.0})
    by_model, by_words = 1 / (1 + exp(-2)), 3 / 4
    assert found.passage_id == "x"
    assert found.confidence == pytest.approx(1 - (1 - by_model) * (1 - by_words))


def test_disagreement_is_less_certain_and_said() -> None:
    found = confidence({"x": 0.6, "y": 0.5}, {"y": 1.0, "x": 1.0 - 1e-9})
    assert found.grounds == "base model and BM25 do not agree, among 2 passages"
    assert found.confidence < confidence({"x": 0.6, "y": 0.5}, {"x": 1.0}).confidence


def test_a_document_no_ranking_reaches_has_no_passage() -> None:
    assert confidence({"other": 0.9}, {}).passage_id is None


def test_one_ranking_is_enough() -> None:
    assert confidence({}, {"y": 2.0}).confidence == 1.0
    assert confidence({"x": 0.3}, {}).confidence == 1.0


def test_answer_shares_by_hand() -> None:
    assert answer_share(["b", "c"], ["a", "b", "c", "d"]) == 1.0
    assert answer_share(["a", "x", "c", "y"], ["a", "b", "c"]) == 0.5
    assert answer_share([], ["a"]) == answer_share(["a"], []) == 0.0
    assert answer_share(["a"], ["ab"]) == 0.0


def test_a_passage_that_is_part_of_a_long_answer_holds_it() -> None:
    passage = [f"w{n}" for n in range(20)]
    assert answer_share([f"w{n}" for n in range(200)], passage) == 1.0
    assert answer_share([f"w{n}" for n in range(200)], passage[:10]) == pytest.approx(10 / 200)


def test_many_dense_scores_never_overflow() -> None:
    assert np.isfinite(confidence({"x": 1.0, "y": -1.0}, {}).confidence)
