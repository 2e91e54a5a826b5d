"""Quality checks that ask the base model and BM25: suspects, difficulty, inflation."""

import math

import pytest

from domain_embed.contracts.errors import ModelMismatchError
from domain_embed.corpus.tokens import TokenCounter
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.judgments.quality.difficulty import Difficulty, check_difficulty, measure_difficulty
from domain_embed.judgments.quality.inflation import Inflation, measure_inflation
from domain_embed.judgments.quality.rankers import Rankers
from domain_embed.judgments.quality.suspects import check_suspects, suspect_depth
from domain_embed.settings import QualitySettings
from domain_embed_tests import scenario
from domain_embed_tests.encoding.fakes import FakeEncoder
from domain_embed_tests.judgments.quality_material import (
    collection_of,
    everything_on,
    found,
    judged,
    passages,
    split_rows,
)

SETTINGS = QualitySettings()
TURNED = {f"text{n:02}": (math.cos(n / 40), math.sin(n / 40)) for n in range(40)}
"""Forty passages, each a little further from the first axis than the one before."""


@pytest.fixture(scope="module")
def fan() -> Rankers:
    encoder = FakeEncoder(dimensions=2, vectors={**TURNED, "ask": (1, 0), "ask text30": (1, 0), "turned": (0, 1)})
    return Rankers(collection_of(passages({text: text for text in TURNED}), encoder), encoder)


# --- suspect labels -------------------------------------------------------------------------------------


def test_ranks_are_exact(fan: Rankers) -> None:
    points = fan.points(list(TURNED))
    ranks = fan.dense_ranks(["ask"] * 40 + ["turned"], [*(points[text] for text in TURNED), points["text39"]])
    assert ranks.tolist() == [*range(1, 41), 1]


def test_a_positive_far_down_in_both_rankings_is_suspect(fan: Rankers) -> None:
    rows = judged(("q1", "ask", "text09"), ("q2", "ask", "text10"), ("q3", "ask text30", "text30"))
    findings = everything_on()
    check_suspects(rows, fan, SETTINGS, findings)
    detail = "“ask” → “text10”: rank 11 of 40 by the base model, not among the first 10 by BM25"
    assert found(findings, "suspect_label") == [("judgment", "q2", "text10", detail)]


def test_a_model_that_cannot_read_a_text_accuses_nobody(minilm: TorchEncoder) -> None:
    texts = {one.passage_id: one.text for one in scenario.CORPUS} | {"zh": "请用手机扫描车座下的二维码"}
    rankers = Rankers(collection_of(passages(texts), minilm), minilm)
    rows = judged(
        ("q1", "how is a lock opened", "zh"),
        ("q2", "出租自行车", "pg-vacuum"),
        ("q3", "cert-chain of an issuer", "pg-vacuum"),
    )
    findings, counter = everything_on(), TokenCounter(minilm.tokenizer)
    check_suspects(rows, rankers, SETTINGS, findings, counter)
    assert [query_id for _, query_id, _, _ in found(findings, "suspect_label")] == ["q3"]
    check_suspects(rows[:0], rankers, SETTINGS, everything_on(), counter)
    check_suspects(rows[:2], rankers, SETTINGS, findings, counter)
    assert findings.counts["suspect_label"] == 1


@pytest.mark.parametrize(
    ("passages_there_are", "depth"), [(40, 10), (1_000, 50), (1_001, 51), (20_000, 1000), (10**6, 1000)]
)
def test_the_depth_shrinks_with_the_corpus(passages_there_are: int, depth: int) -> None:
    assert suspect_depth(SETTINGS, passages_there_are) == depth


def test_the_real_model_finds_swapped_positives_and_accuses_no_good_one(minilm: TorchEncoder) -> None:
    table = passages({one.passage_id: f"{one.title} {one.text}" for one in scenario.CORPUS})
    rankers = Rankers(collection_of(table, minilm), minilm)
    good = [(query.query_id, query.text, passage_id) for query, passage_id, _ in scenario.PAIRS]
    swapped = [(f"{one[0]} swapped", one[1], other[2]) for one, other in zip(good, good[30:] + good[:30], strict=True)]
    findings = everything_on()
    check_suspects(judged(*good, *swapped), rankers, SETTINGS, findings)
    flagged = [query_id for _, query_id, _, _ in found(findings, "suspect_label")]
    assert sum(query_id.endswith("swapped") for query_id in flagged) >= 0.5 * len(swapped)
    assert sum(not query_id.endswith("swapped") for query_id in flagged) <= 0.05 * len(good)


