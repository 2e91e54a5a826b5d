"""A finished domain for tests of the whole graph: run once, copied for each test."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from domain_embed.definitions import build_definitions
from domain_embed.defs.graph import RECIPES
from domain_embed.defs.runs import Plan, RunOutcome, make_plan, open_instance, run_assets, run_stale
from domain_embed.defs.staleness import last_materialization
from domain_embed.settings import Environment
from domain_embed.stores.workspace import Workspace
from domain_embed_tests.scenario import write_domain

DOMAIN = "runbooks"
EVERYTHING = tuple(recipe.name for recipe in RECIPES)


@dataclass(frozen=True)
class Whole:
    """One home with one domain, and what a test does to it."""

    home: Path

    @property
    def environment(self) -> Environment:
        return Environment(home=self.home)

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.environment, DOMAIN)

    @property
    def folder(self) -> Path:
        return self.home / DOMAIN

    def plan(self) -> Plan:
        with open_instance(self.environment) as instance:
            return make_plan(instance, self.workspace)

    def run(self, names: tuple[str, ...] | None = None, *, force: bool = False) -> RunOutcome | None:
        """What the `run` command does."""
        with open_instance(self.environment) as instance:
            definitions = build_definitions(self.environment, [DOMAIN])
            if names is None:
                return run_stale(instance, self.workspace, definitions)
            make_plan(instance, self.workspace)  # the sources are looked at first, as the command does
            return run_assets(instance, self.workspace, definitions, names, force=force)

    def metadata(self, asset: str) -> dict[str, Any]:
        """The metadata of an asset's last materialization."""
        with open_instance(self.environment) as instance:
            event = last_materialization(instance, dg.AssetKey([DOMAIN, asset]))
        assert event is not None
        return {key: value.value for key, value in event.metadata.items()}

    def edit(self, section: str, **values: Any) -> None:
        """Changes settings in domain.yaml."""
        path = self.folder / "domain.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        content[section] |= values
        path.write_text(yaml.safe_dump(content), encoding="utf-8")

    def corpus(self) -> list[dict[str, Any]]:
        lines = (self.folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def write_corpus(self, rows: list[dict[str, Any]], **format_options: Any) -> None:
        text = "".join(json.dumps(row, **format_options) + "\n" for row in rows)
        (self.folder / "corpus.jsonl").write_text(text, encoding="utf-8")


def finish_domain(home: Path) -> Whole:
    """Writes the scenario's domain and runs all of it."""
    whole = Whole(home)
    write_domain(whole.folder)
    outcome = whole.run()
    assert outcome is not None
    assert tuple(sorted(outcome.worked)) == tuple(sorted(EVERYTHING))
    return whole


def copy_of(whole: Whole, home: Path) -> Whole:
    """The same domain in another home, with everything that was made."""
    shutil.copytree(whole.home, home, dirs_exist_ok=True)
    _move_artifacts(home / ".store" / "mlflow" / "mlflow.db", str(whole.home), str(home))
    return Whole(home)


def _move_artifacts(database: Path, before: str, after: str) -> None:
    """MLflow notes where artifacts are by absolute path: without this, a copy would write into the original."""
    if not database.exists():
        return
    places = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location",
              "model_versions": "storage_location"}  # fmt: skip
    with closing(sqlite3.connect(database)) as opened, opened:
        for table, column in places.items():
            opened.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (before, after))
