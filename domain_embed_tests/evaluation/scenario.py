"""One hand-built domain, small enough to calculate with a pencil, and evidence made to order for verdicts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from domain_embed.contracts.records import Comparison, Mode
from domain_embed.evaluation.evidence import Evidence
from domain_embed.evaluation.measures import MEASURES
from domain_embed.evaluation.subject import Subject

QRELS = {"q1": {"a": 2, "b": 1}, "q2": {"c": 1}, "q3": {"d": 1}}
BASE = {"q1": ["x", "b", "a"], "q2": ["c"], "q3": ["x", "y"]}
TUNED = {"q1": ["a", "b", "x"], "q2": ["x", "c"], "q3": ["d", "x"]}
RUNS = {"tuned/hybrid": TUNED, "tuned/dense": TUNED, "base/hybrid": BASE, "base/dense": BASE, "bm25": {}}


def subject(**changes: Any) -> Subject:
    """The domain "shop", served dense, unless said otherwise."""
    facts: dict[str, Any] = {
        "domain": "shop",
        "served_mode": "dense",
        "queries_per_split": {"train": 30, "validation": 5, "test": 3},
        "passages": 1200,
        "challenger_fingerprint": "tuned-fingerprint",
        "baseline_fingerprint": "base-fingerprint",
        "model_path": "models/tuned",
        "collection": "shop-tuned",
        "created_at": datetime(2026, 3, 12, 14, 5, tzinfo=UTC),
    }
    return Subject(**(facts | changes))


def judged(
    means: Mapping[str, float],
    intervals: Mapping[tuple[str, str], tuple[float, float]],
    *,
    served_mode: Mode = "dense",
    test_queries: int = 100,
    served_rerank: bool = False,
    p: float = 0.04,
    **found: Any,
) -> Evidence:
    """Evidence with these mean figures per system, and these 95 % intervals per (challenger, baseline).

    Each comparison has the p-value `p`; `found` is what else was found out, by field of the evidence.
    """
    return Evidence(
        **dict(subject(served_mode=served_mode, served_rerank=served_rerank)),
        **found,
        test_queries=test_queries,
        resamples=1000,
        seed=0,
        systems={system: dict.fromkeys(MEASURES, mean) for system, mean in means.items()},
        intervals={system: (mean - 0.02, mean + 0.02) for system, mean in means.items()},
        comparisons=tuple(
            Comparison(one, other, "nDCG@10", means[one] - means[other], interval, p, 60, 20, 20)
            for (one, other), interval in intervals.items()
        ),
    )
