"""Texts in another language than the rest, by py3langid."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

import pandas as pd

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.ports import TableReader
from domain_embed.judgments.quality.findings import Findings, quoted
from domain_embed.judgments.quality.texts import sampled_texts
from domain_embed.settings import QualitySettings

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

MIN_LETTERS = 60
"""Shorter texts are not judged: a command, a name or a number has no language."""
MAX_CHARACTERS = 400
"""Enough of a text to tell its language by."""
MIN_PROBABILITY = 0.9

Item = tuple[Literal["passage", "query"], str, str, str]
"""Kind, id, text as shown, and language."""


def check_languages(
    judgments: pd.DataFrame, passages: TableReader, settings: QualitySettings, findings: Findings
) -> None:  # fmt: skip
    """`language`: passages and queries that are surely in none of the expected languages.

    Expected are `settings.languages`, or the most frequent language of the sampled passages. At most `sample`
    passages and as many queries are looked at, and of these the texts long enough to tell.

    Raises:
        SettingsError: When `settings.languages` names a code that is not known.
    """
    unknown = sorted(set(settings.languages) - set(_identifier().labels))
    if unknown:
        known = ", ".join(sorted(_identifier().labels))
        raise SettingsError(f"quality.languages: unknown language {', '.join(unknown)}", f"known: {known}")
    found = [
        item
        for ids, texts in sampled_texts(passages, settings.sample, settings.seed, "tell the language of passages")
        for item in _told("passage", ids, texts)
    ]
    counts = Counter(language for *_, language in found)
    expected = settings.languages or tuple(language for language, _ in counts.most_common(1))
    queries = judgments.drop_duplicates("text")
    queries = queries.sample(min(len(queries), settings.sample), random_state=settings.seed)
    found += _told("query", queries["query_id"].tolist(), queries["query"].tolist())
    for kind, item_id, shown, language in found:
        if expected and language not in expected:
            ids_of = {"passage_id": item_id} if kind == "passage" else {"query_id": item_id}
            findings.add("language", kind, f"{language}, expected {', '.join(expected)}: {shown}", **ids_of)


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of the text's language; None where it cannot be told with confidence."""
    start = text[:MAX_CHARACTERS]
    if sum(character.isalpha() for character in start) < MIN_LETTERS:
        return None
    language, probability = _identifier().classify(start)
    return str(language) if probability >= MIN_PROBABILITY else None


def _told(kind: Literal["passage", "query"], ids: Sequence[str], texts: Iterable[str]) -> list[Item]:
    told = ((item_id, text, language_of(text)) for item_id, text in zip(ids, texts, strict=True))
    return [(kind, item_id, quoted(text), language) for item_id, text, language in told if language is not None]


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
