"""The kinds of models that people bring, each with a few thousand random weights, equal each time, made in a second.

`save(kind, folder)` writes one as a sentence-transformers folder. They know no word of any language: what they are for
is how a model is put together, stored and meant to be used.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain_embed_tests import scenario

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

WIDTH, LAYERS, HEADS, POSITIONS, VOCABULARY = 32, 2, 2, 128, 800
SIZES: dict[str, Any] = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 64,
}  # fmt: skip
TEXTS = (
    *(f"{one.title} {one.text}" for one in scenario.CORPUS),
    *(one.text for one in scenario.QUERIES),
    "Wo finde ich die Größe der Datei?", "如何重置密码", "पासवर्ड कैसे बदलें",
)  # fmt: skip
QUERY_PROMPT = "Instruct: Given a question, find the passage that answers it\nQuery: "
PASSAGE_PROMPT = "title: none | text: "


def save(kind: str, folder: Path) -> str:
    """Saves a model of this kind; returns its folder."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = FAMILY[kind](folder.with_name(f"{folder.name}-transformer"))
    model.save_pretrained(str(folder), create_model_card=False)
    return str(folder)


def _bert(folder: Path) -> "SentenceTransformer":
    """BERT with mean pooling, as MiniLM and most of the older ones."""
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=_size(_word_pieces()), max_position_embeddings=POSITIONS, **SIZES)
    return _put_together(folder, BertModel(config), _word_pieces(), pooling="mean")


def _mpnet(folder: Path) -> "SentenceTransformer":
    from transformers import MPNetConfig, MPNetModel

    config = MPNetConfig(vocab_size=_size(_unigrams()), max_position_embeddings=POSITIONS + 2, **SIZES)
    return _put_together(folder, MPNetModel(config), _unigrams(), pooling="mean", limit=POSITIONS)


def _xlm_roberta(folder: Path) -> "SentenceTransformer":
    """Multilingual, SentencePiece, first token, scaled to unit length: as multilingual E5 and BGE-M3."""
    from sentence_transformers.sentence_transformer.modules import Normalize
    from transformers import XLMRobertaConfig, XLMRobertaModel

    config = XLMRobertaConfig(
        vocab_size=_size(_unigrams()), max_position_embeddings=POSITIONS + 2, pad_token_id=1, **SIZES
    )
    model = XLMRobertaModel(config)
    return _put_together(folder, model, _unigrams(), pooling="cls", limit=POSITIONS, after=[Normalize()])


def _modernbert(folder: Path) -> "SentenceTransformer":
    from transformers import ModernBertConfig, ModernBertModel

    tokens = _special_ids(_bytes())
    config = ModernBertConfig(
        vocab_size=_size(_bytes()), max_position_embeddings=POSITIONS, local_attention=16, pad_token_id=tokens["<pad>"],
        cls_token_id=tokens["<s>"], sep_token_id=tokens["</s>"], bos_token_id=tokens["<s>"],
        eos_token_id=tokens["</s>"], **SIZES,
    )  # fmt: skip
    return _put_together(folder, ModernBertModel(config), _bytes(), pooling="cls", prompts={"query": "search_query: "})


def _qwen3(folder: Path) -> "SentenceTransformer":
    """A decoder: padded on the left, the last token speaks for the text, queries carry an instruction."""
    from sentence_transformers.sentence_transformer.modules import Normalize
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config(
        vocab_size=_size(_bytes()), max_position_embeddings=POSITIONS, head_dim=16, num_key_value_heads=1, **SIZES
    )
    return _put_together(
        folder, Qwen3Model(config), _bytes(), pooling="lasttoken", padding_side="left", after=[Normalize()],
        prompts={"query": QUERY_PROMPT, "document": ""},
    )  # fmt: skip


