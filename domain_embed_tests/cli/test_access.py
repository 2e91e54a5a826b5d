"""A domain for some groups only, on the command line: what is given out, how, and what happens without its rule."""

import json
import stat
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from typer.testing import CliRunner, Result

from domain_embed.audit import AuditTrail
from domain_embed.cli import app
from domain_embed.contracts.errors import AccessError, InputError, SettingsError
from domain_embed.judgments.sheets import read_sheet
from domain_embed_tests.whole import DOMAIN, Whole

NOTICE = "Confidential: made of passages that members of some groups only may see"


@pytest.fixture
def restricted(whole: Whole) -> Whole:
    """Each passage is for its team alone."""
    whole.edit("access", groups_field="team")
    return whole


def ask(whole: Whole, *arguments: str) -> Result:
    """The command in this process; what it raises is in the result."""
    return CliRunner(env={"DOMAIN_EMBED_HOME": str(whole.home)}).invoke(app, list(arguments))


def answered(whole: Whole, *arguments: str) -> Any:
    result = ask(whole, *arguments, "--json")
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def modes(folder: Path) -> set[tuple[bool, int]]:
    """Of a folder and everything in it: whether it is a folder, and who may do what."""
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in (folder, *folder.rglob("*"))}


def test_search_tells_nothing_of_hidden_passages(restricted: Whole) -> None:
    assert isinstance(ask(restricted, "search", DOMAIN, "x").exception, AccessError)
    found = answered(restricted, "search", DOMAIN, "vacuum tables", "--group", "data", "--mode", "hybrid", "-k", "3")
    assert {hit["metadata"]["team"] for hit in found["hits"]} == {"data"}
    assert [(hit["score"], hit["places"]) for hit in found["hits"]] == [(1, {}), (1 / 2, {}), (1 / 3, {})]
    for told, years in (
        ("year>=2022", {2022, 2023}),
        ("year=2021", {2021}),
        ("no_such_key=1", set()),
        ("team=network", set()),
    ):
        hits = answered(restricted, "search", DOMAIN, "x", "--group", "data", "-k", "40", "--filter", told)["hits"]
        assert {hit["metadata"]["year"] for hit in hits} - {2024, 2025} == years
    errors = [
        ask(restricted, "search", DOMAIN, "x", "--group", "data", "--filter", f"{key}>abc").exception
        for key in ("year", "nowhere")
    ]
    assert all(isinstance(error, InputError) and "keys:" not in str(error) for error in errors)
    explained = ask(restricted, "search", DOMAIN, "vacuum", "--group", "data", "--mode", "hybrid", "--explain")
    assert "sparse" not in explained.stdout


