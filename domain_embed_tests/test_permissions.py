"""Who may read: what the store keeps is its owner's alone, whatever the umask; what a user asked for is the user's."""

import gc
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from domain_embed.evaluation.trec import save_qrels
from domain_embed.files import keep_file, private_folder, private_umask, replace_file, tighten_store
from domain_embed.judgments.answers import AnswerCache
from domain_embed.promotion.champion import PromotionLog
from domain_embed.serving import Searcher
from domain_embed.settings import Environment
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.objects import ObjectMirror
from domain_embed.stores.tables import TableStore
from domain_embed.stores.tracking import Tracking
from domain_embed.stores.vectors import FileVectorCache
from domain_embed.stores.workspace import Workspace
from domain_embed_tests.scenario import passages_table, write_domain
from domain_embed_tests.stores.samples import POINTS, info
from domain_embed_tests.whole import DOMAIN, Whole

PLACES = {stat.S_IFDIR: 0o700, stat.S_IFREG: 0o600}


def modes(root: Path) -> Iterator[tuple[str, int, int]]:
    for path in (root, *sorted(root.rglob("*"))):
        found = path.lstat().st_mode
        if stat.S_IFMT(found) in PLACES:
            yield str(path.relative_to(root)), stat.S_IMODE(found), PLACES[stat.S_IFMT(found)]


def open_to_others(root: Path) -> dict[str, str]:
    """Files and folders that have another mode than the store's."""
    return {name: oct(mode) for name, mode, right in modes(root) if mode != right}


@pytest.fixture(autouse=True, params=[0, 0o022])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    assert os.umask(before) == request.param  # nobody has changed it for good


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "DOMAIN_EMBED_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "domain_embed.cli", *arguments],
        env=variables, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def write_table(root: Path) -> None:
    TableStore(root / "tables").write_table("passages", passages_table())


def write_vectors(root: Path) -> None:
    FileVectorCache(root / "vectors" / "model").put(["a"], np.ones((1, 4), np.float32))


def write_answers(root: Path) -> None:
    with AnswerCache.open(root / "answers.jsonl") as answers:
        answers.put("a", "b")


def write_log(root: Path) -> None:
    with PromotionLog(root / "deep" / "promotions.jsonl").alone():
        pass


def write_collection(root: Path) -> None:
    store = EdgeStore(root / "index")
    store.build(info("1"), [POINTS])
    store.build(info("2"), [POINTS])
    store.set_alias("live", "1")
    collection = store.open("1")
    collection.fetch([POINTS[0].passage_id])
    collection.close()
    searched = store.open("1")
    searched.fetch([POINTS[0].passage_id])
    del searched  # as when a program ends
    gc.collect()
    store.drop("2")


def write_runs(root: Path) -> None:
    private_folder(root)
    save_qrels(root / "qrels.parquet", {"q": {"p": 1}})


def write_objects(root: Path) -> None:
    there = root.parent / "there"
    (there / "tables").mkdir(parents=True)
    (there / "tables" / "a.parquet").write_bytes(b"x")
    assert ObjectMirror(there.as_uri(), root).pull() == 1


def write_figures(root: Path) -> None:
    page = root / "page.html"
    keep_file(page, "x")
    with Tracking(None, root / "mlflow").asset_run("d", "run", "asset") as tracker:
        tracker.log_artifact(page)


@pytest.mark.parametrize(
    "write",
    [write_table, write_vectors, write_answers, write_log, write_collection, write_runs, write_objects, write_figures],
)
def test_what_is_kept_is_its_owners_alone(tmp_path: Path, write: object) -> None:
    """In a process of somebody else's: the umask stays as it is."""
    root = tmp_path / "home" / ".store"
    write(root)  # type: ignore[operator]
    assert open_to_others(root) == {}
    assert len(list(modes(root))) > 1


def test_a_whole_run_leaves_nothing_open(finished: Whole) -> None:
    store = finished.home / ".store"
    assert open_to_others(store) == {}
    assert {path.suffix for path in store.rglob("*")} >= {".db", ".parquet", ".json", ".html", ".safetensors", ".arrow"}


def test_searching_and_moving_what_is_live_leaves_nothing_open(whole: Whole) -> None:
    assert Searcher.open(DOMAIN, home=whole.home).search("restore a backup", 2)
    for arguments in ("promote NAME --force", "status", "rollback NAME", "prune NAME --keep 0"):
        command(whole.home, *arguments.replace("NAME", DOMAIN).split())
    assert open_to_others(whole.home / ".store") == {}


def test_a_command_in_a_new_home_leaves_nothing_open_and_the_home_to_its_user(tmp_path: Path, umask: int) -> None:
    home = tmp_path / "home"
    assert command(home, "status").returncode == 0
    assert open_to_others(home / ".store") == {}
    assert stat.S_IMODE(home.stat().st_mode) == 0o777 & ~umask
    write_domain(home / DOMAIN)
    done = command(home, "run", DOMAIN, "--select", "documents,passages")
    assert done.returncode == 0, done.stderr
    assert open_to_others(home / ".store") == {}


def test_a_store_that_was_left_open_is_closed_when_it_is_opened(tmp_path: Path, umask: int) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    outside.chmod(0o644)
    store = tmp_path / "home" / ".store"
    (store / "domains" / "d" / "tables").mkdir(parents=True)
    (store / "domains" / "d" / "tables" / "passages.parquet").write_text("x")
    (store / "link").symlink_to(outside)
    for path in (store, *store.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    Workspace.open(Environment(home=store.parent), "d")
    assert open_to_others(store) == {}
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
    assert stat.S_IMODE(store.parent.stat().st_mode) == 0o777 & ~umask


def test_a_closed_store_is_not_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private_folder(tmp_path / ".store")
    monkeypatch.setattr(os, "walk", None)
    tighten_store(tmp_path / ".store")
    tighten_store(tmp_path / "nothing")


def test_files_of_the_user_follow_the_umask(tmp_path: Path, umask: int) -> None:
    replace_file(tmp_path / "review.csv", "a")
    keep_file(tmp_path / "kept.json", "{}")
    assert stat.S_IMODE((tmp_path / "review.csv").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "kept.json").stat().st_mode) == 0o600


def test_what_a_command_exports_follows_the_umask(whole: Whole, tmp_path: Path, umask: int) -> None:
    sheet, model, trec = tmp_path / "sheet.csv", tmp_path / "model", tmp_path / "trec"
    for name, *arguments in (["review", sheet], ["export", model], ["report", "--trec", trec]):
        done = command(whole.home, str(name), DOMAIN, *map(str, arguments))
        assert done.returncode == 0, done.stderr
    made = [path for root in (sheet, model, trec) for path in (root, *root.rglob("*"))]
    plain = {str(path): stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file() or path.is_dir()}
    assert plain == {name: (0o777 if Path(name).is_dir() else 0o666) & ~umask for name in plain}


def test_the_umask_comes_back(umask: int) -> None:
    with pytest.raises(ZeroDivisionError), private_umask():
        raise ZeroDivisionError
    assert os.umask(umask) == umask
