"""What people decide about uncertain judgments: which are asked first, and what was answered."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from filelock import FileLock

from domain_embed.contracts.errors import InputError, StoreError, excerpt
from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.tables import UNDECIDED, normalized_query
from domain_embed.corpus.lines import parse_object, read_lines, text_field
from domain_embed.files import replace_file
from domain_embed.judgments.asked import Identity, asked_file, hashed, read_asked, write_asked
from domain_embed.judgments.passage_rows import rows_of

ReviewVerdict: TypeAlias = Literal["relevant", "not_relevant", "unsure"]
VERDICTS: tuple[ReviewVerdict, ...] = get_args(ReviewVerdict)
Outcome: TypeAlias = Literal["new", "changed", "known"]

SUSPECT_REASON = "suspect"
"""How the reason begins for a label that neither model nor BM25 can explain."""
MAX_GRADE = 1000
SHOWN_CHARACTERS = 80
_OWN_JUDGMENTS = (
    "take the line out: what you judge yourself belongs into a file of judgments.sources; "
    "decisions of another machine come with their {}"
)
REQUIRED, OPTIONAL = ("query", "passage_id", "verdict"), ("reviewer", "decided_at", "note")


@dataclass(frozen=True)
class Item:
    """One question to a person: does this passage answer this query, and why is it asked."""

    query_id: str
    query: str
    passage_id: str
    title: str
    text: str
    reason: str
    source: str
    grade: int
    confidence: float


@dataclass(frozen=True)
class Decision:
    """What a person decided about a query and a passage; `decided_at` is ISO 8601.

    A grade goes with the verdict: 1 and more with relevant, 0 and less with not relevant, none with unsure. Raises
    ValueError when it does not, and for an empty query or passage id, or an unknown verdict.
    """

    query: str
    passage_id: str
    verdict: ReviewVerdict
    grade: int | None = None
    reviewer: str = ""
    decided_at: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.query.strip() or not self.passage_id:
            raise ValueError("a decision needs a query and a passage id")
        if self.verdict not in VERDICTS:
            raise ValueError(f"the verdict must be one of {', '.join(VERDICTS)}, not {self.verdict!r}")
        if self.grade is None:
            return
        if abs(self.grade) > MAX_GRADE or self.verdict == "unsure" or (self.grade > 0) != (self.verdict == "relevant"):
            raise ValueError(f"grade {self.grade} contradicts the verdict {self.verdict!r}")

    @property
    def identity(self) -> Identity:
        """What it decides about."""
        return normalized_query(self.query), self.passage_id

    @property
    def answer(self) -> tuple[ReviewVerdict, int | None, str]:
        """What was decided, whoever did and when."""
        return self.verdict, self.grade, self.note


@dataclass(frozen=True)
class Recorded:
    """How many decisions were new, changed an earlier one, or were known already."""

    new: int
    changed: int
    known: int


class Decisions:
    """All decisions in the order they were made; the last one about a query and a passage holds."""

    def __init__(self, history: Iterable[Decision] = ()) -> None:
        self._seen: set[tuple[Any, ...]] = set()
        self._last: dict[Identity, Decision] = {}
        for decision in history:
            self._take(decision)

    def __len__(self) -> int:
        return len(self._last)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._last.values())

    def about(self, query: str, passage_id: str) -> Decision | None:
        """The decision that holds, or None when nobody was asked; case and white space of the query do not count."""
        return self._last.get((normalized_query(query), passage_id)) if self._last else None

    def verdict(self, query: str, passage_id: str) -> ReviewVerdict | None:
        """The verdict that holds, or None."""
        decision = self.about(query, passage_id)
        return decision.verdict if decision else None

    def outcome(self, decision: Decision) -> Outcome:
        """What it would bring: nothing when it says what holds, or when it was taken in before and overruled since."""
        last = self._last.get(decision.identity)
        if last is None:
            return "new"
        met = bool(decision.decided_at) and _once(decision) in self._seen
        return "known" if met or last.answer == decision.answer else "changed"

    def add(self, decision: Decision) -> Outcome:
        """Takes one decision in, unless it brings nothing."""
        outcome = self.outcome(decision)
        if outcome != "known":
            self._take(decision)
        return outcome

    def _take(self, decision: Decision) -> None:
        self._seen.add(_once(decision))
        self._last[decision.identity] = decision


def _once(decision: Decision) -> tuple[Any, ...]:
    """Equal for one decision met twice, as when a sheet is imported again."""
    return decision.identity, decision.answer, decision.decided_at


def read_decisions(path: Path) -> Decisions:
    """The decisions in a JSONL file; none when it does not exist.

    Raises InputError that names the line for one that cannot be used, or that is about a pair nobody was asked about.
    """
    return Decisions(_read(path)) if path.exists() else Decisions()


def _read(path: Path) -> Iterator[Decision]:
    asked = read_asked(path)
    for number, line in read_lines(path):
        row = parse_object(line, path, number)
        query, passage_id, verdict = (text_field(row, (name,), path, number) for name in REQUIRED)
        optional = {name: text_field(row, (name,), path, number, default="") for name in OPTIONAL}
        grade = row.get("grade")
        if grade is not None and (isinstance(grade, bool) or not isinstance(grade, int)):
            raise InputError.at(
                path, f"the grade must be a whole number or null, not {excerpt(repr(grade))}", line=number
            )
        try:
            decision = Decision(query, passage_id, verdict, grade, **optional)  # type: ignore[arg-type]  # it checks
        except ValueError as error:
            raise InputError.at(path, excerpt(str(error)), line=number) from None
        _require_asked(decision, asked, path, number)
        yield decision


def _require_asked(decision: Decision, asked: frozenset[str] | None, path: Path, line: int | None = None) -> None:
    if asked is not None and hashed(decision.identity) not in asked:
        raise InputError.at(path, unasked(decision), line=line, hint=_OWN_JUDGMENTS.format(asked_file(path).name))


def unasked(decision: Decision) -> str:
    """What is wrong with a decision about a pair nobody was asked about."""
    query, passage_id = decision.query[:SHOWN_CHARACTERS], decision.passage_id[:SHOWN_CHARACTERS]
    return f"nobody was asked whether passage {passage_id!r} answers {query!r}"


def note_asked(path: Path, pairs: Iterable[Identity]) -> None:
    """Remembers that people are asked about these pairs, beside the file of decisions.

    Raises InputError when one of the files holds a line that cannot be used, StoreError when it cannot be written.
    """
    with _locked(path):
        known = read_asked(path)
        decided = () if known is not None else (decision.identity for decision in read_decisions(path))
        write_asked(path, known, [*decided, *pairs])


def record_decisions(path: Path, decisions: Iterable[Decision]) -> Recorded:
    """Adds to the file what it does not say yet, all of it or nothing; earlier lines stay as they are.

    Raises InputError when the file holds a line that cannot be used, and for a decision that it would then hold about
    a pair nobody was asked about; StoreError when it cannot be written.
    """
    with _locked(path):
        known, asked, decisions = read_decisions(path), read_asked(path), list(decisions)
        for decision in decisions:
            _require_asked(decision, asked, path)
        outcomes = [(known.add(decision), decision) for decision in decisions]
        added = [decision for outcome, decision in outcomes if outcome != "known"]
        if added:
            earlier = path.read_bytes() if path.exists() else b""
            separator = b"\n" if earlier and not earlier.endswith(b"\n") else b""
            lines = "".join(json.dumps(asdict(decision), ensure_ascii=False) + "\n" for decision in added)
            replace_file(path, earlier + separator + lines.encode())
    counts = [outcome for outcome, _ in outcomes]
    return Recorded(counts.count("new"), counts.count("changed"), counts.count("known"))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds others off who record into the same file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock")).acquire()
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", "fix permissions") from error
    with lock:
        yield


def review_items(
    undecided: Iterable[TableReader], passages: TableReader, decisions: Decisions, limit: int | None = None
) -> Iterator[Item]:
    """What waits for a person in UNDECIDED tables, the most urgent first, each query and passage once.

    Suspect labels come first, then others, then made-up queries, in each the least certain first. Left out is what
    somebody has decided on, unsure included, and what is about passages that no longer exist.
    """
    waiting = _by_urgency(pa.concat_tables([UNDECIDED.empty_table(), *(reader.read() for reader in undecided)]))
    ids = waiting["passage_id"].tolist()
    known = {passage_id for (passage_id,) in rows_of(passages, ids, ["passage_id"])}
    open_ = [
        passage_id in known and decisions.about(query, passage_id) is None
        for query, passage_id in zip(waiting["query"].tolist(), ids, strict=True)
    ]
    chosen = waiting[np.array(open_, dtype=bool)][:limit]
    found = rows_of(passages, chosen["passage_id"].tolist(), ["passage_id", "title", "text"])
    texts = {passage_id: (title, text) for passage_id, title, text in found}
    for row in chosen[UNDECIDED.names].to_dict("records"):
        title, text = texts[row["passage_id"]]
        yield Item(**{str(name): value for name, value in row.items()}, title=title, text=text)


def _by_urgency(undecided: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = undecided.to_pandas()
    frame["folded"] = [normalized_query(query) for query in frame["query"].tolist()]
    suspect = frame["reason"].str.startswith(SUSPECT_REASON).to_numpy(dtype=bool)
    made_up = (frame["source"].str.startswith("synthetic:") | (frame["source"] == "headings")).to_numpy(dtype=bool)
    frame["turn"] = np.select([suspect, made_up], [0, 2], 1)
    order = ["turn", "confidence", "folded", "passage_id", "query_id", "reason", "source", "grade"]
    return frame.sort_values(order).drop_duplicates(["folded", "passage_id"])
