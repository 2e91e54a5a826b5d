"""Asset body of the reranker, and how it is judged: by what it does to the base model's ranking."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version as package_version
from typing import Any

import pandas as pd

from domain_embed.contracts.errors import TrainingError
from domain_embed.contracts.ports import Reranker
from domain_embed.contracts.records import Comparison, Hit, Qrels
from domain_embed.defs.decision import required_decision
from domain_embed.defs.model import RECORDED_PACKAGES
from domain_embed.defs.plots import curve_markdown
from domain_embed.defs.work import Produced, Work
from domain_embed.encoding.reranker import CrossEncoderReranker
from domain_embed.evaluation.measures import HEADLINE, ndcg_scores
from domain_embed.evaluation.significance import compare
from domain_embed.retrieval.reranking import rerank_heads
from domain_embed.settings import DomainSettings, RerankerSettings
from domain_embed.stores.tracking import registered_name
from domain_embed.stores.workspace import BASE, RERANKER_PREFIX, Workspace
from domain_embed.training.pairs import training_pairs
from domain_embed.training.reranker import TrainedReranker, finished_training, train_reranker

NONE, TRAIN = "none", "train"
CURRENT = "current"
"""The registry alias of the newest one."""


def names_reranker(settings: DomainSettings) -> bool:
    """Whether the reranker is a finished model: one that is there before anything is trained."""
    return settings.reranker.source not in (NONE, TRAIN)


def trains_reranker(settings: DomainSettings) -> bool:
    """Whether the reranker is trained for the domain."""
    return settings.reranker.source == TRAIN


def reranker(work: Work) -> Produced:
    """A cross-encoder for a second look at the best passages, judged on validation queries; none unless asked for.

    It is another lever than fine-tuning, so one is trained also where the base model is kept; not where the decision is
    to stop.
    """
    settings, workspace = work.settings.reranker, work.workspace
    if settings.source == NONE:
        workspace.save_reranker({"source": NONE})
        return Produced(NONE, {"source": NONE})
    work.tracker.log_params(settings.model_dump(mode="json"))
    trained = _train(work) if trains_reranker(work.settings) else None
    model = RERANKER_PREFIX + trained.fingerprint if trained else settings.source
    found = CrossEncoderReranker.load(workspace.reranker_location(model), settings.max_tokens)
    judged = _judge(work, found)
    registered = _register(work, trained) if trained else "not registered: it was not made here"
    workspace.save_reranker(
        {
            "source": settings.source, "model": model, "max_tokens": settings.max_tokens,
            "fingerprint": found.fingerprint, "validation": judged.as_json(),
        }
    )  # fmt: skip
    return Produced(
        found.fingerprint,
        {
            "source": settings.source,
            "model": model,
            "model fingerprint": found.fingerprint,
            "registered as": registered,
            "on validation": judged.words(),
            **({"loss": curve_markdown(list(enumerate(trained.loss, start=1)), "step", "loss")} if trained else {}),
        },
        {
            "validation_ndcg_at_10": judged.reranked,
            "base_validation_ndcg_at_10": judged.base,
            "gain": judged.comparison.delta,
            "gain_low": judged.comparison.ci95[0],
            "gain_high": judged.comparison.ci95[1],
        },
    )


@dataclass(frozen=True)
class Judged:
    """Mean nDCG@10 of the base model's ranking of some validation queries, as it is and put in order anew."""

    base: float
    reranked: float
    depth: int
    comparison: Comparison

    def words(self) -> str:
        """The figures in a sentence."""
        one = self.comparison
        return (
            f"nDCG@10 {self.base:.4f} → {self.reranked:.4f} by reranking the base model's best {self.depth} of "
            f"{one.wins + one.ties + one.losses} queries: {one.delta:+.4f} "
            f"(95 % interval {one.ci95[0]:+.4f} to {one.ci95[1]:+.4f}), {one.wins} better, {one.losses} worse"
        )

    def as_json(self) -> dict[str, Any]:
        """The figures by name."""
        return asdict(self)


def judge_reranker(
    reranker: Reranker, queries: Mapping[str, str], qrels: Qrels, rankings: Mapping[str, Sequence[Hit]],
    settings: RerankerSettings,
) -> Judged:  # fmt: skip
    """Compares rankings with themselves in the reranker's order, paired by query.

    Args:
        reranker: Who puts them in order.
        queries: Text by query id.
        qrels: What answers them.
        rankings: Hits with payload per query id.
        settings: Depth, resamples and seed of the comparison.
    """
    texts = [queries[query_id] for query_id in rankings]
    new = rerank_heads(reranker, texts, {"dense": list(rankings.values())}, settings.depth)["dense"]
    before, after = (
        ndcg_scores({query_id: [hit.passage_id for hit in hits] for query_id, hits in ranked.items()}, qrels)
        for ranked in (rankings, dict(zip(rankings, new, strict=True)))
    )
    comparison = compare(
        "base/dense+rerank", "base/dense", HEADLINE, after, before, resamples=settings.resamples, seed=settings.seed
    )
    return Judged(float(before.mean()), float(after.mean()), settings.depth, comparison)


def _judge(work: Work, found: Reranker) -> Judged:
    """On a sample of the validation queries, through the base model's collection."""
    settings, workspace = work.settings.reranker, work.workspace
    queries, qrels = _validation_set(workspace, settings)
    searcher = workspace.searcher(workspace.aliased(BASE), work.settings.retrieval, found)
    ranked = searcher.rank(list(queries.values()), settings.depth, ["dense"], exact=True, payload=True)["dense"]
    return judge_reranker(found, queries, qrels, dict(zip(queries, ranked, strict=True)), settings)


def _validation_set(workspace: Workspace, settings: RerankerSettings) -> tuple[dict[str, str], Qrels]:
    """Texts and judgments of a sample of the validation queries. Raises TrainingError when there are none."""
    texts, qrels = workspace.judged("validation")
    if not texts:
        raise TrainingError("there are no validation queries to judge a reranker on", "raise splits.validation")
    sample = pd.Series(texts).sample(min(settings.queries, len(texts)), random_state=settings.seed).sort_index()
    return dict(sample), {query_id: qrels[query_id] for query_id in sample.index}


def _train(work: Work) -> TrainedReranker:
    """The trained reranker; one that was trained of the very same before is that one, unless it is forced."""
    if not work.forced:
        required_decision(work.workspace)
    tables, settings, workspace = work.workspace.tables, work.settings.reranker, work.workspace
    splits, negatives = tables.read("splits"), tables.read("hard_negatives")
    pairs = training_pairs(splits.read(), negatives.read(), tables.read("passages"))
    start = settings.start or work.settings.model.base
    record = {
        "domain": workspace.domain,
        "start": start,
        "splits": splits.version,
        "hard_negatives": negatives.version,
        "reranker": settings.model_dump(mode="json"),
        "packages": {name: package_version(name) for name in RECORDED_PACKAGES},
    }
    finished = None if work.forced else finished_training(workspace.rerankers, record)
    if finished is not None:
        return finished
    return train_reranker(workspace.model_location(start), settings, pairs, workspace.rerankers, record, work.tracker)


def _register(work: Work, trained: TrainedReranker) -> str:
    name = f"{registered_name(work.workspace.domain)}-reranker"
    tags = {"fingerprint": trained.fingerprint, "domain": work.workspace.domain}
    return f"{name} version {work.tracker.register_folder(trained.path, name, CURRENT, tags)}"
