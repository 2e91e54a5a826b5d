"""When training again is due."""

from datetime import date

import pyarrow as pa

from domain_embed.monitoring.policy import Facts, count_new_judgments, retraining_due, share_of_new_passages
from domain_embed.settings import AutomationSettings

POLICY = AutomationSettings(retrain_after_judgments=100, retrain_after_new_passages=0.2)
TODAY = date(2025, 1, 1)


def keys(facts: Facts, policy: AutomationSettings = POLICY, today: date = TODAY) -> list[str]:
    return [request.key for request in retraining_due(facts, policy, today)]


def test_nothing_is_due_below_the_thresholds() -> None:
    assert keys(Facts("abc", 99, 0.2)) == []


def test_each_rule_gives_its_reason() -> None:
    found = retraining_due(Facts("abc", 1250, 0.45, {"success": "success fell from 0.8 to 0.6"}), POLICY, TODAY)
    assert [(request.key, request.reason) for request in found] == [
        ("abc judgments x12", "1,250 judgments are new since the last training (100 are enough)"),
        ("abc passages x2", "45% of the passages are new since the last training (over 20%)"),
        ("abc quality 2025-W01", "served quality: success fell from 0.8 to 0.6"),
    ]


def test_a_request_is_made_again_only_when_there_is_more_reason() -> None:
    assert keys(Facts("abc", 100, 0)) == keys(Facts("abc", 199, 0)) != keys(Facts("abc", 200, 0))
    assert keys(Facts("abc", 100, 0)) != keys(Facts("def", 100, 0))
    alarmed = Facts("abc", 0, 0, {"success": "fell"})
    assert keys(alarmed) == keys(alarmed, today=date(2025, 1, 5)) != keys(alarmed, today=date(2025, 1, 6))


def test_rules_can_be_switched_off() -> None:
    off = AutomationSettings(
        retrain_after_judgments=None, retrain_after_new_passages=None, retrain_on_quality_drop=False
    )
    assert keys(Facts("abc", 10_000, 1.0, {"success": "fell"}), off) == []


def test_new_judgments_are_pairs_of_query_and_passage() -> None:
    then = pa.table({"query": ["a", "a", "b"], "passage_id": ["1", "2", "1"]})
    now = pa.table({"query": ["a", "b", "b", "c"], "passage_id": ["1", "1", "2", "1"]})
    assert count_new_judgments(now, then) == 2
    assert count_new_judgments(now.slice(0, 0), then) == 0
    assert count_new_judgments(now, then.slice(0, 0)) == 4


def test_changed_passages_are_new_ones() -> None:
    assert share_of_new_passages(pa.chunked_array([["h1", "h2", "h5", "h6"]]), pa.chunked_array([["h1", "h2"]])) == 0.5
    assert share_of_new_passages(pa.chunked_array([[]], pa.string()), pa.chunked_array([["h1"]])) == 0.0
