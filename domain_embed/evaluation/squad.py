"""Answers beside known ones, scored as SQuAD does.

Exact match and token F1, each the best over the known answers, after lower-casing and without punctuation and articles
(Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text, EMNLP 2016, sec. 6.1, and its evaluation
script). Punctuation taken out is ASCII's and articles are English; words are then those of `encoding.words`, so that in
scripts without spaces characters count, as CMRC 2018 has it (Cui et al., EMNLP 2019).
"""

import string
from collections import Counter
from collections.abc import Sequence

from domain_embed.encoding.words import words

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = frozenset({"a", "an", "the"})


def normalized_answer(text: str) -> list[str]:
    """What two answers are compared by; empty when nothing but articles and punctuation was said."""
    return [word for word in words(text.translate(_PUNCTUATION)) if word not in _ARTICLES]


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 when the answer equals one of the known ones, of which there is at least one; else 0."""
    return float(normalized_answer(answer) in map(normalized_answer, references))


def token_f1(answer: str, references: Sequence[str]) -> float:
    """The harmonic mean of precision and recall of the answer's words, counted as often as they occur.

    By the known answer, of at least one, that gives the highest.
    """
    return max(_f1(normalized_answer(answer), normalized_answer(known)) for known in references)


def _f1(answer: list[str], known: list[str]) -> float:
    if not answer or not known:
        return float(answer == known)
    return 2 * (Counter(answer) & Counter(known)).total() / (len(answer) + len(known))
