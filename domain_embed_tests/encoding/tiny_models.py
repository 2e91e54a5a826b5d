"""Real models of a few thousand weights, with the real base model's tokenizer: loaded and trained in no time."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def tiny_encoder(folder: Path, minilm_path: str, *, layers: int) -> "SentenceTransformer":
    """An encoder of random weights, equal each time, with mean pooling; the folder is for its files."""
    import torch
    from sentence_transformers import SentenceTransformer, models
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(minilm_path)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    transformer = models.Transformer(str(folder), model_kwargs={"attn_implementation": "eager"})
    return SentenceTransformer(modules=[transformer, models.Pooling(16)], device="cpu").eval()


def tiny_cross_encoder(folder: Path, minilm_path: str, *, labels: int = 1, vocabulary: int | None = None) -> str:
    """Saves a cross-encoder of random weights, equal each time; returns its folder."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(minilm_path)
    config = BertConfig(
        vocab_size=vocabulary or len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=64, num_labels=labels,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertForSequenceClassification(config)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return str(folder)
