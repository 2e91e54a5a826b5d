"""Counting tokens as the base model's tokenizer makes them, with nothing cut."""

import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

COUNTED_CHARACTERS = 1 << 17
"""Of one text; the rest of a longer one is taken to have as many tokens a character. Far over every model's limit."""
CALL_CHARACTERS = 1 << 20
"""Tokenized in one call: a token costs its encoding about a hundred bytes."""


class TokenCounter:
    """Counts tokens with a copy of a tokenizer that neither truncates nor pads.

    Attributes:
        tokenizer: The copy.
        special: Tokens that are added to every text.
    """

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self.tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.special: int = self.tokenizer.num_special_tokens_to_add(False)

    def count(self, texts: Iterable[str]) -> list[int]:
        """Tokens of each text, special ones included; extrapolated for texts of absurd length."""
        counts: list[int] = []
        for call in _calls(texts):
            encodings = self.tokenizer.encode_batch_fast([text[:COUNTED_CHARACTERS] for text in call])
            for text, encoding in zip(call, encodings, strict=True):
                counts.append(len(encoding) * max(len(text), COUNTED_CHARACTERS) // COUNTED_CHARACTERS)
        return counts

    def unknown(self, texts: Iterable[str]) -> list[tuple[int, int]]:
        """Of each text, as far as it is looked at, the tokens that stand for what the vocabulary lacks, and all.

        Special ones are left out. A vocabulary that has every byte lacks nothing.
        """
        found: list[tuple[int, int]] = []
        for call in _calls(texts):
            cut = [text[:COUNTED_CHARACTERS] for text in call]
            encodings = self.tokenizer.encode_batch_fast(cut, add_special_tokens=False)
            found += ((encoding.ids.count(self._unknown_id), len(encoding)) for encoding in encodings)
        return found

    @cached_property
    def _unknown_id(self) -> int:
        """A Unigram model keeps its number, the others its text; -1 where there is none."""
        model = json.loads(self.tokenizer.to_str())["model"]
        token = model.get("unk_token")
        number = model.get("unk_id") if token is None else self.tokenizer.token_to_id(token)
        return -1 if number is None else int(number)

    def count_plain(self, text: str) -> int:
        """Tokens of one short text, without special ones."""
        return len(self.tokenizer.encode(text, add_special_tokens=False)) if text else 0


def _calls(texts: Iterable[str]) -> Iterator[list[str]]:
    call: list[str] = []
    characters = 0
    for text in texts:
        call.append(text)
        characters += min(len(text), COUNTED_CHARACTERS)
        if characters >= CALL_CHARACTERS:
            yield call
            call, characters = [], 0
    if call:
        yield call
