"""A model's own prompts are known from its folder, shown by the section's version, and never a reason to wait."""

import json
from pathlib import Path

import pytest

from domain_embed.contracts.errors import SettingsError
from domain_embed.printing.work import model_words
from domain_embed.settings import Environment, ModelSettings, effective_prompts
from domain_embed.settings.base_model import CONFIG_FILE, with_own_prompts

OWN = {"query": "search_query: ", "document": "search_document: "}


def saved(folder: Path, config: object) -> Path:
    (folder / "model").mkdir()
    if config is not None:
        (folder / "model" / CONFIG_FILE).write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("config", "given", "expected"),
    [
        ({"prompts": OWN}, {}, ("search_query: ", "search_document: ")),
        ({"prompts": OWN}, {"query_prompt": ""}, ("", "search_document: ")),
        ({"prompts": OWN}, {"document_prompt": "d: "}, ("search_query: ", "d: ")),
        ({"prompts": {"query": "q: ", "passage": "p: "}}, {}, ("q: ", "")),  # encode_document takes no such name
        ({"prompts": {"other": "o: "}, "default_prompt_name": "other"}, {}, ("", "")),
        ({"prompts": {"query": None}}, {}, ("", "")),
        ({}, {}, ("", "")),
        (None, {}, ("", "")),
    ],
)
def test_prompts_left_open_are_the_models_own(
    config: object, given: dict[str, str], expected: tuple[str, str], tmp_path: Path
) -> None:
    settings = with_own_prompts(ModelSettings(base="model", **given), saved(tmp_path, config))

    assert (settings.query_prompt, settings.document_prompt) == expected
    assert settings.model_fields_set == {"base", *given}


def test_a_model_without_prompts_keeps_the_version_it_had(tmp_path: Path) -> None:
    settings = ModelSettings(base="model")
    without = with_own_prompts(settings, saved(tmp_path, {}))

    assert without.version() == settings.version() == ModelSettings(base="model", query_prompt="").version()


def test_own_prompts_are_another_version_that_says_why(tmp_path: Path) -> None:
    settings = ModelSettings(base="model")
    with_prompts = with_own_prompts(settings, saved(tmp_path, {"prompts": {"query": "q: "}}))

    assert with_prompts.version() != settings.version()
    assert with_prompts.changes(settings.content()) == ['the default of query_prompt is now "q: ", was ""']


def test_a_domain_shows_what_is_in_effect(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    saved(tmp_path / "a", {"prompts": OWN})
    (tmp_path / "a" / "domain.yaml").write_text("model: {base: model}")

    assert Environment(home=tmp_path).settings("a").model.query_prompt == "search_query: "


@pytest.mark.parametrize("config", ["{", '{"prompts": ["q"]}', '{"prompts": {"query": 1}}', '["prompts"]'])
def test_a_damaged_file_of_prompts_is_named(config: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=CONFIG_FILE):
        with_own_prompts(ModelSettings(base="model"), saved(tmp_path, config))


def test_a_hub_model_that_is_not_here_leaves_them_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    settings = ModelSettings(base="somebody/model-that-is-not-here")

    assert with_own_prompts(settings, tmp_path) == settings
    assert effective_prompts({}, settings) == ("", "")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (ModelSettings(base="m", query_prompt="q: ", document_prompt=""), 'm, "q: " before queries'),
        (
            ModelSettings(base="m", query_prompt="a", document_prompt="b"),
            'm, "a" before queries and "b" before passages',
        ),
        (ModelSettings(base="m", query_prompt="", document_prompt=""), "m, without prompts"),
        (ModelSettings(base="m"), "m, with its own prompts, which are known once it is here"),
    ],
)
def test_what_is_in_effect_is_told(settings: ModelSettings, told: str) -> None:
    assert model_words(settings) == told
