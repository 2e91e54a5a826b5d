"""Why a query fails: the first obstacle on the way from its answer to the top ten, decided by fixed rules.

A query fails when the base model's dense ranking of the whole corpus holds none of its judged passages in the top ten.
Obstacles in the data come first, since no ranking gets past them; then what a setting would mend; then what is left to
a model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

TOP = 10
"""A query whose best positive stands lower has failed."""
DEPTH = 100
"""As deep as a reranker looks."""

Cause: TypeAlias = Literal[
    "missing", "filtered", "suspect_label", "cut_off", "split", "bm25", "hybrid", "misranked", "far"
]


@dataclass(frozen=True)
class About:
    """What a reader needs to know about a cause: its name, what it means, and what mends it."""

    title: str
    meaning: str
    remedy: str


CAUSES: dict[Cause, About] = {
    "missing": About(
        "Answer not in the corpus",
        "The label names a document or an answer that no passage holds.",
        "add the documents, or correct the ids in the labels",
    ),
    "filtered": About(
        "Removed by a filter",
        "The query's own metadata filter excludes every passage that answers it.",
        "widen the filter, or mend the metadata",
    ),
    "suspect_label": About(
        "Suspect label",
        "A copy of the answer ranks but is not judged, or the label points to a passage that nothing else points to.",
        "decide these in `domain-embed review`",
    ),
    "cut_off": About(
        "Cut off by the length limit",
        "The part of the passage that matches lies beyond what the model reads; alone it would rank.",
        "cut documents into passages (`chunking:`), or take a model that reads more",
    ),
    "split": About(
        "Split across passages",
        "No single passage holds the answer; joined with its neighbour it would rank.",
        "larger passages or an overlap (`chunking:`)",
    ),
    "bm25": About(
        "Found by BM25",
        "The words of the query stand in the answer; BM25 ranks it in the top ten, the model does not.",
        "`retrieval.mode: hybrid` or `sparse`",
    ),
    "hybrid": About(
        "Found by fusion",
        "Neither ranking has it in the top ten, both together do.",
        "`retrieval.mode: hybrid`",
    ),
    "misranked": About(
        "Found, but ranked too low",
        f"The answer stands between rank {TOP + 1} and {DEPTH}.",
        "a reranker or fine-tuning",
    ),
    "far": About(
        "Far away",
        f"The answer is not among the first {DEPTH}: the model does not know that query and passage mean the same.",
        "fine-tuning, or another base model",
    ),
}
"""In the order in which they are shown."""


@dataclass(frozen=True)
class Symptoms:
    """What is known about one failed query; ranks are 1-based and None where a ranking does not hold the passage.

    Attributes:
        query_id: The query.
        positives: Its judged passages that the corpus holds.
        filtered_out: Whether its own filter excludes all of them.
        twin: A passage of the top ten that is nearly equal to a positive and not judged.
        dense_rank: Of the best positive in the base model's ranking of the whole corpus.
        sparse_rank: Likewise by BM25, among the first DEPTH.
        hybrid_rank: Likewise by reciprocal rank fusion.
        tail_rank: Where the best part of a positive beyond the model's limit would stand as a passage of its own.
        joined_rank: Where a positive joined with its neighbour in the document would stand.
        rival: The passage on which base model and BM25 agree while neither has a positive anywhere near.
    """

    query_id: str
    positives: tuple[str, ...]
    filtered_out: bool = False
    twin: str | None = None
    dense_rank: int | None = None
    sparse_rank: int | None = None
    hybrid_rank: int | None = None
    tail_rank: int | None = None
    joined_rank: int | None = None
    rival: str | None = None


RULES: tuple[tuple[Cause, Callable[[Symptoms], bool]], ...] = (
    ("missing", lambda found: not found.positives),
    ("filtered", lambda found: found.filtered_out),
    ("suspect_label", lambda found: found.twin is not None),
    ("cut_off", lambda found: _would_rank(found.tail_rank, found.dense_rank)),
    ("split", lambda found: _would_rank(found.joined_rank, found.dense_rank)),
    ("suspect_label", lambda found: found.rival is not None),
    ("bm25", lambda found: _in_top(found.sparse_rank)),
    ("hybrid", lambda found: _in_top(found.hybrid_rank)),
    ("misranked", lambda found: found.dense_rank is not None and found.dense_rank <= DEPTH),
    ("far", lambda found: True),
)
"""The precedence: the first rule that holds names the cause."""


def cause_of(symptoms: Symptoms) -> Cause:
    """Exactly one cause for every failed query."""
    return next(cause for cause, holds in RULES if holds(symptoms))


def explain(symptoms: Symptoms) -> str:
    """The cause of one query in words, with the ranks that decided it."""
    found = symptoms
    seen = f"rank {found.dense_rank:,} by the base model" if found.dense_rank else "not ranked by the base model"
    match cause_of(found):
        case "missing":
            return "no passage of the corpus is judged to answer it"
        case "filtered":
            return "its filter excludes every passage that answers it"
        case "suspect_label" if found.twin is not None:
            return f"{found.twin} ranks in the top ten, is nearly equal to the answer, and is not judged"
        case "suspect_label":
            return f"{seen}, and nowhere near by BM25, while both agree on {found.rival}"
        case "cut_off":
            return f"{seen}; what lies beyond the length limit would stand at rank {found.tail_rank}"
        case "split":
            return f"{seen}; joined with its neighbour it would stand at rank {found.joined_rank}"
        case "bm25":
            return f"{seen}, {found.sparse_rank} by BM25"
        case "hybrid":
            return f"{seen}, {found.hybrid_rank} by fusion"
        case _:
            return seen


def _in_top(rank: int | None) -> bool:
    return rank is not None and rank <= TOP


def _would_rank(rank: int | None, seen: int | None) -> bool:
    """In the top ten, and at no more than half the rank it has: text that is put otherwise always moves a little."""
    return rank is not None and _in_top(rank) and (seen is None or 2 * rank <= seen)
