"""Everything an evaluation found out, as one value that is stored, judged and printed."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd

from domain_embed.contracts.records import Comparison, Qrels, Run
from domain_embed.evaluation.measures import HEADLINE, mean_measures, score_run
from domain_embed.evaluation.names import BM25, RERANK, model_of, system_name, system_order, variant_of
from domain_embed.evaluation.significance import bca_intervals, compare_pairs, detectable_difference
from domain_embed.evaluation.slices import SliceEffect, slice_effects
from domain_embed.evaluation.subject import Circumstances, Subject

PLAIN = system_name("base", "dense")
"""Dense search by the untouched model: what there is before anything is chosen or learned."""


class Evidence(Subject, Circumstances):
    """A subject, its circumstances and its figures on the judged test queries.

    `systems` holds the mean of every measure by system name and `intervals` the 95 % bootstrap interval of each
    system's mean nDCG@10. Comparisons are in nDCG@10 and paired by query. `detectable` is the smallest true difference
    between challenger and incumbent that this test set shows four times of five, and `slices` is their difference
    slice by slice, the worst first.
    """

    test_queries: int
    resamples: int
    seed: int
    systems: dict[str, dict[str, float]]
    intervals: dict[str, tuple[float, float]]
    comparisons: tuple[Comparison, ...]
    detectable: float | None = None
    slices: tuple[SliceEffect, ...] = ()

    @property
    def best_untuned(self) -> str:
        """The untuned system to beat.

        Where each model's way to serve was chosen, the one chosen for the base model; else, of BM25 and all systems of
        the base model, the one with the highest mean nDCG@10. Reranked ones only where a reranker serves: without, they
        are no mere setting but a cost for every query.
        """
        means = {system: means[HEADLINE] for system, means in self.systems.items()}
        return _best_untuned(means, self)

    @property
    def challenger(self) -> str:
        """The tuned model as it would serve."""
        return self.as_served("tuned")

    @property
    def replaced(self) -> str:
        """What the tuned model would replace, as that serves: the champion when one was run, else the base model."""
        return _replaced(self.systems, self)

    @property
    def headline(self) -> Comparison:
        """The tuned against the base model as they would serve."""
        return self.comparison(self.challenger, self.as_served("base"))

    @property
    def gain(self) -> Comparison:
        """The tuned model against what it would replace, as they would serve."""
        return self.comparison(self.challenger, self.replaced)

    @property
    def untuned_gain(self) -> Comparison | None:
        """The untuned system as it would serve against dense search by the base model; None where it is that."""
        chosen = self.as_served("base")
        return None if chosen == PLAIN else self.comparison(chosen, PLAIN)

    def incumbent(self, variant: str) -> str:
        """What a tuned model would replace in a variant: the champion's system when one was run, else the base's."""
        return _incumbent(self.systems, variant)

    def mean(self, system: str) -> float:
        """The mean nDCG@10 of a system."""
        return self.systems[system][HEADLINE]

    def comparison(self, challenger: str, baseline: str) -> Comparison:
        """The comparison of two systems by name.

        Raises:
            ValueError: These two were not compared.
        """
        for comparison in self.comparisons:
            if (comparison.challenger, comparison.baseline) == (challenger, baseline):
                return comparison
        raise ValueError(f"the evidence on {self.domain!r} does not compare {challenger} to {baseline}")

    def without_tuned(self) -> Self:
        """What is to be shown where nothing was tuned: the systems there are, and no figure of a model there is not."""
        return self.model_copy(
            update={
                "systems": {name: means for name, means in self.systems.items() if model_of(name) != "tuned"},
                "intervals": {name: bounds for name, bounds in self.intervals.items() if model_of(name) != "tuned"},
                "comparisons": tuple(one for one in self.comparisons if model_of(one.challenger) != "tuned"),
                "serving": tuple(one for one in self.serving if model_of(one.system) != "tuned"),
                "sharding": tuple(one for one in self.sharding if model_of(one.system) != "tuned"),
                "containment": {name: one for name, one in self.containment.items() if model_of(name) != "tuned"},
                "validation": None,
                "slices": (),
                "detectable": None,
            }
        )

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; `from_json` gives back an equal value."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The evidence that `to_json` stored; raises pydantic's ValidationError, a ValueError, on anything else."""
        return cls.model_validate(stored)


