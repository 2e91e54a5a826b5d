"""The whole diagnosis: rank, find the causes, try the levers, recommend."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import pandas as pd
import pyarrow as pa

from domain_embed.contracts.ports import Collection, Encoder, Reranker, TableReader
from domain_embed.contracts.records import Comparison, Mode, Served
from domain_embed.diagnosis.adapter import adapted_scores, try_adapter
from domain_embed.diagnosis.candidates import Pool, candidate_levers, neutral_pool
from domain_embed.diagnosis.causes import CAUSES, Cause, Symptoms, cause_of, explain
from domain_embed.diagnosis.chunkings import chunking_levers, compare_on
from domain_embed.diagnosis.estimate import USUAL_EPOCHS, fine_tuning_estimate
from domain_embed.diagnosis.levers import (
    Lever,
    Yardstick,
    bound_levers,
    mode_scores,
    perfect_reranking,
    setting_levers,
    tuned_weight,
    weighted_run,
)
from domain_embed.diagnosis.probe import Ground, Probe, run_probe
from domain_embed.diagnosis.rankings import QueryMemory, Rankings, development_queries, rank_queries
from domain_embed.diagnosis.recommendation import FINE_TUNING, Findings, Recommendation, recommend
from domain_embed.diagnosis.reranking import measured_reranking
from domain_embed.diagnosis.symptoms import Examination
from domain_embed.diagnosis.unanswered import LabelLosses, label_losses
from domain_embed.diagnosis.unseen import Windows
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.choice import choose
from domain_embed.evaluation.measures import HEADLINE
from domain_embed.evaluation.names import system_name
from domain_embed.evaluation.significance import compare
from domain_embed.judgments.graded import filters_of, graded_queries
from domain_embed.settings import ChunkingSettings, DomainSettings, EvaluationSettings, RetrievalSettings

INTERVALS = EvaluationSettings(resamples=4000)
"""The diagnosis's own, so that an edit of `evaluation:` makes none stale."""
SNIPPET = 160
PAIRS: tuple[tuple[Mode, Mode], ...] = (
    ("sparse", "dense"), ("hybrid", "dense"), ("weighted", "dense"),
    ("hybrid", "sparse"), ("weighted", "sparse"), ("weighted", "hybrid"),
)  # fmt: skip


@dataclass(frozen=True)
class Material:
    """What is examined.

    `judged` are the queries that have a judgment, `base` is where the base model is loaded from, `resolve` says where
    other models are, `documents` are there if other ways to cut them are compared, and `reranker` if a finished one is
    named.
    """

    splits: pa.Table
    labels: pa.Table
    judged: set[str]
    documents: TableReader | None
    passages: TableReader
    collection: Collection
    encoder: TorchEncoder
    base: str
    resolve: Callable[[str], str] = str
    reranker: Reranker | None = None


@dataclass(frozen=True)
class Example:
    """One failed query: what was asked, what should have come, what came first, and why it failed."""

    query_id: str
    query: str
    expected: str
    found: str
    why: str


