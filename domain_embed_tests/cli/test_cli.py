"""The command line as a person and as a script use it, on a finished domain."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import yaml
from typer.testing import CliRunner

from domain_embed.cli import app
from domain_embed.contracts.errors import StoreError
from domain_embed.judgments.review import Decision, read_decisions, record_decisions
from domain_embed.settings import PairsSource, read_settings
from domain_embed_tests.scenario import corpus_rows, judgment_rows, write_lines
from domain_embed_tests.whole import DOMAIN, Whole


def invoke(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The installed command in a process of its own."""
    env = {**os.environ, "DOMAIN_EMBED_HOME": str(home), "HF_HUB_OFFLINE": "1", "COLUMNS": "160", **variables}
    command = [sys.executable, "-m", "domain_embed.cli", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)


def answer(home: Path, *arguments: str) -> Any:
    """The JSON a successful command prints, and nothing else."""
    result = invoke(home, *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_fresh_domain_is_up_to_date(finished: Whole) -> None:
    assert answer(finished.home, "plan", DOMAIN)["stale"] == {}
    done = answer(finished.home, "run", DOMAIN)
    assert done == {"domain": DOMAIN, "worked_s": {}, "reused": [], "dagster_run": None, "notes": {}}
    assert "up to date: nothing to run" in invoke(finished.home, "run", DOMAIN).stdout


def test_plan_says_why(whole: Whole) -> None:
    whole.edit("training", learning_rate=3e-4)
    found = answer(whole.home, "plan", DOMAIN)
    assert found["stale"] == {"checkpoint": ["training: settings changed (learning_rate is 0.0003, was 5e-05)"]}
    assert found["may_run"] == ["collection", "eval_report", "champion", "served_quality"]
    took = found["last_seconds"]
    everything = took["checkpoint"] + sum(took[asset] for asset in found["may_run"])
    assert found["estimate_seconds"] == pytest.approx([took["checkpoint"], everything])
    shown = invoke(whole.home, "plan", DOMAIN).stdout
    assert "training: settings changed" in shown
    assert "if all of it runs" in shown
    training = found["training"]
    assert training["most_seconds"] == pytest.approx(2 * training["epoch_seconds"])
    assert "training: up to 2 epochs; one epoch: about " in shown


def test_report_has_every_promised_key(finished: Whole) -> None:
    report = answer(finished.home, "report", DOMAIN)
    assert report["domain"] == DOMAIN
    assert report["passages"] == len(corpus_rows())
    assert set(report["queries"]) == {"train", "validation", "test"}
    assert {"bm25", "base/dense", "base/hybrid", "tuned/dense", "tuned/hybrid"} < set(report["systems"])
    measures = {"nDCG@10", "RR@10", "R@1", "R@5", "R@10", "R@100", "P@5", "P@10", "AP@100", "Success@5", "Judged@10"}
    assert all(measures <= set(means) for means in report["systems"].values())
    keys = {"challenger", "baseline", "metric", "delta", "ci95", "p", "wins", "ties", "losses"}
    assert all(keys <= set(found) for found in report["comparisons"])
    assert isinstance(report["verdict"]["promote"], bool)
    assert report["verdict"]["reasons"]
    assert report["timings_s"]["checkpoint"] > 0
    assert Path(report["model"]["path"], "model.safetensors").exists()
    assert report["collection"].startswith(report["model"]["fingerprint"][:12])


def test_search_finds_filters_and_tells_versions_apart(finished: Whole) -> None:
    row = corpus_rows()[0]
    found = answer(finished.home, "search", DOMAIN, row["title"], "-k", "3")
    assert len(found["hits"]) == 3
    assert row["_id"] in [hit["passage_id"] for hit in found["hits"]]
    team = row["metadata"]["team"]
    narrowed = answer(finished.home, "search", DOMAIN, row["title"], "--filter", f"team={team}", "--mode", "hybrid")
    assert {hit["metadata"]["team"] for hit in narrowed["hits"]} == {team}
    later = answer(finished.home, "search", DOMAIN, row["title"], "--filter", "year>=2022", "--filter", "team!=data")
    assert {hit["metadata"]["year"] >= 2022 and hit["metadata"]["team"] != "data" for hit in later["hits"]} == {True}
    assert later["hits"][0]["places"]["dense"]["rank"] == 1
    told = invoke(
        finished.home, "search", DOMAIN, row["title"], "--mode", "hybrid", "--explain", "--documents", "-k", "2"
    )
    assert "dense 1 (" in told.stdout
    assert "sparse 1 (" in told.stdout
    base = answer(finished.home, "search", DOMAIN, row["title"], "--version", "base")
    challenger = answer(finished.home, "search", DOMAIN, row["title"], "--version", "challenger")
    assert base["collection"] != challenger["collection"]


def test_versions_promotion_rollback_and_pruning(whole: Whole) -> None:
    rows = answer(whole.home, "versions", DOMAIN)["collections"]
    assert sorted(alias for one in rows for alias in one["aliases"]) == ["base", "challenger", "live"]
    by_alias = {alias: one for one in rows for alias in one["aliases"]}
    served = report_of(whole)["systems"]
    assert by_alias["challenger"]["ndcg_at_10"] == served["tuned/dense"]["nDCG@10"]
    assert by_alias["base"]["ndcg_at_10"] == served["base/dense"]["nDCG@10"]
    assert by_alias["base"]["size_bytes"] > 10_000
    assert 0 <= by_alias["base"]["age_days"] < 1

    if by_alias["live"] is by_alias["base"]:  # what the verdict says of so few queries is not this test's matter
        assert invoke(whole.home, "rollback", DOMAIN).returncode == 7
        assert invoke(whole.home, "promote", DOMAIN).returncode == 7
    promoted = answer(whole.home, "promote", DOMAIN, "--force", "--reason", "release 7")
    assert promoted["target"] == by_alias["challenger"]["collection"]
    assert answer(whole.home, "promote", DOMAIN)["action"] == "kept"
    if promoted["action"] == "promoted":
        assert promoted["reason"] == "release 7"
        assert 0 <= promoted["shadow"]["overlap"] <= 1
    assert answer(whole.home, "prune", DOMAIN, "--keep", "0")["removed"] == []
    back = answer(whole.home, "rollback", DOMAIN)
    assert back["target"] == by_alias["base"]["collection"]
    assert [one["collection"] for one in answer(whole.home, "versions", DOMAIN)["collections"]] == [
        one["collection"] for one in rows
    ]


def report_of(whole: Whole) -> dict[str, Any]:
    return answer(whole.home, "report", DOMAIN)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("plan", "nowhere"), 2, "no domain 'nowhere'"),
        (("search", DOMAIN, "x", "--filter", "colour=red"), 3, "keys: team, year"),
        (("search", DOMAIN, "x", "--filter", "year=soon"), 3, "year holds values of type int"),
        (("search", DOMAIN, "x", "--version", "old"), 2, "version 'old' is not one of champion, challenger, base"),
        (("search", DOMAIN, "x", "--group", "hr"), 2, "the domain has no access control"),
        (("search", DOMAIN, "x", "--rerank"), 4, "there is no reranker"),
        (("run", DOMAIN, "--select", "chekpoint"), 2, "no asset 'chekpoint'"),
        (("init", DOMAIN), 2, "exists already"),
        (("init", "other", "--corpus", "missing.jsonl", "--judgments", "missing.jsonl"), 3, "does not exist"),
        (("init", "other", "--judgments", "some.jsonl"), 2, "--judgments without --corpus"),
        (("quality", "nowhere"), 2, "no domain 'nowhere'"),
        (("review", DOMAIN, "missing.xlsx", "--import"), 3, "missing.xlsx"),
    ],
)
def test_mistakes_are_named(finished: Whole, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = invoke(finished.home, *arguments)
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_domain_without_a_run_says_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    corpus = write_lines(tmp_path / "docs.jsonl", corpus_rows())
    labels = write_lines(tmp_path / "labels.jsonl", judgment_rows())
    made = invoke(home, "init", "mine", "--corpus", str(corpus), "--judgments", str(labels))
    assert made.returncode == 0
    settings = yaml.safe_load((home / "mine" / "domain.yaml").read_text(encoding="utf-8"))
    assert settings["corpus"]["paths"] == [str(corpus)]
    for command in (("report", "mine"), ("search", "mine", "x")):
        result = invoke(home, *command)
        assert result.returncode == 4
        assert "domain-embed run" in result.stderr
    assert next(iter(answer(home, "plan", "mine")["stale"])) == "documents"


def test_init_asks_for_what_it_was_not_told(tmp_path: Path) -> None:
    corpus = write_lines(tmp_path / "docs.jsonl", corpus_rows())
    labels = write_lines(tmp_path / "labels.jsonl", judgment_rows())
    home = {"DOMAIN_EMBED_HOME": str(tmp_path / "home")}
    made = CliRunner().invoke(app, ["init", "mine", "--ask"], input=f"{corpus}\n{labels}\n\n", env=home)
    assert made.exit_code == 0, made.output
    settings = read_settings(tmp_path / "home" / "mine" / "domain.yaml")
    assert settings.corpus.paths == (str(corpus),)
    assert settings.judgments.sources == (PairsSource(path=str(labels)),)


def test_init_of_unknown_fields_says_which_kinds_there_are(tmp_path: Path) -> None:
    corpus = write_lines(tmp_path / "docs.jsonl", corpus_rows())
    labels = write_lines(tmp_path / "labels.jsonl", [{"frage": "wie", "antwort": "so"}])
    made = invoke(tmp_path / "home", "init", "mine", "--corpus", str(corpus), "--judgments", str(labels))
    assert made.returncode == 3
    assert "its fields fit no kind of judgments: frage, antwort" in made.stderr
    assert not (tmp_path / "home" / "mine").exists()


def test_a_reviewed_sheet_comes_back(whole: Whole) -> None:
    decided = whole.folder / "decisions.jsonl"
    found = answer(whole.home, "review", DOMAIN)
    if not found["items"]:  # nothing doubtful in this small domain: a decision of one's own
        record_decisions(decided, [Decision("who do I wake up", "page-duty", "relevant")])
    else:
        sheet = Path(found["sheet"])
        book = openpyxl.load_workbook(sheet)
        rows = list(book.active.iter_rows())
        column = [cell.value for cell in rows[0]].index("decision")
        rows[1][column].value = "relevant"
        book.save(sheet)
        taken = answer(whole.home, "review", DOMAIN, "--import")
        assert (taken["new"], taken["undecided"]) == (1, found["items"] - 1)
        assert answer(whole.home, "review", DOMAIN, "--import")["new"] == 0
    assert len(read_decisions(decided)) == 1
    assert answer(whole.home, "plan", DOMAIN)["stale"] == {"judgments": ["review_decisions has new content"]}


def test_misspelt_setting_names_file_key_and_allowed(whole: Whole) -> None:
    whole.edit("training", epoch=3)
    result = invoke(whole.home, "plan", DOMAIN)
    assert result.returncode == 2
    assert str(whole.folder / "domain.yaml") in result.stderr.replace("\n", "")
    assert "training.epoch: unknown key. Did you mean 'epochs'?" in result.stderr


def test_unwritable_store_is_a_clear_error(tmp_path: Path) -> None:
    home = tmp_path / "home"
    corpus = write_lines(tmp_path / "docs.jsonl", corpus_rows())
    labels = write_lines(tmp_path / "labels.jsonl", judgment_rows())
    invoke(home, "init", "mine", "--corpus", str(corpus), "--judgments", str(labels))
    (home / ".store").write_text("in the way", encoding="utf-8")
    result = invoke(home, "run", "mine")
    assert result.returncode == 5
    assert "cannot be written" in result.stderr


def test_help_and_plan_load_nothing_heavy(finished: Whole) -> None:
    code = (
        "import sys; sys.argv = ['domain-embed', {arguments}]\n"
        "from domain_embed.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [name for name in {names} if name in sys.modules])"
    )
    heavy = ("torch", "transformers", "sentence_transformers", "mlflow", "matplotlib")
    env = {**os.environ, "DOMAIN_EMBED_HOME": str(finished.home)}
    for arguments, names in (("'--help'", (*heavy, "dagster", "numpy", "pydantic")), (f"'plan', '{DOMAIN}'", heavy)):
        result = subprocess.run(
            [sys.executable, "-c", code.format(arguments=arguments, names=names)],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "HEAVY []" in result.stdout


def test_schema_is_json() -> None:
    result = invoke(Path(), "schema")
    assert json.loads(result.stdout)["additionalProperties"] is False


def test_export_hands_the_tuned_model_out_with_its_figures(whole: Whole, tmp_path: Path) -> None:
    found = answer(whole.home, "export", DOMAIN, str(tmp_path / "model"), "--version", "challenger")
    assert found["path"] == str(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    report = whole.workspace.latest_report()["evidence"]
    assert found["fingerprint"] == report["challenger_fingerprint"]
    assert f"| tuned/dense | {report['systems']['tuned/dense']['nDCG@10']:.4f} (" in card
    splits = whole.workspace.tables.read("splits").read(["split"])["split"].to_pylist()
    assert f"- {splits.count('train'):,} judged pairs in the train part" in card
    assert "from `judgments.jsonl`" in card
    again = invoke(whole.home, "export", DOMAIN, str(tmp_path / "model"))
    assert again.returncode == 2
    assert "is not empty" in again.stderr
    unknown = invoke(whole.home, "export", DOMAIN, str(tmp_path / "other"), "--version", "best")
    assert (unknown.returncode, (tmp_path / "other").exists()) == (2, False)


def test_a_rollback_stands_though_the_new_texts_cannot_be_embedded(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOMAIN_EMBED_HOME", str(whole.home))
    answer(whole.home, "promote", DOMAIN, "--force", "--reason", "release 7")

    def fails(*_: object) -> None:
        raise StoreError("the accelerator is gone")

    with monkeypatch.context() as patched:
        patched.setattr("domain_embed.cutover.refresh_live", fails)
        result = CliRunner().invoke(app, ["rollback", DOMAIN, "--json"])
    assert isinstance(result.exception, StoreError)
    assert "the rollback stands" in str(result.exception)
    told = json.loads(result.stdout)
    assert (told["action"], told["refreshed"]) == ("rolled back", None)
    by_alias = {alias: row for row in answer(whole.home, "versions", DOMAIN)["collections"] for alias in row["aliases"]}
    assert by_alias["live"]["collection"] == told["target"]

    deeds = answer(whole.home, "audit", DOMAIN)["deeds"]
    assert [(deed["deed"], deed["target"]) for deed in deeds][-1:] == [("rollback", told["target"])]
    assert answer(whole.home, "audit", "another")["deeds"] == []
    shown = invoke(whole.home, "audit").stdout
    assert "rollback" in shown
    assert DOMAIN in shown


def test_versions_counts_the_passages_there_are_now(whole: Whole) -> None:
    rows = answer(whole.home, "versions", DOMAIN)["collections"]
    store = whole.workspace.vector_store
    store.amend(rows[0]["collection"], remove=[corpus_rows()[0]["_id"]], metadata={})
    counted = [row["passages"] for row in answer(whole.home, "versions", DOMAIN)["collections"]]
    assert counted == [len(corpus_rows()) - 1, *(row["passages"] for row in rows[1:])]
