"""The served quality that a query log shows: figures for each day, and whether the newest days are worse."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from domain_embed.evaluation.figures import plain, signed

TOP = 10
"""How many results of a search are looked at, as in the measures of the evaluation."""

MEASURES = {
    "zero_results": "share of searches without a result",
    "low_score": "share of searches whose best result scores low",
    "click_mrr": "click MRR: one by the rank of the first result that was opened",
    "success": "share of searches with an opened result, or said to be helpful",
    "new_passages": "share of answers from passages newer than the model",
}
LOWER_IS_BETTER = frozenset({"zero_results", "low_score"})
JUDGED = ("zero_results", "low_score", "click_mrr", "success")
"""What an alarm may be about; newer passages alone are no fault."""


@dataclass(frozen=True)
class Mean:
    """A mean over `n` searches with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Change:
    """One measure in the newest days against those before: `delta` is newest minus before, with its 95 % interval."""

    measure: str
    before: Mean
    recent: Mean
    delta: float
    ci95: tuple[float, float]

    def describe(self) -> str:
        """In words, like "success: 0.412 after 0.655, a difference of −0.243 (95 % interval −0.301 to −0.185)"."""
        low, high = self.ci95
        return (
            f"{self.measure}: {plain(self.recent.value)} after {plain(self.before.value)}, a difference of "
            f"{signed(self.delta)} (95 % interval {signed(low)} to {signed(high)}; {self.recent.n:,} and "
            f"{self.before.n:,} searches)"
        )

    def is_worse_by(self, much: float) -> bool:
        """Whether the whole interval is worse by more than so much."""
        low, high = self.ci95
        return low > much if self.measure in LOWER_IS_BETTER else high < -much


def score_searches(
    log: pd.DataFrame, is_new: Callable[[str], bool], low_score: float | None
) -> pd.DataFrame:  # fmt: skip
    """One row a search: `day` and a column for each of MEASURES, NaN where the measure says nothing.

    Clicks say nothing while no search of the log has any, or an opinion: then nobody notes them. A search without
    results is no success and has reciprocal rank 0.

    Args:
        log: As `read_query_log` gives it.
        is_new: Whether a passage is newer than the model.
        low_score: Below this a best result is bad; None: that is not judged.
    """
    signals = bool(log["clicked"].map(len).sum() or log["helpful"].notna().sum())
    rows = []
    for search in log.to_dict("records"):
        ids, scores = search["passage_ids"], search["scores"]
        rows.append({
            "day": search["day"],
            "zero_results": float(not ids),
            "low_score": float(max(scores) < low_score) if ids and low_score is not None else np.nan,
            "click_mrr": _reciprocal_rank(ids, search["clicked"]) if signals else np.nan,
            "success": _success(search["clicked"], search["helpful"]) if signals else np.nan,
            "new_passages": float(np.mean([is_new(i) for i in ids[:TOP]])) if ids else np.nan,
        })  # fmt: skip
    return pd.DataFrame(rows, columns=["day", *MEASURES])


def _reciprocal_rank(ids: Sequence[str], clicked: set[str]) -> float:
    return next((1.0 / rank for rank, passage_id in enumerate(ids[:TOP], start=1) if passage_id in clicked), 0.0)


def _success(clicked: set[str], helpful: bool | None) -> float:
    return float(bool(clicked) if helpful is None else helpful)


def daily_figures(scores: pd.DataFrame) -> list[dict[str, str | int | float]]:
    """One row a day: searches, and each measure's mean with its interval where there is one."""
    rows: list[dict[str, str | int | float]] = []
    for day, group in scores.groupby("day"):
        row: dict[str, str | int | float] = {"day": str(day), "searches": len(group)}
        for measure in MEASURES:
            found = mean_of(group[measure])
            if found is not None:
                row |= {measure: found.value, f"{measure}_low": found.low, f"{measure}_high": found.high}
        rows.append(row)
    return rows


def mean_of(values: "pd.Series[float]") -> Mean | None:
    """The mean of what is not NaN, with its interval; None where nothing is.

    Of shares Wilson's interval (1927), which stays within 0 and 1 and does not collapse at either; of other figures
    Student's, cut to 0 and 1.
    """
    from scipy import stats  # half a second that `plan` need not wait for

    known = values.dropna().to_numpy(dtype=np.float64)
    n = len(known)
    if n == 0:
        return None
    mean = float(known.mean())
    if np.isin(known, (0.0, 1.0)).all():
        wilson = stats.binomtest(int(known.sum()), n).proportion_ci(method="wilson")
        return Mean(mean, float(wilson.low), float(wilson.high), n)
    half = float(stats.t.ppf(0.975, n - 1) * known.std(ddof=1) / np.sqrt(n)) if n > 1 else 1.0
    return Mean(mean, max(0.0, mean - half), min(1.0, mean + half), n)


def compare_days(
    scores: pd.DataFrame, last: date, recent_days: int, min_searches: int, *, live_since: date | None = None
) -> list[Change]:
    """The newest days up to `last` against all before, for each measure with enough searches on both sides.

    The newest days begin after the day on which the model went live: an earlier model's faults are not its own. The
    interval is Welch's, of a difference of means: the searches of the two sides are not the same ones.
    """
    first_day = last - timedelta(days=recent_days - 1)
    if live_since is not None:
        first_day = max(first_day, live_since + timedelta(days=1))
    is_recent = scores["day"] >= first_day.isoformat()
    changes = []
    for measure in MEASURES:
        before, recent = (scores.loc[side, measure].dropna() for side in (~is_recent, is_recent))
        if min(len(before), len(recent)) < min_searches:
            continue
        first, second = mean_of(before), mean_of(recent)
        if first is not None and second is not None:
            changes.append(_change(measure, first, second, before.to_numpy(), recent.to_numpy()))
    return changes


def _change(
    measure: str, first: Mean, second: Mean, before: NDArray[np.float64], recent: NDArray[np.float64]
) -> Change:  # fmt: skip
    from scipy import stats

    if before.std() == 0.0 and recent.std() == 0.0:  # Welch's formula would divide by zero
        delta = second.value - first.value
        return Change(measure, first, second, delta, (delta, delta))
    found = stats.ttest_ind(recent, before, equal_var=False).confidence_interval(0.95)
    return Change(measure, first, second, second.value - first.value, (float(found.low), float(found.high)))


def find_alarms(
    changes: Iterable[Change], max_drop: float, query_drift: float | None, max_query_drift: float
) -> dict[str, str]:  # fmt: skip
    """What is wrong with the served quality, in words, by name; empty when nothing is shown to be."""
    alarms: dict[str, str] = {
        change.measure: change.describe()
        for change in changes
        if change.measure in JUDGED and change.is_worse_by(max_drop)
    }
    if query_drift is not None and query_drift > max_query_drift:
        alarms["query_drift"] = f"{query_drift:.0%} of the newest queries are unlike every training query"
    return alarms


def trend(daily: Sequence[Mapping[str, str | int | float]], measure: str) -> list[tuple[float, float]]:
    """(days before the newest day as 0, -1, ..., figure) of the days that have one."""
    days = [date.fromisoformat(str(row["day"])) for row in daily]
    return [
        (float((day - days[-1]).days), float(row[measure]))
        for day, row in zip(days, daily, strict=True)
        if measure in row
    ]
