"""Secrets in use: commands and runs are given passwords and keys, and no output and no file of the store holds one."""

import base64
import json
import logging
import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster._serdes import serialize_value

from domain_embed.contracts.errors import DomainEmbedError, SettingsError, StoreError, StoreUnavailableError
from domain_embed.contracts.secrets import SecretUrl
from domain_embed.definitions import build_definitions
from domain_embed.defs import assets
from domain_embed.defs.runs import open_instance, run_assets
from domain_embed.judgments.endpoint import MAX_REFUSALS, Address, Endpoint, RateLimit
from domain_embed.servers.ui import CODE, MLFLOW, Processes, code_command, mlflow_command
from domain_embed.settings import Environment
from domain_embed.stores.objects import ObjectMirror
from domain_embed.stores.qdrant import QdrantStore
from domain_embed.stores.tracking import Tracking
from domain_embed.stores.workspace import Workspace
from domain_embed_tests.echo_server import echo_server
from domain_embed_tests.scenario import write_domain

DOMAIN = "docs"
PASSWORD, KEY, SIGNATURE = "Pw/9-tulip&Kiwi", "qk_7f3Zr-Lemon+42", "Sg%2Bmango5Plum"
OTHERS = {
    "HF_TOKEN": "hf_PeachTokenPear",
    "AWS_SECRET_ACCESS_KEY": "aws/Grape+Secret1",
    "OPENAI_API_KEY": "sk-Cherry77x",
}
SECRETS = [PASSWORD, KEY, SIGNATURE, "Sg+mango5Plum", *OTHERS.values()]
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "HF_HUB_OFFLINE": "1", "COLUMNS": "160"}
# The command line as it is installed, but for the time between two tries.
COMMAND = "import sys; from domain_embed.defs import assets; assets.RETRY_SECONDS = (0,); "
COMMAND += "from domain_embed.cli import main; main()"


def with_login(scheme: str, address: str, path: str = "") -> str:
    return f"{scheme}://ann:{quote(PASSWORD, safe='')}@{address}{path}"


def spellings(secret: str) -> Iterator[str]:
    yield from (secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1])
    yield base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]
    yield base64.b64encode(f"ann:{secret}".encode()).decode().rstrip("=")[:-1]


def found_in(text: str) -> list[str]:
    """The secrets that a text holds, whole or so much of them that the rest can be guessed."""
    whole = [one for secret in SECRETS for one in spellings(secret) if one in text]
    return whole + [secret[:8] for secret in SECRETS if secret[:8] in text]


