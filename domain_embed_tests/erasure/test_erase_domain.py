"""An erased domain leaves nothing in the store but the record of it; a store whose domain is gone can be erased."""

import json
import shutil
from pathlib import Path

import pytest

from domain_embed.contracts.errors import SettingsError
from domain_embed.defs.runs import make_plan, open_instance
from domain_embed.erasure.erase import erase_domain
from domain_embed.settings import SETTINGS_FILE
from domain_embed.stores.workspace import Workspace
from domain_embed_tests.cli.test_cli import answer, invoke
from domain_embed_tests.erasure.decoding import holders
from domain_embed_tests.scenario import write_domain
from domain_embed_tests.whole import DOMAIN, Whole

OTHER = "handbook"


def test_nothing_is_left_but_the_record(whole: Whole) -> None:
    outcome = erase_domain(whole.environment, DOMAIN)
    assert outcome.finished
    assert list(holders(whole.home / ".store", [DOMAIN])) == ["audit.jsonl"]
    assert not [path for path in (whole.home / ".store").rglob("*") if DOMAIN in path.name]
    (line,) = (whole.home / ".store" / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["deed"] == "erase"
    assert (whole.folder / SETTINGS_FILE).exists()
    assert str(whole.folder) in [one.where for one in outcome.not_reached]


def test_the_home_it_was_copied_from_stays(whole: Whole, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(whole.home, copied)
    files = sorted((whole.home / ".store").rglob("*"))
    assert erase_domain(Whole(copied).environment, DOMAIN).finished
    assert list(holders(copied / ".store", [DOMAIN])) == ["audit.jsonl"]
    assert sorted((whole.home / ".store").rglob("*")) == files


def test_another_domain_stays(whole: Whole) -> None:
    write_domain(whole.home / OTHER)
    other = Workspace(whole.environment, OTHER)
    with open_instance(whole.environment) as instance:
        before = make_plan(instance, other).stale
        known = {key for key in instance.all_asset_keys() if key.path[0] == OTHER}
    erase_domain(whole.environment, DOMAIN)
    with open_instance(whole.environment) as instance:
        assert known
        assert set(instance.all_asset_keys()) == known
        assert make_plan(instance, other).stale == before


def test_a_domain_can_be_made_again(whole: Whole) -> None:
    erase_domain(whole.environment, DOMAIN)
    assert set(whole.plan().stale) > {"documents", "champion"}
    whole.run(("documents",))
    assert whole.metadata("documents")["dagster/row_count"] == len(whole.corpus())


def test_a_store_without_a_domain_is_listed_and_can_be_removed(whole: Whole) -> None:
    shutil.rmtree(whole.folder)
    (found,) = answer(whole.home, "status")["domains"]
    assert (found["domain"], found["orphaned"], found["error"]) == (DOMAIN, True, None)
    assert "its folder is gone" in invoke(whole.home, "status").stdout
    done = answer(whole.home, "erase", DOMAIN, "--yes")
    assert done["finished"]
    assert answer(whole.home, "status")["domains"] == []
    assert list(holders(whole.home / ".store", [DOMAIN])) == ["audit.jsonl"]


def test_a_domain_whose_settings_are_broken_can_be_removed(whole: Whole) -> None:
    (whole.folder / SETTINGS_FILE).write_text("corpus: 5\n", encoding="utf-8")
    assert erase_domain(whole.environment, DOMAIN).finished
    assert not whole.workspace.root.exists()


@pytest.mark.parametrize("name", ["nobody", "..", "../runbooks", ""])
def test_a_name_nobody_knows_is_an_error(whole: Whole, name: str) -> None:
    with pytest.raises(SettingsError, match="no domain"):
        erase_domain(whole.environment, name)
    assert whole.workspace.root.exists()


def test_a_dry_run_removes_nothing(whole: Whole) -> None:
    told = answer(whole.home, "erase", DOMAIN, "--dry-run")
    assert str(whole.workspace.root) in told["removed"]
    assert whole.plan().stale == ()
