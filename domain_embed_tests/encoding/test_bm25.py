"""BM25 against a pencil, and an analyzer that treats passages and queries alike."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.records import SparseVector
from domain_embed.encoding import words
from domain_embed.encoding.bm25 import STEMMERS, Analyzer, Bm25Weights, term_id
from domain_embed.settings import SparseSettings
from domain_embed_tests.stores.samples import info as collection_info

# Stemmed and without stop words: "cat cat sat" (3), "dog" (1), "cat dog dog dog bark" (5); 3 terms on average.
TEXTS = ["The cats sat, a CAT", "dogs!", "cat dogs dog dog barking"]


def weights_by_term(vector: SparseVector, *terms: str) -> Mapping[str, float]:
    found = dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))
    named = {term: found.pop(term_id(term)) for term in terms}
    assert not found
    return named


def test_passage_weights_by_hand() -> None:
    weights = Bm25Weights.fit(SparseSettings(k1=1.2, b=0.75), [TEXTS[:2], TEXTS[2:]])
    assert weights_by_term(weights.passage_vector(TEXTS[0]), "cat", "sat") == pytest.approx(
        {"cat": 2 * 2.2 / (2 + 1.2), "sat": 1 * 2.2 / (1 + 1.2)}
    )
    assert weights_by_term(weights.passage_vector(TEXTS[1]), "dog") == pytest.approx(
        {"dog": 2.2 / (1 + 1.2 * (0.25 + 0.75 / 3))}
    )
    norm = 1.2 * (0.25 + 0.75 * 5 / 3)
    assert weights_by_term(weights.passage_vector(TEXTS[2]), "cat", "dog", "bark") == pytest.approx(
        {"cat": 2.2 / (1 + norm), "dog": 3 * 2.2 / (3 + norm), "bark": 2.2 / (1 + norm)}
    )


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (SparseSettings(k1=0), {"cat": 1.0, "dog": 1.0, "bark": 1.0}),
        (SparseSettings(k1=2, b=0), {"cat": 3 / 3, "dog": 3 * 3 / (3 + 2), "bark": 3 / 3}),
        (SparseSettings(k1=2, b=1), {"cat": 3 / (1 + 10 / 3), "dog": 9 / (3 + 10 / 3), "bark": 3 / (1 + 10 / 3)}),
    ],
)
def test_k1_is_how_fast_repeats_stop_counting_and_b_how_much_length_does(
    settings: SparseSettings, expected: Mapping[str, float]
) -> None:
    weights = Bm25Weights.fit(settings, [TEXTS])
    assert weights_by_term(weights.passage_vector(TEXTS[2]), *expected) == pytest.approx(expected)


def test_query_weights_are_counts() -> None:
    vector = Analyzer("english").query_vector("Which cats chase a dog, which cat?")
    assert weights_by_term(vector, "cat", "chase", "dog", "which") == {"cat": 2, "chase": 1, "dog": 1, "which": 2}


def test_word_forms_meet() -> None:
    analyzer = Analyzer("english")
    assert analyzer.terms("connect connected Connecting CONNECTIONS") == {term_id("connect"): 4}
    german = Analyzer("german")
    assert german.terms("Häuser Haus") == {term_id("haus"): 2}


def test_stop_words_vanish_by_language() -> None:
    assert Analyzer("english").terms("the and of it") == {}
    assert Analyzer("german").terms("der und die") == {}
    assert Analyzer("german").terms("the") == {term_id("the"): 1}


def test_without_a_language_words_stay_as_they_are() -> None:
    assert Analyzer("none").terms("The cats") == {term_id("the"): 1, term_id("cats"): 1}


@pytest.mark.parametrize("text", ["", "the of and", "... !? --", "\n\t"])
def test_a_query_without_terms_has_an_empty_vector(text: str) -> None:
    vector = Analyzer("english").query_vector(text)
    assert (vector.indices.shape, vector.values.shape) == ((0,), (0,))
    assert (vector.indices.dtype, vector.values.dtype) == (np.uint32, np.float32)
    passage = Bm25Weights.fit(SparseSettings(), [["some words"]]).passage_vector(text)
    assert passage.indices.shape == (0,)


def test_an_unknown_language_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        SettingsError, match=r"sparse.language: 'klingon' is not known; allowed: arabic, .*turkish, .*none"
    ):
        Analyzer("klingon")
    with pytest.raises(SettingsError, match="'klingon'"):
        Bm25Weights.fit(SparseSettings(language="klingon"), [TEXTS])


@pytest.mark.parametrize("batches", [[], [[]], [["the of", ""]]])
def test_a_corpus_without_terms_divides_by_nothing(batches: list[list[str]]) -> None:
    weights = Bm25Weights.fit(SparseSettings(), batches)
    assert np.isfinite(weights.passage_vector("cat sat").values).all()


@given(text=st.text(max_size=60))
def test_vectors_are_well_formed_for_any_text(text: str) -> None:
    vector = Bm25Weights.fit(SparseSettings(), [TEXTS]).passage_vector(text)
    assert (np.diff(vector.indices.astype(np.int64)) > 0).all()
    assert vector.indices.shape == vector.values.shape
    assert (vector.values > 0).all()
    assert (vector.values < 2.2).all()
    assert vector.indices.tolist() == Analyzer("english").query_vector(text).indices.tolist()


def test_a_collections_queries_are_read_as_its_passages_were() -> None:
    info = replace(collection_info(), sparse_language="none", words_version=1)
    assert Analyzer.of(info).terms("二维码 café") == {term_id("二维码"): 1, term_id("café"): 1}
    assert Analyzer.of(replace(info, words_version=words.VERSION)).terms("二维码") == Counter(map(term_id, "二维码"))
    assert collection_info().words_version == 1  # what a collection is that does not say so


def test_stop_words_vanish_however_they_are_typed() -> None:
    assert Analyzer("german").terms("daß Dass für FU\u0308R wa\u0308hrend") == {}


def test_every_stemmer_named_for_a_language_exists() -> None:
    assert {Analyzer(language).language for language in STEMMERS.values()} == set(STEMMERS.values())
