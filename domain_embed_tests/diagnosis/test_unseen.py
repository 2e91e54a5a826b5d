"""Texts no collection holds: what is cut off, and neighbours joined."""

import pytest

from domain_embed.diagnosis.unseen import Neighbours, Windows
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed_tests.diagnosis.faults import Part, passage_table


@pytest.fixture(scope="module")
def windows(minilm: TorchEncoder) -> Windows:
    """Of 20 tokens, two of them special."""
    return Windows(minilm.tokenizer, 20)


def test_what_is_read_has_no_tail(windows: Windows) -> None:
    assert windows.tails("", " ".join(["one"] * 18)) == []


def test_tails_hold_exactly_what_is_not_read(windows: Windows) -> None:
    """Each of these words is one token."""
    text = " ".join(["one"] * 18 + ["two"] * 17 + ["three"] * 5)
    assert windows.tails("", text) == [" ".join(["two"] * 17 + ["three"]), " ".join(["three"] * 4)]


def test_tails_keep_the_title(windows: Windows) -> None:
    tails = windows.tails("long title", " ".join(["one"] * 16 + ["two"] * 3))
    assert tails == ["long title two two two"]


def test_short_neighbours_are_joined_whole(windows: Windows) -> None:
    assert windows.joined("title", "one two", "three four") == "title one two three four"


def test_long_neighbours_are_joined_around_the_cut(windows: Windows) -> None:
    first, second = " ".join(["zero"] * 20 + ["one"] * 9), " ".join(["two"] * 9 + ["three"] * 20)
    assert windows.joined("", first, second) == " ".join(["one"] * 9 + ["two"] * 9)


def test_a_short_neighbour_leaves_its_room_to_the_other(windows: Windows) -> None:
    assert windows.joined("", "one", " ".join(["two"] * 30)) == " ".join(["one"] + ["two"] * 17)
    assert windows.joined("", " ".join(["one"] * 30), "two") == " ".join(["one"] * 17 + ["two"])


def test_neighbours_stand_in_the_order_of_the_text() -> None:
    table = passage_table(
        [
            Part("c", "d", "", "x", 20), Part("a", "d", "", "x", 0), Part("b", "d", "", "x", 10),
            Part("alone", "e", "", "x"),
        ]
    )  # fmt: skip
    neighbours = Neighbours.of({"b", "alone"}, table)
    assert neighbours.pairs("b") == [("a", "b"), ("b", "c")]
    assert neighbours.pairs("a") == [("a", "b")]
    assert neighbours.pairs("alone") == []
