"""Several miners, judged negatives, limits, sampling and the veto, on a plane where every cosine is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from domain_embed.contracts.errors import InputError, StoreError
from domain_embed.contracts.records import StoredContent
from domain_embed.contracts.tables import HARD_NEGATIVES
from domain_embed.mining.hard_negatives import SecondRound, mine_hard_negatives
from domain_embed.mining.miners import nearest
from domain_embed.mining.passages import UNKNOWN, PassageRows, VectorFile
from domain_embed.mining.report import MiningReport
from domain_embed.mining.sampling import draw
from domain_embed.settings import MiningSettings
from domain_embed_tests.encoding.fakes import FakeEncoder, hashed_vector
from domain_embed_tests.mining.scenario import collection_of, judged, splits

COSINES = {"positive": 0.9, "mid": 0.8, "half": 0.5, "low": 0.1, "far": -0.5}
TEXTS = {"positive": "red car", "half": "red", "far": "red red car", "low": "blue"}
ENCODER = FakeEncoder(dimensions=2, vectors={"red car": (1, 0)})
ONE = splits(("a", "red car", ["positive"]))


class FakeReranker:
    """Scores passages by a table; remembers what it was asked."""

    fingerprint = "r" * 16

    def __init__(self, scores: Mapping[str, float]) -> None:
        self._scores = scores
        self.asked: list[tuple[str, str]] = []

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        self.asked += pairs
        return np.array([self._scores[passage] for _, passage in pairs], np.float32)


def mine(table: pa.Table, collection: Any, report: MiningReport | None = None, **options: Any) -> list[dict[str, Any]]:
    names = set(MiningSettings.model_fields) & set(options) - {"veto"}
    settings = MiningSettings(**{"near_duplicate": 1.0, "per_query": 50, **{name: options.pop(name) for name in names}})
    batches = mine_hard_negatives(table, collection, ENCODER, settings, report or MiningReport(), **options)
    return pa.Table.from_batches(batches, schema=HARD_NEGATIVES).to_pylist()


def found(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str]]:
    return [(row["passage_id"], row["rank"], row["miner"]) for row in rows]


def ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["passage_id"] for row in rows]


def test_bm25_proposes_what_shares_words_and_the_base_model_says_how_close_it_is() -> None:
    rows = mine(ONE, collection_of(COSINES, texts=TEXTS), miners=("bm25",))
    assert [row["score"] for row in rows] == pytest.approx([-0.5, 0.5])
    assert found(rows) == [("far", 2, "bm25"), ("half", 3, "bm25")]


def test_a_candidate_of_two_miners_stands_once_with_its_best_rank() -> None:
    report = MiningReport()
    rows = mine(ONE, collection_of(COSINES, texts=TEXTS), report, miners=("dense", "bm25"), depth=2)
    assert found(rows) == [("far", 2, "bm25"), ("mid", 2, "base/dense"), ("half", 3, "base/dense+bm25")]
    assert report.found_by == {"bm25": 1, "base/dense": 1, "base/dense+bm25": 1}
    assert report.risk()["found_by_several_miners_share"] == pytest.approx(1 / 3)


def test_in_a_second_round_the_checkpoint_mines_and_judges() -> None:
    turned = collection_of({"positive": 0.7, "mid": 0.69, "half": 0.6, "low": 0.65, "far": 0.2})
    second = SecondRound("abc", turned, FakeEncoder("abc", 2, vectors={"red car": (1, 0)}))
    rows = mine(ONE, collection_of(COSINES), miners=("dense", "checkpoint"), checkpoint="abc", depth=2,
                second_round=second)  # fmt: skip
    # `mid` is above 95 % of the positive for the checkpoint, though not for the base model.
    assert found(rows) == [("half", 3, "base/dense"), ("low", 3, "checkpoint/abc")]
    assert [(row["score"], row["positive_score"]) for row in rows] == [
        pytest.approx((0.6, 0.7)), pytest.approx((0.65, 0.7)),
    ]  # fmt: skip


def test_a_checkpoint_of_other_passages_is_refused() -> None:
    for other in ({**COSINES, "new": 0.3}, {"positive": 0.9, "mid": 0.8}):
        second = SecondRound("abc", collection_of(other), ENCODER)
        with pytest.raises(StoreError, match="passages that another one"):
            mine(ONE, collection_of(COSINES), miners=("checkpoint",), checkpoint="abc", second_round=second)


@pytest.mark.parametrize(("gap", "expected"), [(0.0, ["mid", "half", "low", "far"]), (0.2, ["half", "low", "far"])])
def test_the_gap_is_absolute(gap: float, expected: list[str]) -> None:
    assert ids(mine(ONE, collection_of(COSINES), min_score_gap=gap)) == expected


def test_what_is_nearly_a_positive_is_left_out_however_it_scores() -> None:
    report = MiningReport()
    rows = mine(splits(("a", "red car", ["positive", "low"])), collection_of({**COSINES, "lower": 0.05}), report,
                near_duplicate=0.99)  # fmt: skip
    # cos(low, lower) = 0.1 · 0.05 + 0.995 · 0.99875 = 0.9987
    assert ids(rows) == ["far"]
    assert (report.like_positive, report.too_close) == (1, 2)


def test_judged_negatives_come_first_and_take_places() -> None:
    report = MiningReport()
    table = judged(
        ("red  CAR", "far", "clicks", 0.6), ("red car", "mid", "annotations", 0.9), ("red car", "low", "clicks", 0.4),
        ("red car", "positive", "clicks", 1.0), ("red car", "gone", "clicks", 1.0), ("other", "half", "clicks", 1.0),
    )  # fmt: skip
    rows = mine(ONE, collection_of(COSINES), report, judged=table, per_query=3, sampling="top")
    assert found(rows) == [
        ("mid", 0, "judged/annotations"), ("far", 0, "judged/clicks"), ("half", 3, "base/dense"),
    ]  # fmt: skip
    assert [row["score"] for row in rows] == pytest.approx([0.8, -0.5, 0.5])
    assert (report.judged, report.judged_unused, report.negatives) == (2, 2, 3)


def test_top_takes_the_highest_and_softmax_prefers_them() -> None:
    collection = collection_of(COSINES)
    assert ids(mine(ONE, collection, per_query=2, sampling="top")) == ["mid", "half"]
    settings = [MiningSettings(sampling="softmax", temperature=0.5, seed=seed) for seed in range(2000)]
    scores = np.array([0.8, 0.5, 0.1, -0.5], np.float32)
    drawn = np.bincount([draw(scores, 1, "a", one)[0] for one in settings], minlength=4) / len(settings)
    # exp(score / 0.5) over their sum; three standard errors of 2,000 draws are 0.033 at most.
    assert drawn == pytest.approx([0.534, 0.293, 0.132, 0.040], abs=0.034)
    cold = [ids(mine(ONE, collection, per_query=1, sampling="softmax", temperature=0.001, seed=s)) for s in range(5)]
    assert cold == [["mid"]] * 5


def test_the_cross_encoder_takes_out_what_it_scores_like_the_positive() -> None:
    reranker = FakeReranker({"positive": 2.0, "mid": 2.5, "half": 1.5, "low": 0.0, "far": -3.0})
    report = MiningReport()
    rows = mine(ONE, collection_of(COSINES), report, veto=reranker, veto_gap=1.0)
    assert ids(rows) == ["low", "far"]
    assert (report.vetoed, report.negatives) == (2, 2)
    assert reranker.asked == [("red car", text) for text in ("positive", "mid", "half", "low", "far")]


def test_the_cross_encoder_is_not_asked_about_judged_negatives() -> None:
    reranker = FakeReranker({"positive": 0.0, "half": 5.0})
    rows = mine(ONE, collection_of(COSINES), veto=reranker, per_query=1, judged=judged(("red car", "half", "s", 1.0)))
    assert found(rows) == [("half", 0, "judged/s")]


def test_a_hidden_positive_shows_whether_the_rules_protect() -> None:
    report = MiningReport()
    mine(splits(("a", "red car", ["positive", "mid"]), ("b", "one answer", ["far"])), collection_of(COSINES), report)
    # With `mid` hidden it is below 0.95 · 0.9 and would be mined; `positive` hidden is above 0.95 · 0.8.
    assert (report.hidden_positives, report.hidden_positives_eligible) == (2, 1)
    assert report.slip_rate == 0.5
    deep = MiningReport()
    mine(splits(("a", "red car", ["positive", "far"])), collection_of(COSINES), deep, depth=3)
    assert deep.slip_rate == 0.0  # `far` ranks below the candidates
    alike = MiningReport()
    mine(splits(("a", "red car", ["positive", "mid"])), collection_of(COSINES), alike, near_duplicate=0.98)
    assert alike.slip_rate == 0.0  # cos(positive, mid) = 0.9815


def test_without_several_positives_no_slip_rate_is_made_up() -> None:
    report = MiningReport()
    mine(ONE, collection_of({**COSINES, "close": 0.62}), report)
    # cos(positive, mid) = 0.98 and cos(positive, close) = 0.558 + 0.342 = 0.90 look like the answer.
    assert report.risk() == {"close_to_positive_share": pytest.approx(2 / 5)}


def test_a_positive_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="does not hold: nowhere"):
        mine(splits(("a", "red car", ["positive", "nowhere"])), collection_of(COSINES))


@pytest.mark.parametrize(
    "values",
    [{"miners": ["dense", "dense"]}, {"miners": ["checkpoint"]}, {"checkpoint": "abc"}, {"miners": []},
     {"miners": ["nearest"]}, {"sampling": "best"}],
)  # fmt: skip
def test_miners_that_contradict_themselves_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MiningSettings(**values)


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 12))
def test_the_scan_finds_what_sorting_all_would(count: int, queries: int, depth: int) -> None:
    depth = min(depth, count)
    vectors = np.stack([hashed_vector(f"p{n}", 4) for n in range(count)])
    asked = np.stack([hashed_vector(f"q{n}", 4) for n in range(queries)])

    class Pages:
        def pages(self) -> Any:
            yield from ((start, vectors[start : start + 7]) for start in range(0, count, 7))

    best, rows = nearest(asked, Pages(), depth)  # type: ignore[arg-type]
    everything = asked @ vectors.T
    np.testing.assert_allclose(np.sort(best, axis=1), np.sort(everything, axis=1)[:, -depth:], rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(everything, rows, axis=1), best, rtol=1e-5)


def test_passages_are_found_by_id_and_vectors_by_row(tmp_path: Path) -> None:
    collection = collection_of({"b": 0.5, "a": 0.1, "c": 0.9}, {"a": "same", "c": "same"})
    passages = PassageRows.of(collection)
    rows = passages.rows(["c", "x", "a", "b"])
    assert (rows >= 0).tolist() == [True, False, True, True]
    assert rows[1] == UNKNOWN
    known = rows[[0, 2, 3]]
    assert passages.ids(known) == ["c", "a", "b"]
    assert passages.place[known].tolist() == [2, 0, 1]
    assert passages.copies[known].tolist() == [2, 2, 1]
    vectors = VectorFile(collection, passages, tmp_path)
    assert vectors.mapped()[known, 0] == pytest.approx([0.9, 0.1, 0.5])
    assert [(start, len(page)) for start, page in vectors.pages()] == [(0, 3)]
    assert list(tmp_path.iterdir()) == []
    vectors.close()


def test_vectors_that_cannot_be_spooled_are_a_clear_error(tmp_path: Path) -> None:
    collection = collection_of(COSINES)
    with pytest.raises(StoreError, match="cannot be spooled"):
        VectorFile(collection, PassageRows.of(collection), tmp_path / "missing")


def test_a_store_may_page_ids_and_vectors_in_any_order(tmp_path: Path) -> None:
    stored = collection_of({name: number / 10 for number, name in enumerate("abcdefg")})

    class Shuffled:
        info = stored.info

        def contents(self) -> Any:
            return iter(sorted(stored.contents(), key=lambda content: "gabfced".index(content.passage_id)))

        def dense_vectors(self) -> Any:
            for page_ids, vectors in stored.dense_vectors():
                yield page_ids[::-1], vectors[::-1]

    passages = PassageRows.of(Shuffled())  # type: ignore[arg-type]
    assert passages.ids(np.arange(7)) == list("gabfced")
    vectors = VectorFile(Shuffled(), passages, tmp_path)  # type: ignore[arg-type]
    assert vectors.mapped()[:, 0] == pytest.approx([0.6, 0.0, 0.1, 0.5, 0.2, 0.4, 0.3], abs=1e-6)
    vectors.close()


def test_an_id_that_stands_twice_is_refused() -> None:
    class Twice:
        def contents(self) -> Any:
            texts = (("a", "one"), ("b", "two"), ("a", "three"))
            return iter(StoredContent(passage_id, passage_id, text, {}) for passage_id, text in texts)

    with pytest.raises(StoreError, match="two passages have the same id"):
        PassageRows.of(Twice())  # type: ignore[arg-type]
