"""The comparison before a cut-over, by hand."""

import pytest

from domain_embed.contracts.records import Hit
from domain_embed.retrieval.shadow import compare


class Answers:
    """A searcher that answers each query with the letters it was told."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def search(self, query: str, k: int) -> list[Hit]:
        assert k == 10
        self.asked.append(query)
        return [Hit(letter, 1.0) for letter in self.answers.get(query, "")]


def test_overlap_and_first_places_by_hand() -> None:
    live, challenger = Answers(p="abcd", q="ab", r=""), Answers(p="acxy", q="ba", r="")
    found = compare(live, challenger, ["p", "q", "p", "r"])  # type: ignore[arg-type]
    assert found is not None
    assert (found.queries, found.overlap) == (3, pytest.approx((2 / 4 + 2 / 2 + 1) / 3))
    assert found.same_first == pytest.approx(2 / 3)
    assert live.asked == challenger.asked == ["p", "q", "r"]
    assert min(found.live_ms, found.challenger_ms) >= 0


def test_one_who_finds_nothing_shares_nothing() -> None:
    found = compare(Answers(p="ab"), Answers(), ["p"])  # type: ignore[arg-type]
    assert found is not None
    assert (found.overlap, found.same_first) == (0.0, 0.0)


def test_without_queries_there_is_nothing_to_say_and_with_many_the_first_hundred_do() -> None:
    assert compare(Answers(), Answers(), []) is None  # type: ignore[arg-type]
    many = Answers()
    assert compare(many, Answers(), [str(n) for n in range(500)]) is not None  # type: ignore[arg-type]
    assert many.asked == [str(n) for n in range(100)]
