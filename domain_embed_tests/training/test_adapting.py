"""Checkpoints with an adapter: ordinary sentence-transformers folders, and passages that are not embedded again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from domain_embed.contracts.errors import SettingsError
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.models import load_model
from domain_embed.settings import QueryAdapter
from domain_embed.stores.workspace import BASE, CHALLENGER
from domain_embed.training.adapter import LinearAdapter
from domain_embed.training.adapting import AdapterTrainer, append_adapter
from domain_embed_tests import scenario
from domain_embed_tests.encoding.fakes import FakeEncoder
from domain_embed_tests.whole import Whole

SETTINGS = scenario.SETTINGS.model
TEXTS = [passage.text for passage in scenario.CORPUS][:4]


@pytest.fixture
def adapter() -> LinearAdapter:
    generator = np.random.default_rng(0)
    return LinearAdapter(
        generator.normal(0, 0.03, (384, 384)).astype(np.float32), generator.normal(0, 0.01, 384).astype(np.float32)
    )


def saved(minilm_path: str, adapter: LinearAdapter, folder: Path, *, both_sides: bool) -> str:
    model = load_model(minilm_path, SETTINGS, device="cpu")
    append_adapter(model, adapter, both_sides=both_sides)
    model.save_pretrained(str(folder), create_model_card=False)
    return str(folder)


def test_a_query_adapter_changes_queries_alone(
    minilm: TorchEncoder, minilm_path: str, adapter: LinearAdapter, tmp_path: Path
) -> None:
    path = saved(minilm_path, adapter, tmp_path / "model", both_sides=False)
    encoder = TorchEncoder.load(path, SETTINGS)
    assert encoder.encode_queries(TEXTS) == pytest.approx(adapter(minilm.encode_queries(TEXTS)), abs=0.01)
    assert encoder.encode_documents(TEXTS) == pytest.approx(minilm.encode_documents(TEXTS), abs=0.01)
    assert encoder.fingerprint != minilm.fingerprint
    assert encoder.document_fingerprint == minilm.document_fingerprint == minilm.fingerprint
    plain = SentenceTransformer(path)
    assert plain.encode_query(TEXTS) == pytest.approx(encoder.encode_queries(TEXTS), abs=0.01)
    assert plain.encode_document(TEXTS) == pytest.approx(encoder.encode_documents(TEXTS), abs=0.01)


def test_an_adapter_of_both_sides_changes_both(
    minilm: TorchEncoder, minilm_path: str, adapter: LinearAdapter, tmp_path: Path
) -> None:
    path = saved(minilm_path, adapter, tmp_path / "model", both_sides=True)
    encoder = TorchEncoder.load(path, SETTINGS)
    assert encoder.encode_queries(TEXTS) == pytest.approx(adapter(minilm.encode_queries(TEXTS)), abs=0.01)
    assert encoder.encode_documents(TEXTS) == pytest.approx(adapter(minilm.encode_documents(TEXTS)), abs=0.01)
    assert encoder.document_fingerprint == encoder.fingerprint != minilm.fingerprint
    assert SentenceTransformer(path).encode(TEXTS) == pytest.approx(encoder.encode_documents(TEXTS), abs=0.01)


def test_openvino_goes_through_the_adapter_too(minilm_path: str, adapter: LinearAdapter, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from domain_embed.encoding.backend import Machine, load_encoder

    path = saved(minilm_path, adapter, tmp_path / "model", both_sides=False)
    encoder = load_encoder(path, SETTINGS, Machine(tmp_path / "converted", "openvino", "fp32"))
    by_torch = TorchEncoder.load(path, SETTINGS, precision="fp32")
    assert encoder.encode_queries(TEXTS) == pytest.approx(by_torch.encode_queries(TEXTS), abs=1e-4)
    assert encoder.encode_documents(TEXTS) == pytest.approx(by_torch.encode_documents(TEXTS), abs=1e-4)


def test_fewer_dimensions_and_an_adapter_exclude_each_other() -> None:
    nothing: Any = None
    with pytest.raises(SettingsError, match=r"model.dimensions: an adapter works on all dimensions"):
        AdapterTrainer(
            "base", SETTINGS.model_copy(update={"dimensions": 8}), QueryAdapter(), nothing, nothing, nothing,
            FakeEncoder(), nothing, nothing, nothing,
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["query_adapter", "both_adapter"])
def test_the_graph_with_an_adapter_embeds_no_passage_again(whole: Whole, kind: str) -> None:
    method = {"kind": kind, "hard_negatives": 2, "epochs": 10, "batch_size": 16, "weight_decay": [0.1]}
    whole.edit("training", method=method)
    assert whole.plan().stale == ("training_decision", "checkpoint")
    outcome = whole.run()
    assert outcome is not None
    assert {"checkpoint", "collection", "eval_report"} <= set(outcome.worked)
    assert whole.metadata("collection")["embedded"] == 0
    workspace = whole.workspace
    fingerprint = json.loads((workspace.checkpoints / "challenger.json").read_text(encoding="utf-8"))["fingerprint"]
    record = json.loads((workspace.checkpoints / fingerprint / "domain_embed.json").read_text(encoding="utf-8"))
    assert record["training"]["method"]["kind"] == kind
    assert record["alpha"] == 1.0
    assert record["interpolation"][1]["validation"] > record["interpolation"][0]["validation"]
    base, tuned = (workspace.vector_store.open(workspace.aliased(alias)) for alias in (BASE, CHALLENGER))
    assert tuned.info.fingerprint == fingerprint
    encoder = workspace.encoder_of(tuned.info)
    ids = [passage.passage_id for passage in scenario.CORPUS][:5]
    stored = np.stack([point.dense for point in tuned.fetch(ids)])
    texts = [f"{passage.title} {passage.text}" for passage in scenario.CORPUS][:5]
    assert np.sum(stored * encoder.encode_documents(texts), axis=1) == pytest.approx(np.ones(5), abs=1e-3)
    same = np.allclose(stored, np.stack([point.dense for point in base.fetch(ids)]), atol=1e-6)
    assert same is (kind == "query_adapter")
    hits = workspace.searcher(workspace.aliased(CHALLENGER)).search("disk is full", 3)
    assert len(hits) == 3
    assert not list(workspace.checkpoints.glob(".adapter-*"))
