"""What a word is: for BM25, copied wording, answers in passages, and how far queries have moved.

Unicode's word characters, letters with their combining marks, and not Python's `\\w`, which has no marks: Hindi would
fall into consonants. Equal words are equal strings however they were typed: NFKC, case folded, without what only shows
(soft hyphens, zero-width characters, the stretching of Arabic). Scripts without spaces have no words to be seen: there
a character is one, with its marks. On Chinese help pages BM25 over characters had an nDCG@10 of 0.84, over pairs of
them 0.70.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regex import Pattern

VERSION = 2
"""Of this definition, kept with what was made by it. 1 was Python's `\\w+`, lower-cased."""
MOST_OTHER = 0.05
"""Of the words of some texts, the share that may be others by another version before it matters."""

_ASCII = re.compile(r"\w+", re.ASCII)
_PYTHONS = re.compile(r"\w+")
# Letters that are stable under NFKC and have one lower case (Latin, Greek, Cyrillic), and usual signs: among them
# Python's words are the same, in half the time.
_PLAIN = (
    "\0-\x7f§©«®°±¶»¿-Þàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ\u0100-\u012f\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e"
    "\u0391-\u03a1\u03a4-\u03a9\u03b1-\u03c1\u03c3-\u03c9\u0400-\u0482\u048a-\u04ff£·‐‒–—―‘’‚“”„†‡•‰‹›′€→−∼≈≠≤≥"
)
_OTHER = re.compile(f"[^{_PLAIN}]")
# Default_Ignorable_Code_Point of Unicode, the Arabic tatweel, and marks that enclose. The zero-width non-joiner of
# Persian and Hindi is among them: it is written or left out as people's keyboards have it, and collation ignores it.
_SHOWN_ONLY = (
    "\xad\u034f\u061c\u0640\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20dd-\u20e4\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# NFKC would glue these to what stands before them: "Java™" to "javatm", "1½" to "11⁄2". Capital I with a dot folds to
# two characters, of which Turkish writes the second never.
_APART = {"™": " ", "℠": " ", "İ": "i"} | {one: f" {one}" for one in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅟↉"}
_ODD = re.compile(f"[{_SHOWN_ONLY}{''.join(_APART)}]")
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u2e80-\u2fdf\u3005-\u3007\u3021-\u312f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\ua9e0-\ua9ff\uaa60-\uaadf\uf900-\ufaff\U00011700-\U0001174f"
    "\U00016fe0-\U00018d8f\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
"""Thai, Lao, Myanmar, Khmer, the Tai scripts, Han, kana, bopomofo, Yi, Tangut."""
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")


def words(text: str, *, characters: bool = True) -> list[str]:
    """The words of a text in order, folded: equal words are equal strings.

    Without `characters`, what scripts without spaces write in one piece stays in one piece.
    """
    if text.isascii():
        return _ASCII.findall(text.lower())
    if not _OTHER.search(text):
        return _PYTHONS.findall(text.lower())
    text = folded(text)
    found: list[str] = _word(characters and _HAS_UNSPACED.search(text) is not None).findall(text)
    return found


def head(text: str, count: int) -> str:
    """The text up to its so many-th word as people count: what stands between spaces, or a character without them."""
    one_line = " ".join(text.split())
    beyond = next(islice(_counted().finditer(one_line), count, None), None)
    return one_line[: beyond.start()].rstrip() if beyond else one_line


def folded(text: str) -> str:
    """The text without what words do not differ by: NFKC, case folded, nothing that only shows."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFC", text)
    if _ODD.search(text):
        text = _ODD.sub(lambda found: _APART.get(found[0], ""), text)
    folded_once = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded_once)


def words_before(text: str) -> list[str]:
    """The words as version 1 had them."""
    return _PYTHONS.findall(text.lower())


def reads_otherwise(texts: Sequence[str], version: int) -> bool:
    """Whether an earlier version of this definition has other words for these texts, more than a few.

    Latin, Greek and Cyrillic have the same; scripts without spaces and those with combining marks do not.
    """
    if version == VERSION:
        return False
    before, now = (Counter(word for text in texts for word in read(text)) for read in (words_before, words))
    return (now - before).total() > MOST_OTHER * now.total()


@cache
def _counted() -> "Pattern[str]":
    import regex

    return regex.compile(rf"[{_UNSPACED}]\p{{M}}*|[^\s{_UNSPACED}]+")


@cache
def _word(has_unspaced: bool) -> "Pattern[str]":
    """A word, which begins with no mark: NFKC makes `´`, typed for an apostrophe, a space with one."""
    import regex  # the patterns of most texts do without

    if not has_unspaced:
        return regex.compile(r"[^\W\p{M}]\w*")
    character = rf"[[{_UNSPACED}]&&[\w--\p{{M}}]]\p{{M}}*"
    spaced = rf"[\w--[\p{{M}}{_UNSPACED}]][\w--[{_UNSPACED}]]*"
    return regex.compile(f"{character}|{spaced}", regex.V1)
