"""Asset bodies from the base model's collection to the tuned model's."""

import json
from importlib.metadata import version as package_version

import dagster as dg
import numpy as np

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.records import Qrels, Run
from domain_embed.defs.plots import curve_markdown
from domain_embed.defs.reference import keep_reference
from domain_embed.defs.work import Produced, Work, record_table
from domain_embed.evaluation.measures import HEADLINE, mean_measures, score_run
from domain_embed.indexing.build import build_collection
from domain_embed.settings import BothAdapter, QueryAdapter, TrainingSettings
from domain_embed.stores.tracking import registered_name
from domain_embed.stores.workspace import BASE, CHALLENGER, CHECKPOINT_PREFIX, write_atomically
from domain_embed.training.adapting import AdapterTrainer
from domain_embed.training.checkpoint import Checkpoint
from domain_embed.training.interpolation import Sweep
from domain_embed.training.pairs import training_pairs
from domain_embed.training.probes import read_probes
from domain_embed.training.trainer import Trainer
from domain_embed.training.validation import validation_set

RECORDED_PACKAGES = ("torch", "transformers", "sentence-transformers", "domain-embed")


def base_collection(work: Work) -> Produced:
    """Every passage embedded by the untouched base model, with BM25 beside it; only new texts are embedded."""
    return _build(work, work.settings.model.base, BASE)


def checkpoint(work: Work) -> Produced:
    """The fine-tuned model, mixed with the base model as validation and forgetting advise, as a folder for
    sentence-transformers; the base model itself where tuning did not help."""
    _require_quality(work)
    settings, tables = work.settings, work.workspace.tables
    collection = work.workspace.vector_store.open(work.workspace.aliased(BASE))
    encoder = work.workspace.encoder_of(collection.info)
    splits, negatives = tables.read("splits"), tables.read("hard_negatives")
    validation = validation_set(splits.read(), collection, encoder, settings.training.validation_depth, mean_ndcg)
    probes = read_probes(work.workspace.folder, settings.training.forgetting)
    base = work.workspace.model_location(collection.info.model)
    trainer: Trainer | AdapterTrainer
    if isinstance(settings.training.method, QueryAdapter | BothAdapter):
        trainer = AdapterTrainer(
            base, settings.model, settings.training.method, splits.read(), negatives.read(), collection, encoder,
            validation, mean_ndcg, work.workspace.vector_cache,
        )  # fmt: skip
    else:
        pairs = training_pairs(splits.read(), negatives.read(), tables.read("passages"))
        trainer = Trainer(base, settings.model, settings.training, pairs, validation, mean_ndcg, probes)
    record = {
        "domain": work.workspace.domain,
        "base": collection.info.fingerprint,
        "splits": splits.version,
        "hard_negatives": negatives.version,
        "model": settings.model.model_dump(mode="json"),
        "training": settings.training.model_dump(mode="json"),
        "probes": {probe.name: probe.version for probe in probes},
        "packages": _packages(settings.training),
    }
    work.tracker.log_params({**record["training"], "base": collection.info.model})
    trained = trainer.train(work.workspace.checkpoints, record, work.tracker)
    if trained.pool_vectors is not None and settings.model.passage_precision == "full":
        # A part of the collection that need not be embedded again.
        vectors = dict(zip(validation.content_hashes, trained.pool_vectors, strict=True))
        work.workspace.vector_cache(trained.fingerprint).put(list(vectors), np.stack(list(vectors.values())))
    keep_reference(work.workspace, trained.fingerprint)
    write_atomically(work.workspace.checkpoints / "challenger.json", json.dumps({"fingerprint": trained.fingerprint}))
    tags = {"fingerprint": trained.fingerprint, "domain": work.workspace.domain}
    name = registered_name(work.workspace.domain)
    registered = work.tracker.register_model(trained.path, name, CHALLENGER, tags)
    return _checkpoint_produced(trained, f"{name} version {registered}")


def collection(work: Work) -> Produced:
    """Every passage embedded by the fine-tuned model, complete before anyone can see it."""
    pointer = work.workspace.checkpoints / "challenger.json"
    fingerprint = json.loads(pointer.read_text(encoding="utf-8"))["fingerprint"]
    return _build(work, CHECKPOINT_PREFIX + fingerprint, CHALLENGER)


def _packages(training: TrainingSettings) -> dict[str, str]:
    """Versions of what decides the weights."""
    names = (*RECORDED_PACKAGES, "peft") if training.method.kind == "lora" else RECORDED_PACKAGES
    return {name: package_version(name) for name in names}


def _require_quality(work: Work) -> None:
    """A quality report about these very splits that found an error stops training, however it was launched."""
    if work.forced or not work.workspace.has_quality:
        return
    quality = work.workspace.quality()
    if quality["blocking"] and quality["splits_version"] == work.workspace.tables.read("splits").version:
        raise TrainingError(
            f"the quality report stops training. {quality['verdict']}",
            f"see `domain-embed quality {work.workspace.domain}`; quality.severity changes what stops, --force trains",
        )


def mean_ndcg(run: Run, qrels: Qrels) -> float:
    """Mean nDCG@10 of a run, as everywhere."""
    return mean_measures(score_run(run, qrels))[HEADLINE]


def _build(work: Work, model: str, alias: str) -> Produced:
    encoder = work.workspace.encoder(model, work.settings.model)
    report = build_collection(
        work.workspace.vector_store,
        encoder,
        model,
        work.workspace.tables.read("passages"),
        work.settings.sparse,
        work.workspace.vector_cache(encoder.document_fingerprint),
        work.settings.model.model_dump(mode="json"),
        work.settings.chunking.model_dump(mode="json"),
    )
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
    epochs = [(0.0, trained.base_ndcg), *((float(n), figure) for n, figure in enumerate(history.validation, start=1))]
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
                **{f"probe {name}": figure for name, figure in point.probes.items()},
                "lost on probes": point.loss(sweep.base),
                "kept": "yes" if point == sweep.chosen else "",
            }
            for point in sweep.points
        ]
    )
