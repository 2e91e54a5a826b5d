"""In years without any gain, one budget keeps wrong promotions rare; without it they are common."""

import numpy as np
import pytest

from benchmarks.looks import PLANNED, QUERIES, WEEKS, measure, page, renewed_places, simulate, spent
from domain_embed.promotion.looks import BUDGET, levels


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_a_year_of_looks_stays_within_the_budget(shared: float) -> None:
    careless = simulate(np.random.default_rng(3), shared, [BUDGET] * WEEKS, years=200)
    careful = simulate(np.random.default_rng(3), shared, spent(0), years=200)
    assert careless.made.any(axis=1).mean() > 0.2
    assert careful.made.any(axis=1).mean() <= BUDGET + 0.033  # three standard errors


def test_the_looks_spend_what_the_product_says() -> None:
    assert spent(0) == [*levels(PLANNED), *[None] * (WEEKS - PLANNED)]


def test_renewed_queries_keep_a_test_set_deciding() -> None:
    assert spent(10)[-1] == levels(PLANNED)[-1]
    assert renewed_places(0, 10) == []
    assert sorted(place for week in range(1, 21) for place in renewed_places(week, 10)) == list(range(QUERIES))


def test_what_was_promoted_by_luck_is_harder_to_beat() -> None:
    """Later challengers are compared to it, not to the model that it has replaced."""
    made = simulate(np.random.default_rng(5), 0.5, [BUDGET] * 30, years=400).made
    assert made[:, 1:][made[:, :-1]].mean() < made.mean()


def test_the_page_has_a_row_for_each_rule_and_gain() -> None:
    found = {"commit": "0", "machine": "one", **measure(years=5)}
    assert sum(line.startswith("| ") for line in page(found).splitlines()) == 1 + len(found["wrong"]) + 1 + 3
