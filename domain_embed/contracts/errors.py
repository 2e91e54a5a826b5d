"""The errors a user can meet: each says what is wrong, where, and what to do about it."""

import re
from collections.abc import Sequence
from pathlib import Path

from domain_embed.contracts.secrets import redact
from domain_embed.contracts.shown import visible

SHOWN_CULPRITS = 5
SHOWN_CHARACTERS = 4000
"""Of a message: what is wrong can be a value of any size, and a message goes to terminals, logs and databases."""
EXCERPT_CHARACTERS = 200

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"  # no text holds these two: Unicode keeps them for such marks
_EXCERPT = re.compile(f"{_OPEN}[^{_CLOSE}]*{_CLOSE}?")  # a message that was cut off may lack the end


def excerpt(shown: str) -> str:
    """Marks what a message quotes of a user's data, and shortens it.

    Logs of runs are read by others than the data: they keep `DomainEmbedError.recorded`, which leaves it out.
    """
    cut = shown if len(shown) <= EXCERPT_CHARACTERS else f"{shown[: EXCERPT_CHARACTERS - 1]}…"
    return f"{_OPEN}{cut.replace(_OPEN, '').replace(_CLOSE, '')}{_CLOSE}"


class DomainEmbedError(Exception):
    """Base of every error the product raises on purpose; the CLI prints it without a traceback.

    What it tells of files and texts cannot hide or be obeyed, wherever it is printed or logged.

    Args:
        message: What is wrong and where.
        hint: What to do about it, one sentence.

    Attributes:
        recorded: The message as logs of runs keep it: without what it quotes of the user's data by `excerpt`.
        marked: The message with its marks; an error that is made of it has the same `recorded`.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        self.recorded = _told(_EXCERPT.sub("…", message), hint)
        self.marked = _told(message, hint)
        super().__init__(self.marked.replace(_OPEN, "").replace(_CLOSE, ""))


def _told(message: str, hint: str) -> str:
    if len(message) > SHOWN_CHARACTERS:
        message = f"{message[:SHOWN_CHARACTERS]}… ({len(message):,} characters)"
    return visible(redact(f"{message}\n  → {hint}" if hint else message))


class SettingsError(DomainEmbedError):
    """domain.yaml or an environment variable is missing, malformed or contradicts itself."""

    exit_code = 2


class InputError(DomainEmbedError):
    """A source file is missing, unreadable or holds rows that cannot be used."""

    exit_code = 3

    @classmethod
    def at(cls, path: Path, problem: str, *, line: int | None = None, hint: str = "") -> "InputError":
        """An error that names the file and, when known, the 1-based line."""
        place = f"{path}, line {line}" if line is not None else str(path)
        return cls(f"{place}: {problem}", hint)

    @classmethod
    def of_culprits(cls, problem: str, culprits: Sequence[str], *, hint: str = "") -> "InputError":
        """An error that lists the first culprits and counts the rest."""
        shown = ", ".join(culprits[:SHOWN_CULPRITS])
        rest = len(culprits) - SHOWN_CULPRITS
        return cls(f"{problem}: {shown}{f' and {rest} more' if rest > 0 else ''}", hint)


class NotReadyError(DomainEmbedError):
    """Something was asked for that no run has produced yet."""

    exit_code = 4


class StoreError(DomainEmbedError):
    """A store cannot be read or written, or refuses an operation that would leave it inconsistent."""

    exit_code = 5


class StoreUnavailableError(StoreError):
    """A store's server does not answer now; the same call may work a little later."""


class CollectionGoneError(StoreError):
    """A collection that was open is there no more: it was removed, or its store was; what is live now may be opened."""


class ModelMismatchError(StoreError):
    """A query encoder and a collection come from different models; their vectors must never meet."""

    def __init__(self, collection: str, collection_fingerprint: str, encoder_fingerprint: str, found: str = "") -> None:
        super().__init__(
            f"collection {collection!r} was built by model {collection_fingerprint}, "
            f"but the query encoder is model {encoder_fingerprint}{f': {found}' if found else ''}",
            "search with the model the collection names, or re-embed the collection with this one",
        )


class TrainingError(DomainEmbedError):
    """Training cannot start or has produced something unusable."""

    exit_code = 6


class PromotionRefusedError(DomainEmbedError):
    """The live alias was not moved, and why."""

    exit_code = 7


class AccessError(DomainEmbedError):
    """Passages were asked for that the one who asks may not see, or without saying who asks."""

    exit_code = 8
