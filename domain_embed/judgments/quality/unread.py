"""Texts that the model cannot read, because its vocabulary lacks their characters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from domain_embed.contracts.ports import TableReader
from domain_embed.corpus.tokens import TokenCounter
from domain_embed.judgments.quality.findings import Findings, quoted
from domain_embed.judgments.quality.texts import sampled_texts
from domain_embed.settings import QualitySettings

MAX_SHARE = 0.1
"""Of a text's tokens that may be unknown. Of 10,000 English passages none had 5 % with an English vocabulary; Japanese
texts had 19 %, Chinese 60 %, Thai all."""
MIN_UNKNOWN = 2
"""One unknown sign in a short query, say an emoji, leaves its words."""


@dataclass(frozen=True)
class Unread:
    """The share of all tokens of the passages, and of the queries, that the model's vocabulary lacks."""

    passages: float
    queries: float

    @property
    def language(self) -> bool:
        """Whether the model cannot read the language of the passages, or that of the queries."""
        return max(self.passages, self.queries) > MAX_SHARE


def check_unread(
    judgments: pd.DataFrame, passages: TableReader, counter: TokenCounter, settings: QualitySettings, findings: Findings
) -> Unread:
    """`unread_text`: passages and queries with too many tokens that stand for unknown characters.

    At most `sample` passages and as many queries are looked at.
    """
    asked = judgments.drop_duplicates("text")
    asked = asked.sample(min(len(asked), settings.sample), random_state=settings.seed)
    sampled = sampled_texts(passages, settings.sample, settings.seed, "look for texts the model cannot read")
    return Unread(
        passages=_share("passage", sampled, counter, findings),
        queries=_share("query", [(asked["query_id"].tolist(), asked["query"].tolist())], counter, findings),
    )


def is_unread(unknown: int, tokens: int) -> bool:
    """Whether a text with so many unknown among its tokens says little to the model."""
    return unknown >= MIN_UNKNOWN and unknown > MAX_SHARE * tokens


def _share(
    kind: Literal["passage", "query"], batches: Iterable[tuple[Sequence[str], Sequence[str]]], counter: TokenCounter,
    findings: Findings,
) -> float:  # fmt: skip
    all_unknown, all_tokens = 0, 0
    for ids, texts in batches:
        for item_id, text, (unknown, tokens) in zip(ids, texts, counter.unknown(texts), strict=True):
            all_unknown += unknown
            all_tokens += tokens
            if is_unread(unknown, tokens):
                detail = f"the model does not know {unknown} of {tokens} tokens: {quoted(text)}"
                ids_of = {"passage_id": item_id} if kind == "passage" else {"query_id": item_id}
                findings.add("unread_text", kind, detail, **ids_of)
    return all_unknown / max(1, all_tokens)
