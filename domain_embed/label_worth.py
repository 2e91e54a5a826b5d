"""What more labels would be worth to a domain: its learning curve, kept for its reports."""

import hashlib
import json
import shutil
from dataclasses import asdict

from domain_embed.contracts.errors import SettingsError
from domain_embed.contracts.ports import Tracker
from domain_embed.diagnosis.saturation import Saturation, measure_saturation
from domain_embed.evaluation.measures import ndcg_scores
from domain_embed.settings import ADAPTERS, DISTILLING
from domain_embed.stores.workspace import BASE, Workspace
from domain_embed.training.pairs import training_pairs
from domain_embed.training.teacher import taught_pairs
from domain_embed.training.validation import validation_set


def learning_curve(workspace: Workspace, tracker: Tracker) -> Saturation:
    """Trains on growing shares of the current training pairs and keeps the curve in the workspace.

    After a kill the same call goes on; nothing that serves is touched.

    Raises:
        NotReadyError: When splits, hard negatives or base collection are not there.
        SettingsError: When the domain trains an adapter, or learns from a reranker it does not have.
        TrainingError: When there are too few pairs, or its reranker has nothing to teach.
    """
    settings, tables = workspace.settings, workspace.tables
    recipe = settings.training.model_copy(update={"interpolation": ()})
    if isinstance(recipe.method, ADAPTERS):
        raise SettingsError("there is no learning curve of an adapter", "set training.method.kind to full or lora")
    splits, negatives = tables.read("splits"), tables.read("hard_negatives")
    collection = workspace.vector_store.open(workspace.aliased(BASE))
    encoder = workspace.encoder_of(collection.info)
    validation = validation_set(splits.read(), collection, encoder, recipe.validation_depth, ndcg_scores)
    pairs = training_pairs(splits.read(), negatives.read(), tables.read("passages"))
    if isinstance(recipe.objective, DISTILLING):
        pairs = taught_pairs(pairs, workspace.proven_teacher(recipe.objective.kind))
    made_of = {"base": collection.info.fingerprint, "splits": splits.version, "hard_negatives": negatives.version}
    recipe_json = recipe.model_dump(mode="json")
    key = hashlib.sha256(json.dumps([made_of, recipe_json], sort_keys=True).encode()).hexdigest()[:16]
    folder = workspace.checkpoints / f".curve-{key}"
    found = measure_saturation(
        workspace.model_location(collection.info.model), settings.model, recipe, pairs, validation, folder, tracker,
        settings.evaluation,
    )  # fmt: skip
    workspace.save_saturation({**asdict(found), **made_of})
    workspace.store()
    shutil.rmtree(folder)
    return found
