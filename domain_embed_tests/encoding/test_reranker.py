"""Cross-encoders: scores, identity, what cannot be one, and the cache before it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from domain_embed.encoding.models import ModelError
from domain_embed.encoding.reranker import CrossEncoderReranker, pair_batches
from domain_embed.encoding.score_cache import PAIRS_PER_CHUNK, CachedReranker
from domain_embed_tests.encoding.fakes import MemoryCache
from domain_embed_tests.encoding.tiny_models import tiny_cross_encoder

PAIRS = [
    ("who", "the schedule is in the pager; swap shifts there, never by word of mouth " * 3),
    ("who is on call", "short"),
    ("", ""),
    ("renew a certificate by hand", "ask the internal authority for a new one with the same key"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, minilm_path: str) -> str:
    return tiny_cross_encoder(tmp_path_factory.mktemp("tiny"), minilm_path)


def test_scores_are_those_of_sentence_transformers_in_the_order_asked(folder: str) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    reranker = CrossEncoderReranker.load(folder, 48, precision="fp32")
    expected = CrossEncoder(folder, max_length=48).predict(PAIRS, activation_fn=torch.nn.Identity())
    scores = reranker.score(PAIRS)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(reranker.score(PAIRS[::-1]), scores[::-1], atol=1e-5)
    assert reranker.score([]).shape == (0,)


def test_batches_are_sorted_by_length_and_bounded(folder: str) -> None:
    reranker = CrossEncoderReranker.load(folder, 48)
    batches = pair_batches(reranker._model, PAIRS * 3, 48, 60)
    lengths = [inputs["input_ids"].shape for _, inputs in batches]
    assert all(rows * tokens <= 60 for rows, tokens in lengths)
    assert [tokens for _, tokens in lengths] == sorted((tokens for _, tokens in lengths), reverse=True)
    assert sorted(np.concatenate([rows for rows, _ in batches]).tolist()) == list(range(12))


def test_the_identity_is_of_weights_tokenizer_and_length(folder: str, tmp_path: Path, minilm_path: str) -> None:
    same = tiny_cross_encoder(tmp_path / "same", minilm_path)
    assert CrossEncoderReranker.load(same, 48).fingerprint == CrossEncoderReranker.load(folder, 48).fingerprint
    assert CrossEncoderReranker.load(same, 32).fingerprint != CrossEncoderReranker.load(folder, 48).fingerprint
    used = CrossEncoderReranker.load(folder, 48, precision="fp32")
    used.score(PAIRS)  # sets truncation and padding of the tokenizer
    used._model.save_pretrained(str(tmp_path / "used"))
    assert CrossEncoderReranker.load(str(tmp_path / "used"), 48).fingerprint == used.fingerprint
    config = tmp_path / "same" / "tokenizer_config.json"
    settings = {**json.loads(config.read_text(encoding="utf-8")), "do_lower_case": False}
    config.write_text(json.dumps(settings), encoding="utf-8")
    assert CrossEncoderReranker.load(same, 48).fingerprint != used.fingerprint


def test_the_models_own_limit_is_the_longest(folder: str) -> None:
    assert CrossEncoderReranker.load(folder).max_tokens == 64
    assert CrossEncoderReranker.load(folder, 512).max_tokens == 64


def test_an_encoder_is_no_reranker(minilm_path: str) -> None:
    with pytest.raises(ModelError, match="is BertModel, no cross-encoder"):
        CrossEncoderReranker.load(minilm_path, 48)


def test_a_classifier_is_no_reranker(tmp_path: Path, minilm_path: str) -> None:
    with pytest.raises(ModelError, match="has 3 labels"):
        CrossEncoderReranker.load(tiny_cross_encoder(tmp_path, minilm_path, labels=3))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, minilm_path: str) -> None:
    with pytest.raises(ModelError, match=r"tokenizer has 30522 tokens, the model knows 1000"):
        CrossEncoderReranker.load(tiny_cross_encoder(tmp_path, minilm_path, vocabulary=1000))


@pytest.mark.parametrize("damage", ["no tokenizer", "half the weights", "no config", "nothing"])
def test_what_is_not_whole_is_refused(damage: str, tmp_path: Path, minilm_path: str) -> None:
    folder = Path(tiny_cross_encoder(tmp_path / "model", minilm_path))
    match damage:
        case "no tokenizer":
            for path in folder.glob("*token*"):
                path.unlink()
        case "half the weights":
            weights = folder / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
        case "no config":
            (folder / "config.json").unlink()
        case _:
            folder = tmp_path / "missing"
    with pytest.raises(ModelError, match="reranker"):
        CrossEncoderReranker.load(str(folder))


class CountingReranker:
    """Scores a pair by its lengths; counts what it is asked."""

    fingerprint = "c" * 16

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.asked += pairs
        return np.array([len(query) - len(passage) / 10 for query, passage in pairs], np.float32)


def test_the_cache_asks_about_each_pair_once() -> None:
    reranker, cache = CountingReranker(), MemoryCache()
    cached = CachedReranker(reranker, cache)
    asked = [("a", "bb"), ("ab", "b"), ("a", "bb")]
    assert cached.fingerprint == reranker.fingerprint
    assert cached.score(asked) == pytest.approx([0.8, 1.9, 0.8])
    assert reranker.asked == [("a", "bb"), ("ab", "b")]
    assert CachedReranker(reranker, cache).score([("ab", "b"), ("new", "")]) == pytest.approx([1.9, 3.0])
    assert reranker.asked[2:] == [("new", "")]


def test_what_was_scored_before_an_interruption_is_kept() -> None:
    class Interrupted(CountingReranker):
        def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
            if self.asked:
                raise KeyboardInterrupt
            return super().score(pairs)

    cache = MemoryCache()
    pairs = [(str(number), "p") for number in range(PAIRS_PER_CHUNK + 1)]
    with pytest.raises(KeyboardInterrupt):
        CachedReranker(Interrupted(), cache).score(pairs)
    again = CountingReranker()
    assert len(CachedReranker(again, cache).score(pairs)) == len(pairs)
    assert again.asked == pairs[PAIRS_PER_CHUNK:]
