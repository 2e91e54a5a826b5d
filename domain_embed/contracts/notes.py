"""What a person should know about a step's result although nothing has failed: what was left out, or not heeded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Note:
    """One line, what it is about one by one, and how many by reason.

    It is kept with the run and told to who reads its log: ids, places and reasons, but no text of a passage or a query.
    """

    text: str
    details: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def left_out(what: str, counts: Mapping[str, int], details: Sequence[str]) -> tuple[Note, ...]:
    """The note on what is not used, with counts and reasons; none where everything is.

    Args:
        what: What is counted: "labels".
        counts: How many by reason.
        details: Some or all of them, like "a.doc: unreadable".
    """
    total = sum(counts.values())
    if not total:
        return ()
    reasons = ", ".join(f"{count:,} × {reason}" for reason, count in counts.items())
    return (Note(f"left out: {total:,} {what} ({reasons})", tuple(details), dict(counts)),)
