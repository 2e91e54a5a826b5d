"""What is wrong with a query and its passage together: copied wording, and answers the model does not read."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeAlias

import pandas as pd

from domain_embed.contracts.ports import TableReader
from domain_embed.encoding.words import words
from domain_embed.judgments.quality.findings import Findings, quoted
from domain_embed.judgments.quality.texts import chosen_texts
from domain_embed.settings import QualitySettings

CountTokens: TypeAlias = Callable[[Sequence[str]], list[int]]
"""Tokens of each text, special ones included, before anything is cut."""

TEXTS_PER_CALL = 256
_SPECIAL_TOKENS = 8


def check_copied(
    judgments: pd.DataFrame, passages: TableReader, settings: QualitySettings, findings: Findings
) -> None:  # fmt: skip
    """`copied_query`: all words of a query, at least `copied_words`, stand in its passage in one piece.

    Args:
        judgments: Columns query_id, query and passage_id.
        passages: A PASSAGES table.
        settings: `copied_words`.
        findings: Where to.
    """
    asked: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for query_id, query, passage_id in judgments[["query_id", "query", "passage_id"]].itertuples(index=False):
        asked_words = words(query)
        if len(asked_words) >= settings.copied_words:
            asked[passage_id].append((query_id, query, _spaced(asked_words)))
    for ids, texts in chosen_texts(passages, asked.keys(), "look for copied queries"):
        for passage_id, text in zip(ids, texts, strict=True):
            held = _spaced(words(text))
            for query_id, query, query_words in asked[passage_id]:
                if query_words in held:
                    detail = f"{quoted(query)} stands word for word in {passage_id}"
                    findings.add("copied_query", "judgment", detail, query_id=query_id, passage_id=passage_id)


def check_cut(
    judgments: pd.DataFrame, passages: TableReader, count_tokens: CountTokens, max_tokens: int, findings: Findings
) -> None:
    """`cut_positive`: positives of more than `max_tokens` tokens, title included."""
    positives = set(judgments["passage_id"])
    for ids, texts in chosen_texts(passages, positives, "look for passages that are cut"):
        # A token is at least one byte: most texts need no tokenizer.
        long = [
            (passage_id, text)
            for passage_id, text in zip(ids, texts, strict=True)
            if len(text.encode("utf-8", "surrogatepass")) + _SPECIAL_TOKENS > max_tokens
        ]
        counts = [
            count
            for start in range(0, len(long), TEXTS_PER_CALL)
            for count in count_tokens([text for _, text in long[start : start + TEXTS_PER_CALL]])
        ]
        for (passage_id, text), count in zip(long, counts, strict=True):
            if count > max_tokens:
                lost = f"{(count - max_tokens) / count:.0%}".replace("%", " %")
                detail = f"{count} tokens, the model reads {max_tokens}, {lost} are lost: {quoted(text)}"
                findings.add("cut_positive", "passage", detail, passage_id=passage_id)


def _spaced(found: Sequence[str]) -> str:
    """The words with a space before, between and after."""
    return f" {' '.join(found)} "
