"""The asset graph of one domain, at one glance."""

from domain_embed.defs import data, evidence, model
from domain_embed.defs.work import AssetRecipe

TABLE = frozenset({"parquet"})
COLLECTION = frozenset({"qdrant"})

RECIPES = (
    AssetRecipe(data.documents, ("corpus_files",), "data", TABLE, sections=("corpus",)),
    AssetRecipe(data.passages, ("documents",), "data", TABLE),
    AssetRecipe(data.judgments, ("label_files", "passages"), "data", TABLE, sections=("judgments",)),
    AssetRecipe(data.splits, ("judgments",), "data", TABLE, sections=("splits",)),
    AssetRecipe(model.base_collection, ("passages",), "index", COLLECTION, sections=("model", "sparse")),
    AssetRecipe(model.hard_negatives, ("splits", "base_collection"), "training", TABLE, sections=("mining",)),
    AssetRecipe(
        model.checkpoint, ("splits", "hard_negatives"), "training", frozenset({"pytorch", "mlflow"}),
        sections=("model", "training"),
    ),
    AssetRecipe(model.collection, ("checkpoint", "passages"), "index", COLLECTION, sections=("sparse",)),
    AssetRecipe(
        evidence.eval_report, ("splits", "base_collection", "collection"), "evidence", frozenset({"html", "mlflow"}),
        sections=("retrieval", "evaluation", "promotion"),
    ),
    AssetRecipe(evidence.champion, ("collection", "eval_report"), "evidence", COLLECTION),
)  # fmt: skip
"""In topological order."""
