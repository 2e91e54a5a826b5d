"""Exact match and token F1, counted by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.evaluation.squad import exact_match, normalized_answer, token_f1


@pytest.mark.parametrize(
    ("answer", "references", "exact", "f1"),
    [
        ("The Duty-Lead!", ["dutylead"], 1.0, 1.0),
        ("an apple a day", ["Apple, day."], 1.0, 1.0),
        ("theory", ["ory"], 0.0, 0.0),  # articles are whole words
        ("40 requests per second", ["40 requests", "forty"], 0.0, 2 * 2 / (4 + 2)),
        ("yes yes no", ["yes no no"], 0.0, 2 * 2 / 6),  # words count as often as they stand there
        ("tea", ["coffee", "tea with milk", "tea milk"], 0.0, 2 / 3),  # the best of them
        ("the", ["tea"], 0.0, 0.0),
        ("", ["a"], 1.0, 1.0),
        ("Größe\u00a0L", ["größe l"], 1.0, 1.0),
        ("二十四元。", ["二十四元"], 1.0, 1.0),
        ("每天二十四元", ["二十四元"], 0.0, 2 * 4 / (6 + 4)),
    ],
)
def test_scores_of_squad_by_hand(answer: str, references: list[str], exact: float, f1: float) -> None:
    assert exact_match(answer, references) == exact
    assert token_f1(answer, references) == pytest.approx(f1)


@given(answer=st.text(max_size=30), reference=st.text(max_size=30))
def test_scores_are_shares_and_treat_both_texts_alike(answer: str, reference: str) -> None:
    f1 = token_f1(answer, [reference])
    assert 0 <= f1 <= 1
    assert f1 == token_f1(reference, [answer])
    assert exact_match(answer, [answer]) == token_f1(answer, [answer]) == 1
    assert normalized_answer(" ".join(normalized_answer(answer))) == normalized_answer(answer)
