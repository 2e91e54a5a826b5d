"""How often the whole rule is right when the truth is known: simulated evaluations, from scores to verdict."""

import numpy as np
import pandas as pd

from domain_embed.evaluation.evidence import weigh_scores
from domain_embed.evaluation.measures import HEADLINE
from domain_embed.evaluation.significance import detectable_effect
from domain_embed.promotion.verdict import decide
from domain_embed.settings import PromotionSettings
from domain_embed_tests.evaluation.scenario import subject

QUERIES, SIMULATIONS, SPREAD = 100, 1000, 0.25
QUERY_IDS = pd.Index([f"q{n:03}" for n in range(QUERIES)], name="query_id")
LABELS = pd.DataFrame(
    {
        "language": ["en", "de"] * (QUERIES // 2),
        "query length": ["short" if n < 40 else "long" for n in range(QUERIES)],
    },
    index=QUERY_IDS,
)


def _promoted(gain: float, seed: int) -> float:
    """The share of evaluations that end in a promotion when every variant of the tuned model gains `gain`.

    Scores of one query are alike in all systems and differ by query; a model changes each by luck, on average by its
    gain.
    """
    rng = np.random.default_rng(seed)
    promoted = 0
    for simulation in range(SIMULATIONS):
        easy = rng.beta(2, 2, QUERIES)
        systems = {"bm25": easy + rng.normal(-0.2, SPREAD, QUERIES)}
        for variant in ("dense", "hybrid"):
            systems[f"base/{variant}"] = easy + rng.normal(0, 0.02, QUERIES)
            systems[f"tuned/{variant}"] = systems[f"base/{variant}"] + rng.normal(gain, SPREAD, QUERIES)
        scores = {name: pd.DataFrame({HEADLINE: values}, index=QUERY_IDS) for name, values in systems.items()}
        evidence = weigh_scores(scores, subject(served_mode="hybrid"), None, LABELS, resamples=200, seed=simulation)
        promoted += decide(evidence, PromotionSettings()).promote
    return promoted / SIMULATIONS


def test_without_a_true_difference_it_promotes_at_most_one_in_twenty() -> None:
    assert _promoted(0.0, seed=1) <= 0.05


def test_with_twice_the_detectable_gain_it_promotes_at_least_four_in_five() -> None:
    assert _promoted(2 * detectable_effect(SPREAD, QUERIES), seed=2) >= 0.8
