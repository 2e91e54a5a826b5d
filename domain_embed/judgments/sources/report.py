"""What the sources gave and what they left out, counted."""

from collections import Counter
from dataclasses import dataclass, field

from domain_embed.judgments.click_model import Examination

SAMPLES_KEPT = 20


@dataclass
class SourceReport:
    """One source: labels `given`, what was `left_out` by reason, and the first few of these as (reason, what).

    `examination` is how far down users look, for a source of clicks.
    """

    given: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)
    examination: Examination | None = None

    def leave_out(self, reason: str, what: str, *, count: int = 1) -> None:
        """Counts what is not used; `what` names the first of it."""
        self.left_out[reason] += count
        if len(self.samples) < SAMPLES_KEPT:
            self.samples.append((reason, what))


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
    def left_out(self) -> Counter[str]:
        """What all sources left out, by reason."""
        return sum((source.left_out for source in self.sources.values()), Counter())