def _gemma(folder: Path) -> "SentenceTransformer":
    """Attention in both directions, two Dense modules behind the pooling, prompts on both sides."""
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize
    from transformers import Gemma3TextConfig, Gemma3TextModel

    config = Gemma3TextConfig(
        vocab_size=_size(_bytes()), max_position_embeddings=POSITIONS, head_dim=16, num_key_value_heads=1,
        use_bidirectional_attention=True, sliding_window=16, pad_token_id=_special_ids(_bytes())["<pad>"], **SIZES,
    )  # fmt: skip
    wide = Dense(WIDTH, 2 * WIDTH, bias=False, activation_function=torch.nn.Identity())
    narrow = Dense(2 * WIDTH, WIDTH, bias=False, activation_function=torch.nn.Identity())
    return _put_together(
        folder, Gemma3TextModel(config), _bytes(), pooling="mean", after=[wide, narrow, Normalize()],
        prompts={"query": QUERY_PROMPT, "document": PASSAGE_PROMPT},
    )  # fmt: skip


def _t5(folder: Path) -> "SentenceTransformer":
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=_size(_unigrams()), d_model=WIDTH, d_kv=16, d_ff=64, num_layers=LAYERS, num_heads=HEADS,
        pad_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return _put_together(folder, T5EncoderModel(config), _unigrams(), pooling="mean", limit=POSITIONS)


def _static(folder: Path) -> "SentenceTransformer":
    """A vector for each token and their mean: no transformer, no limit of length."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    return SentenceTransformer(modules=[StaticEmbedding(_word_pieces(), embedding_dim=WIDTH)], device="cpu")


def _bfloat16(folder: Path) -> "SentenceTransformer":
    """Stored in half precision, as most models of today."""
    import torch

    return _bert(folder).to(torch.bfloat16)


def _router(folder: Path) -> "SentenceTransformer":
    """Two encoders, one for queries and one for documents."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Router

    queries, documents = (list(_bert(folder.with_name(f"{folder.name}-{side}"))) for side in ("query", "document"))
    router = Router.for_query_document(queries, documents)
    return SentenceTransformer(modules=[router], device="cpu")


def _dot(folder: Path) -> "SentenceTransformer":
    """Trained for the dot product of vectors of any length."""
    model = _bert(folder)
    model.similarity_fn_name = "dot"
    return model


FAMILY: dict[str, Callable[[Path], "SentenceTransformer"]] = {
    "bert": _bert, "mpnet": _mpnet, "xlm-roberta": _xlm_roberta, "modernbert": _modernbert, "qwen3": _qwen3,
    "gemma": _gemma, "t5": _t5, "static": _static, "bfloat16": _bfloat16, "router": _router, "dot": _dot,
}  # fmt: skip
TRANSFORMERS = tuple(kind for kind in FAMILY if kind != "static")


def _put_together(
    folder: Path, transformer: "PreTrainedModel", tokenizer: "Tokenizer", *, pooling: str,
    limit: int = POSITIONS, padding_side: str = "right", prompts: dict[str, str] | None = None,
    after: Sequence[Any] = (),
) -> "SentenceTransformer":  # fmt: skip
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import PreTrainedTokenizerFast

    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>"}
    transformer.save_pretrained(str(folder))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=limit, padding_side=padding_side, **names
    ).save_pretrained(str(folder))
    modules = [Transformer(str(folder)), Pooling(WIDTH, pooling_mode=pooling), *after]
    return SentenceTransformer(modules=modules, device="cpu", prompts=prompts)


@lru_cache
def _word_pieces() -> "Tokenizer":
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _trained(tokenizer, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=_SPECIAL))


@lru_cache
def _unigrams() -> "Tokenizer":
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return _trained(
        tokenizer, trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=_SPECIAL, unk_token="<unk>")
    )


@lru_cache
def _bytes() -> "Tokenizer":
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return _trained(
        tokenizer, trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=_SPECIAL, initial_alphabet=alphabet)
    )


_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def _trained(tokenizer: "Tokenizer", trainer: Any) -> "Tokenizer":
    from tokenizers import processors

    tokenizer.train_from_iterator(TEXTS, trainer)
    ids = _special_ids(tokenizer)
    pairs = [("<s>", ids["<s>"]), ("</s>", ids["</s>"])]
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B </s>", pairs)
    return tokenizer


def _special_ids(tokenizer: "Tokenizer") -> dict[str, int]:
    return {name: int(tokenizer.token_to_id(name)) for name in _SPECIAL}


def _size(tokenizer: "Tokenizer") -> int:
    return int(tokenizer.get_vocab_size())
