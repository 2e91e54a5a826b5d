"""Backends on the real model: the same vectors whoever computes them, measured once, and never without being asked."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from domain_embed.contracts.errors import SettingsError, StoreError
from domain_embed.encoding import backend, openvino
from domain_embed.encoding.backend import Choice, Machine, load_encoder, spread
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.models import ModelError
from domain_embed.indexing.build import BATCH_PASSAGES
from domain_embed.settings import ModelSettings
from domain_embed_tests import scenario

pytest.importorskip("openvino")
pytest.importorskip("nncf")

SETTINGS = scenario.SETTINGS.model.model_copy(update={"query_prompt": "question: ", "document_prompt": "runbook: "})
INT8 = SETTINGS.model_copy(update={"passage_precision": "int8"})
TEXTS = [*(passage.text for passage in scenario.CORPUS[:12]), "", "one", "drain the node " * 60]


@pytest.fixture(scope="module")
def torch_fp32(minilm_path: str) -> TorchEncoder:
    return TorchEncoder.load(minilm_path, SETTINGS, precision="fp32")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """One folder for all, so that the model is converted once."""
    return Machine(tmp_path_factory.mktemp("converted"))


@pytest.fixture(scope="module")
def by_openvino(minilm_path: str, machine: Machine) -> TorchEncoder:
    return load_encoder(minilm_path, SETTINGS, Machine(machine.folder, "openvino", "fp32"))


def lowest_cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    assert one.shape == other.shape
    return float(np.min(np.sum(one * other, axis=1)))


def measured(machine: Machine) -> list[Path]:
    return list(machine.folder.glob("measured-*.json"))


# --- OpenVINO -------------------------------------------------------------------------------------------


def test_openvino_makes_the_vectors_of_torch(by_openvino: TorchEncoder, torch_fp32: TorchEncoder) -> None:
    assert by_openvino.fingerprint == torch_fp32.fingerprint
    assert isinstance(by_openvino, openvino.OpenVinoEncoder)
    documents = by_openvino.encode_documents(TEXTS)
    assert (documents.dtype, documents.shape) == (np.float32, (15, 384))
    assert lowest_cosine(documents, torch_fp32.encode_documents(TEXTS)) > 0.99999
    assert lowest_cosine(by_openvino.encode_queries(TEXTS), torch_fp32.encode_queries(TEXTS)) > 0.99999
    assert lowest_cosine(by_openvino.reference().encode_queries(["a"]), torch_fp32.encode_queries(["a"])) > 0.99999


def test_a_conversion_is_made_once(
    minilm_path: str, machine: Machine, by_openvino: TorchEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "convert", _must_not_happen)
    again = load_encoder(minilm_path, SETTINGS, Machine(machine.folder, "openvino", "fp32"))
    assert np.array_equal(again.encode_documents(TEXTS[:3]), by_openvino.encode_documents(TEXTS[:3]))
    kept = machine.folder / by_openvino.fingerprint
    assert [path.name for path in kept.iterdir()] == [openvino._versioned(kept).name]


def test_a_model_without_a_transformer_is_refused(minilm: TorchEncoder) -> None:
    static = SentenceTransformer(modules=[StaticEmbedding(minilm.tokenizer, embedding_dim=8)])
    with pytest.raises(ModelError, match="only models that begin with a transformer"):
        openvino.convert(static)


@pytest.mark.parametrize(
    ("settings", "wanted", "said"),
    [(INT8, "auto", "model.passage_precision: int8"), (SETTINGS, "openvino", "DOMAIN_EMBED_BACKEND=openvino")],
)
def test_what_needs_openvino_says_so(
    settings: ModelSettings, wanted: backend.Backend, said: str, minilm_path: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(openvino, "has_openvino", lambda: False)
    with pytest.raises(SettingsError, match=rf"{said} needs OpenVINO\n.*domain-embed\[openvino\]"):
        load_encoder(minilm_path, settings, Machine(tmp_path, wanted))
    plain = load_encoder(minilm_path, SETTINGS, Machine(tmp_path))
    assert type(plain) is TorchEncoder


# --- the choice -----------------------------------------------------------------------------------------


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "WORTH_MEASURING", 10)
    monkeypatch.setattr(backend, "WORTH_AFTER_S", 0.0)
    monkeypatch.setattr(backend, "MEASURED_TEXTS", 4)


def seconds(monkeypatch: pytest.MonkeyPatch, *, torch: float, other: float) -> None:
    """What the clock says of either."""

    def best_seconds(encode: backend.Encode, sample: Sequence[str]) -> float:
        encode(sample)
        return other if isinstance(getattr(encode, "__self__", None), openvino.OpenVinoEncoder) else torch

    monkeypatch.setattr(backend, "_best_seconds", best_seconds)


@pytest.mark.usefixtures("few_are_many")
def test_few_texts_are_embedded_without_measuring(minilm_path: str, tmp_path: Path, torch_fp32: TorchEncoder) -> None:
    encoder = load_encoder(minilm_path, SETTINGS, Machine(tmp_path, precision="fp32"))
    assert lowest_cosine(encoder.encode_documents(TEXTS[:9]), torch_fp32.encode_documents(TEXTS[:9])) > 0.99999
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("few_are_many")
def test_nothing_is_measured_before_embedding_has_taken_long(
    minilm_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "WORTH_AFTER_S", 60.0)
    encoder = load_encoder(minilm_path, SETTINGS, Machine(tmp_path, precision="fp32"))
    for _ in range(2):
        encoder.encode_documents(TEXTS)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(encoder, "_spent_s", 60.0)
    encoder.encode_documents(TEXTS)
    assert len(list(tmp_path.glob("measured-*.json"))) == 1


def test_what_a_build_embeds_at_once_is_worth_measuring() -> None:
    assert BATCH_PASSAGES >= 4 * backend.WORTH_MEASURING, "most of a batch may be known or repeated"


@pytest.mark.usefixtures("few_are_many", "by_openvino")
@pytest.mark.parametrize(("other", "taken"), [(1.0, "openvino"), (1.9, "torch")])
def test_the_faster_one_is_taken_for_many_texts_and_remembered(
    other: float, taken: str, minilm_path: str, machine: Machine, torch_fp32: TorchEncoder,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    seconds(monkeypatch, torch=2.0, other=other)
    asked = Machine(machine.folder, precision="fp32")
    caplog.set_level("INFO", logger="domain_embed")
    encoder = load_encoder(minilm_path, SETTINGS, asked)
    assert lowest_cosine(encoder.encode_documents(TEXTS), torch_fp32.encode_documents(TEXTS)) > 0.99999
    assert f"{taken} embeds on " in caplog.text
    assert f"torch 2 and OpenVINO {4 / other:.0f} texts/s" in caplog.text
    record = measured(machine)[0]
    choice = Choice(**json.loads(record.read_text(encoding="utf-8")))
    assert (choice.backend, choice.torch_per_s, choice.openvino_per_s) == (taken, 2.0, 4 / other)
    assert choice.lowest_cosine > 0.99999
    monkeypatch.setattr(backend, "_best_seconds", _must_not_happen)
    again = load_encoder(minilm_path, SETTINGS, asked)
    assert lowest_cosine(again.encode_documents(TEXTS), torch_fp32.encode_documents(TEXTS)) > 0.99999
    record.unlink()


@pytest.mark.usefixtures("few_are_many", "by_openvino")
def test_other_vectors_are_not_taken_however_fast(
    minilm_path: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds(monkeypatch, torch=9.0, other=1.0)
    monkeypatch.setattr(backend, "MIN_COSINE", 1.01)
    encoder = load_encoder(minilm_path, SETTINGS, Machine(machine.folder, precision="fp32"))
    encoder.encode_documents(TEXTS)
    (record,) = measured(machine)
    assert json.loads(record.read_text(encoding="utf-8"))["backend"] == "torch"
    record.unlink()


@pytest.mark.usefixtures("few_are_many", "by_openvino")
def test_a_damaged_record_is_named(minilm_path: str, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds(monkeypatch, torch=1.0, other=2.0)
    asked = Machine(machine.folder, precision="fp32")
    load_encoder(minilm_path, SETTINGS, asked).encode_documents(TEXTS)
    (record,) = measured(machine)
    record.write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=r"measured-.*json is damaged"):
        load_encoder(minilm_path, SETTINGS, asked).encode_documents(TEXTS)
    record.unlink()


@pytest.mark.usefixtures("by_openvino")
@pytest.mark.parametrize(("other", "lowest", "taken"), [(1.0, 0.999, True), (1.9, 0.999, False), (1.0, 1.01, False)])
def test_a_process_that_serves_takes_what_is_faster_for_queries(
    other: float, lowest: float, taken: bool, minilm_path: str, machine: Machine, torch_fp32: TorchEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    seconds(monkeypatch, torch=2.0, other=other)
    monkeypatch.setattr(backend, "LOAD_AFTER", 3)
    monkeypatch.setattr(backend, "MIN_COSINE", lowest)
    by_openvino: list[Sequence[str]] = []
    encode = openvino.OpenVinoEncoder.encode_queries

    def recorded(self: openvino.OpenVinoEncoder, texts: Sequence[str]) -> NDArray[np.float32]:
        by_openvino.append(texts)
        return encode(self, texts)

    monkeypatch.setattr(openvino.OpenVinoEncoder, "encode_queries", recorded)
    encoder = load_encoder(minilm_path, SETTINGS, Machine(machine.folder, precision="fp32"))
    queries = [f"question {number}" for number in range(5)]
    for query in queries:
        assert lowest_cosine(encoder.encode_queries([query]), torch_fp32.encode_queries([query])) > 0.99999
        encoder.encode_queries([query] * 17)
    measured_by = [["question 2"]] * 2
    assert by_openvino == [*measured_by, *([[query] for query in queries[2:]] if taken else [])]


@pytest.mark.usefixtures("by_openvino")
def test_a_model_that_was_not_converted_stays_with_torch(
    minilm_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch_fp32: TorchEncoder
) -> None:
    monkeypatch.setattr(backend, "LOAD_AFTER", 1)
    encoder = load_encoder(minilm_path, SETTINGS, Machine(tmp_path, precision="fp32"))
    assert lowest_cosine(encoder.encode_queries(["a"]), torch_fp32.encode_queries(["a"])) > 0.99999
    assert list(tmp_path.iterdir()) == []


def test_a_sample_is_evenly_spread() -> None:
    assert spread([str(number) for number in range(10)], 3) == ["0", "3", "6"]
    assert spread(["a", "b"], 3) == ["a", "b"]
    assert spread([], 3) == []


# --- int8 -----------------------------------------------------------------------------------------------


def test_int8_passages_are_another_model_whose_queries_are_exact(
    minilm_path: str, machine: Machine, torch_fp32: TorchEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "CALIBRATION_TEXTS", 6)
    asked = Machine(machine.folder, precision="fp32")
    encoder = load_encoder(minilm_path, INT8, asked, lambda: TEXTS[:12])
    assert encoder.fingerprint != torch_fp32.fingerprint
    documents = encoder.encode_documents(TEXTS[:12])
    assert 0.95 < lowest_cosine(documents, torch_fp32.encode_documents(TEXTS[:12])) < 0.9999
    assert lowest_cosine(encoder.encode_queries(TEXTS), torch_fp32.encode_queries(TEXTS)) > 0.99999
    assert encoder.encode_documents([]).shape == (0, 384)
    again = load_encoder(minilm_path, INT8, asked, _must_not_happen)
    assert lowest_cosine(again.encode_documents(TEXTS[:12]), documents) > 0.99999


def test_int8_without_passages_to_calibrate_with_is_an_error(minilm_path: str, tmp_path: Path) -> None:
    encoder = load_encoder(minilm_path, INT8, Machine(tmp_path))
    with pytest.raises(ModelError, match="int8 is calibrated with passages, and there are none yet"):
        encoder.encode_documents(["a"])


def _must_not_happen(*_: object, **__: object) -> list[str]:
    raise AssertionError("this was known already")
