"""From a search log to labels: what is attractive, what was passed over, and which rows cannot be used."""

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.demo.click_log import simulate_clicks, write_clicks
from domain_embed.judgments.sources import LabelReport, query_id_of, read_source
from domain_embed.settings import ClicksSource
from domain_embed_tests import scenario
from domain_embed_tests.scenario import write_lines


def clicks(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> tuple[list[dict[str, Any]], LabelReport]:
    write_lines(folder / "clicks.jsonl", rows)
    report = LabelReport()
    return list(read_source(ClicksSource(**settings), folder, report)), report


def search(number: int, *shown: str, query: str = "make tea", clicked: str = "", **more: Any) -> list[dict[str, Any]]:
    """One search; `clicked` is the passage that was clicked."""
    return [
        {"search_id": f"s{number}", "query": query, "passage_id": one, "position": position, "clicked": one == clicked}
        | (more if one == clicked else {})
        for position, one in enumerate(shown, start=1)
    ]


def searches(count: int, *shown: str, start: int = 0, **more: Any) -> list[dict[str, Any]]:
    return [row for number in range(start, start + count) for row in search(number, *shown, **more)]


def outcome(labels: list[dict[str, Any]]) -> dict[str, int]:
    return {label["target"]: label["grade"] for label in labels}


def test_what_is_clicked_is_positive_and_what_is_passed_over_for_it_is_not(tmp_path: Path) -> None:
    log = searches(30, "ignored", "good", "below", clicked="good") + searches(3, "good", "ignored", "below", start=30)
    labels, report = clicks(tmp_path, log)
    assert outcome(labels) == {"good": 1, "ignored": 0}
    positive, negative = labels
    assert positive == {
        "query_id": query_id_of("make tea"), "query": "make tea", "target": "good", "answer": None, "grade": 1,
        "source": "clicks:clicks.jsonl", "confidence": positive["confidence"], "created_at": None, "split": None,
        "train_only": False, "filters": None,
    }  # fmt: skip
    assert 0.99 < positive["confidence"] <= 1
    assert 0.7 < negative["confidence"] <= 1
    [source] = report.sources.values()
    assert source.left_out == {"query and passage neither attractive nor passed over": 1}
    assert source.samples == [("query and passage neither attractive nor passed over", "make tea | below")]
    query_id = query_id_of("make tea")
    assert source.recorded == [("query and passage neither attractive nor passed over", f"{query_id} | below")]
    assert source.examination is not None
    assert source.examination.by_position[1] == 1.0


def test_impressions_that_are_too_few_are_left_out(tmp_path: Path) -> None:
    log = searches(4, "seldom", clicked="seldom") + searches(5, "often", start=4, clicked="often")
    labels, report = clicks(tmp_path, log)
    assert outcome(labels) == {"often": 1}
    assert report.left_out == {"query and passage shown less often than min_impressions": 1}
    assert outcome(clicks(tmp_path, log, min_impressions=4)[0]) == {"seldom": 1, "often": 1}


def test_queries_are_one_up_to_case_and_space(tmp_path: Path) -> None:
    log = searches(3, "p", clicked="p") + searches(3, "p", start=3, query=" MAKE  tea", clicked="p")
    [label], _ = clicks(tmp_path, log)
    assert (label["query"], label["query_id"]) == ("make tea", query_id_of("make tea"))


def test_results_further_down_are_not_used(tmp_path: Path) -> None:
    log = searches(10, "a", "b", "c", clicked="c")
    labels, report = clicks(tmp_path, log, max_positions=2)
    assert labels == []
    assert report.left_out["result shown below max_positions"] == 10


def test_a_click_with_too_little_time_on_the_page_does_not_count(tmp_path: Path) -> None:
    log = searches(10, "bait", clicked="bait", dwell_s=2) + searches(10, "good", start=10, clicked="good", dwell_s=20)
    log += searches(10, "unknown", start=20, clicked="unknown")
    assert outcome(clicks(tmp_path, log, min_dwell_s=10)[0]) == {"good": 1, "unknown": 1}
    assert outcome(clicks(tmp_path, log)[0]) == {"bait": 1, "good": 1, "unknown": 1}


def test_a_short_click_is_no_passing_over(tmp_path: Path) -> None:
    """Whoever clicked did look, and did not pass over."""
    log = [
        {**row, "clicked": True, "dwell_s": 1 if row["passage_id"] == "bait" else 60}
        for row in searches(200, "bait", "good")
    ]
    assert outcome(clicks(tmp_path, log, min_dwell_s=10)[0]) == {"good": 1}


def test_the_time_of_a_positive_is_that_of_its_last_click(tmp_path: Path) -> None:
    days = [3, 9, 1, 4, 2]
    log = [row for n, day in enumerate(days) for row in search(n, "p", clicked="p", time=f"2026-01-0{day}T10:00:00Z")]
    log += [{**row, "time": "2026-02-01"} for row in search(9, "p")]
    [label], _ = clicks(tmp_path, log)
    assert label["created_at"] == "2026-01-09T10:00:00+00:00"


def test_the_order_of_rows_decides_nothing(tmp_path: Path) -> None:
    log = simulated(2000, seed=3)
    shuffled = log.copy()
    random.Random(1).shuffle(shuffled)
    in_order, _ = clicks(tmp_path, log)
    anyhow, _ = clicks(tmp_path, shuffled)
    assert len(in_order) > 50
    assert sorted(in_order, key=str) == sorted(anyhow, key=str)


def test_every_spelling_of_a_click_is_understood(tmp_path: Path) -> None:
    header = "search_id,query,passage_id,position,clicked,dwell_s,time\n"
    spellings = ["true", "True", "1", "yes", "YES", " true "]
    others = ["false", "False", "0", "no", "NO"]
    rows = [f"s{n},q,yes,1,{one},,\n" for n, one in enumerate(spellings)]
    rows += [f"t{n},q,no,1,{one},,\n" for n, one in enumerate(others)]
    (tmp_path / "clicks.csv").write_text(header + "".join(rows))
    assert outcome(list(read_source(ClicksSource(path="clicks.csv"), tmp_path))) == {"yes": 1}


def test_typed_columns_of_parquet(tmp_path: Path) -> None:
    table = pa.table(
        {
            "search_id": list(range(6)), "query": ["q"] * 6, "passage_id": ["p"] * 6, "position": [1] * 6,
            "clicked": [True, True, True, None, True, True], "dwell_s": [1.5] * 6,
            "time": [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 7)],
        }
    )  # fmt: skip
    pq.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(InputError, match=r"c.parquet, line 4: field 'clicked' is empty"):
        list(read_source(ClicksSource(path="c.parquet"), tmp_path))
    pq.write_table(table.filter(table["clicked"]), tmp_path / "c.parquet")
    [label] = read_source(ClicksSource(path="c.parquet"), tmp_path)
    assert (label["target"], label["created_at"]) == ("p", "2026-01-06T00:00:00+00:00")


