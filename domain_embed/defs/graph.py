"""The asset graph of one domain, at one glance."""

from collections.abc import Callable

from domain_embed.cutover import lacking, live_is_behind, nothing_is_live
from domain_embed.defs import data, decision, diagnosis, evidence, labels, lane, mining, model, reranker, served
from domain_embed.defs.work import AssetRecipe
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import BASE, CHALLENGER, Workspace

TABLE = frozenset({"parquet"})
COLLECTION = frozenset({"qdrant"})


def _when(lacks: Callable[[Workspace], str | None]) -> Callable[[Workspace, DomainSettings], str | None]:
    """What a step made lacks something, whatever the settings are."""
    return lambda workspace, settings: lacks(workspace)


def _always(workspace: Workspace) -> bool:
    """What was made without reading something still holds, whatever that is."""
    return True


RECIPES = (
    AssetRecipe(
        data.documents, ("corpus_files",), "data", TABLE, sections=("corpus",),
        sections_if={"access": data.has_groups},
    ),
    AssetRecipe(data.passages, ("documents",), "data", TABLE, sections=("chunking", "model")),
    AssetRecipe(lane.withheld, ("documents", "passages"), "index", COLLECTION),
    AssetRecipe(lane.live_collection, ("passages", "withheld"), "index", COLLECTION, outdated=_when(live_is_behind)),
    AssetRecipe(
        model.base_collection, ("passages",), "index", COLLECTION, sections=("model", "sparse", "index"),
        revision=2, outdated=_when(lambda workspace: lacking(workspace, BASE)),
    ),
    AssetRecipe(labels.labels, ("label_files",), "judgments", TABLE, sections=("judgments",), revision=2),
    AssetRecipe(
        labels.synthetic_queries, ("labels", "passages", "base_collection"), "judgments", TABLE,
        sections=("synthetic",), sections_if={"access": labels.sends_some_passages},
    ),
    AssetRecipe(
        labels.judgments, ("labels", "synthetic_queries", "review_decisions", "passages", "base_collection"),
        "judgments", TABLE, sections=("alignment", "review"), revision=2,
    ),
    AssetRecipe(labels.splits, ("judgments",), "judgments", TABLE, sections=("splits",), revision=2),
    AssetRecipe(
        labels.quality_report, ("passages", "labels", "judgments", "splits", "base_collection"), "judgments",
        frozenset({"html", "mlflow"}), sections=("quality", "splits"),
    ),
    AssetRecipe(
        diagnosis.diagnosis, ("labels", "judgments", "splits", "passages", "base_collection"), "evidence",
        frozenset({"html", "mlflow"}), sections=("diagnosis", "retrieval", "alignment"), revision=2,
        deps_if={"documents": diagnosis.compares_chunkings, "reranker": reranker.names_reranker},
        sections_if={"quality": diagnosis.suspects_at_own_depth},
    ),
    AssetRecipe(
        decision.training_decision, ("quality_report", "diagnosis"), "training", frozenset(), sections=("diagnosis",),
        sections_if={"training": decision.trains_adapter},
    ),
    AssetRecipe(
        mining.hard_negatives, ("splits", "judgments", "base_collection"), "training", TABLE, sections=("mining",)
    ),
    AssetRecipe(
        reranker.reranker, ("splits", "hard_negatives"), "training", frozenset({"pytorch", "mlflow"}),
        sections=("model", "reranker"), deps_if={"training_decision": reranker.trains_reranker},
        accepts={"training_decision": _always},
    ),
    AssetRecipe(
        model.checkpoint, ("splits", "hard_negatives", "training_decision"), "training",
        frozenset({"pytorch", "mlflow"}), sections=("model", "training"), revision=6,
        deps_if={"reranker": model.learns_from_reranker, "probe_files": data.has_probes},
        accepts={"training_decision": decision.was_followed},
    ),
    AssetRecipe(
        model.collection, ("checkpoint", "passages"), "index", COLLECTION, sections=("sparse", "index"), revision=2,
        outdated=_when(lambda workspace: lacking(workspace, CHALLENGER)),
    ),
    AssetRecipe(
        evidence.eval_report,
        ("splits", "judgments", "labels", "passages", "base_collection", "checkpoint", "collection", "reranker", "live",
         "learning_curve"), "evidence",
        frozenset({"html", "mlflow"}), sections=("retrieval", "evaluation", "answers", "promotion"),
        revision=3, sections_if={"access": evidence.sends_some_passages},
    ),
    AssetRecipe(
        evidence.champion, ("passages", "base_collection", "collection", "eval_report"), "evidence", COLLECTION,
        accepts=dict.fromkeys(("passages", "base_collection"), _always),  # they change no more than the collection does
        outdated=_when(nothing_is_live),
    ),
    AssetRecipe(
        served.served_quality, ("query_log", "champion"), "monitoring", frozenset({"mlflow"}), sections=("monitoring",)
    ),
)  # fmt: skip
"""In topological order but for a finished reranker, which `in_order` puts before the diagnosis that weighs it."""


def in_order(settings: DomainSettings) -> tuple[AssetRecipe, ...]:
    """All recipes, each after those that it reads by these settings."""
    placed: list[AssetRecipe] = []
    waiting = list(RECIPES)
    while waiting:
        missing = {recipe.name for recipe in waiting}
        placed.append(next(one for one in waiting if missing.isdisjoint(one.reads(settings))))
        waiting.remove(placed[-1])
    return tuple(placed)
