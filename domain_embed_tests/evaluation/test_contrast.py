"""Any two systems side by side."""

from pathlib import Path

import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.evaluation.contrast import contrast, read_scores
from domain_embed.evaluation.evidence import gather_evidence
from domain_embed.evaluation.measures import MEASURES, score_run
from domain_embed_tests.evaluation.scenario import BASE, QRELS, RUNS, TUNED, subject


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    path = tmp_path / "scores.parquet"
    gather_evidence(RUNS, QRELS, subject(), resamples=100)[1].to_parquet(path)
    return path


def test_every_measure_and_the_queries_that_differ_most(scores: Path) -> None:
    found = contrast(
        "tuned/dense", "base/dense", read_scores(scores, "tuned/dense"), read_scores(scores, "base/dense"),
        resamples=200, seed=0,
    )  # fmt: skip
    assert [one.metric for one in found.comparisons] == list(MEASURES)
    assert (found.first, found.second, found.queries) == ("tuned/dense", "base/dense", 3)
    assert [query_id for query_id, _ in found.gained] == ["q3", "q1"]
    assert [query_id for query_id, _ in found.lost] == ["q2"]
    assert found.means["Success@1"] == pytest.approx((2 / 3, 1 / 3))
    assert found.comparisons[0].delta == pytest.approx(found.means["nDCG@10"][0] - found.means["nDCG@10"][1])


def test_kept_scores_are_those_of_the_run(scores: Path) -> None:
    assert read_scores(scores, "base/hybrid").equals(score_run(BASE, QRELS))


def test_unknown_system_is_told_the_known_ones(scores: Path) -> None:
    with pytest.raises(InputError, match=r"no system 'tuned/desne' was evaluated\n.*bm25, base/dense"):
        read_scores(scores, "tuned/desne")


def test_systems_of_different_test_sets_are_not_compared() -> None:
    one, other = score_run(TUNED, QRELS), score_run(TUNED, {"q1": QRELS["q1"]})
    with pytest.raises(InputError, match=r"cannot be compared: 2 queries are scored for one system only"):
        contrast("old:tuned/dense", "tuned/dense", one, other, resamples=100, seed=0)
    with pytest.raises(InputError, match="cannot be compared to itself"):
        contrast("tuned/dense", "tuned/dense", one, one, resamples=100, seed=0)