@dataclass(frozen=True)
class CauseFound:
    """How many queries fail by one cause, of how many that could have, with the first examples."""

    cause: Cause
    queries: int
    of: int
    examples: tuple[Example, ...]

    @property
    def share(self) -> float:
        """Of the queries that could have failed so."""
        return self.queries / self.of if self.of else 0.0


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found out.

    `queries` were looked at, `validation` of them are validation's, the others training's. `failures` counts those
    without a positive in the top ten of the base model's dense ranking. `systems` is the mean nDCG@10 of each mode, and
    `dense_weight` that of weighted fusion, tuned on all queries unless the settings fix it.
    """

    served: str
    passages: int
    queries: int
    validation: int
    failures: int
    dense_weight: float
    systems: Mapping[str, float]
    comparisons: tuple[Comparison, ...]
    causes: tuple[CauseFound, ...]
    levers: tuple[Lever, ...]
    recommendation: Recommendation
    probe: Mapping[str, Any] | None

    def version(self) -> str:
        """Hash of what was found; nothing that was timed is in it."""
        content = asdict(self)
        content["recommendation"] = {**content["recommendation"], "reasons": None}
        content["levers"] = [{**lever, "seconds": None, "facts": None} for lever in content["levers"]]
        if content["probe"] is not None:
            content["probe"] = {**content["probe"], "train_s": None, "embed_s": None}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=list).encode()).hexdigest()[:16]


def diagnose(material: Material, settings: DomainSettings) -> Diagnosis:
    """Examines the base model on validation queries, and on training queries where those are few.

    Args:
        material: What is examined.
        settings: Of the domain; read are `diagnosis`, `retrieval`, `alignment`, `model`, and `quality.suspect_depth`.
    """
    memory, chosen = QueryMemory(material.encoder), settings.diagnosis
    rows = development_queries(material.splits, chosen.queries, chosen.seed)
    filters = filters_of(rows)
    rankings = rank_queries(*graded_queries(rows), material.collection, memory, settings.retrieval, filters)
    symptoms = Examination(
        rankings, material.collection, memory, material.passages,
        Windows(material.encoder.tokenizer, material.encoder.max_tokens), chosen, settings.quality, filters,
    ).symptoms()  # fmt: skip
    losses = label_losses(
        material.labels, material.judged, material.passages, material.collection, settings.alignment
    )  # fmt: skip
    causes = {one.query_id: cause_of(one) for one in symptoms}
    validation = {row["query_id"] for row in rows.to_pylist() if row["split"] == "validation"}
    by_mode = mode_scores(rankings, settings.retrieval.dense_weight)
    settings = settings.model_copy(update={"retrieval": _as_served(settings.retrieval, by_mode)})
    given = settings.retrieval.dense_weight
    weight = tuned_weight(rankings) if given is None else given
    levers = _levers(material, settings, memory, rankings, by_mode, weight, causes, losses, validation)
    probe = _probe(material, settings, memory, rankings, weight)
    served = cast(Mode, settings.retrieval.mode)
    tried = None
    if probe is not None:
        gained = compare(
            "probe", "base", HEADLINE, probe.after, probe.before, resamples=INTERVALS.resamples, seed=INTERVALS.seed
        )
        tried = _told(probe, gained, material)
        levers.append(_fine_tuning(gained, tried, material, float(by_mode[served].mean())))
    found = Findings(
        len(rankings.queries), Counter(causes.values()) + Counter(one.cause for one in losses.unanswered),
        f"base/{served}", float(by_mode[served].mean()), levers, chosen.min_gain,
    )  # fmt: skip
    return Diagnosis(
        served=found.served,
        passages=material.collection.count(),
        queries=found.queries,
        validation=len(validation),
        failures=len(symptoms),
        dense_weight=weight,
        systems={system_name("base", mode): float(scores.mean()) for mode, scores in by_mode.items()},
        comparisons=tuple(_compared(one, other, by_mode) for one, other in PAIRS),
        causes=_causes(symptoms, losses, rankings, material.collection, chosen.examples),
        levers=tuple(sorted(levers, key=lambda lever: (lever.kind == "bound", -lever.gain))),
        recommendation=recommend(found),
        probe=tried,
    )


def _as_served(settings: RetrievalSettings, by_mode: "Mapping[Mode, pd.Series[float]]") -> RetrievalSettings:
    """In place of auto the mode that is chosen for the base model, of those without a reranker, by these queries."""
    scores: dict[str, pd.Series[float]] = dict(by_mode.items())
    return settings.served_as(Served(cast(Mode, choose(scores).variant)))


def _levers(
    material: Material, settings: DomainSettings, memory: QueryMemory, rankings: Rankings,
    by_mode: "Mapping[Mode, pd.Series[float]]", weight: float, causes: Mapping[str, Cause], losses: LabelLosses,
    validation: set[str],
) -> list[Lever]:  # fmt: skip
    """All but fine-tuning."""
    served, count = cast(Mode, settings.retrieval.mode), material.collection.count()
    yardstick = Yardstick(served, by_mode[served], INTERVALS)
    levers = setting_levers(yardstick, by_mode, weight)
    run = weighted_run(rankings, settings.retrieval.dense_weight) if served == "weighted" else rankings.run(served)
    chosen = settings.diagnosis
    if material.reranker is not None and chosen.rerank_queries:
        levers.append(
            measured_reranking(
                rankings, run, material.collection, material.reranker, yardstick, chosen.rerank_queries, chosen.seed
            )
        )
    else:
        levers.append(perfect_reranking(rankings, run, yardstick))
    if chosen.candidates or chosen.chunkings:
        pool = neutral_pool(rankings, material.collection, material.passages, chosen)
        levers += candidate_levers(pool, memory, yardstick, count, chosen, material.resolve)
        levers += _chunkings(material, pool, yardstick, chosen.chunkings)
    levers += bound_levers(causes, losses, yardstick, count)
    if settings.diagnosis.adapter_queries and served == "dense" and validation:
        adapter = try_adapter(material.splits, material.collection, memory, settings.diagnosis)
        if adapter is not None:
            scores = adapted_scores(adapter, rankings, material.collection, memory)
            levers.append(
                yardstick.measured(
                    "adapter",
                    "A query adapter",
                    scores.loc[sorted(validation)],
                    "`training.method: {kind: query_adapter}`, then `domain-embed run`",
                    seconds=30.0,
                    note="learned from training queries, measured on validation queries",
                )
            )
    return levers


def _chunkings(
    material: Material, pool: Pool, yardstick: Yardstick, chunkings: Sequence[ChunkingSettings]
) -> list[Lever]:
    if not chunkings or material.documents is None:
        return []
    comparing = compare_on(pool, material.documents, material.passages, material.labels, material.encoder)
    return chunking_levers(comparing, material.collection, chunkings, yardstick)


def _probe(
    material: Material, settings: DomainSettings, memory: Encoder, rankings: Rankings, weight: float
) -> Probe | None:
    if not settings.diagnosis.probe_pairs:
        return None
    ground = Ground(
        material.splits, material.passages, material.collection, memory, material.base, settings.model
    )  # fmt: skip
    return run_probe(
        ground, rankings, cast(Mode, settings.retrieval.mode), weight, settings.retrieval.rrf_k, settings.diagnosis
    )  # fmt: skip


def _told(probe: Probe, gained: Comparison, material: Material) -> dict[str, Any]:
    """What the probe found, as it is kept: enough to estimate any number of epochs."""
    return {
        "pairs": probe.pairs, "queries": len(probe.before), "pool": probe.pool, "gain": gained.delta,
        "ci95": gained.ci95, "train_pairs": sum(row == "train" for row in material.splits["split"].to_pylist()),
        "train_s": probe.train_s, "embed_s": probe.embed_s,
    }  # fmt: skip


def _fine_tuning(gained: Comparison, told: Mapping[str, Any], material: Material, mean: float) -> Lever:
    """Its estimate is for the standard recipe over all training pairs."""
    gain, ci95, seconds = fine_tuning_estimate(told, mean, USUAL_EPOCHS)
    return Lever(
        FINE_TUNING, "Fine-tuning", "estimated", gain, ci95, min(1.0, mean + gain), "`domain-embed run`",
        seconds=seconds, reembeds=material.collection.count(), comparison=gained,
        note=f"for {USUAL_EPOCHS} epochs; {told['pairs']:,} of {told['train_pairs']:,} training pairs, seen once, "
        f"gained {told['gain']:+.3f}",
    )  # fmt: skip


def _compared(one: Mode, other: Mode, by_mode: "Mapping[Mode, pd.Series[float]]") -> Comparison:
    return compare(
        system_name("base", one), system_name("base", other), HEADLINE, by_mode[one], by_mode[other],
        resamples=INTERVALS.resamples, seed=INTERVALS.seed,
    )  # fmt: skip


def _causes(
    symptoms: Sequence[Symptoms], losses: LabelLosses, rankings: Rankings, collection: Collection, shown: int
) -> tuple[CauseFound, ...]:
    """Every cause with its queries; those that never became a judgment are counted of all that were asked."""
    found = []
    top = {
        key: hits[0].passage_id for key, hits in zip(rankings.query_ids, rankings.hits["dense"], strict=True) if hits
    }
    for cause in CAUSES:
        failed = [one for one in symptoms if cause_of(one) == cause]
        lost = [one for one in losses.unanswered if one.cause == cause]
        examples = [_example(one, rankings, top, collection) for one in failed[:shown]]
        examples += [Example(one.query_id, one.query, "", "", one.detail) for one in lost[: shown - len(examples)]]
        of = len(rankings.queries) if failed or not lost else losses.asked
        if failed and lost:
            of = len(rankings.queries) + losses.asked
        found.append(CauseFound(cause, len(failed) + len(lost), of, tuple(examples)))
    return tuple(found)


def _example(symptoms: Symptoms, rankings: Rankings, top: Mapping[str, str], collection: Collection) -> Example:
    key = symptoms.query_id
    shown = {
        point.passage_id: _shortened(f"{point.title}: {point.text}" if point.title else point.text)
        for point in collection.fetch([*symptoms.positives[:1], *([top[key]] if key in top else [])])
    }
    expected = symptoms.positives[0] if symptoms.positives else ""
    return Example(
        key, rankings.queries[key], shown.get(expected, ""), shown.get(top.get(key, ""), ""), explain(symptoms)
    )


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SNIPPET else flat[: SNIPPET - 1] + "…"
