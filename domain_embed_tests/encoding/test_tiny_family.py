"""Every kind of model is used as its makers meant it: the same vectors, all weights trained, saved as they are."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from domain_embed.contracts.errors import SettingsError, TrainingError
from domain_embed.encoding import openvino
from domain_embed.encoding.agreement import lowest_agreement, require_agreement
from domain_embed.encoding.encoder import TorchEncoder, has_bf16
from domain_embed.encoding.models import ModelError, fingerprint, load_model
from domain_embed.promotion.export import Provenance, export_model
from domain_embed.settings import LoraTuning, ModelSettings, TrainingSettings
from domain_embed.training.checkpoint import save_model
from domain_embed.training.gradient import Gradient
from domain_embed.training.trainable import plain_copy, trainable_model
from domain_embed_tests.encoding.tiny_family import FAMILY, PASSAGE_PROMPT, QUERY_PROMPT, TEXTS, TRANSFORMERS, save

SETTINGS = ModelSettings()
SAMPLE = [*TEXTS[:10], *TEXTS[-3:], "", "word " * 400]
TRAIN_ALL = TrainingSettings(freeze_embeddings=False)
Folder = Callable[[str], str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("family")

    @cache
    def saved(kind: str) -> str:
        return save(kind, root / kind)

    return saved


def encoder_of(name: str, settings: ModelSettings = SETTINGS) -> TorchEncoder:
    return TorchEncoder.load(name, settings, device="cpu", precision="fp32")


def by_their_makers(name: str) -> SentenceTransformer:
    return SentenceTransformer(name, device="cpu").float()


@pytest.mark.parametrize("kind", FAMILY)
def test_vectors_are_those_of_sentence_transformers(kind: str, folder: Folder) -> None:
    encoder, theirs = encoder_of(folder(kind)), by_their_makers(folder(kind))

    expected = theirs.encode_query(SAMPLE, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_queries(SAMPLE), expected, atol=1e-5)
    expected = theirs.encode_document(SAMPLE, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_documents(SAMPLE), expected, atol=1e-5)


@pytest.mark.parametrize("kind", FAMILY)
def test_dimensions_and_length_are_cut_as_sentence_transformers_does(kind: str, folder: Folder) -> None:
    settings = ModelSettings(dimensions=8, max_tokens=None if kind == "static" else 16)
    encoder, theirs = encoder_of(folder(kind), settings), by_their_makers(folder(kind))
    if settings.max_tokens is not None:
        theirs.max_seq_length = settings.max_tokens

    expected = theirs.encode_query(SAMPLE, normalize_embeddings=True, truncate_dim=8)
    np.testing.assert_allclose(encoder.encode_queries(SAMPLE), expected, atol=1e-5)


@pytest.mark.parametrize("kind", FAMILY)
def test_one_step_moves_every_trainable_weight(kind: str, folder: Folder) -> None:
    model = trainable_model(folder(kind), SETTINGS, TRAIN_ALL)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}

    step(model)

    moved = {name: float((weight.detach() - before[name]).abs().max()) for name, weight in model.named_parameters()}
    used = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.abs().max()}
    assert {name for name, change in moved.items() if change > 0} >= used
    assert {name for name in moved if name not in used} <= not_used(model)
    assert all(weight.dtype == torch.float32 for weight in model.parameters())


def test_a_static_model_is_trained_whole_or_refused(folder: Folder) -> None:
    model = trainable_model(folder("static"), SETTINGS, TrainingSettings())  # word embeddings frozen, of others
    assert [weight.requires_grad for weight in model.parameters()] == [True]
    for settings in (TrainingSettings(method=LoraTuning()), TrainingSettings(frozen_layers=1)):
        with pytest.raises(TrainingError, match="word vectors alone"):
            trainable_model(folder("static"), SETTINGS, settings)


def test_in_fp32_a_small_step_moves_what_is_stored_in_half_precision(folder: Folder) -> None:
    model = trainable_model(folder("bfloat16"), SETTINGS, TRAIN_ALL)
    weights = {name: weight for name, weight in model.named_parameters() if weight.ndim == 2 and "layer" in name}
    before = {name: weight.detach().clone() for name, weight in weights.items()}

    step(model, learning_rate=1e-5)

    moved = [float((weights[name].detach() != before[name]).float().mean()) for name in weights]
    assert min(moved) > 0.99


@pytest.mark.parametrize("kind", TRANSFORMERS)
def test_lora_finds_layers_and_merges_into_a_plain_model(kind: str, folder: Folder) -> None:
    model = trainable_model(folder(kind), SETTINGS, TrainingSettings(method=LoraTuning(rank=2)))
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)

    step(model, learning_rate=1e-2)

    plain = load_model(folder(kind), SETTINGS, device="cpu")
    assert plain_copy(model).state_dict().keys() == plain.state_dict().keys()
    assert fingerprint(plain_copy(model), SETTINGS) != fingerprint(plain, SETTINGS)


@pytest.mark.parametrize("kind", FAMILY)
def test_saved_and_loaded_again_it_is_the_same_model(kind: str, folder: Folder, tmp_path: Path) -> None:
    model = load_model(folder(kind), SETTINGS, device="cpu")
    save_model(model, tmp_path / "saved")

    again = load_model(str(tmp_path / "saved"), SETTINGS, device="cpu")
    assert fingerprint(again, SETTINGS) == fingerprint(model, SETTINGS)
    assert again.prompts == model.prompts
    np.testing.assert_array_equal(
        encoder_of(str(tmp_path / "saved")).encode_queries(SAMPLE), encoder_of(folder(kind)).encode_queries(SAMPLE)
    )


@pytest.mark.parametrize("kind", FAMILY)
def test_an_export_makes_the_same_vectors_for_anybody(kind: str, folder: Folder, tmp_path: Path) -> None:
    encoder = encoder_of(folder(kind))
    about = Provenance(domain="a", version="base", fingerprint=encoder.fingerprint)
    export_model(folder(kind), SETTINGS, tmp_path / "export", about)

    theirs = by_their_makers(str(tmp_path / "export"))
    expected = theirs.encode_query(SAMPLE, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_queries(SAMPLE), expected, atol=1e-5)
    expected = theirs.encode_document(SAMPLE, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_documents(SAMPLE), expected, atol=1e-5)


@pytest.mark.parametrize("kind", FAMILY)
def test_openvino_converts_or_says_why_not(kind: str, folder: Folder) -> None:
    model = load_model(folder(kind), SETTINGS, device="cpu")
    if kind in NOT_CONVERTED:
        with pytest.raises(ModelError, match="use torch"):
            openvino.convert(model)
        return
    converted = openvino.convert(model)
    encoder = openvino.OpenVinoEncoder(model, SETTINGS, converted, precision="fp32")
    assert min(lowest_agreement(encoder, by_their_makers(folder(kind)), SETTINGS).values()) > 0.9999


NOT_CONVERTED = {"static", "router", "gemma"}
"""The last because it traces no attention mask that looks in both directions within a window."""


# --- prompts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "settings", "prompts"),
    [
        ("gemma", ModelSettings(), (QUERY_PROMPT, PASSAGE_PROMPT)),
        ("gemma", ModelSettings(query_prompt="", document_prompt=""), ("", "")),
        ("gemma", ModelSettings(query_prompt="ask: "), ("ask: ", PASSAGE_PROMPT)),
        ("qwen3", ModelSettings(), (QUERY_PROMPT, "")),
        ("bert", ModelSettings(), ("", "")),
    ],
)
def test_the_models_own_prompts_unless_others_are_given(
    kind: str, settings: ModelSettings, prompts: tuple[str, str], folder: Folder
) -> None:
    encoder = encoder_of(folder(kind), settings)

    assert encoder.prompts == prompts
    theirs = by_their_makers(folder(kind))
    for ours, prompt in ((encoder.encode_queries, prompts[0]), (encoder.encode_documents, prompts[1])):
        expected = theirs.encode(SAMPLE, prompt=prompt, normalize_embeddings=True)
        np.testing.assert_allclose(ours(SAMPLE), expected, atol=1e-5)


def test_prompts_are_part_of_the_fingerprint_wherever_they_come_from(folder: Folder) -> None:
    name = folder("gemma")
    own, none = ModelSettings(), ModelSettings(query_prompt="", document_prompt="")
    given = ModelSettings(query_prompt=QUERY_PROMPT, document_prompt=PASSAGE_PROMPT)

    assert encoder_of(name, own).fingerprint == encoder_of(name, given).fingerprint
    assert encoder_of(name, own).fingerprint != encoder_of(name, none).fingerprint


@pytest.mark.parametrize("prompts", [["query: "], {"query": 5}, "query: "], ids=str)
def test_prompts_of_the_wrong_type_are_named(prompts: Any, folder: Folder, tmp_path: Path) -> None:
    name = copied(folder("bert"), tmp_path)
    config = Path(name) / "config_sentence_transformers.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "prompts": prompts}))

    with pytest.raises((ModelError, SettingsError), match=r"prompts|cannot be loaded"):
        load_model(name, SETTINGS)


def test_left_out_of_the_pooling_a_prompt_still_counts_as_its_makers_count_it(folder: Folder, tmp_path: Path) -> None:
    """As Instructor models do."""
    model = SentenceTransformer(folder("bert"), device="cpu", prompts={"query": QUERY_PROMPT})
    model.set_pooling_include_prompt(False)
    model.save_pretrained(str(tmp_path / "instructor"))

    encoder, theirs = encoder_of(str(tmp_path / "instructor")), by_their_makers(str(tmp_path / "instructor"))
    expected = theirs.encode_query(SAMPLE, normalize_embeddings=True)
    np.testing.assert_allclose(encoder.encode_queries(SAMPLE), expected, atol=1e-5)


# --- what is refused ----------------------------------------------------------------------------------


def test_another_similarity_is_refused_unless_asked_for(folder: Folder, tmp_path: Path) -> None:
    name = folder("dot")
    with pytest.raises(ModelError, match=r"(?s)similarity 'dot'.*model\.similarity: cosine"):
        require_agreement(encoder_of(name), name, SETTINGS, tmp_path)

    cosine = ModelSettings(similarity="cosine")
    require_agreement(encoder_of(name, cosine), name, cosine, tmp_path)


def test_the_dot_product_of_unit_vectors_is_their_cosine(folder: Folder, tmp_path: Path) -> None:
    model = SentenceTransformer(folder("xlm-roberta"), device="cpu", similarity_fn_name="dot")
    model.save_pretrained(str(tmp_path / "dot"))

    name = str(tmp_path / "dot")
    require_agreement(encoder_of(name), name, SETTINGS, tmp_path / "proofs")


def test_other_vectors_than_its_makers_are_refused(folder: Folder, tmp_path: Path) -> None:
    class Other(TorchEncoder):
        def encode_queries(self, texts: Any) -> Any:
            return -super().encode_queries(texts)

    other = Other(load_model(folder("bert"), SETTINGS, device="cpu"), SETTINGS, precision="fp32")
    with pytest.raises(ModelError, match=r"queries -1\.0000, passages 1\.0000"):
        require_agreement(other, folder("bert"), SETTINGS, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [kind for kind in FAMILY if kind != "dot"])
def test_every_kind_agrees(kind: str, folder: Folder, tmp_path: Path) -> None:
    require_agreement(encoder_of(folder(kind)), folder(kind), SETTINGS, tmp_path)


def test_agreement_is_proven_once(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of(folder("gemma"))
    require_agreement(encoder, folder("gemma"), SETTINGS, tmp_path)
    monkeypatch.setattr("domain_embed.encoding.agreement.load_model", None)

    require_agreement(encoder, folder("gemma"), SETTINGS, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["bert", "qwen3", "gemma"])
def test_half_precision_agrees_within_its_own_limit(kind: str, folder: Folder, tmp_path: Path) -> None:
    encoder = TorchEncoder.load(folder(kind), SETTINGS, device="cpu", precision="bf16")

    assert encoder.number_format == "bfloat16"
    require_agreement(encoder, folder(kind), SETTINGS, tmp_path)


def test_pickled_weights_are_refused_unless_allowed(folder: Folder, tmp_path: Path) -> None:
    name = copied(folder("bert"), tmp_path)
    from safetensors.torch import load_file

    weights = Path(name) / "model.safetensors"
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()

    with pytest.raises(ModelError, match="pickle"):
        load_model(name, SETTINGS)
    allowed = ModelSettings(allow_pickle=True)
    assert encoder_of(name, allowed).fingerprint == encoder_of(folder("bert")).fingerprint


def test_code_of_a_models_own_is_refused_unless_allowed(folder: Folder, tmp_path: Path) -> None:
    name = copied(folder("bert"), tmp_path)
    ran = tmp_path / "ran"
    (Path(name) / "own.py").write_text(
        f"open({str(ran)!r}, 'w').close()\nfrom transformers import BertConfig, BertModel\n"
        "class OwnConfig(BertConfig): pass\nclass OwnModel(BertModel): pass\n"
    )
    config = Path(name) / "config.json"
    own = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "own", "auto_map": own}))

    with pytest.raises(ModelError, match=r"model\.trust_remote_code"):
        load_model(name, SETTINGS)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (lambda path: (path / "tokenizer.json").unlink(), "tokenizer|cannot be loaded"),
        (
            lambda path: (path / "config.json").write_text('{"model_type": "t5"}'),
            "cannot be loaded|lacks weights|no tokenizer",
        ),
        (lambda path: (path / "config.json").write_text('{"model_type": "no-such-model"}'), "cannot be loaded"),
        (lambda path: (path / "model.safetensors").unlink(), "cannot be loaded"),
        (lambda path: (path / "modules.json").write_text("[{}]"), "cannot be loaded"),
    ],
    ids=["no tokenizer", "another architecture", "no such architecture", "no weights", "no modules"],
)
def test_a_damaged_model_is_refused(
    broken: Callable[[Path], Any], expected: str, folder: Folder, tmp_path: Path
) -> None:
    name = copied(folder("bert"), tmp_path)
    broken(Path(name))

    with pytest.raises(ModelError, match=expected):
        load_model(name, SETTINGS)


def test_a_static_model_has_no_limit_to_set(folder: Folder) -> None:
    with pytest.raises(SettingsError, match=r"model\.max_tokens"):
        load_model(folder("static"), ModelSettings(max_tokens=16))


def test_a_revision_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def refuse(name: str, **options: Any) -> None:
        asked.update(options)
        raise OSError(f"{options['revision']} is not a valid git identifier for {name}")

    monkeypatch.setattr("sentence_transformers.SentenceTransformer", refuse)
    with pytest.raises(ModelError, match="no-such-revision"):
        load_model("somebody/model", ModelSettings(revision="no-such-revision"))
    assert asked["revision"] == "no-such-revision"


def test_emulated_bf16_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)

    assert not has_bf16("cuda")


def step(model: SentenceTransformer, learning_rate: float = 1e-3) -> None:
    """One step of AdamW on a contrastive loss."""
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=learning_rate)

    def loss(queries: torch.Tensor, passages: torch.Tensor) -> torch.Tensor:
        unit = [torch.nn.functional.normalize(side, dim=-1) for side in (queries, passages)]
        return torch.nn.functional.cross_entropy(20 * unit[0] @ unit[1].T, torch.arange(len(queries)))

    Gradient(64, "fp32", 10**9).add(model, TEXTS[:6], TEXTS[10:16], loss)
    optimizer.step()


def not_used(model: SentenceTransformer) -> set[str]:
    """Weights that no embedding reads."""
    return {name for name, _ in model.named_parameters() if "pooler" in name or "token_type" in name}


def copied(name: str, folder: Path) -> str:
    import shutil

    return str(shutil.copytree(name, folder / "copy"))
