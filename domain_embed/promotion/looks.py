"""A test set wears out: every look at it is counted, and what a verdict may risk is spent from one budget.

Each look judges another challenger, so the looks' errors add up at most (Bonferroni's union bound); how a budget is
divided beforehand over unequal looks is alpha spending (Lan & DeMets, Discrete Sequential Boundaries for Clinical
Trials, Biometrika 1983; for many hypotheses Foster & Stine, Alpha-investing, JRSS B 2008).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

from domain_embed.files import alone, keep_file

BUDGET = 0.025
"""What a test set may err in all its life, one-sided: what a single 95 % interval errs."""
FIRST = 0.5
"""Share of the first look: a fresh set judges nearly as one that is looked at once; the others share the rest."""


@dataclass(frozen=True)
class Look:
    """One challenger judged on one test set; `queries` are hashes, `level` one-sided, None where nothing was left."""

    challenger: str
    settings: str
    queries: tuple[str, ...]
    level: float | None
    at: str


def query_hashes(queries: Mapping[str, str]) -> tuple[str, ...]:
    """Sorted hashes of test queries (text by id): neither judgments nor the order change them."""
    return tuple(sorted(hashlib.sha256(json.dumps(pair).encode()).hexdigest()[:16] for pair in queries.items()))


def levels(planned: int) -> list[float]:
    """The one-sided level of each of the `planned` looks, at least one; they add up to the budget."""
    if planned == 1:
        return [BUDGET]
    return [BUDGET * FIRST] + [BUDGET * (1 - FIRST) / (planned - 1)] * (planned - 1)


def age(looks: Sequence[Look], queries: Sequence[str]) -> float:
    """How many looks a query of this test set has taken part in, on average: fresh queries lower it."""
    present = set(queries)
    return sum(len(present.intersection(look.queries)) for look in looks) / len(present) if present else 0.0


def level(looks: Sequence[Look], queries: Sequence[str], planned: int) -> float | None:
    """What the next look may spend; None where the planned looks are used up. Parts of a look count as one."""
    place = ceil(age(looks, queries))
    return levels(planned)[place] if place < planned else None


def number(looks: Sequence[Look], queries: Sequence[str]) -> int:
    """How many of the looks saw any of these queries."""
    return sum(not set(queries).isdisjoint(look.queries) for look in looks)


def fresh(looks: Sequence[Look], queries: Sequence[str]) -> int:
    """How many of these queries no look has seen."""
    return len(set(queries).difference(*(look.queries for look in looks)))


class LookLedger:
    """All looks of a domain, kept in a file before their verdict is given. It holds no texts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Look]:
        """All looks, oldest first; none where there is no file yet."""
        text = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        whole, _, _ = text.rpartition("\n")  # what follows was cut off as it was written
        rows = [json.loads(line) for line in whole.splitlines() if line]
        return [Look(**{**row, "queries": tuple(row["queries"])}) for row in rows]

    def before(self, look: Look) -> list[Look]:
        """The looks that were made before this one."""
        looks = self.read()
        return looks[: looks.index(look)]

    def look(self, challenger: str, settings: str, queries: Sequence[str], planned: int, at: str) -> Look:
        """The look at these queries: the one that was made where it was, else a new one, written down.

        Raises StoreError when it cannot be written; there must then be no verdict.
        """
        with alone(self._path):
            looks = self.read()
            for one in looks:
                if (one.challenger, one.settings, one.queries) == (challenger, settings, tuple(queries)):
                    return one
            new = Look(challenger, settings, tuple(queries), level(looks, queries, planned), at)
            keep_file(self._path, "".join(json.dumps(asdict(one)) + "\n" for one in (*looks, new)))
            return new
