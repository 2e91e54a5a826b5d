"""Exported models: complete folders that sentence-transformers loads, with a card that says what is known."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from sentence_transformers import SentenceTransformer

from domain_embed.contracts.errors import SettingsError, StoreError
from domain_embed.encoding import openvino
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.promotion.export import Provenance, export_model, model_card
from domain_embed.settings import ModelSettings
from domain_embed_tests import scenario
from domain_embed_tests.hostile_texts import IN_PAGES

SETTINGS = scenario.SETTINGS.model.model_copy(update={"query_prompt": "question: ", "dimensions": 64})
REPORT: dict[str, Any] = {
    "evidence": {
        "passages": 1200,
        "queries_per_split": {"train": 400, "test": 50},
        "systems": {"bm25": {"nDCG@10": 0.5}, "tuned/dense": {"nDCG@10": 0.81234}},
        "intervals": {"tuned/dense": [0.7801, 0.8402]},
        "comparisons": [
            {"challenger": "tuned/dense", "baseline": "bm25", "delta": 0.31234, "ci95": [0.25, 0.37], "wins": 30,
             "losses": 4}
        ],
    },
    "verdict": {"promote": True, "reasons": ["the gain is above zero"]},
}  # fmt: skip
RECORD: dict[str, Any] = {
    "base": "b" * 16, "splits": "s1", "hard_negatives": "h1", "probes": {"fiqa": "p1"},
    "model": {"query_prompt": "question: "}, "training": {"epochs": 2, "seed": 7}, "packages": {"torch": "2.13.0"},
    "forgetting": {"base": {"fiqa": 0.4}, "tuned": {"fiqa": 0.39}},
}  # fmt: skip


@pytest.fixture(scope="module")
def about(minilm_path: str) -> Provenance:
    identity = TorchEncoder.load(minilm_path, SETTINGS).fingerprint
    return Provenance("runbooks", "champion", identity, RECORD, {"train": 300, "test": 60}, {"clicks.csv": 360}, REPORT)


def test_an_exported_model_makes_the_same_vectors(minilm_path: str, about: Provenance, tmp_path: Path) -> None:
    export_model(minilm_path, SETTINGS, tmp_path / "out" / "model", about)
    ours = TorchEncoder.load(minilm_path, SETTINGS)
    loaded = SentenceTransformer(str(tmp_path / "out" / "model"))
    texts = ["disk is full", "who is on call"]
    assert loaded.encode_query(texts, normalize_embeddings=True) == pytest.approx(ours.encode_queries(texts), abs=0.01)
    assert loaded.max_seq_length == 64
    assert json.loads((tmp_path / "out/model/domain_embed.json").read_text(encoding="utf-8")) == RECORD
    assert (tmp_path / "out/model/README.md").read_text(encoding="utf-8") == model_card(about, SETTINGS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]


@pytest.mark.parametrize("folder", ["~nobody-is-called-so/model", "a\x00b"])
def test_a_folder_that_can_be_none_is_an_error_of_its_own(minilm_path: str, about: Provenance, folder: str) -> None:
    with pytest.raises(SettingsError, match="can be no folder"):
        export_model(minilm_path, SETTINGS, Path(folder), about)


@pytest.mark.parametrize("text", IN_PAGES)
def test_no_text_does_anything_in_the_card(about: Provenance, text: str) -> None:
    report = {**REPORT, "verdict": {"promote": False, "reasons": [text]}}
    record = {**RECORD, "model": {"query_prompt": f"{text}\n```\n{text}"}}
    settings = SETTINGS.model_copy(update={"base": text})
    card = model_card(replace(about, sources={text: 3}, report=report, record=record), settings)
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(card)
    kinds = {one.type for token in tokens for one in [token, *(token.children or [])]}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    assert len([token for token in tokens if token.type == "heading_open"]) == 5
    assert len([token for token in tokens if token.type == "fence"]) == 5


def test_the_card_says_what_went_in_how_it_did_and_its_limits(about: Provenance) -> None:
    card = model_card(about, SETTINGS)
    for said in (
        "# Embedding model fine-tuned for the domain runbooks",
        "- 300 judged pairs in the train part",
        "- of all judgments, 360 from `clicks.csv`",
        "epochs: 2\nseed: 7",
        "torch: 2.13.0",
        "splits: s1",
        "On 50 held-out queries against 1,200 passages",
        "| tuned/dense | 0.8123 (0.7801 to 0.8402) |",
        "| bm25 | 0.5000 |",
        "tuned/dense against bm25: +0.3123 (+0.2500 to +0.3700), better on 30, worse on 4 queries",
        "Verdict: promote.\nthe gain is above zero",
        "- Of a text it sees 64 tokens.",
        "nDCG@10: fiqa 0.4000 before and 0.3900 after",
    ):
        assert said in card
    assert model_card(about, SETTINGS).startswith("---\nlibrary_name: sentence-transformers\n")


def test_the_card_of_an_untouched_model_claims_no_training() -> None:
    card = model_card(Provenance("runbooks", "base", "f" * 16), ModelSettings())
    assert "# Embedding model used untouched in the domain runbooks" in card
    assert "## Trained on" not in card
    assert "There is no evaluation of this model." in card


def test_what_is_there_is_not_overwritten(minilm_path: str, about: Provenance, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"is not empty\n.*--force"):
        export_model(minilm_path, SETTINGS, tmp_path, about)
    with pytest.raises(SettingsError, match="holds something that is no model, and is not replaced"):
        export_model(minilm_path, SETTINGS, tmp_path, about, force=True)
    with pytest.raises(SettingsError, match=r"thesis\.txt is a file"):
        export_model(minilm_path, SETTINGS, tmp_path / "thesis.txt", about, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_force_replaces_an_earlier_export_whole(minilm_path: str, about: Provenance, tmp_path: Path) -> None:
    target = tmp_path / "model"
    export_model(minilm_path, SETTINGS, target, about)
    (target / "left-over").touch()
    with pytest.raises(SettingsError, match="is not empty"):
        export_model(minilm_path, SETTINGS, target, about)
    export_model(minilm_path, SETTINGS, target, about, force=True)
    assert not (target / "left-over").exists()
    assert (target / "modules.json").exists()


def test_another_model_than_the_card_is_about_is_refused(minilm_path: str, about: Provenance, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"is not model {about.fingerprint} any more"):
        export_model(minilm_path, SETTINGS.model_copy(update={"max_tokens": 32}), tmp_path / "model", about)
    assert list(tmp_path.iterdir()) == []


def test_openvino_beside_it(minilm_path: str, about: Provenance, tmp_path: Path) -> None:
    runtime = pytest.importorskip("openvino")
    export_model(minilm_path, SETTINGS, tmp_path / "model", about, with_openvino=True)
    stored = runtime.Core().read_model(tmp_path / "model" / "openvino" / "openvino_model.xml")
    assert {port.get_any_name() for port in stored.inputs} == {"input_ids", "attention_mask", "token_type_ids"}
    assert stored.outputs[0].get_any_name() == "last_hidden_state"


def test_openvino_that_is_not_installed_is_said_first(
    minilm_path: str, about: Provenance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "has_openvino", lambda: False)
    with pytest.raises(SettingsError, match="--openvino needs OpenVINO"):
        export_model(minilm_path, SETTINGS, tmp_path / "model", about, with_openvino=True)