def gather_evidence(
    runs: Mapping[str, Run], qrels: Qrels, subject: Subject, circumstances: Circumstances | None = None,
    labels: pd.DataFrame | None = None, *, resamples: int = 10_000, seed: int = 0,
) -> tuple[Evidence, pd.DataFrame]:  # fmt: skip
    """Measures every run on the same queries and compares those that matter for the decision.

    Args:
        runs: Ranked passage ids per query, by system name: "bm25", "base/dense", "tuned/hybrid+rerank" and so on.
        qrels: The test judgments.
        subject: What the runs belong to.
        circumstances: What else is known.
        labels: What divides the queries, as `label_queries` gives.
        resamples: Of each interval and p-value.
        seed: Of each interval and p-value.

    Returns:
        The evidence, and every score behind it: columns system, query_id and the measures, one row per system and
        query.

    Raises:
        ValueError: A system that the decision rests on was not run, or as `score_run` does.
    """
    _check_systems(runs, subject)
    scores = {system: score_run(runs[system], qrels) for system in sorted(runs, key=system_order)}
    evidence = weigh_scores(scores, subject, circumstances, labels, resamples=resamples, seed=seed)
    return evidence, pd.concat(scores, names=["system"]).reset_index()


def weigh_scores(
    scores: Mapping[str, pd.DataFrame], subject: Subject, circumstances: Circumstances | None = None,
    labels: pd.DataFrame | None = None, *, resamples: int = 10_000, seed: int = 0,
) -> Evidence:  # fmt: skip
    """The evidence that score tables of the same queries give, one per system, as `score_run` makes them.

    Compared in nDCG@10, each pair once: the tuned model with base and champion in every variant that was run, and the
    tuned model as it would serve with the best untuned system; where nothing was tuned, every untuned system with the
    base model as it would serve, too.
    """
    figures = pd.DataFrame({system: table[HEADLINE] for system, table in scores.items()})
    means = {str(system): float(mean) for system, mean in figures.mean().items()}
    challenger, incumbent = subject.as_served("tuned"), _replaced(means, subject)
    differences = figures[challenger] - figures[incumbent]
    bounds = bca_intervals(figures.to_numpy(), resamples=resamples, seed=seed).tolist()
    return Evidence(
        **dict(subject),
        **dict(circumstances or Circumstances()),
        test_queries=len(figures),
        resamples=resamples,
        seed=seed,
        systems={system: mean_measures(table) for system, table in scores.items()},
        intervals={system: (low, high) for system, (low, high) in zip(figures, bounds, strict=True)},
        comparisons=tuple(compare_pairs(_pairs(means, subject), HEADLINE, figures, resamples=resamples, seed=seed)),
        detectable=detectable_difference(differences.to_numpy(np.float64)),
        slices=()
        if labels is None
        else slice_effects(labels, figures[challenger], figures[incumbent], resamples=resamples, seed=seed),
    )


def _pairs(means: Mapping[str, float], subject: Subject) -> list[tuple[str, str]]:
    """The (challenger, baseline) pairs to compare, each once: as they serve first, and of these what is live."""
    challenger, served = subject.as_served("tuned"), subject.variant("tuned")
    variants = [variant_of(system) for system in means if model_of(system) == "tuned"]
    pairs = [(challenger, _replaced(means, subject)), (challenger, subject.as_served("base"))]
    pairs += [
        (f"tuned/{variant}", f"{model}/{variant}")
        for model in ("champion", "base")
        for variant in sorted(variants, key=lambda variant: variant != served)
        if f"{model}/{variant}" in means
    ]
    if subject.served_mode != "sparse":
        pairs.append((challenger, _best_untuned(means, subject)))
    if subject.is_chosen and subject.as_served("base") != PLAIN:
        pairs.append((subject.as_served("base"), PLAIN))
    if subject.nothing_tuned:
        base = subject.as_served("base")
        pairs += [(system, base) for system in means if model_of(system) in (BM25, "base") and system != base]
    by_relevance = sorted(pairs, key=lambda pair: pair[0] != challenger)  # stable
    return list(dict.fromkeys(by_relevance))


def _check_systems(runs: Mapping[str, Run], subject: Subject) -> None:
    """Without these systems the evidence proves nothing: a champion run in another variant only is no incumbent."""
    needed = {subject.as_served("base"), subject.as_served("tuned")}
    needed |= {BM25} if subject.served_mode == "sparse" else {PLAIN} if subject.is_chosen else set()
    if any(model_of(system) == "champion" for system in runs):
        needed.add(subject.as_served("champion"))
    missing = sorted(needed - set(runs))
    if missing:
        raise ValueError(f"no run of {' and '.join(missing)}, which retrieval.mode {subject.served_mode} is judged by")


def _best_untuned(means: Mapping[str, float], subject: Subject) -> str:
    if subject.is_chosen:
        return subject.as_served("base")
    untuned = [
        system
        for system in means
        if model_of(system) in (BM25, "base") and (subject.served_rerank or not system.endswith(RERANK))
    ]
    return max(untuned, key=lambda system: means[system])


def _replaced(systems: Mapping[str, object], subject: Subject) -> str:
    is_live = any(model_of(system) == "champion" for system in systems)
    return subject.as_served("champion" if is_live else "base")


def _incumbent(systems: Mapping[str, object], variant: str) -> str:
    champion = system_name("champion", variant)
    return champion if champion in systems else system_name("base", variant)
