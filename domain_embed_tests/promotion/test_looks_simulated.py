"""In years without any gain, one budget keeps wrong promotions rare; without it they are common."""

import numpy as np

from benchmarks.looks import PLANNED, p_values
from domain_embed.promotion.looks import BUDGET, levels


def test_a_year_of_looks_stays_within_the_budget() -> None:
    p = p_values(np.random.default_rng(3), 0.0, years=200)
    assert (p < BUDGET).any(axis=1).mean() > 0.2
    assert (p[:, :PLANNED] < levels(PLANNED)).any(axis=1).mean() <= BUDGET + 0.033  # three standard errors
