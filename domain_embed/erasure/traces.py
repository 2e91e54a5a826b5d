"""What is left of a text in other texts: runs of its words, so that cut-off excerpts are recognised, too.

Only hashes of the runs are kept: what erases a text must not be another place where it stands.
"""

import html
import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any, Self

import numpy as np

RUN_WORDS = 5
"""So many words in a row are no coincidence; a shorter text is looked for as a whole."""
RUN_SIGNS = 10
"""Likewise where words are not separated, and each sign counts as one."""
LEAST_WORDS = 3
"""A shorter text is recognised only where a title or cell holds nothing else."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0d7f"
_TOKEN = re.compile(f"[{_UNSPACED}]|(?:[^\\W_{_UNSPACED}]|[{_MARKS}])+")
_SIGN = re.compile(f"[{_UNSPACED}]")
_ESCAPE = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|([nrtbf\"'/]))")
_FACTOR, _SHIFT, _ALL_BITS = 0x9E3779B97F4A7C15, 29, 2**64 - 1
FEW = 120
"""Words to go through without an array."""
_FEWEST_CHARACTERS = 4

Runs = dict[int, set[int]]


class Traces:
    """Hashes of runs of words by their length, and of texts as a whole."""

    def __init__(self) -> None:
        self._runs: Runs = {}
        self._whole: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._whole) or any(self._runs.values())

    def remember(self, text: str) -> None:
        """Its runs of words are looked for from now on."""
        words, signs = _words(text)
        if len(words) < 2:
            return
        codes = _codes(words)
        self._whole.update(_hashes(codes, len(codes)))
        for length, hashes in _characteristic(codes, signs):
            self._runs.setdefault(length, set()).update(hashes)

    def forget(self, text: str) -> None:
        """What stands in this text as well is no trace."""
        codes = _codes(_words(text)[0])
        self._whole.difference_update(_hashes(codes, len(codes)))
        for length, known in self._runs.items():
            known.difference_update(_hashes(codes, length))

    def held_by(self, text: str) -> bool:
        """Whether a run of the remembered texts stands in it."""
        if len(text) < _FEWEST_CHARACTERS or not self:
            return False
        codes = _codes(_words(text)[0])
        if not self._whole.isdisjoint(_hashes(codes, len(codes))):
            return True
        return any(not known.isdisjoint(_hashes(codes, length)) for length, known in self._runs.items())

    def update(self, other: Self) -> None:
        """What the other looks for is looked for, too."""
        self._whole |= other._whole
        for length, known in other._runs.items():
            self._runs.setdefault(length, set()).update(known)

    def to_json(self) -> dict[str, Any]:
        """Plain values; `from_json` gives an equal one back."""
        return {
            "whole": sorted(self._whole),
            "runs": {str(length): sorted(runs) for length, runs in self._runs.items()},
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        traces = cls()
        traces._whole = set(content["whole"])
        traces._runs = {int(length): set(runs) for length, runs in content["runs"].items()}
        return traces


def _words(text: str) -> tuple[list[str], list[bool]]:
    """The words of a text as they compare, however it was written down, and which of them are signs."""
    plain = html.unescape(_ESCAPE.sub(_unescaped, text)) if "\\" in text or "&" in text else text
    words = _TOKEN.findall(unicodedata.normalize("NFKC", plain).casefold())
    return words, [len(word) == 1 and _SIGN.match(word) is not None for word in words]


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else " "


def _codes(words: Sequence[str]) -> list[int]:
    return [zlib.crc32(word.encode("utf-8", "replace")) for word in words]


def _characteristic(codes: Sequence[int], signs: Sequence[bool]) -> Iterable[tuple[int, list[int]]]:
    """The runs by which a text is recognised, as (length, hashes); none of a text of one or two words."""
    mixed = any(signs)
    longest = RUN_SIGNS if mixed else RUN_WORDS
    if len(codes) < longest:
        if len(codes) >= LEAST_WORDS:
            yield len(codes), _hashes(codes, len(codes))
        return
    yield longest, _hashes(codes, longest)
    if mixed:
        spaced = (not any(signs[start : start + RUN_WORDS]) for start in range(len(signs)))
        yield RUN_WORDS, list(compress(_hashes(codes, RUN_WORDS), spaced))


def _hashes(codes: Sequence[int], length: int) -> list[int]:
    """A 64-bit hash of every run of so many words."""
    runs = len(codes) - length + 1
    if runs < 1 or not length:
        return []
    if runs * length < FEW:
        return [_hash(codes[start : start + length]) for start in range(runs)]
    numbers = np.array(codes, dtype=np.uint64)
    hashes = np.full(runs, length, dtype=np.uint64)
    for place in range(length):
        hashes = (hashes ^ numbers[place : place + runs]) * np.uint64(_FACTOR)
        hashes ^= hashes >> np.uint64(_SHIFT)
    found: list[int] = hashes.tolist()
    return found


def _hash(codes: Sequence[int]) -> int:
    """The same of one run, for texts too short to be worth an array."""
    found = len(codes)
    for code in codes:
        found = (found ^ code) * _FACTOR & _ALL_BITS
        found ^= found >> _SHIFT
    return found