def test_a_new_rule_reads_the_groups_anew_and_marks_the_pages_that_are_there(restricted: Whole) -> None:
    assert restricted.plan().stale == ("documents",)
    state = answered(restricted, "access", DOMAIN)
    assert state["rule"] == {"groups_field": "team", "without_groups": "nobody"}
    assert state["vanished"] is None
    assert set(state["collections"].values()) == {None}
    corpus = restricted.workspace.tables.read("passages").count
    assert (state["passages"]["with_groups"], state["passages"]["not_understood"]) == (corpus, 0)
    assert sum(state["passages"]["groups"].values()) == corpus
    pages = list(restricted.workspace.root.glob("**/*.html"))
    assert len(pages) >= 3
    for page in pages:
        assert page.read_text(encoding="utf-8").count(NOTICE) == 1
        assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_what_leaves_carries_a_notice_and_is_its_owners_alone(restricted: Whole, tmp_path: Path) -> None:
    for name in ("review.csv", "review.xlsx"):
        sheet = tmp_path / name
        assert answered(restricted, "review", DOMAIN, str(sheet))["items"] > 0
        assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
        assert read_sheet(sheet).undecided > 0
    assert NOTICE in (tmp_path / "review.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    header = next(openpyxl.load_workbook(tmp_path / "review.xlsx").worksheets[0].iter_rows(values_only=True))
    assert str(header[-1]).startswith(NOTICE)

    trec = tmp_path / "new" / "trec"
    answered(restricted, "report", DOMAIN, "--trec", str(trec))
    assert modes(trec) == {(True, 0o700), (False, 0o600)}
    assert (trec / "NOTICE.txt").read_text(encoding="utf-8").startswith(NOTICE)

    model = tmp_path / "model"
    answered(restricted, "export", DOMAIN, str(model))
    assert modes(model) == {(True, 0o700), (False, 0o600)}
    assert NOTICE in (model / "README.md").read_text(encoding="utf-8")
    deeds = [(line.deed, line.target) for line in AuditTrail(restricted.home / ".store").read(DOMAIN)]
    assert deeds[-1] == ("export", str(model))
    assert [deed for deed, _ in deeds] == ["access", "export"]


def test_a_file_that_is_there_for_all_to_read_is_replaced(restricted: Whole, tmp_path: Path) -> None:
    (tmp_path / "qrels.txt").write_text("old")
    (tmp_path / "qrels.txt").chmod(0o644)
    answered(restricted, "report", DOMAIN, "--trec", str(tmp_path))
    assert stat.S_IMODE((tmp_path / "qrels.txt").stat().st_mode) == 0o600


def test_without_its_rule_nothing_is_given_out_until_the_owner_opens_it(restricted: Whole, tmp_path: Path) -> None:
    assert isinstance(ask(restricted, "access", DOMAIN, "--open").exception, SettingsError)
    answered(restricted, "access", DOMAIN)
    restricted.edit("access", groups_field=None)
    sheet, model = str(tmp_path / "review.csv"), str(tmp_path / "model")
    giving = [
        ("search", DOMAIN, "x"),
        ("search", DOMAIN, "x", "--group", "data"),
        ("report", DOMAIN),
        ("quality", DOMAIN),
        ("diagnose", DOMAIN),
        ("review", DOMAIN, sheet),
        ("export", DOMAIN, model),
        ("compare", DOMAIN, "tuned/dense", "base/dense"),
        ("run", DOMAIN, "--select", "quality_report", "--force"),
    ]
    for command in giving:
        error = ask(restricted, *command).exception
        assert isinstance(error, AccessError), (command, error)
        assert "no longer in its domain.yaml" in str(error)
    assert not list(tmp_path.glob("review.csv"))
    state = answered(restricted, "access", DOMAIN)
    assert "no longer in its domain.yaml" in state["vanished"]
    assert state["rule"] == {"groups_field": "team", "without_groups": "nobody"}
    status = answered(restricted, "status", DOMAIN)["domains"][0]
    assert "no longer in its domain.yaml" in status["warnings"][0]

    opened = answered(restricted, "access", DOMAIN, "--open", "--reason", "all of it was published")
    assert (opened["rule"], opened["vanished"]) == (None, None)
    assert answered(restricted, "search", DOMAIN, "vacuum tables", "--mode", "hybrid")["hits"][0]["places"]
    assert answered(restricted, "report", DOMAIN)["domain"] == DOMAIN
    lines = list(AuditTrail(restricted.home / ".store").read(DOMAIN))
    assert [(line.target, line.reason) for line in lines] == [
        ("groups_field 'team', without_groups nobody", "seen in domain.yaml"),
        ("open", "all of it was published"),
    ]


def test_a_collection_that_was_built_under_a_rule_says_so_without_any_record(restricted: Whole) -> None:
    rows = restricted.corpus()
    restricted.write_corpus(rows[1:])
    restricted.run(("documents", "passages", "withheld", "live_collection", "base_collection", "collection"))
    store = restricted.workspace.vector_store
    for alias in ("live", "base", "challenger"):
        assert dict(store.open(restricted.workspace.aliased(alias)).info.access) == {
            "groups_field": "team", "without_groups": "nobody",
        }  # fmt: skip
    restricted.edit("access", groups_field=None)
    (restricted.workspace.root / "access.json").unlink()
    for command in (("search", DOMAIN, "x"), ("search", DOMAIN, "x", "--version", "base"), ("report", DOMAIN)):
        assert "kept in collection" in str(ask(restricted, *command).exception)
