"""What is known about the training queries: their positives, and what was judged not to answer them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.tables import normalized_query
from domain_embed.mining.passages import UNKNOWN, PassageRows

BATCH_ROWS = 16_384
QUERY_COLUMNS = ["query_id", "query", "passage_id", "split"]


@dataclass(frozen=True)
class TrainingQuery:
    """One query with the rows of all its known positives, (k,) int64 without repeats, k >= 1."""

    query_id: str
    text: str
    positives: NDArray[np.int64]


@dataclass(frozen=True)
class JudgedNegative:
    """A passage judged, or seen and passed over, for a query."""

    row: int
    source: str
    confidence: float


def training_rows(splits: TableReader) -> pa.Table:
    """What mining needs of a stored SPLITS table, read in batches: the train rows, four columns."""
    batches = splits.batches(BATCH_ROWS, QUERY_COLUMNS)
    train = [batch.filter(pc.equal(batch["split"], "train")) for batch in batches]
    return pa.Table.from_batches(train) if train else splits.read(QUERY_COLUMNS)


def training_queries(splits: pa.Table, passages: PassageRows) -> list[TrainingQuery]:
    """The training queries by id; one text under two ids has the positives of both.

    Raises InputError when a positive is not in the collection.
    """
    frame = splits.select(QUERY_COLUMNS).to_pandas()
    train = frame[frame["split"] == "train"]
    rows = passages.rows(list(train["passage_id"]))
    if (rows == UNKNOWN).any():
        missing = sorted(set(train["passage_id"][rows == UNKNOWN]))
        raise InputError.of_culprits(
            "positives that the base collection does not hold", missing, hint="`domain-embed run` brings it up to date"
        )
    train = train.assign(text=train["query"].map(normalized_query), row=rows)
    positives = train.groupby("text")["row"].agg(lambda found: np.unique(found.to_numpy()))
    distinct = train.drop_duplicates("query_id").sort_values("query_id")
    return [
        TrainingQuery(query_id, query, positives[text])
        for query_id, query, text in zip(distinct["query_id"], distinct["query"], distinct["text"], strict=True)
    ]


def judged_negatives(table: pa.Table | None, passages: PassageRows) -> Mapping[str, list[JudgedNegative]]:
    """The judged negatives by normalized query text, the most certain first, each passage once.

    Judgments of passages that are gone are left out. Memory grows with their number: they are few beside the passages.
    """
    found: dict[str, dict[int, JudgedNegative]] = defaultdict(dict)
    if table is not None and table.num_rows:
        rows = passages.rows(table["passage_id"].to_pylist())
        known = table.append_column("row", pa.array(rows)).filter(pa.array(rows != UNKNOWN))
        ordered = known.sort_by([("confidence", "descending"), ("passage_id", "ascending"), ("source", "ascending")])
        for line in ordered.select(["query", "row", "source", "confidence"]).to_pylist():
            judged = JudgedNegative(line["row"], line["source"], line["confidence"])
            found[normalized_query(line["query"])].setdefault(judged.row, judged)
    return {text: list(negatives.values()) for text, negatives in found.items()}
