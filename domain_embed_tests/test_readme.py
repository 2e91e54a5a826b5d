"""The README and the committed template say what is true."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from domain_embed.cli import app
from domain_embed.contracts.errors import DomainEmbedError
from domain_embed.defs.graph import RECIPES
from domain_embed.new_domain import demo_settings
from domain_embed.settings import DomainSettings, render_yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:`|^)(?:[A-Z_]+=\S+ )*make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "demo-fast", "test", "ui"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_commands_and_options_of_the_readme_exist() -> None:
    blocks = "\n".join(re.findall(r"```console\n(.*?)```", README, re.DOTALL))
    lines = re.findall(r"^domain-embed ([a-z]+)(.*)$", blocks, re.MULTILINE)
    assert {command for command, _ in lines} >= {"init", "plan", "run", "report", "search"}
    for command, rest in lines:
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0, command
        for option in re.findall(r"(?<=\s)(--[a-z]+|-k)", rest.split("#")[0]):
            assert option in shown.output, f"{command} {option}"


def test_every_asset_and_settings_section_is_explained() -> None:
    for recipe in RECIPES:
        assert f"`{recipe.name}`" in README
        for section in recipe.sections:
            assert f"`{section}:`" in README


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = {error.exit_code for error in _all_errors(DomainEmbedError)}
    listed = {int(code) for code in re.findall(r"(\d) [a-z]", README.split("Exit codes:")[1].split("\n\n")[0])}
    assert codes <= listed


def test_pictures_exist() -> None:
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).stat().st_size > 10_000, path


def test_committed_template_is_the_demo_settings() -> None:
    assert (ROOT / "data/aws/domain.yaml").read_text(encoding="utf-8") == render_yaml(demo_settings(fast=False))


@pytest.mark.parametrize("name", ["evaluation", "corpus", "splits"])
def test_defaults_named_in_the_template_are_the_defaults(name: str) -> None:
    assert getattr(demo_settings(fast=False), name) == getattr(DomainSettings(), name)


def _all_errors(root: type[DomainEmbedError]) -> list[type[DomainEmbedError]]:
    return [root, *(error for child in root.__subclasses__() for error in _all_errors(child))]
