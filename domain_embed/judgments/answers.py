"""What language models answered: kept as it comes, so that nothing is asked twice, and read as text or queries."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from domain_embed.contracts.errors import StoreError
from domain_embed.encoding.words import words
from domain_embed.files import private_folder, private_opener

MAX_QUERY_CHARACTERS = 500
"""Longer lines are explanations."""

_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_NUMBERING = re.compile(r"(?:[-*•–]+|[(\[]?\d{1,3}[.):\]]+|(?:query|question|q)\s*\d*\s*:)(?=\s)\s*", re.IGNORECASE)
_AROUND = "\"'`“”„‘’«»* ,"
_OPENED_LIST = re.compile(r'\[\s*"')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_REFUSAL = re.compile(
    r"(?:i['’]?m (?:really )?sorry|i am sorry|sorry|unfortunately)?\W*(?:but )?"
    r"(?:as an ai\b|i(?:['’]m| am) (?:unable|not able)\b"
    r"|i (?:can(?:no|['’])t|won['’]t|will not) (?:help|assist|provide|generate|comply|fulfil))",
    re.IGNORECASE,
)


class AnswerCache:
    """Answers by key in an append-only JSONL file.

    Each answer is in the file when `put` returns. A line that cannot be read, as a crash leaves it, is one answer less.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._answers = dict(_stored_answers(file))

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Opens the file, which is made if need be. Raises StoreError when that fails."""
        try:
            private_folder(path.parent)
            file = open(path, "a+b", opener=private_opener)  # noqa: SIM115 - closed below
        except OSError as error:
            raise StoreError(f"{path} cannot be opened: {error.strerror}", "fix permissions, or delete it") from error
        with file:
            yield cls(file)

    def get(self, key: str) -> str | None:
        """The answer to what was asked under this key, or None."""
        return self._answers.get(key)

    def put(self, key: str, answer: str) -> None:
        """Keeps an answer. Raises StoreError when it cannot be written."""
        try:
            self._file.write(json.dumps({"key": key, "answer": answer}).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise StoreError(f"{self._file.name} cannot be written: {error.strerror}", "free space") from error
        self._answers[key] = answer


def cache_key(content_hash: str, model: str, prompt_version: str, count: int, examples: Sequence[str]) -> str:
    """Equal for what would be asked in the same words of the same model."""
    return _key(content_hash, model, prompt_version, count, list(examples))


def prompt_key(prompt: str, model: str, prompt_version: str) -> str:
    """Equal for the same words to the same model, by a prompt of the same version."""
    return _key(prompt, model, prompt_version)


def _key(*asked: object) -> str:
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]


def _stored_answers(file: BinaryIO) -> Iterator[tuple[str, str]]:
    """Reads the file to its end, and ends a torn last line, so that the next answer starts on its own."""
    file.seek(0)
    line = b"\n"
    for line in file:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        match row:
            case {"key": str(key), "answer": str(answer)}:
                yield key, answer
    if not line.endswith(b"\n"):
        file.write(b"\n")


def without_reasoning(answer: str) -> str:
    """What a model that thinks aloud says in the end, without white space around it."""
    return _THOUGHT.sub("", answer).strip()


def parse_queries(answer: str, count: int) -> list[str]:
    """At most `count` queries of an answer: of a JSON list in it, or else one per line without numbering and quotes.

    Empty for a refusal. Reasoning, code fences and an introduction are not taken for queries.
    """
    text = without_reasoning(answer)
    listed = _json_list(text)
    found = listed if listed is not None else _lines(text)
    texts = (" ".join(query.split()).encode(errors="replace").decode() for query in found)
    return [text for text in texts if words(text) and len(text) <= MAX_QUERY_CHARACTERS][:count]


def _json_list(text: str) -> list[str] | None:
    """The strings of the outermost JSON list, or of the objects in it; None when there is no such list."""
    start = text.find("[")
    if start < 0:
        return None
    listed = text[start:]
    try:
        items = json.loads(listed[: listed.rfind("]") + 1])
    except (ValueError, RecursionError):  # cut off, or with a comma too many: its complete strings are good
        items = _STRING.findall(listed) if _OPENED_LIST.match(listed) else None
    if not isinstance(items, list) or not items:
        return None
    values = [next(iter(item.values()), None) if isinstance(item, dict) else item for item in items]
    return [value for value in values if isinstance(value, str)]


def _lines(text: str) -> list[str]:
    if _REFUSAL.match(text):
        return []
    lines = (line.strip() for line in text.splitlines())
    return [_bare(line) for line in lines if line and not line.startswith("```") and not line.endswith(":")]


def _bare(line: str) -> str:
    """The line without numbering, quotes and the commas of a broken list."""
    return _NUMBERING.sub("", line, count=1).strip(_AROUND)
