"""One hand-built domain, small enough to calculate with a pencil, and evidence made to order for verdicts."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd

from domain_embed.contracts.records import Comparison, Mode, Run
from domain_embed.evaluation.evidence import Evidence, gather_evidence
from domain_embed.evaluation.measures import MEASURES
from domain_embed.evaluation.movement import trace_movements, unjudged
from domain_embed.evaluation.report import PassageText, render_html
from domain_embed.evaluation.subject import (
    AnswerFigure,
    AnswerQuality,
    Circumstances,
    Containment,
    Forgetting,
    Gate,
    Serving,
    Subject,
    SystemAnswers,
)
from domain_embed.evaluation.training_record import TrainingRecord
from domain_embed.promotion.verdict import decide
from domain_embed.settings import PromotionSettings

MODES = ("dense", "hybrid", "weighted")

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
    served_mode: Mode | Literal["auto"] = "dense",
    serves: Mapping[str, str] | None = None,
    test_queries: int = 100,
    served_rerank: bool = False,
    p: float = 0.04,
    **found: Any,
) -> Evidence:
    """Evidence with these mean figures per system, and these 95 % intervals per (challenger, baseline).

    Each comparison has the p-value `p`; `found` is what else was found out, by field of the evidence.
    """
    return Evidence(
        **dict(subject(served_mode=served_mode, served_rerank=served_rerank, serves=dict(serves or {}))),
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


def answer_quality(base: str = "base/dense", tuned: str = "tuned/dense") -> AnswerQuality:
    """Answers from the passages of two systems: 5 queries, of which base left one unjudged and tuned declined one."""
    return AnswerQuality(
        model="small-chat", judge_model="large-chat", prompt="aaaa1111", judge_prompt="bbbb2222", passages=4, queries=5,
        systems={
            base: SystemAnswers(
                figures={"f1": AnswerFigure(queries=3, mean=0.25, ci95=(0.125, 0.375)),
                         "grounded": AnswerFigure(queries=4, mean=0.5, ci95=(0.3125, 0.6875))},
                outcomes={"judged": 4, "unjudged": 1},
            ),
            tuned: SystemAnswers(
                figures={"f1": AnswerFigure(queries=3, mean=0.75, ci95=(0.625, 0.875)),
                         "grounded": AnswerFigure(queries=4, mean=0.875, ci95=(0.8125, 1.0))},
                outcomes={"declined": 1, "judged": 4},
            ),
        },
        differences=(
            Comparison(tuned, base, "f1", 0.5, (0.25, 0.75), 0.01, 3, 0, 0, 0.02),
            Comparison(tuned, base, "grounded", 0.375, (-0.0625, 0.5), 0.03, 2, 2, 0, 0.03),
        ),
    )  # fmt: skip


def large_report(*, queries: int = 235, gain: float = 0.12) -> str:
    """The page of a made-up evaluation of a usual size, everything measured: random scores, drawn from a seed."""
    rng = np.random.default_rng(7)
    ids = [f"q{n:03}" for n in range(queries)]
    qrels = {query_id: {f"p{query_id}": 1} for query_id in ids}
    levels = {"bm25": 0.45, "base": 0.5, "champion": 0.5 + gain / 2, "tuned": 0.5 + gain}
    names = ["bm25", *(f"{model}/{mode}" for model in ("base", "champion", "tuned") for mode in MODES)]
    hard = rng.random(queries)
    runs = {name: _random_run(rng, ids, hard, levels[name.partition("/")[0]]) for name in names}
    labels = pd.DataFrame(
        {
            "language": rng.choice(["English", "German", "Portuguese (Brazil)"], queries, p=[0.6, 0.25, 0.15]),
            "words shared with the answer": rng.choice(["up to a third", "more than two thirds"], queries),
            "query length": rng.choice(["1 to 3 words", "4 to 7 words", "8 to 15 words"], queries),
        },
        index=pd.Index(ids, name="query_id"),
    )
    measured = Circumstances(
        gates=(Gate(name="leakage", passed=True, detail=""), Gate(name="parity of tuned", passed=True, detail="")),
        validation=Comparison("tuned/hybrid", "base/hybrid", "nDCG@10", 0.11, (0.06, 0.16), 0.0002, 61, 40, 19),
        forgetting=Forgetting(base={"general questions": 0.71, "news": 0.64}, tuned={"general questions": 0.7,
                              "news": 0.62}),
        containment={name: Containment(queries=180, shares={1: 0.41, 5: 0.7, 10: 0.81},
                     intervals={1: (0.34, 0.48), 5: (0.63, 0.76), 10: (0.75, 0.86)}) for name in names[:3]},
        answers=answer_quality("base/hybrid", "tuned/hybrid"),
        serving=(Serving(system="tuned/hybrid", queries=100, p50_ms=9.8, p95_ms=14.1, p99_ms=21.7, ann_recall=0.987),),
    )  # fmt: skip
    about = subject(served_mode="hybrid", champion_fingerprint="live", dense_weights={"base": 0.35, "tuned": 0.7})
    evidence, _ = gather_evidence(runs, qrels, about, measured, labels, resamples=1000)
    movements = trace_movements(runs[evidence.gain.challenger], runs[evidence.gain.baseline], qrels)
    words = "How do I rotate the credentials of a service account without an outage in the second region"
    texts = {query_id: " ".join(words.split()[: 3 + n % 13]) + "?" for n, query_id in enumerate(ids)}
    passages = {f"x{n}": PassageText(f"Operations handbook > Chapter {n}", "A passage about this and that. " * 9)
                for n in range(400)}  # fmt: skip
    record = {
        "history": {"loss": (2.6 * np.exp(-np.arange(130) / 40) + 0.4 + rng.normal(0, 0.05, 130)).tolist(),
                    "validation": [0.55, 0.6, 0.61]},
        "interpolation": [{"alpha": a, "validation": 0.5 + 0.2 * a - 0.09 * a * a, "probes": {"faq": 0.7 - 0.04 * a}}
                          for a in (0.0, 0.25, 0.5, 0.75, 1.0)],
        "forgetting": measured.forgetting.model_dump() if measured.forgetting else None,
    }  # fmt: skip
    return render_html(
        evidence, decide(evidence, PromotionSettings()), movements,
        unjudged(runs[evidence.gain.challenger], movements, qrels, 40),
        queries=texts, passages=passages, record=TrainingRecord.of(record),
    )  # fmt: skip


def _random_run(rng: np.random.Generator, ids: list[str], hard: "np.ndarray[Any, Any]", level: float) -> Run:
    """Rankings whose relevant passage stands the higher the better the system and the easier the query."""
    run = {}
    for query_id, difficulty in zip(ids, hard, strict=True):
        ranking = [f"x{n}" for n in rng.choice(400, 20, replace=False)]
        place = int(rng.geometric(np.clip(level + 0.5 * (difficulty - 0.5), 0.03, 0.95))) - 1
        run[query_id] = [*ranking[:place], f"p{query_id}", *ranking[place:]] if place < 20 else ranking
    return run
