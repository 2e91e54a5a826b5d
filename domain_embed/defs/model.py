"""Asset bodies from the base model's collection to the tuned model's."""

from collections.abc import Sequence
from importlib.metadata import version as package_version
from typing import Any

import dagster as dg
import numpy as np

from domain_embed.contracts.errors import NotReadyError
from domain_embed.contracts.ports import Collection, Reranker
from domain_embed.contracts.records import CollectionInfo
from domain_embed.defs.collections import bring_up
from domain_embed.defs.decision import kept_base
from domain_embed.defs.plots import curve_markdown
from domain_embed.defs.reference import keep_reference
from domain_embed.defs.work import Produced, Work, joint_version, record_table
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.measures import ndcg_scores
from domain_embed.settings import ADAPTERS, DISTILLING, DomainSettings
from domain_embed.stores.tracking import registered_name
from domain_embed.stores.workspace import BASE, CHALLENGER, CHECKPOINT_PREFIX, KeptBase
from domain_embed.training.adapting import AdapterTrainer
from domain_embed.training.checkpoint import Checkpoint
from domain_embed.training.interpolation import Sweep
from domain_embed.training.pairs import training_pairs
from domain_embed.training.probes import Probe, read_probes
from domain_embed.training.teacher import taught_pairs
from domain_embed.training.trainer import Trainer
from domain_embed.training.validation import ValidationSet, validation_set

RECORDED_PACKAGES = ("torch", "transformers", "sentence-transformers", "domain-embed")


def base_collection(work: Work) -> Produced:
    """Every passage embedded by the untouched base model, with BM25 beside it; only new texts are embedded."""
    return _build(work, work.settings.model.base, BASE)


def checkpoint(work: Work) -> Produced:
    """The fine-tuned model, mixed with the base model as validation and forgetting advise, as a folder for
    sentence-transformers; the base model itself where tuning did not help, or is not to be tried."""
    kept = None if work.forced else kept_base(work.workspace)
    return _trained(work) if kept is None else _base_kept(work, kept)


def _base_kept(work: Work, kept: KeptBase) -> Produced:
    """The decision is the result: the same one about the same judgments and base model is the same version."""
    work.workspace.keep_base(kept)
    return Produced(
        joint_version("base kept", kept.splits, kept.base),
        {"kept": f"the base model, and nothing is trained: {kept.reason}", "model fingerprint": kept.base},
        {"stopped_before_training": 1.0},
    )


def _trained(work: Work) -> Produced:
    settings, tables = work.settings, work.workspace.tables
    collection = work.workspace.vector_store.open(work.workspace.aliased(BASE))
    encoder = work.workspace.encoder_of(collection.info)
    splits, depth = tables.read("splits").read(), settings.training.validation_depth
    validation = validation_set(splits, collection, encoder, depth, ndcg_scores)
    probes = read_probes(work.workspace.folder, settings.training.forgetting)
    objective = settings.training.objective.kind
    teacher = work.workspace.proven_teacher(objective) if learns_from_reranker(settings) else None
    trainer = _trainer(work, collection, encoder, validation, probes, teacher)
    record = _record(work, collection.info, probes, teacher)
    work.tracker.log_params({**record["training"], "base": collection.info.model})
    trained = trainer.train(work.workspace.checkpoints, record, work.tracker)
    _keep_pool_vectors(work, trained, validation)
    keep_reference(work.workspace, trained.fingerprint)
    work.workspace.set_newest_checkpoint(trained.fingerprint)
    tags = {"fingerprint": trained.fingerprint, "domain": work.workspace.domain}
    name = registered_name(work.workspace.domain)
    registered = work.tracker.register_model(trained.path, name, CHALLENGER, tags)
    return _checkpoint_produced(trained, f"{name} version {registered}")


def collection(work: Work) -> Produced:
    """Every passage embedded by the fine-tuned model, complete before anyone can see it; where the base model was kept,
    the base collection."""
    if work.workspace.kept_base is not None:
        return _build(work, work.settings.model.base, CHALLENGER)
    fingerprint = work.workspace.newest_checkpoint
    if fingerprint is None:
        raise NotReadyError(f"domain {work.workspace.domain!r} has no checkpoint yet", "materialize checkpoint first")
    return _build(work, CHECKPOINT_PREFIX + fingerprint, CHALLENGER)


def learns_from_reranker(settings: DomainSettings) -> bool:
    """Whether the training objective needs a teacher; an adapter has an objective of its own."""
    return isinstance(settings.training.objective, DISTILLING) and not isinstance(settings.training.method, ADAPTERS)


