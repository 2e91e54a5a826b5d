"""Everything an evaluation found out, as one value that is stored, judged and printed."""

from collections.abc import Mapping
from typing import Any, Self

import pandas as pd
from pydantic import AwareDatetime, BaseModel, ConfigDict

from domain_embed.contracts.records import Comparison, Mode, Qrels, Run
from domain_embed.evaluation.measures import HEADLINE, mean_measures, score_run
from domain_embed.evaluation.significance import bootstrap_interval, compare

BM25 = "bm25"
_FAMILIES = (BM25, "base", "champion", "tuned")
_TUNABLE_MODES: tuple[Mode, ...] = ("dense", "hybrid")


class Subject(BaseModel):
    """What was evaluated, and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    domain: str
    served_mode: Mode
    queries_per_split: dict[str, int]
    passages: int
    challenger_fingerprint: str
    baseline_fingerprint: str
    champion_fingerprint: str | None = None
    model_path: str
    collection: str
    created_at: AwareDatetime


class Evidence(Subject):
    """A subject and its figures on the judged test queries.

    `systems` holds the mean of every measure by system name and `intervals` the 95 % bootstrap interval of each
    system's mean nDCG@10. Comparisons are in nDCG@10 and paired by query.
    """

    test_queries: int
    resamples: int
    seed: int
    systems: dict[str, dict[str, float]]
    intervals: dict[str, tuple[float, float]]
    comparisons: tuple[Comparison, ...]

    @property
    def best_untuned(self) -> str:
        """The system with the highest mean nDCG@10 among BM25 and those of the base model."""
        return _best_untuned(self.systems)

    @property
    def headline(self) -> Comparison:
        """The tuned against the base model in the served mode; dense when no model serves."""
        mode = "dense" if self.served_mode == "sparse" else self.served_mode
        return self.comparison(f"tuned/{mode}", f"base/{mode}")

    def incumbent(self, mode: Mode) -> str:
        """What a tuned model would replace in a mode: the champion's system when one was run, else the base's."""
        return _incumbent(self.systems, mode)

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

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values; `from_json` gives back an equal value."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The evidence that `to_json` stored; raises pydantic's ValidationError, a ValueError, on anything else."""
        return cls.model_validate(stored)


def gather_evidence(
    runs: Mapping[str, Run], qrels: Qrels, subject: Subject, *, resamples: int = 10_000, seed: int = 0
) -> tuple[Evidence, pd.DataFrame]:
    """Measures every run on the same queries and compares those that matter for the decision.

    Compared in nDCG@10, each pair once: tuned to base in both modes, tuned to champion where one was run, and the
    tuned model in the served mode to the best untuned system.

    Args:
        runs: Ranked passage ids per query, by system name: "bm25", "base/dense", "tuned/hybrid" and so on.
        qrels: The test judgments.
        subject: What the runs belong to.
        resamples: Of each interval and p-value.
        seed: Of each interval and p-value.

    Returns:
        The evidence, and every score behind it: columns system, query_id and the measures, one row per system and
        query.

    Raises:
        ValueError: A system that the decision rests on was not run, or as `score_run` does.
    """
    _check_systems(runs, subject.served_mode)
    scores = {system: score_run(runs[system], qrels) for system in sorted(runs, key=_system_order)}
    systems = {system: mean_measures(table) for system, table in scores.items()}
    evidence = Evidence(
        **dict(subject),
        test_queries=len(qrels),
        resamples=resamples,
        seed=seed,
        systems=systems,
        intervals={
            system: bootstrap_interval(table[HEADLINE].to_numpy(), resamples=resamples, seed=seed)
            for system, table in scores.items()
        },
        comparisons=tuple(
            compare(
                one, other, HEADLINE, scores[one][HEADLINE], scores[other][HEADLINE], resamples=resamples, seed=seed
            )
            for one, other in _pairs(systems, subject.served_mode)
        ),
    )
    return evidence, pd.concat(scores, names=["system"]).reset_index()


def _pairs(systems: Mapping[str, Mapping[str, float]], served_mode: Mode) -> list[tuple[str, str]]:
    """The (challenger, baseline) pairs to compare, each once."""
    pairs = [
        (f"tuned/{mode}", f"{family}/{mode}")
        for family in ("base", "champion")
        for mode in _TUNABLE_MODES
        if f"tuned/{mode}" in systems and f"{family}/{mode}" in systems
    ]
    if served_mode in _TUNABLE_MODES:
        pairs.append((f"tuned/{served_mode}", _best_untuned(systems)))
    by_relevance = sorted(pairs, key=lambda pair: pair[0] != f"tuned/{served_mode}")  # stable: served mode first
    return list(dict.fromkeys(by_relevance))


def _check_systems(runs: Mapping[str, Run], served_mode: Mode) -> None:
    """Without these systems the evidence proves nothing: a champion run in another mode only is no incumbent."""
    mode = "dense" if served_mode == "sparse" else served_mode
    needed = {f"base/{mode}", f"tuned/{mode}"} | ({BM25} if served_mode == "sparse" else set())
    if any(system.startswith("champion/") for system in runs):
        needed.add(f"champion/{mode}")
    missing = sorted(needed - set(runs))
    if missing:
        raise ValueError(f"no run of {' and '.join(missing)}, which retrieval.mode {served_mode} is judged by")


def _best_untuned(systems: Mapping[str, Mapping[str, float]]) -> str:
    untuned = [system for system in systems if system == BM25 or system.startswith("base/")]
    return max(untuned, key=lambda system: systems[system][HEADLINE])


def _incumbent(systems: Mapping[str, object], mode: Mode) -> str:
    return f"champion/{mode}" if f"champion/{mode}" in systems else f"base/{mode}"


def _system_order(system: str) -> tuple[int, str]:
    family = system.partition("/")[0]
    return (_FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES)), system
