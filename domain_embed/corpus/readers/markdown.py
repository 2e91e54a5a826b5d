"""Markdown and plain text."""

import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from domain_embed.bounded_yaml import load_yaml
from domain_embed.contracts.errors import InputError, excerpt
from domain_embed.corpus.readers.file_text import FileText, cleaned, decode_text

_RULE = re.compile(r"^-{3,}+[^\S\n]*+$", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*")
_NO_PARAGRAPH = re.compile(r" {4}|\t|\s*$|\s*(#{1,6}\s|[>|]|[-*+]\s|\d+[.)]\s|`{3}|~{3}|-{2,}\s*$|=+\s*$)")


def read_text(data: bytes, path: Path) -> FileText:
    """A plain text as it is."""
    return FileText("", cleaned(decode_text(data, path)))


def read_markdown(data: bytes, path: Path) -> FileText:
    """Markdown with its YAML front matter as metadata; underlined headings become `#` ones."""
    metadata, body = _front_matter(cleaned(decode_text(data, path)), path)
    title = metadata.get("title", "")
    if isinstance(title, Mapping | list):
        raise InputError.at(path, "the front matter's title must be a text")
    others = {key: value for key, value in metadata.items() if key != "title"}
    return FileText(str(title or ""), _with_atx_headings(body), others)


def _front_matter(text: str, path: Path) -> tuple[Mapping[Any, Any], str]:
    rules = list(islice(_RULE.finditer(text), 2))
    if len(rules) < 2 or rules[0].start() > 0:
        return {}, text
    try:
        metadata = load_yaml(text[rules[0].end() : rules[1].start()])
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError.at(path, f"the front matter is not readable YAML: {excerpt(reason)}") from None
    # Between two rules there may be a paragraph: that is text.
    return (metadata, text[rules[1].end() :].strip()) if isinstance(metadata, Mapping) else ({}, text)


def _with_atx_headings(text: str) -> str:
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        underline = None if fence else _UNDERLINE.fullmatch(line)
        if underline and _is_lone_line(lines):
            lines[-1] = f"{'#' if underline[1][0] == '=' else '##'} {lines[-1].strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _is_lone_line(lines: list[str]) -> bool:
    """Whether the last line is a paragraph of one line: only such a one is taken for an underlined heading."""
    return bool(lines) and not _NO_PARAGRAPH.match(lines[-1]) and (len(lines) == 1 or not lines[-2].strip())
