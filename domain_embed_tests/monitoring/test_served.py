"""Figures of the served quality, calculated by hand."""

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from domain_embed.monitoring.drift import sample_queries, unlike_share, unseen_words_share
from domain_embed.monitoring.query_log import COLUMNS
from domain_embed.monitoring.served import compare_days, daily_figures, find_alarms, mean_of, score_searches, trend


def log_of(*rows: dict[str, Any]) -> pd.DataFrame:
    usual = {"day": "2025-03-01", "query": "q", "filtered": False, "group": None, "system": None,
             "passage_ids": [], "scores": [], "clicked": set(), "helpful": None}  # fmt: skip
    return pd.DataFrame([{"search_id": str(n), **usual, **row} for n, row in enumerate(rows)], columns=list(COLUMNS))


def answered(*ids: str, **more: Any) -> dict[str, Any]:
    return {"passage_ids": list(ids), "scores": [1.0 - n / 10 for n in range(len(ids))], **more}


def test_measures_of_single_searches() -> None:
    log = log_of(
        answered("a", "b", "new", clicked={"b"}),
        answered("a", "b"),
        {},
        answered("new", scores=[0.2], helpful=True),
        answered("a", clicked={"a"}, helpful=False),
        answered("a", clicked={"not shown"}),
    )
    found = score_searches(log, lambda passage_id: passage_id == "new", low_score=0.5)
    assert found["zero_results"].tolist() == [0, 0, 1, 0, 0, 0]
    assert found["low_score"].tolist()[:2] == [0, 0]
    assert np.isnan(found["low_score"][2])
    assert found["low_score"][3] == 1
    assert found["click_mrr"].tolist() == [0.5, 0, 0, 0, 1, 0]
    assert found["success"].tolist() == [1, 0, 0, 1, 0, 1]
    assert found["new_passages"].tolist()[:2] == pytest.approx([1 / 3, 0])
    assert found["new_passages"][3] == 1


def test_without_clicks_and_opinions_nothing_is_said_about_them() -> None:
    found = score_searches(log_of(answered("a"), {}), lambda _: False, low_score=None)
    assert found[["click_mrr", "success", "low_score"]].isna().all().all()
    (row,) = daily_figures(found)
    assert (row["searches"], row["zero_results"]) == (2, 0.5)
    assert "success" not in row


def test_intervals_of_shares_are_wilsons() -> None:
    found = mean_of(pd.Series([1.0] * 8 + [0.0] * 2))
    assert found is not None
    assert (found.value, found.n) == (0.8, 10)
    # (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n) with z = 1.96
    assert (found.low, found.high) == (pytest.approx(0.490, abs=5e-4), pytest.approx(0.943, abs=5e-4))
    nothing = mean_of(pd.Series([0.0] * 10))
    assert nothing is not None
    assert (nothing.low, nothing.high) == (0.0, pytest.approx(0.278, abs=5e-4))
    assert mean_of(pd.Series([np.nan])) is None
    ranks = mean_of(pd.Series([1.0, 0.5, 0.5, 0.0]))
    assert ranks is not None
    # standard deviation 0.408, standard error 0.204, Student's 97.5 % quantile of 3 degrees of freedom 3.182
    assert (ranks.low, ranks.high) == (0.0, 1.0)


def days_of(successes: list[tuple[int, int]], start: date = date(2025, 3, 1)) -> pd.DataFrame:
    """(searches that succeeded, searches) for each day."""
    rows = []
    for number, (good, asked) in enumerate(successes):
        day = (start + timedelta(days=number)).isoformat()
        rows += [answered("a", day=day, clicked={"a"} if n < good else set()) for n in range(asked)]
    return score_searches(log_of(*rows), lambda _: False, None)


def test_a_drop_is_an_alarm_only_with_its_whole_interval() -> None:
    scores = days_of([(80, 100)] * 4 + [(50, 100)] * 2)
    changes = {change.measure: change for change in compare_days(scores, date(2025, 3, 6), 2, min_searches=50)}
    success = changes["success"]
    assert (success.before.value, success.recent.value, success.delta) == (0.8, 0.5, pytest.approx(-0.3))
    # standard error √(0.16·400/399/400 + 0.25·200/199/200) = 0.0407, about two of it on either side
    assert success.ci95 == (pytest.approx(-0.380, abs=2e-3), pytest.approx(-0.220, abs=2e-3))
    alarms = find_alarms(changes.values(), 0.05, None, 0.3)
    assert set(alarms) == {"success", "click_mrr"}
    assert alarms["success"].startswith("success: 0.500 after 0.800, a difference of −0.300 (95 % interval −0.3")
    assert find_alarms(changes.values(), 0.25, None, 0.3) == {}


