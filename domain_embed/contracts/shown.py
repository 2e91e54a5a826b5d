"""Texts from outside as a terminal, JSON or Markdown may show them: what would be obeyed or hidden is seen instead."""

import json
import re
import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls (escape sequences, bells, carriage returns), formats (zero-width, direction), halves of pairs, line ends."""
_DELETE = 0x7F
_MARKDOWN = re.compile(r"(?P<active>[\\`*_{}\[\]()<>#|!~$&:]|^[-+=]|(?<=\d)\.(?=\s|$))")
_TICKS = re.compile(r"`+")


def visible(text: str, *, one_line: bool = False) -> str:
    """The text with controls as pictures (␛, ␇) and what is invisible as an escape (`\\u202e`).

    Line feeds and tabs stay as they are, unless it must be one line.
    """
    if text.isprintable():
        return text
    kept = "" if one_line else "\n\t"
    return "".join(one if one in kept or not _is_hidden(one) else _picture(one) for one in text)


def visible_json(content: object) -> str:
    """The content as indented JSON, in which what is hidden is escaped: it reads back exactly as it was."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    return "".join(json.dumps(one)[1:-1] if one != "\n" and _is_hidden(one) else one for one in text)


def markdown_text(text: str) -> str:
    """The text as Markdown that shows it and does nothing else: no link, no picture, no HTML, no cell, in one line."""
    return _MARKDOWN.sub(r"\\\g<active>", visible(" ".join(text.split()), one_line=True))


def fenced(text: str, language: str = "") -> str:
    """The text as a block of Markdown that nothing in it ends."""
    fence = _longer_than_any(text, 3)
    return f"{fence}{language}\n{visible(text)}\n{fence}"


def code_span(text: str) -> str:
    """The text as code within a line of Markdown."""
    fence, shown = _longer_than_any(text, 1), visible(text, one_line=True)
    return f"{fence} {shown} {fence}" if "`" in shown else f"{fence}{shown}{fence}"


def _longer_than_any(text: str, least: int) -> str:
    return "`" * max([least, *(len(run) + 1 for run in _TICKS.findall(text))])


def _is_hidden(character: str) -> bool:
    return not character.isprintable() and unicodedata.category(character) in _HIDDEN


def _picture(character: str) -> str:
    code = ord(character)
    if code < ord(" "):
        return chr(0x2400 + code)
    return "␡" if code == _DELETE else character.encode("unicode_escape").decode()
