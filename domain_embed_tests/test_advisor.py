"""The advisor: measured on real shards, and a rule that can be checked by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from domain_embed.advisor import Measured, advise, recommend
from domain_embed.contracts.records import Run
from domain_embed.settings import IndexSettings
from domain_embed.stores.edge import EdgeStore
from domain_embed_tests.stores.samples import info, point

PLAIN = Measured("default", IndexSettings(), 0.99, 0.8, 1.0, 2.0, 100.0, 50.0)
SMALL = replace(PLAIN, name="int8", memory_mb=40.0)


@pytest.mark.parametrize(
    ("changes", "recommended"),
    [
        ({}, "int8"),
        ({"recall": 0.949}, "default"),
        ({"ndcg": 0.794}, "default"),
        ({"ndcg": 0.796}, "int8"),
        ({"p50_ms": 2.1}, "default"),
        ({"memory_mb": 81.0}, "default"),
        ({"memory_mb": 79.0}, "int8"),
    ],
)
def test_what_keeps_quality_and_speed_and_saves_memory_is_recommended(
    changes: dict[str, float], recommended: str
) -> None:
    assert recommend([PLAIN, replace(SMALL, **changes)], exact_ndcg=0.8) == recommended  # type: ignore[arg-type]


def test_of_good_ones_the_smallest_and_else_the_default() -> None:
    smaller = replace(SMALL, name="binary", memory_mb=10.0)
    assert recommend([SMALL, smaller, PLAIN], exact_ndcg=0.8) == "binary"
    assert recommend([replace(PLAIN, recall=0.5)], exact_ndcg=0.8) == "default"


def test_candidates_are_built_searched_and_gone_afterwards(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(60, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    store = EdgeStore(tmp_path)
    told = replace(info(count=60), dimensions=16)
    store.build(told, [[point(f"p{n:02}", row, text=n) for n, row in enumerate(rows)]])
    queries = {f"p{n:02}": rows[n] for n in range(5)}

    def first_is_itself(run: Run) -> float:
        return sum(ranking[0] == query_id for query_id, ranking in run.items()) / len(run)

    candidates = {"default": IndexSettings(), "int8": IndexSettings(quantization="int8", oversampling=4)}
    advice = advise(store.open(told.name), queries, first_is_itself, candidates)
    assert advice.exact_ndcg == 1.0
    assert [(one.name, one.recall, one.ndcg) for one in advice.measured] == [("default", 1.0, 1.0), ("int8", 1.0, 1.0)]
    assert all(0 < one.p50_ms <= one.p99_ms and one.disk_mb > 0 for one in advice.measured)
    assert [one.name for one in store.collections()] == [told.name]
