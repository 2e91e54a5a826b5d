"""Settings of the diagnosis: what is found out before anything is trained."""

from typing import Literal

from pydantic import Field

from domain_embed.settings.corpus import ChunkingSettings
from domain_embed.settings.section import Section


class DiagnosisSettings(Section):
    """Why queries fail and which lever is worth pulling, found out before training and without the test queries."""

    on_negative: Literal["stop", "continue"] = "stop"
    """What a run does when fine-tuning is shown not to be the lever: `stop` before training, with a report on the
    untuned systems, or `continue` and let the evaluation decide."""
    min_gain: float = Field(0.01, ge=0)
    """A lever that gains less nDCG@10 than this is not worth pulling."""
    queries: int = Field(500, ge=10)
    """How many queries are looked at: validation's, and where those are fewer, training's too, drawn at random."""
    probe_pairs: int = Field(512, ge=0)
    """Training pairs of the small training that estimates what fine-tuning gains; 0 leaves the estimate out."""
    probe_queries: int = Field(150, ge=10)
    """How many of the validation queries that training is measured on."""
    adapter_queries: int = Field(1000, ge=0)
    """Training queries of the query adapter that is tried; 0 leaves it out."""
    rerank_queries: int = Field(30, ge=0)
    """How many queries a reranker is tried on, if there is one; 0 only bounds what one could gain."""
    candidates: tuple[str, ...] = ()
    """Other base models to compare without training, named as in `model.base`."""
    candidate_passages: int = Field(1000, ge=100)
    """Size of the part of the corpus that they are compared on: positives, BM25's near misses and a random rest."""
    chunkings: tuple[ChunkingSettings, ...] = ()
    """Other ways to cut the documents to compare without training, written as in `chunking`."""
    near_duplicates: float = Field(0.9, gt=0.5, le=1)
    """Jaccard overlap of character 5-grams from which a ranked passage counts as the answer under another id."""
    examples: int = Field(5, ge=1)
    """How many failed queries are shown of each cause."""
    seed: int = 0
    """Seed of the draws."""
