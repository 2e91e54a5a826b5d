"""The simulated search log: the shape of a real one, and users who do exactly what the model says."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain_embed.demo.click_log import attraction, examination, simulate_clicks, write_clicks
from domain_embed.judgments.sources import read_source
from domain_embed.settings import ClicksSource

RANKINGS = {"q1": ["a", "b", "c", "d"], "q2": ["d", "e"], "q3": []}
QUERIES = {"q1": "make tea", "q2": "make coffee"}
RELEVANT = {"q1": {"b": 2, "c": 1}}


def simulate(searches: int, seed: int = 1, **more: Any) -> list[dict[str, Any]]:
    return list(simulate_clicks(RANKINGS, QUERIES, RELEVANT, searches=searches, seed=seed, **more))


def rate(rows: Sequence[dict[str, Any]], **where: Any) -> float:
    """Share of clicks among the rows that hold these values."""
    chosen = [row["clicked"] for row in rows if all(row[name] == value for name, value in where.items())]
    return sum(chosen) / len(chosen)


def test_a_search_shows_the_ranking_from_position_1() -> None:
    rows = simulate(50, swapped=0.0)
    by_search: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_search.setdefault(row["search_id"], []).append(row)
    assert len(by_search) == 50
    for shown in by_search.values():
        [query] = {row["query"] for row in shown}
        expected = RANKINGS["q1"] if query == "make tea" else RANKINGS["q2"]
        assert [(row["position"], row["passage_id"]) for row in shown] == list(enumerate(expected, start=1))
        assert len({row["time"] for row in shown}) == 1
    assert {len(shown) for shown in by_search.values()} == {2, 4}


def test_the_seed_decides_everything() -> None:
    assert simulate(100) == simulate(100)
    assert simulate(100) != simulate(100, seed=2)


def test_clicks_follow_the_position_based_model() -> None:
    rows = simulate(40_000, swapped=0.0, click_noise=0.1, examination_exponent=0.5)
    expected = {
        "a": examination(1, 0.5) * attraction(0, 2, 0.1),
        "b": examination(2, 0.5) * attraction(2, 2, 0.1),
        "c": examination(3, 0.5) * attraction(1, 2, 0.1),
        "d": examination(4, 0.5) * attraction(0, 2, 0.1),
    }
    assert expected == pytest.approx({"a": 0.1, "b": 0.9 * 2**-0.5, "c": (0.1 + 0.8 / 3) * 3**-0.5, "d": 0.1 * 4**-0.5})
    for passage_id, probability in expected.items():
        assert rate(rows, query="make tea", passage_id=passage_id) == pytest.approx(probability, abs=0.02)


def test_swaps_show_results_at_other_positions() -> None:
    def places(swapped: float) -> set[int]:
        rows = simulate(300, swapped=swapped)
        return {row["position"] for row in rows if row["query"] == "make tea" and row["passage_id"] == "a"}

    assert places(0.0) == {1}
    assert places(1.0) == {1, 2, 3, 4}


def test_frequent_queries_come_first() -> None:
    asked = Counter(row["query"] for row in simulate(9000, popularity_exponent=1.0) if row["position"] == 1)
    assert asked["make tea"] / asked["make coffee"] == pytest.approx(2, rel=0.1)


def test_only_clicks_have_a_time_on_the_page_and_it_is_longer_where_it_helps() -> None:
    rows = simulate(5000, click_noise=0.3)
    assert all((row["dwell_s"] is not None) == row["clicked"] for row in rows)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for row in rows:
        if row["clicked"]:
            seconds[row["query"] == "make tea" and row["passage_id"] in RELEVANT["q1"]].append(row["dwell_s"])
    medians = {key: sorted(values)[len(values) // 2] for key, values in seconds.items()}
    assert medians == pytest.approx({True: 60, False: 8}, rel=0.2)


def test_time_goes_on() -> None:
    times = [
        datetime.fromisoformat(row["time"]) for row in simulate(200, first_search=datetime(2025, 5, 1, tzinfo=UTC))
    ]
    assert times == sorted(times)
    assert times[0] >= datetime(2025, 5, 1, tzinfo=UTC)


def test_depth_cuts_the_ranking() -> None:
    assert {row["position"] for row in simulate(20, depth=1)} == {1}


def test_what_is_written_can_be_read_as_a_source(tmp_path: Path) -> None:
    assert write_clicks(tmp_path / "clicks.jsonl", simulate(500)) > 1000
    labels = list(read_source(ClicksSource(), tmp_path))
    assert {label["target"] for label in labels if label["grade"] == 1} >= {"b"}
    assert [path.name for path in tmp_path.iterdir()] == ["clicks.jsonl"]


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(ValueError, match="no text for the queries q1"):
        next(simulate_clicks(RANKINGS, {"q2": "make coffee"}, RELEVANT, searches=1, seed=0))
    with pytest.raises(ValueError, match="no query has a ranking"):
        next(simulate_clicks({"q3": []}, QUERIES, RELEVANT, searches=1, seed=0))