def test_more_zero_results_are_worse_and_more_success_is_not() -> None:
    rows = [answered("a", day="2025-03-01", clicked={"a"} if n % 2 else set()) for n in range(60)]
    rows += [answered("a", day="2025-03-02", clicked={"a"}) if n % 2 else {"day": "2025-03-02"} for n in range(60)]
    rows += [answered("a", day="2025-03-02", clicked={"a"}) for _ in range(60)]
    changes = compare_days(score_searches(log_of(*rows), lambda _: False, None), date(2025, 3, 2), 1, 50)
    assert set(find_alarms(changes, 0.05, None, 0.3)) == {"zero_results"}


def test_too_few_searches_prove_nothing() -> None:
    assert compare_days(days_of([(40, 49), (0, 49)]), date(2025, 3, 2), 1, min_searches=50) == []


def test_days_before_the_model_went_live_are_not_its_own() -> None:
    scores = days_of([(80, 100)] * 3 + [(20, 100)] * 3 + [(80, 100)] * 2)
    last = date(2025, 3, 8)
    (both,) = [one for one in compare_days(scores, last, 5, 50) if one.measure == "success"]
    assert both.recent.value == pytest.approx(0.44)
    (own,) = [one for one in compare_days(scores, last, 5, 50, live_since=date(2025, 3, 6)) if one.measure == "success"]
    assert own.recent.value == pytest.approx(0.8)
    assert compare_days(scores, last, 5, 50, live_since=last) == []


def test_equal_days_raise_no_alarm() -> None:
    changes = compare_days(days_of([(60, 60), (60, 60)]), date(2025, 3, 2), 1, min_searches=50)
    assert {change.measure: change.ci95 for change in changes}["success"] == (0.0, 0.0)
    assert find_alarms(changes, 0.05, 0.3, 0.3) == {}
    assert set(find_alarms(changes, 0.05, 0.31, 0.3)) == {"query_drift"}


def test_trend_counts_days_from_the_newest() -> None:
    rows = [{"day": "2025-02-27", "success": 0.5}, {"day": "2025-03-01"}, {"day": "2025-03-02", "success": 0.75}]
    assert trend(rows, "success") == [(-3.0, 0.5), (0.0, 0.75)]


def unit(rng: np.random.Generator, n: int, centre: np.ndarray) -> np.ndarray:
    vectors = centre + 0.3 * rng.normal(size=(n, len(centre)))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_queries_of_the_same_kind_are_like_and_others_unlike() -> None:
    rng = np.random.default_rng(3)
    here, there = np.eye(16)[0] * 2, np.eye(16)[1] * 2
    trained = unit(rng, 400, here)
    same, other = unlike_share(unit(rng, 400, here), trained), unlike_share(unit(rng, 100, there), trained)
    assert same == pytest.approx(0.05, abs=0.03)
    assert other == 1.0
    mixed = unlike_share(np.concatenate([unit(rng, 50, here), unit(rng, 50, there)]), trained)
    assert mixed == pytest.approx(0.525, abs=0.05)
    assert unlike_share(trained[:0], trained) is None
    assert unlike_share(trained, trained[:19]) is None


def test_unseen_words_are_counted_with_repeats() -> None:
    assert unseen_words_share(["Disk full", "disk is FULL today"], ["disk is full"]) == pytest.approx(1 / 6)
    assert unseen_words_share(["?!"], ["disk"]) is None
    assert unseen_words_share(["disk"], []) == 1.0
    assert unseen_words_share(["车锁坏了"], ["打开车锁"]) == 0.5
    assert unseen_words_share(["cafe\u0301 की"], ["CAFÉ कि"]) == 0.5


def test_a_sample_is_the_same_for_the_same_queries() -> None:
    many = [f"query {n}" for n in range(5000)]
    assert sample_queries(many) == sample_queries(reversed(many))
    assert len(sample_queries(many)) == 2000
    assert sample_queries(["b", "a", "b"]) == ["a", "b"]
