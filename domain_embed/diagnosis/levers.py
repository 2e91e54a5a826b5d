"""What can be pulled, and what pulling it would gain and cost: measured, estimated, or bounded from above."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from domain_embed.contracts.records import Comparison, Hit, Mode, Run
from domain_embed.diagnosis.causes import DEPTH, Cause
from domain_embed.diagnosis.rankings import Rankings
from domain_embed.diagnosis.unanswered import LabelLosses
from domain_embed.evaluation.measures import HEADLINE, mean_ndcg
from domain_embed.evaluation.significance import bootstrap_interval, compare
from domain_embed.retrieval.fusion import tune_weight, weigh
from domain_embed.settings import EvaluationSettings

Kind: TypeAlias = Literal["measured", "estimated", "bound"]
FOLDS = 5
"""The weight that a query is ranked with is tuned on the other folds' queries."""
MODES: tuple[Mode, ...] = ("dense", "sparse", "hybrid", "weighted")


@dataclass(frozen=True)
class Lever:
    """One thing to do about the failures.

    Attributes:
        name: Short and stable.
        title: For readers.
        kind: `measured` on the validation queries; `estimated` from a smaller trial; `bound`: it cannot gain more.
        gain: In nDCG@10 over what serves now.
        ci95: Of the gain.
        reaches: nDCG@10 with it.
        how: What to do.
        seconds: Work of the machine, by what was timed here.
        reembeds: Passages that have to be embedded again.
        by_hand: Whether it is mostly the work of people.
        comparison: The paired comparison behind a measured gain.
        note: What the figure does not say by itself.
        facts: What else a choice depends on, such as dimensions and latency.
    """

    name: str
    title: str
    kind: Kind
    gain: float
    ci95: tuple[float, float]
    reaches: float
    how: str
    seconds: float = 0.0
    reembeds: int = 0
    by_hand: bool = False
    comparison: Comparison | None = None
    note: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Yardstick:
    """What serves now, by which every lever is measured: its nDCG@10 by query id, and how intervals are made."""

    served: Mode
    scores: "pd.Series[float]"
    settings: EvaluationSettings

    @property
    def mean(self) -> float:
        """Mean nDCG@10 of what serves."""
        return float(self.scores.mean())

    def compare(self, name: str, scores: "pd.Series[float]") -> Comparison:
        """Paired, on the queries of `scores`."""
        return compare(
            name, f"base/{self.served}", HEADLINE, scores, self.scores.loc[scores.index],
            resamples=self.settings.resamples, seed=self.settings.seed,
        )  # fmt: skip

    def measured(self, name: str, title: str, scores: "pd.Series[float]", how: str, **facts: object) -> Lever:
        """A lever whose effect on every query is known."""
        found = self.compare(name, scores)
        return Lever(
            name, title, "measured", found.delta, found.ci95, float(scores.mean()), how, comparison=found,
            **facts,  # type: ignore[arg-type]
        )  # fmt: skip

    def interval(self, values: np.ndarray) -> tuple[float, float]:
        """Of a mean over queries."""
        return bootstrap_interval(values, resamples=self.settings.resamples, seed=self.settings.seed)


def mode_scores(rankings: Rankings, weight: float | None = None) -> "dict[Mode, pd.Series[float]]":
    """nDCG@10 by query id in every mode of the base model; `weighted` is cross-validated unless `weight` is given."""
    found: dict[Mode, pd.Series[float]] = {
        mode: rankings.scores(rankings.run(mode)) for mode in MODES if mode != "weighted"
    }
    found["weighted"] = rankings.scores(weighted_run(rankings, weight))
    return found


def weighted_run(rankings: Rankings, weight: float | None = None) -> Run:
    """Each query ranked by weighted fusion, with a weight that it had no part in tuning."""
    dense, sparse = _fused_of(rankings, "dense"), _fused_of(rankings, "sparse")
    folds = [rankings.query_ids[fold::FOLDS] for fold in range(FOLDS)]
    run: dict[str, Sequence[str]] = {}
    for fold in folds:
        held_out = frozenset(fold)
        others = [key for key in rankings.query_ids if key not in held_out]
        tuned = weight if weight is not None else tuned_weight(rankings, others or fold)
        for key in fold:
            hits = weigh(dense[key], sparse[key], min(DEPTH, max(len(dense[key]), len(sparse[key]))), tuned)
            run[key] = [hit.passage_id for hit in hits]
    return run


