"""With the real daemon: new judgments or a drop in quality retrain a domain, and a quiet time starts nothing."""

import json
import time
from typing import Any

import pytest

from domain_embed.defs.policies import LANE, REASON_TAG
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE
from domain_embed_tests.defs.test_served_quality import red, serve
from domain_embed_tests.ui.dagster_ui import DagsterUi, serve_dagster
from domain_embed_tests.whole import DOMAIN, Whole

pytestmark = pytest.mark.slow

QUIET_SECONDS = 20


def test_new_judgments_past_the_threshold_retrain_and_end_in_a_verdict(whole: Whole) -> None:
    whole.edit("automation", every_seconds=5, retrain_after_judgments=3, retrain_schedule=None)
    checkpoint = whole.workspace.newest_checkpoint
    with serve_dagster(whole.home) as ui:
        before = len(ui.runs())
        time.sleep(QUIET_SECONDS)
        assert len(ui.runs()) == before, "something was started although nothing had changed"

        rows = [{"query": f"tables bloat, case {n}", "passage_id": "pg-vacuum"} for n in range(8)]
        with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        asked = _wait_for_reason(ui, "judgments are new since the last training")
        assert asked["status"] == "SUCCESS"
        runs = ui.runs()
        others = [run for run in runs[: len(runs) - before] if run["runId"] != asked["runId"]]
        assert {run["tags"][REASON_TAG] for run in others} == {"kept current: something it reads has changed"}
        time.sleep(QUIET_SECONDS)
        assert len([run for run in ui.runs() if "judgments are new" in run["tags"].get(REASON_TAG, "")]) == 1
    assert whole.workspace.newest_checkpoint != checkpoint
    report = whole.workspace.latest_report()
    assert report["evidence"]["challenger_fingerprint"] == whole.workspace.newest_checkpoint
    assert whole.metadata("champion")["decision"] in ("promoted", "kept", "refreshed")
    assert whole.metadata("champion")["reason"]


def test_a_drop_in_served_quality_turns_the_check_red_and_asks_for_training_once(whole: Whole) -> None:
    whole.edit("automation", every_seconds=5, retrain_schedule=None)
    whole.edit("monitoring", query_log="log", min_searches=20, recent_days=2, low_score=0.7)
    whole.workspace.promotions.unlink(missing_ok=True)  # as if it had been live for long
    serve(whole, [0.9, 0.9, 0.9, 0.2, 0.2])
    with serve_dagster(whole.home) as ui:
        asked = _wait_for_reason(ui, "served quality: click_mrr: 0.100 after 0.450")
        assert asked["status"] == "SUCCESS"
        time.sleep(QUIET_SECONDS)
        reasons = [run["tags"].get(REASON_TAG, "") for run in ui.runs()]
        assert len([reason for reason in reasons if reason.startswith("served quality")]) == 1
    assert red(whole, ever=True)


def test_a_deleted_document_is_hidden_by_one_run_though_the_labels_are_broken(whole: Whole) -> None:
    whole.edit("automation", every_seconds=5, retrain_schedule=None)
    gone, *left = whole.corpus()
    with serve_dagster(whole.home) as ui:
        time.sleep(QUIET_SECONDS)
        before = len(ui.runs())
        with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
            file.write("{broken\n")
        whole.write_corpus(left)
        asked = _wait_for_reason(ui, "the corpus has changed")
        assert asked["status"] == "SUCCESS"
        for alias in (LIVE, BASE, CHALLENGER):
            opened = whole.workspace.vector_store.open(whole.workspace.aliased(alias))
            assert opened.fetch([gone["_id"]]) == []
        time.sleep(QUIET_SECONDS)
        runs = "{runsOrError(limit: 30){... on Runs{results{jobName assetSelection{path}}}}}"
        made = ui.ask(runs)["runsOrError"]["results"]
    since = made[: len(made) - before]
    assert [run["jobName"] for run in since].count(f"{DOMAIN}_lane") == 1
    others = {key["path"][-1] for run in since for key in run["assetSelection"] or ()}
    assert {"base_collection", "labels"} <= others
    assert others.isdisjoint(LANE)


def _wait_for_reason(ui: DagsterUi, reason: str) -> dict[str, Any]:
    """The run with that reason, once it has ended."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        for run in ui.runs():
            if reason in run["tags"].get(REASON_TAG, "") and run["status"] in ("SUCCESS", "FAILURE"):
                return run
        time.sleep(2)
    raise TimeoutError(f"no run for {reason!r} has ended: {ui.runs()}")
