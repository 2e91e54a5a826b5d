"""`diagnose`, and `run` where the diagnosis speaks against training, as a person and as a script use them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from domain_embed.cli import app
from domain_embed.contracts.errors import TrainingError
from domain_embed.diagnosis import saturation
from domain_embed.stores.workspace import BASE, LIVE
from domain_embed_tests.defs.test_diagnosis import speak_against
from domain_embed_tests.whole import DOMAIN, Whole


def invoke(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"DOMAIN_EMBED_HOME": str(home), "COLUMNS": "160"})


def test_diagnose_shows_what_was_found(finished: Whole) -> None:
    shown = invoke(finished.home, "diagnose", DOMAIN)
    assert shown.exit_code == 0, shown.output
    stored = finished.workspace.diagnosis()
    assert stored["recommendation"]["headline"] in shown.stdout
    assert "BM25 alone" in shown.stdout
    assert stored["html"] in shown.stdout.replace("\n", "")
    assert Path(stored["html"]).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_diagnose_as_json(finished: Whole) -> None:
    found = json.loads(invoke(finished.home, "diagnose", DOMAIN, "--json").stdout)
    assert found["domain"] == DOMAIN
    assert {"recommendation", "causes", "levers", "systems", "comparisons", "html"} <= set(found)
    assert found["recommendation"]["fine_tune"] == "open"
    assert {lever["kind"] for lever in found["levers"]} <= {"measured", "estimated", "bound"}


def test_diagnose_brings_up_to_date_what_it_reads_and_trains_nothing(whole: Whole) -> None:
    with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"query": "who repairs the coffee machine", "passage_id": "holidays"}) + "\n")
    before = whole.metadata("checkpoint")
    found = json.loads(invoke(whole.home, "diagnose", DOMAIN, "--json").stdout)
    missing = next(one for one in found["causes"] if one["cause"] == "missing")
    assert missing["queries"] == 1
    assert missing["examples"][0]["why"] == "the corpus holds no holidays"
    assert whole.metadata("checkpoint") == before


def test_the_estimate_is_told_for_the_epochs_of_the_domain(whole: Whole) -> None:
    path = whole.workspace.root / "diagnosis" / "diagnosis.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    probe = {"pairs": 64, "queries": 20, "pool": 80, "gain": 0.05, "ci95": [0.01, 0.09], "train_pairs": 512,
             "train_s": 4.0, "embed_s": 2.0}  # fmt: skip
    kept = next(one for one in stored["levers"] if one["kind"] == "measured")
    lever = {**kept, "name": "fine_tuning", "title": "Fine-tuning", "kind": "estimated"}
    levers = [one for one in stored["levers"] if one["name"] != "fine_tuning"]
    path.write_text(json.dumps({**stored, "probe": probe, "levers": [*levers, lever]}), encoding="utf-8")
    whole.edit("training", epochs=8)
    assert "diagnosis" not in whole.plan().stale
    found = json.loads(invoke(whole.home, "diagnose", DOMAIN, "--json").stdout)
    (shown,) = [one for one in found["levers"] if one["name"] == "fine_tuning"]
    assert shown["title"] == "Fine-tuning, 8 epochs"
    assert shown["seconds"] == 4.0 * 2 * 512 * 8 / 64 + 2.0
    assert "Fine-tuning, 8 epochs" in invoke(whole.home, "diagnose", DOMAIN).stdout


def test_stop_is_told_with_the_way_on(whole: Whole) -> None:
    speak_against(whole)
    whole.edit("training", learning_rate=9e-5)
    shown = invoke(whole.home, "run", DOMAIN)
    assert shown.exit_code == 0, shown.output
    told = shown.stdout.replace("\n", " ")
    assert "stopped before training: BM25 alone, do not fine-tune" in told
    assert "/dense is live" in told
    assert "to pull the lever: retrieval.mode: sparse in domain.yaml" in told
    assert "diagnosis.on_negative: continue" in told
    assert "--force" in told
    assert whole.workspace.latest_report()["html"] in shown.stdout.replace("\n", "")
    stopped = json.loads(invoke(whole.home, "run", DOMAIN, "--json").stdout)["stopped"]
    assert stopped["setting"] == "retrieval.mode: sparse"
    assert stopped["live"] in (whole.workspace.aliased(LIVE), whole.workspace.aliased(BASE))


def test_what_more_labels_are_worth_is_told_and_reported(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    too_few = invoke(whole.home, "saturation", DOMAIN)
    assert isinstance(too_few.exception, TrainingError)
    assert "too few for a curve" in str(too_few.exception)
    monkeypatch.setattr(saturation, "FEWEST_PAIRS", 8)
    monkeypatch.setattr(saturation, "SHARES", (0.5, 0.75, 1.0))
    live = whole.workspace.aliased(LIVE)
    found = json.loads(invoke(whole.home, "saturation", DOMAIN, "--more", "50", "--json").stdout)
    assert [point["pairs"] for point in found["points"]] == sorted({point["pairs"] for point in found["points"]})
    assert found["worth"]["labels"] == 50
    assert found["worth"]["ci95"][0] <= found["worth"]["gain"] <= found["worth"]["ci95"][1]
    assert whole.workspace.aliased(LIVE) == live
    assert not list(whole.workspace.checkpoints.glob(".curve-*"))
    assert whole.plan().statuses["eval_report"].causes == ("learning_curve has new content",)
    whole.run(("eval_report",))
    page = Path(whole.workspace.latest_report()["html"]).read_text(encoding="utf-8")
    assert "by training pairs" in page


def test_unknown_domain_is_named(finished: Whole) -> None:
    shown = invoke(finished.home, "diagnose", "nowhere")
    assert shown.exit_code == 1
    assert "no domain 'nowhere'" in str(shown.exception)


@pytest.mark.parametrize("option", ["--open", "--json"])
def test_options_are_there(option: str) -> None:
    assert option in CliRunner().invoke(app, ["diagnose", "--help"], env={"COLUMNS": "160"}).stdout