def test_another_model_than_the_collections_is_refused(fan: Rankers) -> None:
    collection = collection_of(passages({"a": "text00"}), FakeEncoder())
    with pytest.raises(ModelMismatchError):
        Rankers(collection, FakeEncoder(fingerprint="0" * 16))


# --- difficulty -----------------------------------------------------------------------------------------

SHOP = passages({"a": "apples and pears", "b": "pears and plums", "c": "plums and cherries", "d": "pears"})


@pytest.fixture(scope="module")
def shop() -> Rankers:
    encoder = FakeEncoder()
    return Rankers(collection_of(SHOP, encoder), encoder)


def test_difficulty_by_hand(shop: Rankers) -> None:
    splits = split_rows(
        ("apples", "a", "test"),  # in one passage only, so first as well
        ("some pears", "d", "test"),  # the shortest of three comes first
        ("pears for cherries", "b", "test"),  # the only cherries are elsewhere, and come first
        ("nothing known", "c", "test"), ("Nothing  known", "a", "test"),
        ("cherries", "c", "train"), ("cherries", "c", "validation"),
    )  # fmt: skip
    assert measure_difficulty(splits, SHOP, shop, SETTINGS) == Difficulty(4, 0.25, 0.5, 0.5)


def test_without_a_test_query_there_is_no_difficulty(shop: Rankers) -> None:
    assert measure_difficulty(split_rows(("apples", "a", "train")), SHOP, shop, SETTINGS) is None


def test_a_test_set_that_words_answer_is_easy() -> None:
    findings = everything_on()
    check_difficulty(Difficulty(1200, 0.4, 0.69, 0.2), SETTINGS, findings)
    assert found(findings, "easy_test") == []
    check_difficulty(Difficulty(1200, 0.4, 0.7, 0.2), SETTINGS, findings)
    detail = "BM25 answers 70.0 % of 1,200 test queries at rank 1, 40.0 % hold a word that only their positive has"
    assert found(findings, "easy_test") == [("domain", None, None, detail)]


# --- inflation ------------------------------------------------------------------------------------------


def test_memory_scores_what_leaks(fan: Rankers) -> None:
    leaking = split_rows(("text00", "a", "train"), ("text39", "b", "train"), ("text01", "a", "test"))
    measured = measure_inflation(leaking, fan, seed=0)
    assert measured is not None
    assert (measured.queries, measured.actual) == (1, 1.0)
    second = split_rows(("text00", "b", "train"), ("text39", "a", "train"), ("text01", "a", "test"))
    measured = measure_inflation(second, fan, seed=0)
    assert measured is not None
    assert measured.actual == pytest.approx(1 / math.log2(3))


def test_a_naive_split_of_shared_positives_flatters(fan: Rankers) -> None:
    texts = list(TURNED)
    splits = split_rows(
        *((text, "a", "train") for text in texts[:20]), *((text, "b", "test") for text in texts[20:])
    )  # fmt: skip
    measured = measure_inflation(splits, fan, seed=0)
    assert measured is not None
    assert measured.actual == 0.0
    assert measured.naive > 0.9
    assert measured.inflation == measured.naive
    assert measured == measure_inflation(splits, fan, seed=0)


def test_without_shared_positives_no_split_flatters(fan: Rankers) -> None:
    splits = split_rows(*((text, text, "train" if n % 2 else "test") for n, text in enumerate(TURNED)))
    assert measure_inflation(splits, fan, seed=0) == Inflation(20, 0.0, 0.0)


def test_without_training_queries_there_is_nothing_to_measure(fan: Rankers) -> None:
    assert measure_inflation(split_rows(("text00", "a", "test")), fan, seed=0) is None
