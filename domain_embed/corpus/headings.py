"""Markdown headings: where they stand, and the sections they make."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_HEADING_OR_FENCE = re.compile(r"^ {0,3}(?P<mark>#{1,6}(?=\s|$)|`{3,}|~{3,})(?P<rest>[^\n]*)$", re.MULTILINE)
MAX_TITLE_CHARACTERS = 1000
"""More is no heading, and it would be repeated before every passage under it."""


@dataclass(frozen=True, slots=True)
class Heading:
    """An ATX heading; text[start:end] is its line, without the line feed."""

    level: int
    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Section:
    """text[start:end] is what stands directly under the last of `headings`, outermost first; it may be blank."""

    headings: tuple[str, ...]
    start: int
    end: int


def find_headings(text: str) -> Iterator[Heading]:
    """The ATX headings (`# ...`) of a text in order; a `#` in fenced code is none (CommonMark 0.31, 4.2 and 4.5)."""
    fence = ""
    for match in _HEADING_OR_FENCE.finditer(text):
        mark, rest = match["mark"], match["rest"]
        if mark[0] == "#":
            if not fence:
                yield Heading(len(mark), _title(rest), match.start(), match.end())
        elif not fence:
            fence = "" if mark[0] == "`" and "`" in rest else mark  # otherwise `code` that stands on one line
        elif mark.startswith(fence) and not rest.strip():
            fence = ""


def _title(rest: str) -> str:
    """What follows a heading's marks, without white space and closing marks; those stand after a blank."""
    text = rest.strip()
    bare = text.rstrip("#")
    return (text if bare and not bare.endswith((" ", "\t")) else bare.rstrip())[:MAX_TITLE_CHARACTERS]


def find_sections(text: str) -> Iterator[Section]:
    """The sections of a text in order, the part before the first heading first.

    Every character is in exactly one section or on the line of a heading.
    """
    path: list[Heading] = []
    start = 0
    for heading in find_headings(text):
        yield Section(_titles(path), start, heading.start)
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
        start = heading.end
    yield Section(_titles(path), start, len(text))


def _titles(path: list[Heading]) -> tuple[str, ...]:
    return tuple(heading.title for heading in path if heading.title)
