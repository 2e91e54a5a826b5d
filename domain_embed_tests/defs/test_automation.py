"""What runs by itself, evaluated tick by tick on a finished domain and its real Dagster instance."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from domain_embed.definitions import build_definitions
from domain_embed.defs.assets import Stores
from domain_embed.defs.policies import AUTOMATIC, DOMAIN_TAG, LANE, REASON_TAG, TRAINING_POOL, TRAINS
from domain_embed.defs.runs import open_instance, run_assets
from domain_embed.settings import DomainSettings
from domain_embed_tests.scenario import write_domain
from domain_embed_tests.whole import DOMAIN, EVERYTHING, Whole


class Ticker:
    """Evaluates a domain's sensors and schedule as the daemon would, keeping their cursors.

    Contexts are left as soon as they are used: Dagster keeps a global stack of instances, and one that the garbage
    collector ends at some later time puts an instance back that is gone.
    """

    def __init__(self, whole: Whole, instance: dg.DagsterInstance) -> None:
        self.whole, self.instance = whole, instance
        self.definitions = build_definitions(whole.environment)
        self._cursors: dict[str, str | None] = {}
        self._data_cursor: Any = None

    def sensor(self, name: str) -> dg.SensorResult | dg.SkipReason:
        with dg.build_sensor_context(
            self.instance, cursor=self._cursors.get(name), resources={"stores": Stores(self.whole.environment)}
        ) as context:
            result = self.definitions.resolve_sensor_def(f"{DOMAIN}_{name}")(context)
        if isinstance(result, dg.SensorResult):
            self._cursors[name] = result.cursor
            for event in result.asset_events:
                self.instance.report_runless_asset_event(event)
        return result

    def data(self) -> set[str]:
        """The assets that are kept current by themselves and would run now."""
        found = dg.evaluate_automation_conditions(self.definitions, self.instance, cursor=self._data_cursor)
        self._data_cursor = found.cursor
        keys = self.definitions.resolve_asset_graph().get_all_asset_keys()
        return {key.path[-1] for key in keys if found.get_num_requested(key)}

    def schedule(self) -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(
            self.instance, scheduled_execution_time=datetime.now(UTC),
            resources={"stores": Stores(self.whole.environment)},
        ) as context:  # fmt: skip
            return self.definitions.resolve_schedule_def(f"{DOMAIN}_retrain_schedule")(context)


@pytest.fixture
def ticker(whole: Whole) -> Iterator[Ticker]:
    with open_instance(whole.environment) as instance:
        yield Ticker(whole, instance)


def judge(whole: Whole, count: int) -> None:
    """Appends judgments of new queries."""
    rows = [{"query": f"question number {n} about dead rows", "passage_id": "pg-vacuum"} for n in range(count)]
    with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_a_day_without_changes_starts_nothing(ticker: Ticker) -> None:
    (ticker.whole.folder / "corpus.jsonl").touch()
    for _ in range(3):
        seen = ticker.sensor("sources")
        assert isinstance(seen, dg.SensorResult)
        assert (list(seen.asset_events), seen.run_requests or []) == ([], [])
        assert ticker.data() == set()
        assert isinstance(ticker.sensor("retrain"), dg.SkipReason)
        asked = ticker.schedule()
        assert isinstance(asked, dg.SkipReason)
        assert asked.skip_message == "nothing has changed"


def test_a_changed_file_is_seen_once_and_starts_what_reads_it(ticker: Ticker) -> None:
    ticker.sensor("sources")
    assert ticker.data() == set()
    judge(ticker.whole, 1)
    seen = ticker.sensor("sources")
    assert isinstance(seen, dg.SensorResult)
    assert [event.asset_key.path[-1] for event in seen.asset_events] == ["label_files"]
    assert ticker.data() == {"labels"}
    assert ticker.data() == set()
    again = ticker.sensor("sources")
    assert isinstance(again, dg.SensorResult)
    assert list(again.asset_events) == []


def test_a_changed_corpus_asks_for_the_whole_lane_at_once_and_once(ticker: Ticker) -> None:
    """Nor do the conditions ask for a part of it again: before, while or after the lane has run."""
    assert isinstance(ticker.sensor("withhold"), dg.SensorResult)  # the first look
    assert ticker.data() == set()
    ticker.whole.write_corpus(ticker.whole.corpus()[1:])
    ticker.sensor("sources")
    assert ticker.data() == set()
    asked = ticker.sensor("withhold")
    assert isinstance(asked, dg.SensorResult)
    [request] = asked.run_requests or []
    assert request.tags[REASON_TAG] == "the corpus has changed"
    job = ticker.definitions.resolve_job_def(f"{DOMAIN}_lane")
    assert {node.name for node in job.graph.nodes} == {f"{DOMAIN}_{name}" for name in LANE}
    assert {node.tags["dagster/priority"] for node in job.graph.nodes} == {"1"}
    assert isinstance(ticker.sensor("withhold"), dg.SkipReason)
    run_assets(ticker.instance, ticker.whole.workspace, ticker.definitions, LANE)
    assert ticker.data().isdisjoint(LANE)
    assert isinstance(ticker.sensor("withhold"), dg.SkipReason)


def test_a_lane_that_was_cut_short_is_completed_by_the_conditions(ticker: Ticker) -> None:
    ticker.sensor("sources")
    assert ticker.data() == set()
    ticker.whole.write_corpus(ticker.whole.corpus()[1:])
    run_assets(ticker.instance, ticker.whole.workspace, ticker.definitions, ["documents", "passages"])
    assert "withheld" in ticker.data()


def test_a_file_that_was_only_touched_asks_for_nothing(ticker: Ticker) -> None:
    ticker.sensor("withhold")
    (ticker.whole.folder / "corpus.jsonl").touch()
    asked = ticker.sensor("withhold")
    assert isinstance(asked, dg.SensorResult)
    assert not asked.run_requests
    (ticker.whole.folder / "corpus.jsonl").unlink()
    assert "corpus_files" in str(ticker.sensor("withhold"))


def test_a_source_that_is_gone_is_named_and_hides_no_other(ticker: Ticker) -> None:
    (ticker.whole.folder / "corpus.jsonl").unlink()
    judge(ticker.whole, 1)
    seen = ticker.sensor("sources")
    assert isinstance(seen, dg.SensorResult)
    assert "corpus_files" in str(seen.skip_reason)
    assert [event.asset_key.path[-1] for event in seen.asset_events] == ["label_files"]


def test_a_new_domain_gets_its_data_made_but_no_model(ticker: Ticker) -> None:
    write_domain(ticker.whole.home / "fresh")
    definitions = build_definitions(ticker.whole.environment, ["fresh"])
    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"stores": Stores(ticker.whole.environment)}
        with dg.build_sensor_context(instance, resources=resources) as context:
            seen = definitions.resolve_sensor_def("fresh_sources")(context)
        for event in seen.asset_events:
            instance.report_runless_asset_event(event)
        found = dg.evaluate_automation_conditions(definitions, instance)
        requested = {
            key.path[-1] for key in definitions.resolve_asset_graph().get_all_asset_keys()
            if found.get_num_requested(key)
        }  # fmt: skip
        with dg.build_schedule_context(instance, resources=resources) as context:
            asked = definitions.resolve_schedule_def("fresh_retrain_schedule")(context)
    assert requested == (AUTOMATIC & set(EVERYTHING)) - {"served_quality"}
    assert isinstance(asked, dg.SkipReason)
    assert "no model has been trained yet" in str(asked.skip_message)


def test_the_schedule_says_what_is_stale(ticker: Ticker) -> None:
    ticker.whole.edit("training", learning_rate=3e-4)
    asked = ticker.schedule()
    assert isinstance(asked, dg.RunRequest)
    assert asked.tags[REASON_TAG] == "schedule: checkpoint stale"


def test_enough_new_judgments_ask_for_training_once(ticker: Ticker) -> None:
    ticker.whole.edit("automation", retrain_after_judgments=5)
    ticker = Ticker(ticker.whole, ticker.instance)
    judge(ticker.whole, 4)
    ticker.whole.run(("labels", "judgments", "splits"))
    skipped = ticker.sensor("retrain")
    assert isinstance(skipped, dg.SkipReason)
    assert '"new_judgments": 4' in str(skipped.skip_message)
    judge(ticker.whole, 6)  # two more than before
    ticker.whole.run(("labels", "judgments", "splits"))
    asked = ticker.sensor("retrain")
    assert isinstance(asked, dg.SensorResult)
    (request,) = asked.run_requests or ()
    assert request.tags == {REASON_TAG: "6 judgments are new since the last training (5 are enough)"}
    assert request.run_key == f"{ticker.whole.workspace.newest_checkpoint} judgments x1"
    assert isinstance(ticker.sensor("retrain"), dg.SkipReason)


def test_training_is_not_asked_for_while_the_domain_runs(ticker: Ticker) -> None:
    ticker.whole.edit("automation", retrain_after_judgments=1)
    ticker = Ticker(ticker.whole, ticker.instance)
    judge(ticker.whole, 1)
    ticker.whole.run(("labels", "judgments", "splits"))
    run = ticker.instance.create_run_for_job(
        ticker.definitions.resolve_job_def(f"{DOMAIN}_update"), tags={DOMAIN_TAG: DOMAIN},
        status=dg.DagsterRunStatus.STARTING,
    )  # fmt: skip
    waiting = ticker.sensor("retrain")
    assert isinstance(waiting, dg.SkipReason)
    assert "under way" in str(waiting.skip_message)
    ticker.instance.delete_run(run.run_id)
    assert isinstance(ticker.sensor("retrain"), dg.SensorResult)


def test_everything_can_be_switched_off(whole: Whole) -> None:
    on = build_definitions(whole.environment)
    assert {sensor.name: sensor.default_status.value for sensor in on.sensors or ()} == dict.fromkeys(
        ("runbooks_withhold", "runbooks_sources", "runbooks_data", "runbooks_retrain"), "RUNNING"
    )
    whole.edit(
        "automation", observe=False, keep_data_current=False, retrain_schedule=None, retrain_after_judgments=None,
        retrain_after_new_passages=None, retrain_on_quality_drop=False,
    )  # fmt: skip
    off = build_definitions(whole.environment)
    assert {sensor.default_status.value for sensor in off.sensors or ()} == {"STOPPED"}
    assert off.schedules == []
    graph = off.resolve_asset_graph()
    assert [key for key in graph.get_all_asset_keys() if graph.get(key).automation_condition] == []


def test_nothing_that_trains_runs_by_itself_or_beside_another_training(ticker: Ticker) -> None:
    """The diagnosis fits a small model, so it is one of these."""
    assert not AUTOMATIC & TRAINS
    ticker.sensor("sources")
    assert ticker.data() == set()
    judge(ticker.whole, 1)
    ticker.sensor("sources")
    ticker.data()
    run_assets(
        ticker.instance,
        ticker.whole.workspace,
        ticker.definitions,
        ["labels", "synthetic_queries", "judgments", "splits"],
    )
    assert ticker.data() == {"quality_report"}
    job = ticker.definitions.resolve_job_def(f"{DOMAIN}_update")
    pools = {node.name: node.definition.pools for node in job.graph.nodes}
    assert {name for name, found in pools.items() if TRAINING_POOL in found} == {
        f"{DOMAIN}_{name}" for name in ("checkpoint", "reranker", "diagnosis")
    }


def test_one_training_at_a_time(whole: Whole) -> None:
    definitions = build_definitions(whole.environment)
    job = definitions.resolve_job_def(f"{DOMAIN}_update")
    pools = {node.name: node.definition.pools for node in job.graph.nodes}
    assert {name for name, found in pools.items() if TRAINING_POOL in found} >= {f"{DOMAIN}_checkpoint"}
    with open_instance(whole.environment) as instance:
        found = instance.event_log_storage.get_pool_config()
        assert found.default_pool_limit == 1
        assert str(found.pool_granularity) == "PoolGranularity.RUN"


def test_a_schedule_that_is_none_is_named_as_a_mistake() -> None:
    with pytest.raises(ValueError, match="retrain_schedule"):
        DomainSettings.model_validate({"automation": {"retrain_schedule": "on mondays"}})
    with pytest.raises(ValueError, match="no time zone such as"):
        DomainSettings.model_validate({"automation": {"timezone": "Berlin"}})
