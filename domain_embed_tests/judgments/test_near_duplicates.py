"""Near-duplicates: every pair that is found is one, and next to none is missed."""

import random
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.judgments.near_duplicates import MAX_BUCKET, duplicate_groups, folded, near_duplicate_pairs

SENTENCES = (
    "how do I promote the standby when the primary database has died in the night",
    "which certificate has to be renewed before the load balancers refuse to start again",
    "who is on call this week and how are shifts swapped with somebody else",
)


def pairs_of(texts: list[str], threshold: float, batch: int = 1000) -> set[tuple[int, int]]:
    batches = [texts[start : start + batch] for start in range(0, len(texts), batch)]
    return {(int(i), int(j)) for i, j in near_duplicate_pairs(lambda: batches, threshold)}


def jaccard(one: str, other: str) -> float:
    left, right = (
        {text[place : place + 5] for place in range(max(1, len(text) - 4))} for text in (folded(one), folded(other))
    )
    return len(left & right) / len(left | right)


def expected_pairs(texts: list[str], threshold: float) -> set[tuple[int, int]]:
    """Found the slow way; equal folded texts are paired with the first of them only."""
    first: dict[str, int] = {}
    for number, text in enumerate(texts):
        first.setdefault(folded(text), number)
    copies = {(first[folded(text)], number) for number, text in enumerate(texts) if first[folded(text)] != number}
    return copies | {
        (i, j) for i, j in combinations(sorted(first.values()), 2) if jaccard(texts[i], texts[j]) >= threshold - 1e-9
    }


@st.composite
def noisy_texts(draw: st.DrawFn) -> list[str]:
    """Sentences with a few characters replaced, so that overlaps of every size occur."""
    texts = []
    for _ in range(draw(st.integers(0, 12))):
        letters = list(draw(st.sampled_from(SENTENCES)))
        for place, letter in draw(st.lists(st.tuples(st.integers(0, 68), st.sampled_from("xyz ?")), max_size=4)):
            letters[place] = letter
        texts.append("".join(letters))
    return texts


@given(texts=noisy_texts(), threshold=st.sampled_from([0.6, 0.75, 0.9, 1.0]), batch=st.integers(1, 5))
def test_as_found_the_slow_way(texts: list[str], threshold: float, batch: int) -> None:
    assert pairs_of(texts, threshold, batch) == expected_pairs(texts, threshold)


@given(texts=st.lists(st.text(max_size=12), max_size=12))
def test_any_text_can_be_compared(texts: list[str]) -> None:
    assert pairs_of(texts, 0.6) == expected_pairs(texts, 0.6)


@pytest.mark.parametrize("threshold", [0.6, 0.75, 0.9])
def test_hardly_any_pair_at_the_threshold_is_missed(threshold: float) -> None:
    generator = random.Random(0)
    texts = []
    for _ in range(300):
        words = ["".join(generator.choices("abcdefghijklmnop", k=6)) for _ in range(60)]
        changed = list(words)
        for place in generator.sample(range(60), round(41 * (1 - threshold) / (1 + threshold)) - 1):
            changed[place] = changed[place][::-1]
        texts += [" ".join(words), " ".join(changed)]
    expected = {(i, i + 1) for i in range(0, 600, 2) if jaccard(texts[i], texts[i + 1]) >= threshold}
    assert len(expected) > 250
    assert len(expected - pairs_of(texts, threshold)) <= 2


def test_case_white_space_and_punctuation_count_for_nothing() -> None:
    assert pairs_of(["Renew  the certificate!", "renew-the certificate", "RENEW THE CERTIFICATE?", "other"], 0.9) == {
        (0, 1),
        (0, 2),
    }


def test_punctuation_alone_is_compared_as_it_is() -> None:
    assert pairs_of(["???", "!!!", "???", ""], 0.9) == {(0, 2)}


def test_marks_tell_words_apart_and_what_only_shows_does_not() -> None:
    hindi = "सीट के नीचे लगे कोड को फ़ोन से स्कैन करें"
    assert pairs_of([hindi, hindi.replace("\u0940", "").replace("\u0947", ""), f"{hindi}।"], 0.9) == {(0, 2)}
    assert pairs_of(["Donau\u00addampf\u200bschiff", "Donaudampfschiff"], 1.0) == {(0, 1)}


def test_many_copies_make_few_pairs() -> None:
    assert pairs_of(["the same text"] * 500, 0.9) == {(0, number) for number in range(1, 500)}


def test_a_large_family_stays_connected() -> None:
    family = [
        f"{SENTENCES[0]}; {SENTENCES[1]}; {SENTENCES[2]}; ticket {number:04}" for number in range(20 * MAX_BUCKET)
    ]
    groups = duplicate_groups(lambda: [[*family, "something else"]], 0.9)
    assert groups.tolist() == [0] * len(family) + [len(family)]
    assert len(pairs_of(family, 0.9)) < len(family) * MAX_BUCKET * 2


def test_groups_are_named_by_their_first_text() -> None:
    texts = ["b", SENTENCES[0], "b", SENTENCES[1], f"{SENTENCES[0]}!", "B"]
    assert duplicate_groups(lambda: [texts[:3], texts[3:]], 0.9).tolist() == [0, 1, 0, 3, 1, 0]


def test_nothing_has_no_pairs() -> None:
    assert near_duplicate_pairs(lambda: [], 0.9).shape == (0, 2)
    assert near_duplicate_pairs(lambda: [[]], 0.9).dtype == np.int64
    assert duplicate_groups(lambda: [], 0.9).tolist() == []
