"""What the sources gave and what they left out, counted."""

from collections import Counter
from dataclasses import dataclass, field

from domain_embed.judgments.click_model import Examination

SAMPLES_KEPT = 20


@dataclass
class SourceReport:
    """One source: labels `given`, what was `left_out` by reason, and the first few of these as (reason, what).

    `recorded` are the same few without the text of a query.
    `unread` are the columns that are neither read nor declared unused, with their file: "mood (labels.csv)".
    `examination` is how far down users look, for a source of clicks.
    """

    given: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)
    recorded: list[tuple[str, str]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    examination: Examination | None = None

    def leave_out(self, reason: str, what: str, *, recorded: str | None = None, count: int = 1) -> None:
        """Counts what is not used; `what` names the first of it, `recorded` without any text where `what` has some."""
        self.left_out[reason] += count
        if len(self.samples) < SAMPLES_KEPT:
            self.samples.append((reason, what))
            self.recorded.append((reason, what if recorded is None else recorded))


@dataclass
class LabelReport:
    """All sources by name ("tickets:tickets.jsonl"), in the order they were read."""

    sources: dict[str, SourceReport] = field(default_factory=dict)

    def of(self, name: str) -> SourceReport:
        """The report of one source; sources of the same name share it."""
        return self.sources.setdefault(name, SourceReport())

    @property
    def given(self) -> int:
        """Labels of all sources."""
        return sum(source.given for source in self.sources.values())

    @property
    def unread(self) -> list[str]:
        """The columns of all sources that are not read."""
        return [column for source in self.sources.values() for column in source.unread]

    @property
    def recorded(self) -> list[tuple[str, str]]:
        """The first that each source left out, without texts."""
        return [one for source in self.sources.values() for one in source.recorded]

    @property
    def left_out(self) -> Counter[str]:
        """What all sources left out, by reason."""
        return sum((source.left_out for source in self.sources.values()), Counter())