def tuned_weight(rankings: Rankings, query_ids: Sequence[str] | None = None) -> float:
    """The dense weight that ranks these queries best, or all of them."""
    chosen = set(rankings.query_ids if query_ids is None else query_ids)
    dense, sparse = _fused_of(rankings, "dense"), _fused_of(rankings, "sparse")
    qrels = {key: grades for key, grades in rankings.qrels.items() if key in chosen}
    return tune_weight(
        {key: dense[key] for key in sorted(chosen)},
        {key: sparse[key] for key in sorted(chosen)},
        lambda run: mean_ndcg(run, qrels),
    )


def setting_levers(
    yardstick: Yardstick, by_mode: "Mapping[Mode, pd.Series[float]]", dense_weight: float
) -> list[Lever]:
    """The other modes of retrieval: nothing is trained or embedded for them."""
    words: dict[Mode, tuple[str, str]] = {
        "dense": ("Dense retrieval alone", "`retrieval.mode: dense`"),
        "sparse": ("BM25 alone", "`retrieval.mode: sparse`"),
        "hybrid": ("Hybrid, equal weights (RRF)", "`retrieval.mode: hybrid`"),
        "weighted": ("Hybrid, tuned weight", f"`retrieval.mode: weighted` (dense weight {dense_weight:g})"),
    }
    return [
        yardstick.measured(mode if mode != "sparse" else "bm25", words[mode][0], by_mode[mode], words[mode][1])
        for mode in MODES
        if mode != yardstick.served
    ]


BOUNDS: dict[str, tuple[str, tuple[Cause, ...], str]] = {
    "labels": ("Mend the labels", ("suspect_label",), "`domain-embed review`"),
    "chunking": ("Cut the documents otherwise", ("cut_off", "split"), "`chunking:`, then run again"),
    "documents": ("Add what is missing", ("missing",), "add the documents, or correct the ids in the labels"),
    "filters": ("Widen the filters", ("filtered",), "mend the filters or the metadata"),
}
"""What mends a fault of the data, and which causes that are."""


def bound_levers(
    cause_by_query: Mapping[str, Cause], losses: LabelLosses, yardstick: Yardstick, passages: int
) -> list[Lever]:
    """What mending a fault of the data can gain at most: every query it made fail would be answered perfectly.

    A query without a judgment is in no split; it counts with its share of the queries asked.
    """
    found = []
    for name, (title, causes, how) in BOUNDS.items():
        room = np.array(
            [
                1 - score if cause_by_query.get(str(key)) in causes else 0.0
                for key, score in yardstick.scores.items()
            ]
        )  # fmt: skip
        lost = np.zeros(losses.asked)
        lost[: sum(one.cause in causes for one in losses.unanswered)] = 1.0
        if not room.any() and not lost.any():
            continue
        (low, high), gain = yardstick.interval(room), float(room.mean())
        if lost.any():
            (lost_low, lost_high), lost_gain = yardstick.interval(lost), float(lost.mean())
            low, high, gain = low + lost_low, high + lost_high, gain + lost_gain
        found.append(
            Lever(
                name,
                title,
                "bound",
                gain,
                (low, high),
                min(1.0, yardstick.mean + gain),
                how,
                by_hand=True,
                reembeds=passages if name == "chunking" else 0,
                note="at most: as if every query with this cause were answered perfectly",
            )
        )
    return found


def perfect_reranking(rankings: Rankings, run: Run, yardstick: Yardstick) -> Lever:
    """What no reranker of the first 100 can exceed: all positives among them stand first, by grade."""
    ideal = {
        key: sorted(ranked, key=lambda one: -rankings.qrels[key].get(one, 0)) for key, ranked in run.items()
    }  # fmt: skip
    scores = rankings.scores(ideal)
    found = yardstick.compare("reranker", scores)
    return Lever(
        "reranker", "A reranker", "bound", found.delta, found.ci95, float(scores.mean()),
        "`reranker.source`, `retrieval.rerank: true`", comparison=found,
        note="at most: as if it put every answer among the first 100 at the top",
    )  # fmt: skip


def _fused_of(rankings: Rankings, mode: Mode) -> dict[str, Sequence[Hit]]:
    """By query id the hits that are fused."""
    return dict(zip(rankings.query_ids, rankings.fused[mode], strict=True))
