"""Judgments to train, validation and test such that nothing that is learned can be asked, and what is asked stays."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.tables import SPLIT_NAMES, SPLITS, normalized_query
from domain_embed.judgments.near_duplicates import connected_groups, near_duplicate_pairs
from domain_embed.settings import SplitSettings

SAMPLES_KEPT = 20
RANKS = {name: rank for rank, name in enumerate(SPLIT_NAMES)}
"""The higher, the more held out."""

_NAMES = np.array(SPLIT_NAMES, dtype=object)


@dataclass(frozen=True)
class SplitResult:
    """A SPLITS table, and what became of rows on the way.

    Attributes:
        table: The judgments with their splits, in the order they came.
        moved: How many judgments changed their split since last time, by "train → test" and the like.
        moved_samples: The first of them, as (query, passage id, "train → test").
        dropped_train_only: Made-up judgments left out because their query or passage is held out.
    """

    table: pa.Table
    moved: Mapping[str, int] = field(default_factory=dict)
    moved_samples: Sequence[tuple[str, str, str]] = ()
    dropped_train_only: int = 0


def split_judgments(judgments: pa.Table, settings: SplitSettings, kept: pa.Table | None = None) -> SplitResult:
    """Gives every judgment a split.

    Judgments that share a query text, a near-duplicate of it, a positive passage or, with `by_document`, a document,
    directly or through others, form one group, which is in one split as a whole.

    - "hash": a hash of the group's smallest passage id decides. A group that was split before stays: it takes the most
      held-out split (test, then validation) any of its query texts, passages or documents had in `kept`, so that what
      was held out once is never trained on, whatever comes or goes; changed shares hold for new groups only.
    - "time": the group's newest judgment against `validation_from` and `test_from` (days begin at midnight UTC).
    - "given": the judgments' own splits exactly, whatever they share. One without a split trains, unless its query or a
      near-duplicate of it is held out: then it goes with it. Where no judgment is in the test or validation, these are
      taken out of train, by group and hash; what was in such a test before stays there.

    Rows that are `train_only` are in train or nowhere: one whose query, passage or document is held out is dropped.
    They tie no others together.

    Args:
        judgments: A JUDGMENTS table.
        settings: Strategy and shares.
        kept: The SPLITS table of last time.

    Raises:
        InputError: When train, validation or test ends empty, or a judgment lacks what the strategy goes by.
    """
    frame = judgments.to_pandas()
    items = _Items.of(frame, settings)
    asked = ~frame["train_only"].to_numpy(dtype=bool)
    rank = np.zeros(len(frame), dtype=np.int64)
    rank[asked] = _ranks(frame[asked], items, asked, settings, kept)
    dropped = ~asked & items.touched_by(rank > 0)
    table = _with_splits(judgments, rank).filter(pa.array(~dropped))
    _require_all_splits(np.bincount(rank[~dropped], minlength=len(SPLIT_NAMES)), settings)
    moved = _moved(frame[asked], rank[asked], kept)
    return SplitResult(
        table,
        {str(move): int(count) for move, count in moved["move"].value_counts().items()},
        tuple(moved.head(SAMPLES_KEPT)[["query", "passage_id", "move"]].itertuples(index=False, name=None)),
        int(dropped.sum()),
    )


@dataclass(frozen=True)
class _Items:
    """What judgments may share, as numbers: (n_rows,) texts, passages and documents, and pairs of near texts."""

    texts: NDArray[np.int64]
    passages: NDArray[np.int64]
    documents: NDArray[np.int64] | None
    near: NDArray[np.int64]

    @classmethod
    def of(cls, frame: pd.DataFrame, settings: SplitSettings) -> "_Items":
        text = frame["query"].map(normalized_query)
        asked = pd.Index(text[~frame["train_only"]].unique()).sort_values()
        # What was asked comes first: of equal texts near_duplicate_pairs ties all to the first one.
        known = asked.append(pd.Index(text.unique()).difference(asked))
        near = np.empty((0, 2), dtype=np.int64)
        if settings.near_duplicates is not None:
            near = near_duplicate_pairs(lambda: [known.tolist()], settings.near_duplicates)
        return cls(
            texts=known.get_indexer(pd.Index(text)).astype(np.int64),
            passages=pd.factorize(frame["passage_id"])[0],
            documents=pd.factorize(frame["doc_id"])[0] if settings.by_document else None,
            near=near,
        )

    def groups(self, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For each of the marked rows the number of its group among them."""
        texts, passages = self.texts[rows], self.passages[rows]
        near = self.near[np.isin(self.near, texts).all(axis=1)]
        first_passage = self.texts.max(initial=0) + 1
        ends = [(texts, first_passage + passages), (near[:, 0], near[:, 1])]
        size = first_passage + self.passages.max(initial=0) + 1
        if self.documents is not None:
            ends.append((texts, size + self.documents[rows]))
            size += self.documents.max(initial=0) + 1
        left, right = (np.concatenate(side) for side in zip(*ends, strict=True))
        return connected_groups(left, right, size)[texts]

    def held_out_texts(self, ranks: NDArray[np.int64], rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For each of the marked rows the most held-out of the `ranks` that its text or a near-duplicate has, or 0."""
        texts = self.texts[rows]
        own = np.zeros(self.texts.max(initial=0) + 1, dtype=np.int64)
        np.maximum.at(own, texts, ranks)
        found = own.copy()
        for one, other in ((0, 1), (1, 0)):
            np.maximum.at(found, self.near[:, one], own[self.near[:, other]])
        return found[texts]

    def touched_by(self, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which rows share something with a marked one."""
        texts = self.texts[rows]
        near = np.concatenate([self.near, self.near[:, ::-1]])
        texts = np.concatenate([texts, near[np.isin(near[:, 0], texts), 1]])
        touched = np.isin(self.texts, texts) | np.isin(self.passages, self.passages[rows])
        if self.documents is not None:
            touched |= np.isin(self.documents, self.documents[rows])
        return touched


def _ranks(
    frame: pd.DataFrame, items: _Items, rows: NDArray[np.bool_], settings: SplitSettings, kept: pa.Table | None
) -> NDArray[np.int64]:
    """The split of each of the rows that were asked, as its place in SPLIT_NAMES."""
    match settings.strategy:
        case "given":
            return _given(frame, items, rows, settings, kept)
        case "time":
            return _by_time(frame, items.groups(rows), settings)
        case "hash":
            groups = items.groups(rows)
            position = _positions(frame["passage_id"], groups)
            drawn = np.select([position < settings.test, position < settings.test + settings.validation], [2, 1], 0)
            earlier = _of_group(_earlier_ranks(frame, kept, settings), groups, "max")
            return np.where(earlier >= 0, earlier, drawn)


def _positions(passage_ids: pd.Series, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each judgment the position in [0, 1) of its group: a hash of the group's smallest passage id."""
    codes, known = pd.factorize(passage_ids, sort=True)
    hashes = np.array([_position(passage_id) for passage_id in known], dtype=np.float64)
    positions: NDArray[np.float64] = hashes[_of_group(codes, groups, "min")]
    return positions


def _position(passage_id: str) -> float:
    return int.from_bytes(hashlib.sha256(passage_id.encode()).digest()[:8]) / 2**64


def _of_group(values: NDArray[np.int64], groups: NDArray[np.int64], which: Literal["min", "max"]) -> NDArray[np.int64]:
    """For each row the smallest or largest value of its group."""
    found: NDArray[np.int64] = pd.Series(values).groupby(groups).transform(which).to_numpy()
    return found


def _earlier_ranks(frame: pd.DataFrame, kept: pa.Table | None, settings: SplitSettings) -> NDArray[np.int64]:
    """For each judgment the most held-out split its text, passage or document had; -1 for none.

    What was made up decides nothing: it would keep in train whatever people ask about the same passage later.
    """
    ranks = np.full(len(frame), -1, dtype=np.int64)
    if kept is None:
        return ranks
    earlier = kept.to_pandas()
    earlier = earlier[~earlier["train_only"].to_numpy(dtype=bool)]
    earlier_rank = earlier["split"].map(RANKS)
    names = ["query", "passage_id", *(["doc_id"] if settings.by_document else [])]
    for name in names:
        then, now = earlier[name], frame[name]
        if name == "query":
            then, now = then.map(normalized_query), now.map(normalized_query)
        known = now.map(earlier_rank.groupby(then.to_numpy()).max())
        ranks = np.maximum(ranks, known.fillna(-1).to_numpy(dtype=np.int64))
    return ranks


def _by_time(frame: pd.DataFrame, groups: NDArray[np.int64], settings: SplitSettings) -> NDArray[np.int64]:
    created = pd.to_datetime(frame["created_at"], utc=True, format="ISO8601", errors="coerce")
    if created.isna().any():
        raise InputError.of_culprits(
            "splits.strategy is `time`, but judgments of these queries have no readable created_at",
            frame.loc[created.isna(), "query_id"].unique().tolist(),
            hint="add a `created_at` in ISO 8601 to each judgment, or set splits.strategy to `hash`",
        )  # fmt: skip
    newest = created.groupby(groups).transform("max")
    borders = [pd.Timestamp(str(day), tz="UTC") for day in (settings.validation_from, settings.test_from)]
    ranks: NDArray[np.int64] = np.sum([(newest >= border).to_numpy() for border in borders], axis=0)
    return ranks


def _given(
    frame: pd.DataFrame, items: _Items, rows: NDArray[np.bool_], settings: SplitSettings, kept: pa.Table | None
) -> NDArray[np.int64]:  # fmt: skip
    if frame["split"].isna().all():
        hint = "add a `split` to the judgments, or set splits.strategy to `hash`"
        raise InputError("splits.strategy is `given`, but no judgment has a split", hint)
    own = np.asarray(frame["split"].map(RANKS).fillna(-1), dtype=np.int64)
    ranks: NDArray[np.int64] = np.where(own >= 0, own, items.held_out_texts(own, rows))
    groups = items.groups(rows)
    positions = _positions(frame["passage_id"], groups)
    start, share = 0.0, settings.validation / (1 - settings.test)
    if not (ranks == RANKS["test"]).any():
        earlier = _of_group(_earlier_ranks(frame, kept, settings), groups, "max")
        held_out = (positions < settings.test) | (earlier == RANKS["test"])
        ranks = np.where((ranks == RANKS["train"]) & held_out, RANKS["test"], ranks)
        start, share = settings.test, settings.validation
    if not (ranks == RANKS["validation"]).any():
        held_out = (positions >= start) & (positions < start + share)
        ranks = np.where((ranks == RANKS["train"]) & held_out, RANKS["validation"], ranks)
    return ranks


def _with_splits(judgments: pa.Table, rank: NDArray[np.int64]) -> pa.Table:
    split = pa.array(_NAMES[rank], type=pa.string())
    return judgments.set_column(judgments.schema.get_field_index("split"), SPLITS.field("split"), split).cast(SPLITS)


def _moved(frame: pd.DataFrame, rank: NDArray[np.int64], kept: pa.Table | None) -> pd.DataFrame:
    """The judgments that were in another split last time: query, passage_id and move."""
    now = pd.DataFrame({"query": frame["query"], "passage_id": frame["passage_id"], "now": _NAMES[rank]})
    now["text"] = now["query"].map(normalized_query)
    before = (kept or SPLITS.empty_table()).select(["query", "passage_id", "split"]).to_pandas()
    before["text"] = before.pop("query").map(normalized_query)
    both = now.drop_duplicates(["text", "passage_id", "now"]).merge(
        before.drop_duplicates(["text", "passage_id", "split"]), on=["text", "passage_id"]
    )
    both = both[both["now"] != both["split"]]
    return both.assign(move=both["split"] + " → " + both["now"])


def _require_all_splits(counts: NDArray[np.int64], settings: SplitSettings) -> None:
    counted = {name: int(count) for name, count in zip(SPLIT_NAMES, counts, strict=True)}
    empty = [name for name, count in counted.items() if count == 0]
    if empty:
        if settings.strategy == "time":
            hint = "add judgments, or change splits.validation_from and splits.test_from"
        elif settings.strategy == "hash" and empty != ["train"]:
            hint = f"add judgments, or raise splits.{empty[0]}"
        else:
            hint = "add judgments of that split, or set splits.strategy to `hash`"
        raise InputError(f"no judgment is in the {' and '.join(empty)} split ({counted})", hint)
