"""Where a text may be cut: after sentences of any script, never within a character as people see it."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regex import Pattern

_GAP = r"[ \xa0\u202f]"
_SHORT = "Dr|Prof|Hr|Fr|Dipl|Ing|Str|bzw|ca|evtl|ggf|inkl|exkl|sog|vgl|gem|zzgl|geb|verh|Mio|Mrd|od|Abt|Std"
_IN_PARTS = "|".join(
    rf"\.{_GAP}?".join(parts.split())
    for parts in ("z B", "d h", "u a", "u U", "u Ä", "o Ä", "v a", "z T", "i d R", "s o", "s u")
)
_BEFORE_NUMBERS = "Nr|Abs|Abb|Art|Kap|Tab|Bd|Tel|Ziff"
_AFTER_DAYS = "Jan|Feb|März|Mär|Apr|Mai|Jun|Jul|Aug|Sep|Okt|Nov|Dez|Jahrhundert|Jh"
_ENDS_NO_SENTENCE = (
    rf"(?<!\w)(?i:{_SHORT}|{_IN_PARTS})\.(?={_GAP})|(?<!\w)(?:{_BEFORE_NUMBERS})\.(?={_GAP}\d)"
    rf"|(?<!\w)\d\d?\.(?={_GAP}(?:{_AFTER_DAYS}))"
)
"""German, where nouns are in capitals, so that what follows does not tell. Not what ends sentences as well: "usw."."""
_SENTENCE_END = (
    r"[.!?…]+[\p{Pe}\p{Pf}\"']*(?=\s)|[!?]+[\p{Pe}\p{Pf}]*(?=[^\x00-\x7f])|[。！？．｡؟۔।॥။።]+[\p{Pe}\p{Pf}]*"
)
_ENDS = (r"\n(?=\n)", r"\n", _SENTENCE_END, r"\s")
"""Of paragraphs, lines, sentences and words; a long text is cut at the first kind that is there."""
_MAY_CONTINUE = (
    r"(?<=[\p{M}\u200d\p{GCB=Prepend}\r]).|[\p{M}\u200d\p{Emoji_Modifier}\p{RI}\p{Extended_Pictographic}\u1100-\u11ff"
    r"\ua960-\ua97f\uac00-\ud7ff]"
)
_CONTEXT = 1000
"""Characters looked back at to tell a grapheme's beginning."""


def without_abbreviations(text: str) -> str:
    """The text, as long as it is, with commas for the periods that end no sentence."""
    masked: str = _pattern(_ENDS_NO_SENTENCE).sub(lambda found: found[0].replace(".", ","), text)
    return masked


def windows(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Spans that make up a text, cut at a paragraph, line, sentence or word, or else between graphemes.

    They have `size` characters at most, more only to complete a grapheme.
    """
    start = 0
    while len(text) - start > size:
        found = (_last_end(kind, text, start + size // 2, start + size) for kind in _ENDS)
        cut = grapheme_end(text, next((end for end in found if end is not None), start + size))
        yield start, cut
        start = cut
    if start < len(text):
        yield start, len(text)


def grapheme_end(text: str, position: int) -> int:
    """The first place from `position` on that is not within a grapheme (Unicode's UAX 29)."""
    if not 0 < position < len(text) or not _pattern(_MAY_CONTINUE).match(text, position):
        return position
    ends: Iterator[int] = (found.end() for found in _pattern(r"\X").finditer(text, max(0, position - _CONTEXT)))
    return next(end for end in ends if end >= position)


def _last_end(kind: str, text: str, start: int, end: int) -> int | None:
    """Where the last match in text[start:end] ends."""
    return max((found.end() for found in _pattern(kind).finditer(text, start, end)), default=None)


@cache
def _pattern(pattern: str) -> "Pattern[str]":
    import regex  # short texts need none of it

    return regex.compile(pattern)
