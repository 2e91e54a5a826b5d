"""BM25 as sparse vectors: term weights on the passage side, the store applies IDF on the query side.

Score = Σ over query terms of idf(t) · tf · (k1 + 1) / (tf + k1 · (1 − b + b · length / average length)), Robertson and
Zaragoza (2009), "The Probabilistic Relevance Framework: BM25 and Beyond"; idf as in Lucene and Qdrant.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import Stemmer

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.records import CollectionInfo, SparseVector
from domain_embed.encoding import words
from domain_embed.settings import SparseSettings

AUTO = "auto"
CACHED_TERMS = 1 << 18
STEMMERS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish",
    "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "nb": "norwegian", "ne": "nepali", "nl": "dutch", "nn": "norwegian",
    "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
"""Snowball's, by ISO 639-1 code."""


class Analyzer:
    """Text to term ids: words without stop words, stemmed; the same for passages and queries.

    Args:
        language: Of stemmer and stop words, or "none".
        version: Of the definition of a word, see `encoding.words`.

    Raises SettingsError for a language without a Snowball stemmer.
    """

    def __init__(self, language: str, version: int = words.VERSION) -> None:
        if language != "none" and language not in Stemmer.algorithms():
            allowed = ", ".join([*sorted(Stemmer.algorithms()), "none", AUTO])
            raise SettingsError(f"sparse.language: {language!r} is not known; allowed: {allowed}")
        self.language = language
        self._stem = Stemmer.Stemmer(language).stemWord if language != "none" else str
        before = version == 1
        self._words = words.words_before if before else words.words
        self._stopwords = frozenset(map(str if before else words.folded, _stopwords(language)))
        self._term = lru_cache(CACHED_TERMS)(self._uncached_term)

    @classmethod
    def of(cls, info: CollectionInfo) -> "Analyzer":
        """The one that made a collection's vectors: a query is read as its passages were."""
        return cls(info.sparse_language, info.words_version)

    def terms(self, text: str) -> Counter[int]:
        """How often each term id occurs."""
        ids = (self._term(word) for word in self._words(text))
        return Counter(term for term in ids if term is not None)

    def query_vector(self, text: str) -> SparseVector:
        """Weight = occurrences in the query; empty when only stop words remain."""
        return _sparse_vector(self.terms(text))

    def _uncached_term(self, word: str) -> int | None:
        return None if word in self._stopwords else term_id(self._stem(word))


class Bm25Weights:
    """Passage-side weights for a corpus of known average length."""

    def __init__(self, analyzer: Analyzer, settings: SparseSettings, average_length: float) -> None:
        self._analyzer = analyzer
        self._k1, self._b = settings.k1, settings.b
        self._average_length = max(average_length, 1.0)

    @classmethod
    def fit(cls, settings: SparseSettings, batches: Iterable[Sequence[str]]) -> "Bm25Weights":
        """Reads the corpus once for its average length in terms."""
        analyzer = Analyzer(settings.language)
        lengths = [sum(analyzer.terms(text).values()) for texts in batches for text in texts]
        return cls(analyzer, settings, float(np.mean(lengths)) if lengths else 0.0)

    def passage_vector(self, text: str) -> SparseVector:
        """The BM25 term-frequency factor of every term of the passage."""
        terms = self._analyzer.terms(text)
        length_norm = self._k1 * (1 - self._b + self._b * sum(terms.values()) / self._average_length)
        return _sparse_vector({term: tf * (self._k1 + 1) / (tf + length_norm) for term, tf in terms.items()})


@lru_cache
def _stopwords(language: str) -> frozenset[str]:
    """None for a language without a list."""
    from bm25s import stopwords  # it loads scipy, a third of a second that `plan` need not wait for

    name = "EN" if language == "english" else language.upper()
    return frozenset(getattr(stopwords, f"STOPWORDS_{name}", ()))


@lru_cache(CACHED_TERMS)
def term_id(term: str) -> int:
    """A dimension for a term without a shared vocabulary: 32 bits of a hash, so two terms rarely meet."""
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=4).digest())


def _sparse_vector(weights: dict[int, float] | Counter[int]) -> SparseVector:
    indices = np.array(sorted(weights), dtype=np.uint32)
    return SparseVector(indices, np.array([weights[int(index)] for index in indices], dtype=np.float32))
