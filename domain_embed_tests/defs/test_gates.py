"""No way of launching promotes a model whose verdict failed, or is about something else; a person's reason does."""

import json

import dagster as dg
import pytest

from domain_embed.definitions import build_definitions
from domain_embed.defs.policies import FORCE_TAG, PROMOTE_TAG
from domain_embed.defs.runs import QUIET, open_instance
from domain_embed.promotion.champion import PromotionLog
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE
from domain_embed_tests.cli.test_cli import invoke
from domain_embed_tests.whole import DOMAIN, Whole


@pytest.fixture
def refused(whole: Whole) -> Whole:
    """The base model is live, and the verdict on the challenger is negative."""
    workspace = whole.workspace
    workspace.vector_store.set_alias(LIVE, workspace.aliased(BASE))
    workspace.promotions.unlink(missing_ok=True)
    whole.edit("promotion", min_gain=0.9)
    whole.run(("eval_report",))
    assert workspace.latest_report()["verdict"]["promote"] is False
    return whole


def give_verdict(whole: Whole, promote: bool) -> None:
    """Rewrites the stored verdict: what a larger test set would have said."""
    path = whole.workspace.reports / "latest.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    report["verdict"] = {"promote": promote, "reasons": ["better" if promote else "worse"]}
    path.write_text(json.dumps(report), encoding="utf-8")


def launch(whole: Whole, *names: str, **tags: str) -> None:
    """What the UI does with a selection of assets: a run with tags, nothing of this package's command line."""
    with open_instance(whole.environment) as instance:
        job = build_definitions(whole.environment).resolve_implicit_global_asset_job_def()
        selection = [dg.AssetKey([DOMAIN, name]) for name in names]
        result = job.execute_in_process(instance=instance, asset_selection=selection, tags=tags, run_config=QUIET)
        assert result.success


def live_is_base(whole: Whole) -> bool:
    return whole.workspace.aliased(LIVE) == whole.workspace.aliased(BASE)


def test_the_asset_alone_does_not_promote(refused: Whole) -> None:
    launch(refused, "champion")
    assert live_is_base(refused)
    assert refused.metadata("champion")["decision"] == "kept"


def test_force_does_not_promote(refused: Whole) -> None:
    launch(refused, "champion", **{FORCE_TAG: "1"})
    assert live_is_base(refused)


def test_a_stale_only_request_and_a_backfill_do_not_promote(refused: Whole) -> None:
    """Both become a run of the assets that Dagster calls stale, `champion` among them, with tags of their own."""
    launch(refused, "champion", **{"dagster/backfill": "abcdefgh"})
    launch(refused, "champion", **{"dagster/sensor_name": "stale_assets_only"})
    assert live_is_base(refused)


def test_the_command_line_does_not_promote(refused: Whole) -> None:
    result = invoke(refused.home, "run", DOMAIN, "--select", "champion", "--force")
    assert result.returncode == 0, result.stderr
    assert live_is_base(refused)


def test_a_verdict_under_other_settings_does_not_promote(refused: Whole) -> None:
    """The edit came after the report: what it said was not said about this."""
    refused.edit("promotion", min_gain=0.001)
    refused.run(("eval_report",))
    give_verdict(refused, True)
    refused.edit("retrieval", mode="hybrid")
    launch(refused, "champion")
    assert live_is_base(refused)
    assert "made with other settings (retrieval)" in refused.metadata("champion")["reason"]


def test_a_verdict_under_a_launched_setting_does_not_promote(refused: Whole) -> None:
    """What was evaluated is not what domain.yaml says will serve."""
    refused.edit("promotion", min_gain=0.0)
    with open_instance(refused.environment) as instance:
        job = build_definitions(refused.environment).resolve_implicit_global_asset_job_def()
        config = {"ops": {f"{DOMAIN}_eval_report": {"config": {"mode": "hybrid"}}}, **QUIET}
        job.execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey([DOMAIN, "eval_report"])], run_config=config
        )
    assert refused.workspace.latest_report()["evidence"]["served_mode"] == "hybrid"
    give_verdict(refused, True)
    launch(refused, "champion")
    assert live_is_base(refused)
    assert "other settings" in refused.metadata("champion")["reason"]


def test_a_positive_verdict_on_this_very_model_promotes(refused: Whole) -> None:
    give_verdict(refused, True)
    launch(refused, "champion")
    assert refused.workspace.aliased(LIVE) == refused.workspace.aliased(CHALLENGER)


def test_a_person_with_a_reason_promotes_and_it_is_recorded(refused: Whole) -> None:
    launch(refused, "champion", **{PROMOTE_TAG: " "})
    assert live_is_base(refused)
    launch(refused, "champion", **{PROMOTE_TAG: "the old model is withdrawn"})
    assert refused.workspace.aliased(LIVE) == refused.workspace.aliased(CHALLENGER)
    assert refused.metadata("champion")["decision"] == "promoted"
    move = PromotionLog(refused.workspace.promotions).read()[-1]
    assert (move.action, move.reason) == ("promoted", "promoted by a person: the old model is withdrawn")


def test_a_person_does_not_promote_what_nobody_has_evaluated(refused: Whole) -> None:
    path = refused.workspace.reports / "latest.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    report["evidence"]["challenger_fingerprint"] = "another"
    path.write_text(json.dumps(report), encoding="utf-8")
    launch(refused, "champion", **{PROMOTE_TAG: "in a hurry"})
    assert live_is_base(refused)
    assert "materialize eval_report first" in refused.metadata("champion")["reason"]