GOOD = {"search_id": "s", "query": "q", "passage_id": "p", "position": 2, "clicked": 0}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({**GOOD, "position": 0}, "the position must be a whole number from 1, not 0"),
        ({**GOOD, "position": 1.5}, "the position must be a whole number from 1, not 1.5"),
        ({**GOOD, "position": "first"}, "the position must be a whole number from 1, not 'first'"),
        ({**GOOD, "position": True}, "the position must be a whole number from 1, not True"),
        ({**GOOD, "position": None}, "field 'position' is empty"),
        ({**GOOD, "position": 1}, "this search has two results at this position"),
        ({**GOOD, "clicked": "perhaps"}, "clicked must be true or false (or 1, 0, yes, no), not 'perhaps'"),
        ({**GOOD, "clicked": 2}, "clicked must be true or false (or 1, 0, yes, no), not 2"),
        ({**GOOD, "clicked": []}, "clicked must be true or false (or 1, 0, yes, no), not []"),
        ({**GOOD, "clicked": ""}, "field 'clicked' is empty"),
        ({**GOOD, "search_id": ""}, "field 'search_id' is empty"),
        ({**GOOD, "dwell_s": -1}, "dwell_s must be a number of seconds, not -1"),
        ({**GOOD, "dwell_s": "nan"}, "dwell_s must be a number of seconds, not 'nan'"),
        ({**GOOD, "dwell_s": "1 min"}, "dwell_s must be a number of seconds, not '1 min'"),
        ({**GOOD, "time": "noon"}, "time must be a date or time in ISO 8601, not 'noon'"),
        ({"search_id": "s"}, "no field 'query' (fields: search_id)"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as caught:
        clicks(tmp_path, [{**GOOD, "position": 1}, {**GOOD, "search_id": "other"}, row])
    assert str(caught.value).startswith(f"{tmp_path / 'clicks.jsonl'}, line 3: {problem}")


# --- simulated users ------------------------------------------------------------------------------------

RELEVANT = {query.query_id: dict.fromkeys(query.grades, 1) for query in scenario.QUERIES}


def simulated(count: int, seed: int) -> list[dict[str, Any]]:
    """Users of an engine that ranks the answers of a query somewhere among ten passages."""
    rng = random.Random(seed)
    rankings = {}
    for query in scenario.QUERIES:
        others = [one.passage_id for one in scenario.CORPUS if one.passage_id not in query.grades]
        shown = [*query.grades, *rng.sample(others, 10 - len(query.grades))]
        rankings[query.query_id] = rng.sample(shown, 10)
    texts = {query.query_id: query.text for query in scenario.QUERIES}
    return list(simulate_clicks(rankings, texts, RELEVANT, searches=count, seed=seed, swapped=1.0))


def test_labels_from_simulated_users_agree_with_what_is_relevant(tmp_path: Path) -> None:
    assert write_clicks(tmp_path / "clicks.jsonl", simulated(8000, seed=5)) == 80_000
    report = LabelReport()
    labels = list(read_source(ClicksSource(), tmp_path, report))
    relevant = {query.text: query.grades for query in scenario.QUERIES}
    positives = [(label["query"], label["target"]) for label in labels if label["grade"] == 1]
    negatives = [(label["query"], label["target"]) for label in labels if label["grade"] == 0]
    assert sum(target in relevant[query] for query, target in positives) / len(positives) > 0.95
    assert not any(target in relevant[query] for query, target in negatives)
    assert len(positives) > 0.9 * len(scenario.PAIRS)
    assert len(negatives) > 100
    [source] = report.sources.values()
    assert source.examination is not None
    assert source.examination.by_position == pytest.approx({n: 1 / n for n in range(1, 11)}, abs=0.1)
