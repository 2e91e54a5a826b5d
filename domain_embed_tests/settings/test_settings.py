"""domain.yaml and the environment: what is read is what was written, and what is wrong is named."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.secrets import Secret, SecretUrl
from domain_embed.settings import (
    BeirSource,
    CorpusSettings,
    DomainSettings,
    Environment,
    JudgmentSettings,
    ModelSettings,
    PairsSource,
    TrainingSettings,
    TripletObjective,
    json_schema,
    read_settings,
    render_yaml,
)
from domain_embed_tests import scenario

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
BEIR = BeirSource(queries="q.jsonl", qrels={"train": "train.tsv", "test": "test.tsv"})


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "domain.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(folder: Path, content: str | bytes) -> str:
    """What is said about a domain.yaml; it always names the file."""
    path = written(folder, content)
    with pytest.raises(SettingsError) as caught:
        read_settings(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# --- reading and writing --------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "# nothing\n", "{}\n", "corpus: {}\ntraining: {}\n"])
def test_every_key_is_optional(tmp_path: Path, content: str) -> None:
    assert read_settings(written(tmp_path, content)) == DomainSettings()


@pytest.mark.parametrize(
    "settings",
    [
        DomainSettings(),
        scenario.SETTINGS,
        DomainSettings(judgments=JudgmentSettings(sources=(BEIR, PairsSource(path="más.csv")))),
        DomainSettings(model=ModelSettings(query_prompt="\x85a\u2028b\n\n c\x0c", document_prompt="\t: #'\"")),
        DomainSettings(model=ModelSettings(base="folder/" + 40 * "very-long-name ", query_prompt="query: ")),
    ],
)
def test_rendered_settings_read_back_equal(tmp_path: Path, settings: DomainSettings) -> None:
    assert read_settings(written(tmp_path, render_yaml(settings))) == settings


@given(
    description=TEXT,
    base=TEXT.filter(len),
    prompt=TEXT,
    paths=st.lists(TEXT, min_size=1, max_size=3),
    rate=st.floats(1e-300, 1e300),
    max_tokens=st.none() | st.integers(8, 10**6),
    freeze=st.booleans(),
)
def test_any_text_and_number_survives_rendering(
    tmp_path: Path, description: str, base: str, prompt: str, paths: list[str], rate: float, max_tokens: int | None,
    freeze: bool,
) -> None:  # fmt: skip
    settings = DomainSettings(
        description=description,
        corpus=CorpusSettings(paths=tuple(paths)),
        model=ModelSettings(base=base, query_prompt=prompt, max_tokens=max_tokens),
        training=TrainingSettings(learning_rate=rate, freeze_embeddings=freeze),
    )
    assert read_settings(written(tmp_path, render_yaml(settings))) == settings


def test_rendered_settings_explain_every_key() -> None:
    rendered = render_yaml(DomainSettings())
    assert "\n# BM25, stored beside the dense vectors.\nsparse:\n" in rendered
    assert "\n  # How fast repeated terms stop counting.\n  k1: 1.2\n" in rendered
    for name, field in DomainSettings.model_fields.items():
        keys = getattr(field.annotation, "model_fields", {})
        assert [key for key, inner in keys.items() if not inner.description] == [], name


# --- errors ---------------------------------------------------------------------------------------------


def test_unknown_key_is_named_with_its_place_what_is_allowed_and_what_was_meant(tmp_path: Path) -> None:
    message = refusal(tmp_path, "corpus:\n  bad_row: skip\n")
    assert "  corpus.bad_row: unknown key. Did you mean 'bad_rows'? Allowed: paths, id_field, " in message


def test_unknown_key_far_from_all_others_gets_no_guess(tmp_path: Path) -> None:
    message = refusal(tmp_path, "xyz: 1\n")
    allowed = ", ".join(DomainSettings.model_fields)
    assert message.endswith(f"  xyz: unknown key. Allowed: {allowed}")


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, "training: {epochs: 0, batch_size: two}\nsparse: {b: 1.5}\n")
    assert [row.split(":")[0].strip() for row in message.splitlines()[1:]] == [
        "sparse.b",
        "training.epochs",
        "training.batch_size",
    ]
    assert "sparse.b: Input should be less than or equal to 1 (given: 1.5)" in message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{kind: pairs, pth: x}", "sources.0.pth: unknown key. Did you mean 'path'? Allowed: kind, path"),
        ("{kind: beir, qrels: {}, quries: y}", "sources.0.quries: unknown key. Did you mean 'queries'? Allowed"),
        ("{kind: beir, path: x}", "sources.0.qrels: Field required"),
        ("{kind: beir, qrels: {dev: x}}", "'train', 'validation' or 'test' (given: 'dev')"),
        ("{kind: csv}", "sources.0: Input tag 'csv' found using 'kind' does not match any of the expected tags"),
        ("{path: x}", "sources.0: Unable to extract tag using discriminator 'kind'"),
        ("3", "sources.0: "),
    ],
)  # fmt: skip
def test_errors_in_a_source_name_its_number_and_the_keys_of_its_kind(tmp_path: Path, source: str, said: str) -> None:
    message = refusal(tmp_path, f"judgments:\n  sources: [{source}]\n")
    assert f"judgments.{said}" in message or said in message
    assert "at least 1 item" not in message


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ("{kind: triplet, margn: 1}", "training.objective.margn: unknown key. Did you mean 'margin'? Allowed: kind"),
        ("{kind: margin, margin: -1}", "training.objective.margin: Input should be greater than 0 (given: -1)"),
        ("{kind: ranking, margin: 1}", "training.objective.margin: unknown key. Allowed: kind, scale, symmetric"),
        ("{kind: contrastive}", "training.objective: Input tag 'contrastive' found using 'kind' does not match any"),
    ],
)
def test_errors_in_an_objective_name_the_keys_of_its_kind(tmp_path: Path, objective: str, said: str) -> None:
    assert said in refusal(tmp_path, f"training:\n  objective: {objective}\n")


def test_sections_within_a_section_are_rendered_with_their_comments(tmp_path: Path) -> None:
    settings = DomainSettings(training=TrainingSettings(objective=TripletObjective(margin=0.5)))
    rendered = render_yaml(settings)
    inside = "  objective:\n    kind: triplet\n    # How much closer, in cosine similarity.\n    margin: 0.5\n"
    assert inside in rendered
    assert read_settings(written(tmp_path, rendered)) == settings


def test_an_empty_list_of_sources_is_refused(tmp_path: Path) -> None:
    assert "judgments.sources: Tuple should have at least 1 item" in refusal(tmp_path, "judgments: {sources: []}")


@pytest.mark.parametrize("key", ["owner", "description"])
def test_a_plain_key_of_another_type_is_refused(tmp_path: Path, key: str) -> None:
    assert f"{key}: Input should be a valid string (given: 3)" in refusal(tmp_path, f"{key}: 3\n")


@pytest.mark.parametrize(("owner", "fine"), [("a@b.org", True), ("team:search", True), ("me", False), ("team:", False)])
def test_an_owner_is_an_address_or_a_team(tmp_path: Path, owner: str, fine: bool) -> None:
    if fine:
        assert read_settings(written(tmp_path, f"owner: '{owner}'\n")).owner == owner
    else:
        assert "owner: " in refusal(tmp_path, f"owner: '{owner}'\n")


def test_splits_must_leave_something_to_train_on(tmp_path: Path) -> None:
    assert "leave less than a tenth" in refusal(tmp_path, "splits: {validation: 0.49, test: 0.45}\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("- a\n- b\n", "must hold keys and values, not a list"),
        ("just text", "must hold keys and values, not a str"),
        ("a: [b", "is not valid YAML"),
        ("a: 2020-13-45", "is not valid YAML: month must be in 1..12"),
        (b"\xff\xfe\x00", "is not valid YAML"),
        ("[" * 1000, "is not valid YAML"),
        ("{a: 1}: 2", "is not valid YAML"),
        ("1: 2", "Keys should be strings (given: 1)"),
        ("a: &a [*a]", "a: unknown key"),
    ],
)
def test_what_is_no_mapping_in_yaml_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in refusal(tmp_path, content)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"domain.yaml does not exist\n.*domain-embed init"):
        read_settings(tmp_path / "domain.yaml")


KEYS = st.sampled_from([*DomainSettings.model_fields, "sources", "kind", "qrels", "pairs", "beir", "paths"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NODES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | LEAVES, inner, max_size=4), max_leaves=12
)


@given(content=st.dictionaries(st.sampled_from(list(DomainSettings.model_fields)), NODES, max_size=4))
def test_no_content_breaks_reading(tmp_path: Path, content: dict[str, Any]) -> None:
    path = written(tmp_path, yaml.safe_dump(content))
    try:
        settings = read_settings(path)
    except SettingsError as error:
        assert str(path) in str(error)  # noqa: PT017
    else:
        assert read_settings(written(tmp_path, render_yaml(settings))) == settings


@given(content=st.binary(max_size=200))
def test_no_bytes_break_reading(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    try:
        read_settings(path)
    except SettingsError as error:
        assert str(path) in str(error)  # noqa: PT017


# --- schema and versions --------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [DomainSettings(), scenario.SETTINGS])
def test_the_schema_accepts_what_is_rendered(settings: DomainSettings) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(yaml.safe_load(render_yaml(settings)), json_schema())


@pytest.mark.parametrize(
    "content",
    [{"trainin": {}}, {"training": {"epocs": 1}}, {"training": {"epochs": 0}}, {"corpus": {"paths": []}},
     {"judgments": {"sources": [{"kind": "pairs", "pth": "x"}]}}, {"sparse": {"b": "much"}}],
)  # fmt: skip
def test_the_schema_refuses_what_reading_refuses(tmp_path: Path, content: dict[str, Any]) -> None:
    refusal(tmp_path, yaml.safe_dump(content))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json_schema())


def test_a_section_has_another_version_exactly_when_its_content_differs(tmp_path: Path) -> None:
    spelled_out = read_settings(written(tmp_path, "training:\n  warmup: 0.1\n  epochs: auto # a comment\n"))
    changed = read_settings(written(tmp_path, "training: {epochs: 3}\n"))
    for name in ("corpus", "judgments", "splits", "model", "sparse", "mining", "retrieval", "evaluation", "promotion"):
        assert getattr(changed, name).version() == getattr(DomainSettings(), name).version()
    assert spelled_out.training.version() == TrainingSettings().version()
    assert changed.training.version() != TrainingSettings().version()


@given(one=st.integers(1, 3), other=st.integers(1, 3), rate=st.floats(1e-9, 1), other_rate=st.floats(1e-9, 1))
def test_versions_are_equal_exactly_for_equal_sections(one: int, other: int, rate: float, other_rate: float) -> None:
    first = TrainingSettings(epochs=one, learning_rate=rate)
    second = TrainingSettings(epochs=other, learning_rate=other_rate)
    assert (first.version() == second.version()) is (one == other and rate == other_rate)


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        DomainSettings().training.epochs = 3  # type: ignore[misc]


# --- the environment ------------------------------------------------------------------------------------


def test_environment_with_all_variables(tmp_path: Path) -> None:
    environment = Environment.read(
        {
            "DOMAIN_EMBED_HOME": str(tmp_path / "x" / ".."),
            "QDRANT_URL": "http://qdrant:6333",
            "QDRANT_API_KEY": "secret-key",
            "MLFLOW_TRACKING_URI": "http://mlflow:5000",
            "DOMAIN_EMBED_STORAGE": "s3://bucket/artifacts",
            "DOMAIN_EMBED_BACKEND": "openvino",
            "DOMAIN_EMBED_PRECISION": "bf16",
        }
    )
    assert environment.home == tmp_path
    assert environment.qdrant_url == SecretUrl("http://qdrant:6333")
    assert environment.qdrant_api_key == Secret("secret-key")
    assert environment.mlflow_tracking_uri == SecretUrl("http://mlflow:5000")
    assert environment.storage == SecretUrl("s3://bucket/artifacts")
    assert (environment.backend, environment.precision) == ("openvino", "bf16")
    assert "secret-key" not in repr(environment)


def test_environment_without_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    unset = dict.fromkeys(("qdrant_url", "qdrant_api_key", "mlflow_tracking_uri", "mlflow_ui", "storage"))
    expected = {
        "home": tmp_path / "data", **unset, "qdrant_grpc_port": 6334, "backend": "auto", "precision": "auto",
        "search_seconds": 10.0,
    }  # fmt: skip
    empty = {"DOMAIN_EMBED_HOME": "", "QDRANT_URL": "", "QDRANT_API_KEY": "", "MLFLOW_TRACKING_URI": ""}
    assert Environment.read({}).model_dump() == expected
    assert Environment.read(empty).model_dump() == expected


def test_how_long_a_search_may_wait_is_a_positive_number() -> None:
    assert Environment.read({"DOMAIN_EMBED_SEARCH_SECONDS": "2.5"}).search_seconds == 2.5
    for text in ("soon", "0", "-1", "nan", "inf"):
        with pytest.raises(SettingsError, match=f"DOMAIN_EMBED_SEARCH_SECONDS is '{text}'"):
            Environment.read({"DOMAIN_EMBED_SEARCH_SECONDS": text})


def test_the_port_for_grpc_is_a_port_or_none() -> None:
    assert Environment.read({"QDRANT_GRPC_PORT": "7334"}).qdrant_grpc_port == 7334
    assert Environment.read({"QDRANT_GRPC_PORT": "0"}).qdrant_grpc_port is None
    for text in ("grpc", "-1", "6334.5", "70000"):
        with pytest.raises(SettingsError, match="QDRANT_GRPC_PORT is"):
            Environment.read({"QDRANT_GRPC_PORT": text})


def test_a_backend_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"DOMAIN_EMBED_BACKEND is 'onnx'\n.*allowed: auto, torch, openvino"):
        Environment.read({"DOMAIN_EMBED_BACKEND": "onnx"})
    with pytest.raises(SettingsError, match=r"DOMAIN_EMBED_PRECISION is 'int8'\n.*allowed: auto, fp32, bf16"):
        Environment.read({"DOMAIN_EMBED_PRECISION": "int8"})


def test_off_is_a_severity_with_and_without_quotes(tmp_path: Path) -> None:
    found = read_settings(written(tmp_path, "quality:\n  severity: {language: off, short_text: 'off'}\n"))
    assert found.quality.severity == {"language": "off", "short_text": "off"}


def test_the_schema_asks_for_the_kind_of_a_source_as_reading_does() -> None:
    content = {"judgments": {"sources": [{"path": "x.jsonl"}]}}
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(content)
    content = {"judgments": {"sources": [{"kind": "clicks", "path": "x.jsonl"}]}}
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(content)


def test_home_defaults_to_the_data_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = Environment.read({}).home
    assert home.name == "data"
    assert (home.parent / "domain_embed" / "settings").is_dir()


def test_domains_are_the_folders_with_a_domain_yaml(tmp_path: Path) -> None:
    for name in ("b", "a"):
        scenario.write_domain(tmp_path / name)
    (tmp_path / "no-domain").mkdir()
    environment = Environment(home=tmp_path)
    assert environment.domains() == ["a", "b"]
    prompts = {"query_prompt": "", "document_prompt": ""}  # the model has none of its own
    model = scenario.SETTINGS.model.model_copy(update=prompts)
    assert environment.settings("a") == scenario.SETTINGS.model_copy(update={"model": model})


def test_an_unknown_domain_lists_the_known_ones(tmp_path: Path) -> None:
    environment = Environment(home=tmp_path)
    with pytest.raises(SettingsError, match=r"no domain 'c' in .* \(there: none yet\)\n.*`domain-embed init c`"):
        environment.settings("c")
    scenario.write_domain(tmp_path / "b")
    scenario.write_domain(tmp_path / "a")
    with pytest.raises(SettingsError, match=r"no domain 'c' in .* \(there: a, b\)"):
        environment.settings("c")


def test_settings_that_came_later_change_no_version_while_they_have_their_defaults() -> None:
    assert CorpusSettings().version() == "81d2cb0de6aa"  # as it was before corpus.read_seconds
    assert CorpusSettings(read_seconds=60.0).version() != CorpusSettings().version()
    assert CorpusSettings(max_file_mb=64).version() != CorpusSettings().version()


def test_a_key_of_the_database_is_one_line_of_ascii() -> None:
    assert Environment.read({"QDRANT_API_KEY": " qk_7f3Zr-Lemon\n"}).qdrant_api_key == Secret("qk_7f3Zr-Lemon")
    assert Environment.read({"QDRANT_API_KEY": "\n"}).qdrant_api_key is None
    for key in ("Pässwörd-Kiwi", "first7Line\nsecond8Line", "tab\there7"):
        with pytest.raises(SettingsError, match="QDRANT_API_KEY holds signs") as told:
            Environment.read({"QDRANT_API_KEY": key})
        assert key[:4] not in str(told.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("training:\n  epochs: 3\nsplits:\n  seed: 1\ntraining:\n  seed: 2\n", "the key 'training' occurs twice"),
        ("training:\n  epochs: 3\n  epochs: 4\n", "the key 'epochs' occurs twice, in the part that begins in line 2"),
        ("model:\n  base: ''\n", "model.base"),
    ],
)
def test_of_two_values_none_is_dropped_without_a_word_and_a_model_has_a_name(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "domain.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=re.escape(told)):
        read_settings(path)