def everything_in(folder: Path) -> Iterator[tuple[str, str]]:
    """All bytes of all files; cells of databases also unpacked, as Dagster packs its snapshots."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path), path.read_bytes().decode("latin1")
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as database:
                for (table,) in database.execute("select name from sqlite_master where type = 'table'").fetchall():
                    for row in database.execute(f"select * from '{table}'"):
                        yield f"{path}: {table}", " ".join(map(_cell, row))


def _cell(value: object) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return zlib.decompress(value).decode()
    except zlib.error:
        return value.decode("latin1")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_domain(tmp_path / DOMAIN)
    return tmp_path


def run_command(home: Path, variables: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, **PATIENCE, **OTHERS, "DOMAIN_EMBED_HOME": str(home), "QDRANT_API_KEY": KEY, **variables}
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments], env=given, capture_output=True, text=True, check=False, timeout=300
    )


def require_none(home: Path, *texts: str) -> None:
    held = {name: found for name, text in everything_in(home / ".store") if (found := found_in(text))}
    assert held == {}
    assert [found_in(text) for text in texts if found_in(text)] == []


@pytest.mark.parametrize(
    ("command", "variable", "status", "told"),
    [
        (["run", DOMAIN, "--select", "documents"], "MLFLOW_TRACKING_URI", 500, "MLflow at http://"),
        (["run", DOMAIN, "--select", "documents"], "MLFLOW_TRACKING_URI", 401, "MLflow at http://"),
        (["run", DOMAIN, "--select", "documents"], "MLFLOW_TRACKING_URI", 0, "MLflow at http://"),
        (["versions", DOMAIN], "QDRANT_URL", 403, "refused with status 403"),
        (["versions", DOMAIN], "QDRANT_URL", 500, "refused with status 500"),
        (["status", "--json"], "QDRANT_URL", 0, "does not answer"),
        (["search", DOMAIN, "how?"], "QDRANT_URL", 401, "check the api key"),
        (["status"], "DOMAIN_EMBED_STORAGE", 0, "object storage"),
        (["run", DOMAIN, "--select", "documents"], "DOMAIN_EMBED_STORAGE", 403, "object storage"),
    ],
)
def test_no_command_tells_or_keeps_a_secret(
    home: Path, command: list[str], variable: str, status: int, told: str
) -> None:
    """The server repeats what it was sent; status 0 is a port where nobody is."""
    if not status:
        done = run_command(home, {variable: with_login("http", "127.0.0.1:9", f"/a?sig={SIGNATURE}")}, *command)
    else:
        with echo_server(status) as address:
            done = run_command(home, {variable: with_login("http", address, f"/a?sig={SIGNATURE}")}, *command)
    assert told in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stderr
    require_none(home, done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("DOMAIN_EMBED_STORAGE", with_login("nowhere", "h", f"/a?sig={SIGNATURE}")),
        ("DOMAIN_EMBED_STORAGE", f"az://ann:{PASSWORD}@box/f?sig={SIGNATURE}"),
        ("DOMAIN_EMBED_STORAGE", f"s3://ann:{PASSWORD}@[bad/f"),
        ("MLFLOW_TRACKING_URI", with_login("nowhere", "h")),
        ("MLFLOW_TRACKING_URI", with_login("postgresql", "127.0.0.1:9", "/mlflow")),
        ("MLFLOW_TRACKING_URI", f"postgresql://ann:{PASSWORD}@127.0.0.1:9/mlflow"),
        ("QDRANT_URL", f"http://ann:{PASSWORD}@127.0.0.1:9"),
        ("QDRANT_URL", f"ann:{PASSWORD}@127.0.0.1:9"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_password(home: Path, variable: str, url: str) -> None:
    work = ["run", DOMAIN, "--select", "documents"] if variable == "MLFLOW_TRACKING_URI" else ["versions", DOMAIN]
    done = run_command(home, {variable: url}, *work)
    assert done.returncode > 0 or variable == "MLFLOW_TRACKING_URI"  # what hides passages works without MLflow
    require_none(home, done.stdout, done.stderr)
    assert "127.0.0.1:9" in done.stderr or variable != "QDRANT_URL"


def test_an_unexpected_error_of_a_command_is_printed_without_secrets(home: Path) -> None:
    breaking = f"import os, warnings; from domain_embed.commands import work; k = os.environ['QDRANT_API_KEY']; \n\
def fail(*_):\n warnings.warn('warned ' + k); import logging; logging.getLogger('other').warning('logged %s', k)\n\
 raise RuntimeError('failed ' + k) from KeyError({PASSWORD!r})\n\
work.open_workspace = fail\n{COMMAND}"
    variables = {**os.environ, "DOMAIN_EMBED_HOME": str(home), "QDRANT_API_KEY": KEY}
    variables["QDRANT_URL"] = with_login("http", "127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-c", breaking, "plan", DOMAIN], env=variables, capture_output=True, text=True, check=False
    )
    assert "RuntimeError: failed ***" in done.stderr
    assert "KeyError: '***'" in done.stderr
    assert "warned ***" in done.stderr
    assert "logged ***" in done.stderr
    assert "line 4, in fail" in done.stderr
    assert found_in(done.stdout + done.stderr) == []


@pytest.fixture
def surrounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment of which everything is secret."""
    for name, value in {**OTHERS, **PATIENCE, "DOMAIN_EMBED_HOME": str(home), "QDRANT_API_KEY": KEY}.items():
        monkeypatch.setenv(name, value)
    for name in ("QDRANT_URL", "MLFLOW_TRACKING_URI", "DOMAIN_EMBED_MLFLOW_UI"):
        monkeypatch.setenv(name, with_login("http", "127.0.0.1:9", f"/?sig={SIGNATURE}"))
    monkeypatch.setenv("DOMAIN_EMBED_STORAGE", (home / "objects").as_uri() + f"?sig={SIGNATURE}")
    monkeypatch.setattr(assets, "RETRY_SECONDS", (0,))
    return Environment.read()


def test_dagsters_snapshot_of_the_definitions_holds_no_secret(surrounded: Environment) -> None:
    definitions = build_definitions(surrounded)
    assert found_in(serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))) == []


class ForeignError(Exception):
    """Of a library that knows nothing of secrets."""


@pytest.mark.parametrize("as_cause", [False, True])
def test_what_a_step_dies_of_is_in_dagsters_records_without_secrets(
    home: Path, surrounded: Environment, monkeypatch: pytest.MonkeyPatch, as_cause: bool
) -> None:
    def fail(*_: object, **__: object) -> None:
        try:
            raise ForeignError(f"no: {with_login('https', 'h')} Bearer {KEY} {base64.b64encode(KEY.encode()).decode()}")
        except ForeignError as error:
            if as_cause:
                raise StoreError("damaged", "mend it") from error
            raise ValueError(KEY) from error

    monkeypatch.setattr(Tracking, "asset_run", fail)
    workspace = Workspace(surrounded, DOMAIN)
    with open_instance(surrounded) as instance:
        definitions = build_definitions(surrounded, [DOMAIN])
        with pytest.raises(Exception) as caught:  # noqa: PT011 - in this process it may be any
            run_assets(instance, workspace, definitions, ["documents"])
        (run,) = instance.get_runs(limit=1)
        (failed,) = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    assert isinstance(caught.value, StoreError) == as_cause
    told = str(failed)
    assert ("damaged" if as_cause else "unexpected ValueError") in told
    assert ("test_secrets_in_use.py" in told) is not as_cause  # of what nobody expected it is kept where it happened
    require_none(home, told, str(caught.value))