def _trainer(
    work: Work, base: Collection, encoder: TorchEncoder, validation: ValidationSet, probes: Sequence[Probe],
    teacher: Reranker | None,
) -> Trainer | AdapterTrainer:  # fmt: skip
    settings, tables = work.settings, work.workspace.tables
    splits, negatives = tables.read("splits").read(), tables.read("hard_negatives").read()
    location = work.workspace.model_location(base.info.model)
    if isinstance(settings.training.method, ADAPTERS):
        return AdapterTrainer(
            location, settings.model, settings.training.method, splits, negatives, base, encoder, validation,
            ndcg_scores, work.workspace.vector_cache,
        )  # fmt: skip
    pairs = training_pairs(splits, negatives, tables.read("passages"))
    taught = taught_pairs(pairs, teacher) if teacher else pairs
    return Trainer(location, settings.model, settings.training, taught, validation, ndcg_scores, probes)


def _record(work: Work, base: CollectionInfo, probes: Sequence[Probe], teacher: Reranker | None) -> dict[str, Any]:
    """All that goes into a checkpoint: of equal records the same model comes out, on the same machine."""
    settings, tables = work.settings, work.workspace.tables
    packages = (*RECORDED_PACKAGES, "peft") if settings.training.method.kind == "lora" else RECORDED_PACKAGES
    return {
        "domain": work.workspace.domain,
        "base": base.fingerprint,
        "splits": tables.read("splits").version,
        "hard_negatives": tables.read("hard_negatives").version,
        "model": settings.model.model_dump(mode="json"),
        "training": settings.training.model_dump(mode="json"),
        "probes": {probe.name: probe.version for probe in probes},
        "teacher": teacher.fingerprint if teacher else None,
        "packages": {name: package_version(name) for name in packages},
    }


def _keep_pool_vectors(work: Work, trained: Checkpoint, validation: ValidationSet) -> None:
    """The validation pool is a part of the collection that need not be embedded again."""
    if trained.pool_vectors is not None and work.settings.model.passage_precision == "full":
        vectors = dict(zip(validation.content_hashes, trained.pool_vectors, strict=True))
        work.workspace.vector_cache(trained.fingerprint).put(list(vectors), np.stack(list(vectors.values())))


def _build(work: Work, model: str, alias: str) -> Produced:
    report = bring_up(work, model, work.settings.model.model_dump(mode="json"))
    work.workspace.vector_store.set_alias(alias, report.info.name)
    return Produced(
        report.info.name,
        {
            "collection": report.info.name,
            "model": model,
            "model fingerprint": report.info.fingerprint,
            "dagster/row_count": report.info.count,
            "dimensions": report.info.dimensions,
            "filterable": dg.MetadataValue.json(dict(report.info.metadata_types)),
        },
        {"passages": report.info.count, "embedded": report.embedded, "reused": report.reused},
    )


def _checkpoint_produced(trained: Checkpoint, registered: str) -> Produced:
    history, sweep = trained.history, trained.sweep
    epochs = [(0.0, trained.base_ndcg), *history.curve]
    curve = [(point.alpha, point.validation) for point in sweep.points]
    return Produced(
        trained.fingerprint,
        {
            "path": dg.MetadataValue.path(str(trained.path)),
            "model fingerprint": trained.fingerprint,
            "registered as": registered,
            "kept": sweep.sentence,
            "learning rate": trained.learning_rate,
            "best epoch": history.best_epoch,
            "epochs": history.curve[-1][0],
            "ended by": history.ended,
            "loss": curve_markdown(list(enumerate(history.loss, start=1)), "step", "loss"),
            "validation": curve_markdown(epochs, "epoch (0 = base)", "nDCG@10"),
            "mixtures": _mixtures(sweep),
            "mixture curve": curve_markdown(curve, "alpha (0 = base, 1 = tuned)", "nDCG@10"),
        },
        {
            "validation_ndcg_at_10": sweep.chosen.validation,
            "base_validation_ndcg_at_10": trained.base_ndcg,
            "forgotten_ndcg_at_10": sweep.chosen.loss(sweep.base),
            "alpha": sweep.chosen.alpha,
            "steps": history.steps,
        },
    )


def _mixtures(sweep: Sweep) -> dg.MetadataValue:
    """Every share of the tuned weights with its figures."""
    return record_table(
        [
            {
                "alpha": point.alpha,
                "validation": point.validation,
                "standard error to tuned": point.error,
                **{f"probe {name}": figure for name, figure in point.probes.items()},
                "lost on probes": point.loss(sweep.base),
                "kept": "yes" if point == sweep.chosen else "",
            }
            for point in sweep.points
        ]
    )
