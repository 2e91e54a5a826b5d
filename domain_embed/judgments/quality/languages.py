"""Texts in another language than the rest, by py3langid."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import pandas as pd

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.ports import TableReader
from domain_embed.encoding.languages import identifier, language_of
from domain_embed.judgments.quality.findings import Findings, quoted
from domain_embed.judgments.quality.texts import sampled_texts
from domain_embed.settings import QualitySettings

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
    unknown = sorted(set(settings.languages) - set(identifier().labels))
    if unknown:
        known = ", ".join(sorted(identifier().labels))
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


def _told(kind: Literal["passage", "query"], ids: Sequence[str], texts: Iterable[str]) -> list[Item]:
    told = ((item_id, text, language_of(text)) for item_id, text in zip(ids, texts, strict=True))
    return [(kind, item_id, quoted(text), language) for item_id, text, language in told if language is not None]
