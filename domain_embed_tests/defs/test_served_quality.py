"""From the query log to a red check and one request to train, on a finished domain."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from domain_embed.definitions import build_definitions
from domain_embed.defs.assets import Stores
from domain_embed.defs.policies import REASON_TAG
from domain_embed.defs.runs import open_instance
from domain_embed.monitoring.log_writer import QueryLog
from domain_embed_tests.scenario import QUERIES
from domain_embed_tests.whole import DOMAIN, Whole


def serve(whole: Whole, shares: Sequence[float], query: str = "disk full on a replica", first_day: int = 0) -> None:
    """Twenty searches on each of the days up to yesterday, of which such a share is opened at the second place."""
    log = QueryLog(whole.folder / "log")
    for number, share in enumerate(shares, start=first_day):
        day = datetime.now(UTC) - timedelta(days=len(shares) - number)
        for n in range(20):
            clicked = ["pg-vacuum"] if n < 20 * share else []
            log.log_query(query, [("pg-disk-full", 0.8), ("pg-vacuum", 0.6)], clicked=clicked, at=day)
    log.close(20)


@pytest.fixture
def watched(whole: Whole) -> Whole:
    """A domain with a query log, that has been live for long."""
    whole.edit("monitoring", query_log="log", min_searches=20, recent_days=2, low_score=0.7)
    whole.workspace.promotions.unlink(missing_ok=True)
    return whole


def red(whole: Whole, *, ever: bool = False) -> bool:
    """Whether the last look, or any of the last ten, found the served quality too low."""
    with open_instance(whole.environment) as instance:
        (key,) = [
            key for key in build_definitions(whole.environment).resolve_asset_graph().asset_check_keys
            if key.name == f"{DOMAIN}_served"
        ]  # fmt: skip
        records = instance.event_log_storage.get_asset_check_execution_history(key, limit=10 if ever else 1)
        looks = [record.event.dagster_event for record in records if record.event and record.event.dagster_event]
        return any(not look.event_specific_data.passed for look in looks)  # type: ignore[union-attr]


def test_a_log_becomes_daily_figures_and_alarms_nobody(watched: Whole) -> None:
    serve(watched, [0.8] * 5)
    assert watched.plan().stale == ("served_quality",)
    watched.run()
    assert not red(watched)
    served = watched.workspace.served()
    assert served is not None
    assert [(row["searches"], row["success"], row["click_mrr"]) for row in served["daily"]] == [(20, 0.8, 0.4)] * 5
    assert (served["recent"]["zero_results"], served["recent"]["low_score"]) == (0.0, 0.0)
    assert served["recent"]["new_passages"] == 0.0
    assert served["alarms"] == {}
    assert watched.metadata("served_quality")["success"] == 0.8


def test_a_drop_turns_the_check_red_and_asks_for_training_once(watched: Whole) -> None:
    serve(watched, [0.9, 0.9, 0.9, 0.2, 0.2])
    watched.run()
    assert red(watched)
    definitions = build_definitions(watched.environment)
    sensor, cursor = definitions.resolve_sensor_def(f"{DOMAIN}_retrain"), None
    with open_instance(watched.environment) as instance:
        answers = []
        for _ in range(3):
            resources = {"stores": Stores(watched.environment)}
            with dg.build_sensor_context(instance, cursor=cursor, resources=resources) as context:
                answers.append(sensor(context))
            cursor = answers[-1].cursor if isinstance(answers[-1], dg.SensorResult) else cursor
    first, *later = answers
    (request,) = first.run_requests
    assert "served quality: click_mrr: 0.100 after 0.450" in request.tags[REASON_TAG]
    assert "success: 0.200 after 0.900, a difference of −0.700" in request.tags[REASON_TAG]
    assert all(isinstance(answer, dg.SkipReason) for answer in later)


def test_held_out_queries_that_were_asked_compare_what_served_with_the_base_model(watched: Whole) -> None:
    workspace = watched.workspace
    workspace.vector_store.set_alias("live", workspace.aliased("challenger"))
    held_out = {
        row["query"] for row in workspace.tables.read("splits").read().to_pylist() if row["split"] != "train"
    }  # fmt: skip
    log = QueryLog(watched.folder / "log")
    for query in QUERIES:
        best = max(query.grades, key=lambda passage_id: query.grades[passage_id])
        log.log_query(query.text, [(best, 0.9)], at=datetime.now(UTC) - timedelta(days=1))
    log.close(20)
    watched.run(("champion", "served_quality"), force=True)
    workspace.vector_store.set_alias("live", workspace.aliased("challenger"))
    watched.run(("served_quality",), force=True)
    served = workspace.served()
    assert served is not None
    against = served["against_base"]
    assert against["wins"] + against["ties"] + against["losses"] == len(held_out) >= 10
    assert against["delta"] > 0
    assert served["recent"]["words_unseen_in_training"] > 0


def test_nothing_logged_is_no_error(whole: Whole) -> None:
    assert whole.workspace.served() == {
        "collection": whole.workspace.aliased("live"),
        "model": whole.workspace.vector_store.open(whole.workspace.aliased("live")).info.fingerprint,
        "alarms": {}, "daily": [],
    }  # fmt: skip
    assert "monitoring.query_log" in whole.metadata("served_quality")["served quality"]
