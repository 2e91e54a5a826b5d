"""Domains whose versions are held: what an upgrade would make stale is seen here first."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from domain_embed.defs.graph import RECIPES
from domain_embed.settings import DomainSettings, ModelSettings, RetrievalSettings, TrainingSettings, read_settings
from domain_embed_tests import scenario

HELD = Path(__file__).with_name("held_versions.json")
"""What `held_of` gave for these domains, and fingerprints of models, as an earlier version gave them."""

_EVERYTHING: Mapping[str, Any] = {
    "corpus": {"paths": ["docs"], "path_metadata": ["(?P<team>[^/]+)/"], "metadata_types": {"year": "int"}},
    "chunking": {"strategy": "headings", "max_tokens": 200, "overlap_tokens": 20},
    "judgments": {
        "sources": [
            {"kind": "pairs", "path": "pairs.csv"},
            {"kind": "beir", "queries": "q.jsonl", "qrels": {"train": "train.tsv", "test": "test.tsv"}},
            {"kind": "clicks", "path": "clicks.parquet"},
        ]
    },
    "model": {"query_prompt": "query: ", "document_prompt": "passage: ", "dimensions": 128, "max_tokens": 128},
    "mining": {"miners": ["dense", "bm25"], "sampling": "softmax"},
    "reranker": {"source": "train"},
    "training": {
        "epochs": 2,
        "objective": {"kind": "distill_kl", "scale": 10.0},
        "method": {"kind": "lora"},
        "matryoshka": [64],
        "forgetting": {"probes": ["../scifact"]},
    },
    "retrieval": {"mode": "weighted", "rerank": True},
    "access": {"groups_field": "groups"},
    "answers": {"source": "endpoint", "model": "a-model"},
    "monitoring": {"query_log": "log"},
}

MODELS = {
    "default": ModelSettings(),
    "prompts": ModelSettings(query_prompt="query: ", document_prompt="passage: "),
    "short": ModelSettings(max_tokens=64, dimensions=128),
    "int8 passages": ModelSettings(passage_precision="int8"),
}


def held_domains() -> Iterator[tuple[str, DomainSettings]]:
    """Name and settings of each domain."""
    # With what `init` wrote down before either could be `auto`.
    before = {"retrieval": RetrievalSettings(mode="dense")}
    yield "defaults", DomainSettings(training=TrainingSettings(epochs=2, patience=1)).model_copy(update=before)
    aws = read_settings(Path(__file__).parents[2] / "data" / "aws" / "domain.yaml")
    yield "aws", aws.model_copy(update=before)
    yield "runbooks", scenario.SETTINGS
    yield "everything", DomainSettings.model_validate(_EVERYTHING)


def held_of(settings: DomainSettings) -> dict[str, list[str]]:
    """The code version of every asset, and what it reads, by its name."""
    return {recipe.name: [recipe.code_version(settings), *recipe.reads(settings)] for recipe in RECIPES}
