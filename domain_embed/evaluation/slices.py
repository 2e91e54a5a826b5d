"""For whom a change is good and for whom it is not: the test queries in slices, and the effect in each."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.ports import TableReader
from domain_embed.contracts.records import embedded_text
from domain_embed.encoding.words import words
from domain_embed.evaluation.significance import TIE, bootstrap_interval, holm, sign_flip_p
from domain_embed.judgments.passage_rows import rows_of

FEWEST = 10
"""A slice of fewer queries says nothing and is not listed."""
MOST_VALUES = 12
"""A metadata key with more values among the answers does not divide the queries into groups."""
_COLUMNS = ("passage_id", "doc_id", "title", "text", "metadata")

LENGTH, OVERLAP, SEEN, SOURCE = "query length", "words shared with the answer", "document of the answer", "source"
FILTERED = "search"


@dataclass(frozen=True)
class SliceEffect:
    """What a change did to the queries of one slice, in nDCG@10.

    `before` and `after` are means over its `queries`, of which `wins` gained and `losses` lost; `ci95` is the paired
    interval of their difference `delta`, and `p_adjusted` the p-value corrected for all slices that were looked at.
    """

    dimension: str
    value: str
    queries: int
    before: float
    after: float
    delta: float
    ci95: tuple[float, float]
    p: float
    p_adjusted: float
    wins: int = 0
    losses: int = 0


def label_queries(splits: pa.Table, passages: TableReader) -> pd.DataFrame:
    """What is known of each test query that may divide them: index `query_id`, one column per dimension.

    A query is described by its best positive: the highest grade, of equal ones the first passage id. Dimensions are
    its source, the number of its words, the share of them that stand in the positive, whether the positive's document
    answers a training query too, whether a filter comes with it, and every metadata key of the positives with few
    values. What a query has no value for is missing.

    Args:
        splits: A SPLITS table.
        passages: A PASSAGES table.
    """
    frame: pd.DataFrame = splits.to_pandas()
    test = frame[frame["split"] == "test"].sort_values(
        ["query_id", "grade", "passage_id"], ascending=[True, False, True]
    )
    best = test.drop_duplicates("query_id").set_index("query_id")
    found = {row[0]: row for row in rows_of(passages, best["passage_id"].tolist(), _COLUMNS)}
    best = best[best["passage_id"].isin(found)]
    answers = [found[passage_id] for passage_id in best["passage_id"]]
    trained = set(frame.loc[frame["split"] == "train", "doc_id"])
    asked = [words(query) for query in best["query"]]
    labels = pd.DataFrame(
        {
            LENGTH: [_length(len(query)) for query in asked],
            OVERLAP: [
                _overlap(query, embedded_text(row[2], row[3])) for query, row in zip(asked, answers, strict=True)
            ],
            SEEN: ["seen in training" if row[1] in trained else "not seen in training" for row in answers],
            SOURCE: best["source"].tolist(),
            FILTERED: ["with a filter" if isinstance(told, str) else "without a filter" for told in best["filters"]],
        },
        index=best.index,
    )
    return labels.join(_metadata([row[4] for row in answers], best.index))


def slice_effects(
    labels: pd.DataFrame, after: "pd.Series[float]", before: "pd.Series[float]", *, resamples: int, seed: int
) -> tuple[SliceEffect, ...]:
    """The effect in every slice of at least ten queries, the worst first.

    Args:
        labels: As `label_queries` gives; a dimension with one value only divides nothing.
        after: Scores of the challenger by query id.
        before: Scores of the baseline, of the same queries.
        resamples: Of each interval and p-value.
        seed: Of each interval and p-value.
    """
    new = np.asarray(after.reindex(labels.index), dtype=np.float64)
    old = np.asarray(before.reindex(labels.index), dtype=np.float64)
    effects = [
        _effect(dimension, value, new[members], old[members], resamples, seed)
        for dimension, value, members in _slices(labels)
    ]
    adjusted = holm([effect.p for effect in effects])
    corrected = [replace(effect, p_adjusted=p) for effect, p in zip(effects, adjusted, strict=True)]
    return tuple(sorted(corrected, key=lambda effect: (effect.delta, effect.dimension, effect.value)))


def _slices(labels: pd.DataFrame) -> Iterator[tuple[str, str, NDArray[np.intp]]]:
    """Dimension, value and places of the queries of each slice that is large enough."""
    for dimension in labels.columns:
        codes, values = pd.factorize(labels[dimension], sort=True)
        if len(values) < 2:
            continue
        for code, value in enumerate(values):
            members = np.flatnonzero(codes == code)
            if len(members) >= FEWEST:
                yield str(dimension), str(value), members


def _effect(
    dimension: str, value: str, after: NDArray[np.float64], before: NDArray[np.float64], resamples: int, seed: int
) -> SliceEffect:
    differences = after - before
    p = sign_flip_p(differences, resamples=resamples, seed=seed)
    return SliceEffect(
        dimension=dimension,
        value=value,
        queries=len(differences),
        before=float(before.mean()),
        after=float(after.mean()),
        delta=float(differences.mean()),
        ci95=bootstrap_interval(differences, resamples=resamples, seed=seed),
        p=p,
        p_adjusted=p,
        wins=int(np.count_nonzero(differences > TIE)),
        losses=int(np.count_nonzero(differences < -TIE)),
    )


def _length(count: int) -> str:
    for most, name in ((3, "1 to 3 words"), (7, "4 to 7 words"), (15, "8 to 15 words")):
        if count <= most:
            return name
    return "16 words and more"


def _overlap(query: list[str], passage: str) -> str:
    held = set(words(passage))
    share = sum(word in held for word in query) / len(query) if query else 0.0
    return "up to a third" if share <= 1 / 3 else "up to two thirds" if share <= 2 / 3 else "more than two thirds"


def _metadata(texts: list[str], index: pd.Index) -> pd.DataFrame:
    """One column for each key that divides the positives into a few groups."""
    records: list[Mapping[str, object]] = [json.loads(text) for text in texts]
    columns: dict[str, list[str | None]] = {}
    for key in sorted({key for record in records for key in record}):
        values = [_shown(record.get(key)) for record in records]
        if 2 <= len(set(values) - {None}) <= MOST_VALUES and key not in (LENGTH, OVERLAP, SEEN, SOURCE):
            columns[key] = values
    return pd.DataFrame(columns, index=index)


def _shown(value: object) -> str | None:
    """A metadata value as a slice's name; lists and objects make no slice."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, str | int | float) else None
