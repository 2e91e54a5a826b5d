"""Object storage: two machines and one bucket of a real S3 server (moto), and what must never happen between them."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner, Result

from domain_embed.cli import app
from domain_embed.contracts.errors import SettingsError, StoreError, StoreUnavailableError
from domain_embed.cutover import NOT_THERE
from domain_embed.files import RECORD_FILE
from domain_embed.stores.objects import SYNCED, ObjectMirror
from domain_embed.stores.workspace import LIVE
from domain_embed_tests.whole import DOMAIN, Whole


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server with nothing in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a fresh bucket, with the variables to reach it."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"bucket-{uuid4().hex}"
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
    return f"s3://{name}/artifacts"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def content(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith(SYNCED))
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files}


def test_what_one_machine_sends_the_other_finds(bucket: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    kept = {"tables/a": "1", "checkpoints/f/model": "2", "promotions.jsonl": "3"}
    left = ("vectors/v", "index/i", "locks/l", "other.json", "tables/.draft", "checkpoints/.training-x/state")
    write(here, {**kept, **dict.fromkeys(left, "no")})
    assert ObjectMirror(bucket, here).push() == 3
    assert ObjectMirror(bucket, here).push() == 0
    assert ObjectMirror(bucket, there).pull() == 3
    assert content(there) == kept
    assert ObjectMirror(bucket, there).pull() == 0


def test_changes_travel_both_ways_and_nothing_is_removed(bucket: str, tmp_path: Path) -> None:
    here, there = ObjectMirror(bucket, tmp_path / "here"), ObjectMirror(bucket, tmp_path / "there")
    write(tmp_path / "here", {"tables/a": "1", "tables/b": "1", "tables/c": "1"})
    here.push()
    there.pull()
    write(tmp_path / "there", {"tables/a": "2"})
    (tmp_path / "there" / "tables" / "b").unlink()
    assert there.push() == 1
    assert there.pull() == 1
    assert here.pull() == 1
    assert content(tmp_path / "here") == content(tmp_path / "there")
    assert content(tmp_path / "here") == {"tables/a": "2", "tables/b": "1", "tables/c": "1"}
    assert here.push() == 0


def test_an_emptied_bucket_is_filled_again(bucket: str, tmp_path: Path) -> None:
    here = ObjectMirror(bucket, tmp_path)
    write(tmp_path, {"tables/a": "1", "tables/b": "1"})
    here.push()
    for path in here._list():
        here._objects.delete(path)
    assert here.pull() == 0
    assert content(tmp_path) == {"tables/a": "1", "tables/b": "1"}
    assert here.push() == 2


def test_a_folder_moves_to_another_bucket(bucket: str, tmp_path: Path) -> None:
    write(tmp_path, {"tables/a": "1"})
    ObjectMirror(bucket, tmp_path).push()
    other = ObjectMirror(f"{bucket}/other", tmp_path)
    assert other.pull() == 0
    assert content(tmp_path) == {"tables/a": "1"}
    assert other.push() == 1


def test_what_is_not_yet_sent_survives_a_fetch(bucket: str, tmp_path: Path) -> None:
    here = ObjectMirror(bucket, tmp_path)
    write(tmp_path, {"tables/a": "1"})
    here.push()
    write(tmp_path, {"tables/a": "22", "tables/b": "new"})
    assert here.pull() == 0
    assert content(tmp_path) == {"tables/a": "22", "tables/b": "new"}


def test_a_slower_machine_overwrites_nothing(bucket: str, tmp_path: Path) -> None:
    here, there = ObjectMirror(bucket, tmp_path / "here"), ObjectMirror(bucket, tmp_path / "there")
    write(tmp_path / "here", {"tables/a": "1"})
    here.push()
    there.pull()
    write(tmp_path / "here", {"tables/a": "faster"})
    write(tmp_path / "there", {"tables/a": "slower", "tables/b": "as well"})
    here.push()
    with pytest.raises(StoreError, match=r"tables/a under s3://.* was changed by another machine meanwhile"):
        there.push()
    assert there.pull() == 1
    assert content(tmp_path / "there") == {"tables/a": "faster", "tables/b": "as well"}
    assert there.push() == 1


def test_two_domains_that_never_were_the_same_are_not_mixed(bucket: str, tmp_path: Path) -> None:
    write(tmp_path / "here", {"tables/a": "1"})
    write(tmp_path / "there", {"tables/b": "2"})
    ObjectMirror(bucket, tmp_path / "here").push()
    with pytest.raises(StoreError, match="both hold artifacts and were never the same"):
        ObjectMirror(bucket, tmp_path / "there").pull()
    assert content(tmp_path / "there") == {"tables/b": "2"}


def test_an_interrupted_fetch_goes_on(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = ObjectMirror(bucket, tmp_path / "here"), ObjectMirror(bucket, tmp_path / "there")
    write(tmp_path / "here", {"tables/a": "1", "tables/b": "2", "tables/c": "3"})
    here.push()
    fetch = there._fetch

    def fetch_one(path: str) -> tuple[str, tuple[int, int]]:
        if path != "tables/a":
            raise KeyboardInterrupt
        return fetch(path)

    monkeypatch.setattr(there, "_fetch", fetch_one)
    with pytest.raises(KeyboardInterrupt):
        there.pull()
    assert content(tmp_path / "there") == {"tables/a": "1"}
    monkeypatch.setattr(there, "_fetch", fetch)
    assert there.pull() == 2
    assert content(tmp_path / "there") == content(tmp_path / "here")


def test_what_names_others_comes_last(tmp_path: Path) -> None:
    sent: list[str] = []
    mirror = ObjectMirror((tmp_path / "storage").as_uri(), tmp_path / "root")
    send = mirror._send
    mirror._send = lambda path: (sent.append(path), send(path))[1]  # type: ignore[method-assign]
    names = ("challenger.json", f"f/{RECORD_FILE}", "f/modules.json", "f/model.safetensors", "f/1_Pooling/config.json")
    for name in names:
        path = tmp_path / "root" / "checkpoints" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    assert mirror.push() == 5
    assert sent == [
        "checkpoints/f/model.safetensors", "checkpoints/f/1_Pooling/config.json", "checkpoints/f/modules.json",
        f"checkpoints/f/{RECORD_FILE}", "checkpoints/challenger.json",
    ]  # fmt: skip


def test_storage_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("domain_embed.stores.objects.RETRIES", {"max_retries": 0})
    with pytest.raises(StoreUnavailableError, match=r"object storage s3://nowhere/x failed: .*\n.*run again to go on"):
        ObjectMirror("s3://nowhere/x", tmp_path).pull()


@pytest.mark.parametrize("url", ["ftp://server/x", "here"])
def test_a_url_of_no_storage_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"DOMAIN_EMBED_STORAGE: .*\n.*s3://bucket/folder"):
        ObjectMirror(url, tmp_path)


def invoke(home: Path, url: str, records: Path, *arguments: str) -> Result:
    env = {"DOMAIN_EMBED_HOME": str(home), "DOMAIN_EMBED_STORAGE": url, "DAGSTER_HOME": str(records), "COLUMNS": "160"}
    return CliRunner().invoke(app, list(arguments), env=env)


def test_a_domain_goes_on_on_another_machine(whole: Whole, bucket: str, tmp_path: Path) -> None:
    records, there = whole.home / ".store" / "dagster", Whole(tmp_path / "there")
    assert invoke(whole.home, bucket, records, "run", DOMAIN, "--select", "splits", "--force").exit_code == 0
    (there.home / DOMAIN).mkdir(parents=True)
    for path in whole.folder.glob("*.*"):
        (there.home / DOMAIN / path.name).write_bytes(path.read_bytes())
    shown = invoke(there.home, bucket, records, "report", DOMAIN, "--json")
    assert shown.exit_code == 0, shown.output
    page = Path(json.loads(shown.stdout)["html"])
    assert page.is_relative_to(there.home)
    assert page.read_bytes() == Path(whole.workspace.latest_report()["html"]).read_bytes()
    assert there.workspace.tables.read("splits").version == whole.workspace.tables.read("splits").version
    planned = json.loads(invoke(there.home, bucket, records, "plan", DOMAIN, "--json").stdout)
    # The index of Qdrant Edge stays where it was; a server's would be there.
    assert planned["stale"] == {asset: [NOT_THERE] for asset in ("base_collection", "collection", "champion")}
    made = invoke(there.home, bucket, records, "run", DOMAIN)
    assert made.exit_code == 0, made.output
    assert there.workspace.aliased(LIVE) == whole.workspace.aliased(LIVE)
    query = "the disk of a replica is full"
    found = [
        json.loads(invoke(home, bucket, records, "search", DOMAIN, query, "--json").stdout)["hits"][0]["passage_id"]
        for home in (whole.home, there.home)
    ]
    assert found[0] == found[1]
    assert invoke(whole.home, bucket, records, "versions", DOMAIN).exit_code == 0
    assert whole.workspace.promotions.read_bytes() == there.workspace.promotions.read_bytes()


def test_a_cleared_storage_holds_nothing_of_the_domain_and_all_of_others(bucket: str, tmp_path: Path) -> None:
    here, other, third = tmp_path / "here", tmp_path / "other", tmp_path / "third"
    for root, name in ((here, "a"), (other, "ab")):
        write(root, {"tables/t": name, "promotions.jsonl": name})
        ObjectMirror(f"{bucket}/{name}", root).push()
    assert ObjectMirror(f"{bucket}/a", here).clear() == 2
    assert ObjectMirror(f"{bucket}/a", third).pull() == 0
    assert ObjectMirror(f"{bucket}/ab", third).pull() == 2
    assert ObjectMirror(f"{bucket}/a", here).clear() == 0
