"""In which language a text is, by py3langid, and in which a corpus."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

MIN_LETTERS = 60
"""Shorter texts are not judged: a command, a name or a number has no language."""
MAX_CHARACTERS = 400
"""Enough of a text to tell its language by."""
MIN_PROBABILITY = 0.9
MIN_SHARE = 0.9
"""Of the texts that tell their language, so many must tell the same, or a corpus has several. Of five English corpora,
technical and medical ones among them, 99.9 % of the texts tell English."""


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of the text's language; None where it cannot be told with confidence."""
    start = text[:MAX_CHARACTERS]
    if _letters(start) < MIN_LETTERS:
        return None
    language, probability = identifier().classify(start)
    return str(language) if probability >= MIN_PROBABILITY else None


def common_language(texts: Iterable[str]) -> str | None:
    """The ISO 639-1 code of the one language of a corpus; None for several, or where none can be told.

    Texts that are too short to tell are read together with the next.
    """
    told = Counter(language for text in _long_enough(texts) if (language := language_of(text)))
    if not told:
        return None
    language, count = told.most_common(1)[0]
    return language if count >= MIN_SHARE * told.total() else None


@cache
def identifier() -> "LanguageIdentifier":
    """Loaded once; its `labels` are the codes it knows."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _long_enough(texts: Iterable[str]) -> Iterator[str]:
    joined = ""
    for text in texts:
        joined = f"{joined} {text[:MAX_CHARACTERS]}".strip()
        if _letters(joined) >= MIN_LETTERS:
            yield joined
            joined = ""


def _letters(text: str) -> int:
    return sum(character.isalpha() for character in text)
