"""Training pairs and the batches they are drawn in: no passage is ever its own query's negative."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.records import embedded_text
from domain_embed.contracts.tables import normalized_query


@dataclass(frozen=True)
class TrainingPairs:
    """Everything training reads. Passages are texts without repeats: equal text is one passage here.

    `pairs` (n, 2) int64 holds (query, passage) indices; `positives[q]` are all known positives of query q and
    `negatives[q]` its hard negatives, as passage indices. `teacher_scores` are a reranker's of (query, passage), where
    there is one to learn from; see `teacher.taught_pairs`.
    """

    queries: Sequence[str]
    passages: Sequence[str]
    pairs: NDArray[np.int64]
    positives: Sequence[frozenset[int]]
    negatives: Sequence[Sequence[int]]
    teacher_scores: Mapping[tuple[int, int], float] | None = None


@dataclass(frozen=True)
class Batch:
    """One step. `queries` (n,) and `passages` (m,) are indices; `passages[targets[i]]` answers query i.

    `masked` (n, m) bool marks passages that also answer query i, which must not count as its negatives; `mined` (n, m)
    bool the hard negatives that were drawn for it. `teacher` (n, m) float32 holds the reranker's scores, NaN where
    there is none.
    """

    queries: NDArray[np.int64]
    passages: NDArray[np.int64]
    targets: NDArray[np.int64]
    masked: NDArray[np.bool_]
    mined: NDArray[np.bool_]
    teacher: NDArray[np.float32] | None = None


def training_pairs(splits: pa.Table, hard_negatives: pa.Table, passages: TableReader) -> TrainingPairs:
    """The train split's pairs with their hard negatives and texts.

    Raises TrainingError when there are fewer than two pairs with different positives.
    """
    frame = splits.to_pandas()
    train = frame[frame["split"] == "train"]
    mined = hard_negatives.to_pandas()
    index_of, texts = _distinct_texts(set(train["passage_id"]) | set(mined["passage_id"]), passages)
    # One text under two ids is one query: what answers the one must not be a negative of the other.
    text_of = train["query"].map(normalized_query)
    queries = train.assign(text=text_of).sort_values("query_id").drop_duplicates("text")
    row_of_text = {text: row for row, text in enumerate(queries["text"])}
    row_of = {query_id: row_of_text[text] for query_id, text in zip(train["query_id"], text_of, strict=True)}
    pairs = np.array(
        sorted({(row_of[q], index_of[p]) for q, p in zip(train["query_id"], train["passage_id"], strict=True)})
    )
    positives: list[set[int]] = [set() for _ in row_of_text]
    for query, passage in pairs:
        positives[query].add(int(passage))
    negatives: list[list[int]] = [[] for _ in row_of_text]
    for query_id, passage_id in zip(mined["query_id"], mined["passage_id"], strict=True):
        if query_id in row_of and index_of[passage_id] not in positives[row_of[query_id]]:
            negatives[row_of[query_id]].append(index_of[passage_id])
    if len(set(pairs[:, 1].tolist())) < 2:
        raise TrainingError(f"{len(pairs)} training pairs with one positive: nothing to tell apart", "add judgments")
    return TrainingPairs(list(queries["query"]), texts, pairs, [frozenset(known) for known in positives], negatives)


def epoch_batches(data: TrainingPairs, batch_size: int, hard_negatives: int, seed: int, epoch: int) -> list[Batch]:
    """All batches of one epoch: every pair once, in an order and with negatives that seed and epoch decide.

    Within a batch no two pairs share a query or a positive; a pair that would is kept for a later one. A pair that is
    left alone has nothing to be told from and joins a batch before, which is then one larger; it is left out when it
    shares query or positive with a pair of every one of them.
    """
    generator = np.random.default_rng([seed, epoch])
    waiting = deque(int(row) for row in generator.permutation(len(data.pairs)))
    drawn: list[list[int]] = []
    while waiting:
        rows = _draw(waiting, data, batch_size)
        if len(rows) > 1:
            drawn.append(rows)
        else:
            _join(rows[0], drawn, data, batch_size)
    return [_batch(data, rows, hard_negatives, generator) for rows in drawn]


def _join(row: int, drawn: Sequence[list[int]], data: TrainingPairs, size: int) -> None:
    """Adds a pair to the last batch that has room for one more and nothing in common with it, if there is one."""
    query, passage = data.pairs[row]
    for rows in reversed(drawn):
        queries, passages = data.pairs[rows].T
        if len(rows) <= size and query not in queries and passage not in passages:
            rows.append(row)
            return


def _draw(waiting: deque[int], data: TrainingPairs, size: int) -> list[int]:
    """Takes up to `size` pairs with distinct queries and positives; passed-over ones stay first in line."""
    rows: list[int] = []
    passed_over: list[int] = []
    queries: set[int] = set()
    passages: set[int] = set()
    while waiting and len(rows) < size and len(passed_over) < 20 * size:
        row = waiting.popleft()
        query, passage = data.pairs[row].tolist()
        if query in queries or passage in passages:
            passed_over.append(row)
        else:
            rows.append(row)
            queries.add(query)
            passages.add(passage)
    waiting.extendleft(reversed(passed_over))
    return rows


def _batch(data: TrainingPairs, rows: Sequence[int], hard_negatives: int, generator: np.random.Generator) -> Batch:
    queries, positives = data.pairs[list(rows)].T
    drawn: list[set[int]] = []
    for query in queries:
        candidates = data.negatives[query]
        drawn.append({candidates[pick] for pick in generator.permutation(len(candidates))[:hard_negatives]})
    extra = np.array(sorted(set().union(*drawn) - set(positives.tolist())), dtype=np.int64)
    passages = np.concatenate([positives, extra])
    masked = np.array([[passage in data.positives[query] for passage in passages.tolist()] for query in queries])
    mined = np.array([[passage in own for passage in passages.tolist()] for own in drawn])
    targets = np.arange(len(queries))
    masked[targets, targets] = False
    return Batch(queries, passages, targets, masked, mined, _teacher(data, queries, passages))


def _teacher(
    data: TrainingPairs, queries: NDArray[np.int64], passages: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    if data.teacher_scores is None:
        return None
    known = data.teacher_scores
    scores = [[known.get((query, passage), np.nan) for passage in passages.tolist()] for query in queries.tolist()]
    return np.array(scores, dtype=np.float32)


def _distinct_texts(passage_ids: set[str], passages: TableReader) -> tuple[dict[str, int], list[str]]:
    index_of_text: dict[str, int] = {}
    index_of: dict[str, int] = {}
    for batch in passages.batches(16_384, columns=["passage_id", "title", "text"]):
        for row in batch.to_pylist():
            if row["passage_id"] in passage_ids:
                text = embedded_text(row["title"], row["text"])
                index_of[row["passage_id"]] = index_of_text.setdefault(text, len(index_of_text))
    return index_of, list(index_of_text)
