"""Judgments to train, validation and test such that nothing that is learned can be asked."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import SPLIT_NAMES, SPLITS, normalized_query
from domain_embed.settings import SplitSettings

PAIRS_OF_SPLITS = (("train", "test"), ("train", "validation"), ("validation", "test"))


@dataclass(frozen=True)
class Leakage:
    """What two splits share; `queries` and `positives` map "train & test" and the like to counts."""

    queries: Mapping[str, int]
    positives: Mapping[str, int]

    @property
    def shares_queries(self) -> bool:
        """Whether a query text of one split is asked in another."""
        return any(self.queries.values())

    @property
    def shares_positives(self) -> bool:
        """Whether a passage that answers in one split answers in another."""
        return any(self.positives.values())


def split_judgments(judgments: pa.Table, settings: SplitSettings) -> pa.Table:
    """The judgments with a split for each, as a SPLITS table.

    With strategy "hash", judgments that share a query text or a positive passage, directly or through others,
    form one group, and a hash of the group's smallest passage id decides for all of it: no positive and no query
    text is in two splits, and a group keeps its split when unrelated judgments come or go. With "given" the
    judgments' own splits are kept exactly; where validation is missing, it is taken out of train by the same hash.

    Raises:
        InputError: When train, validation or test ends empty, or a judgment lacks its given split.
    """
    frame = judgments.to_pandas()
    shares = _group_positions(frame)
    if settings.strategy == "hash":
        frame["split"] = np.select(
            [shares < settings.test, shares < settings.test + settings.validation], ["test", "validation"], "train"
        )
    else:
        frame["split"] = _given(frame, shares, settings)
    _require_all_splits(frame, settings)
    return pa.Table.from_pandas(frame, schema=SPLITS, preserve_index=False)


def measure_leakage(splits: pa.Table) -> Leakage:
    """Counts the query texts (case and white space folded) and positives that two splits share."""
    frame = splits.to_pandas()
    texts = frame["query"].map(normalized_query)
    by_split = {name: frame["split"] == name for name in SPLIT_NAMES}
    queries = {name: set(texts[mask]) for name, mask in by_split.items()}
    positives = {name: set(frame["passage_id"][mask]) for name, mask in by_split.items()}
    return Leakage(
        queries={f"{a} & {b}": len(queries[a] & queries[b]) for a, b in PAIRS_OF_SPLITS},
        positives={f"{a} & {b}": len(positives[a] & positives[b]) for a, b in PAIRS_OF_SPLITS},
    )


def _group_positions(frame: pd.DataFrame) -> NDArray[np.float64]:
    """For each judgment the position in [0, 1) of its group: a hash of the group's smallest passage id."""
    passages, passage_ids = pd.factorize(frame["passage_id"], sort=True)
    texts, _ = pd.factorize(frame["query"].map(normalized_query))
    size = len(passage_ids) + texts.max(initial=0) + 1
    edges = coo_array((np.ones(len(frame), dtype=bool), (passages, len(passage_ids) + texts)), shape=(size, size))
    _, group_of_node = connected_components(edges, directed=False)
    groups = group_of_node[passages]
    smallest = pd.Series(passages).groupby(groups).transform("min").to_numpy()
    position_of = np.array([_position(passage_id) for passage_id in passage_ids], dtype=np.float64)
    positions: NDArray[np.float64] = position_of[smallest]
    return positions


def _position(passage_id: str) -> float:
    return int.from_bytes(hashlib.sha256(passage_id.encode()).digest()[:8]) / 2**64


def _given(frame: pd.DataFrame, shares: NDArray[np.float64], settings: SplitSettings) -> pd.Series:
    undecided = frame["split"].isna()
    if undecided.any():
        culprits = frame.loc[undecided, "query_id"].unique().tolist()
        raise InputError.of_culprits(
            "splits.strategy is `given`, but these queries have no split", culprits,
            hint="add a `split` to each judgment, or set splits.strategy to `hash`",
        )  # fmt: skip
    split = frame["split"].copy()
    if not (split == "validation").any():
        held_out = settings.validation / (1 - settings.test)
        split[(split == "train") & (shares < held_out)] = "validation"
    return split


def _require_all_splits(frame: pd.DataFrame, settings: SplitSettings) -> None:
    counts = {name: int((frame["split"] == name).sum()) for name in SPLIT_NAMES}
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        hint = (
            f"add judgments, or raise splits.{empty[0]}"
            if settings.strategy == "hash" and empty != ["train"]
            else "add judgments of that split, or set splits.strategy to `hash`"
        )
        raise InputError(f"no judgment is in the {' and '.join(empty)} split ({counts})", hint)