def test_sensors_and_checks_tell_no_secret(surrounded: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError(KEY)

    monkeypatch.setattr(Workspace, "open", fail)
    definitions = build_definitions(surrounded, [DOMAIN])
    resources = definitions.resources or {}
    with open_instance(surrounded) as instance:
        for name in (f"{DOMAIN}_sources", f"{DOMAIN}_retrain"):
            with dg.build_sensor_context(instance=instance, resources=resources) as context:
                with pytest.raises(Exception) as caught:  # noqa: PT011
                    definitions.get_sensor_def(name).evaluate_tick(context)
                assert "***" in str(caught.value.__cause__ or caught.value)
                assert found_in(str(caught.value) + str(caught.value.__cause__)) == []


@pytest.mark.parametrize("padding", range(0, 320, 7))
def test_a_quotation_is_cut_when_it_is_clean(padding: int) -> None:
    """Cut first, half a key would be left, which nobody can know again."""
    with echo_server(400, padding) as address:
        url = with_login("http", address)
        store = QdrantStore.connect(url, KEY)
        endpoint = Endpoint(
            Address.read("m", {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": OTHERS["OPENAI_API_KEY"]}),
            RateLimit(1_000_000),
        )
        with pytest.raises(StoreError) as refused:
            store.collections()
        for _ in range(MAX_REFUSALS - 1):
            endpoint.ask("hello")
        with pytest.raises(SettingsError) as asked:
            endpoint.ask("hello")
    for caught in (refused.value, asked.value):
        assert found_in(str(caught)) == []
        assert caught.__cause__ is None
        assert address in str(caught)


def test_links_tags_and_parameters_of_a_run_hold_no_secret(home: Path) -> None:
    SecretUrl(with_login("http", "h"))
    tracking = Tracking(None, home / "mlflow", with_login("http", "mlflow:5000"))
    with tracking.asset_run(DOMAIN, "run", "asset", reason=f"because {with_login('http', 'h')}") as tracker:
        tracker.log_params({"model": with_login("https", "hub/model"), "depth": 3})
        tracker.set_tags({"source": f"{PASSWORD} and more"})
        run = tracking.client().get_run(tracker.run_id)
    assert tracker.url.startswith("http://mlflow:5000/#/experiments/")
    assert run.data.params == {"model": "https://hub/model", "depth": "3"}
    assert run.data.tags["source"] == "*** and more"
    assert [name for name, text in everything_in(home / "mlflow") if found_in(text)] == []
    assert Tracking(with_login("http", "h:5000"), home).ui == "http://h:5000"


def test_the_record_of_a_storage_holds_its_address_without_secrets(tmp_path: Path) -> None:
    """Also where an earlier version has written the whole of it, which is still the same storage."""
    url = SecretUrl((tmp_path / "there").as_uri() + f"?sig={SIGNATURE}")
    root = tmp_path / "here"
    (root / "tables").mkdir(parents=True)
    (root / "tables" / "a.parquet").write_bytes(b"x")
    assert ObjectMirror(url, root).push() == 1
    record = root / ".storage.json"
    assert found_in(record.read_text()) == []
    earlier = {**json.loads(record.read_text()), "url": url.reveal()}
    record.write_text(json.dumps(earlier))
    renewed = SecretUrl((tmp_path / "there").as_uri() + "?sig=renewed")
    assert ObjectMirror(renewed, root).pull() == 0
    assert found_in(record.read_text()) == []


def test_the_servers_of_the_interface_get_what_they_need(
    surrounded: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow over the local file no secret at all, and no command line one, where any user of the machine reads it."""
    started: list[tuple[list[str], dict[str, str]]] = []

    def start(command: list[str], *, env: dict[str, str], umask: int) -> None:
        assert umask == 0o077
        started.append((command, env))

    monkeypatch.setattr(subprocess, "Popen", start)
    servers = Processes(os.environ)
    servers.start(CODE, code_command(surrounded.home / "socket"))
    servers.start(MLFLOW, mlflow_command("127.0.0.1", 2), shows_pages=True)
    (code, codes), (mlflow, mlflows) = started
    assert found_in(f"{code} {mlflow} {mlflows}") == []
    assert codes["QDRANT_API_KEY"] == KEY


def test_errors_of_ours_that_quote_anything_are_clean_when_logged(
    surrounded: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    assert surrounded.qdrant_api_key is not None
    with caplog.at_level(logging.INFO):
        for kind in (DomainEmbedError, StoreUnavailableError, SettingsError):
            logging.getLogger("domain_embed.run").warning("%s; another try", kind(KEY, f"see {KEY}"))
    assert found_in(caplog.text) == []
