"""Every failed query has exactly one cause, and the order of the rules decides which."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.diagnosis.causes import CAUSES, Cause, Symptoms, cause_of, explain

EVERYTHING = Symptoms(
    query_id="q", positives=(), filtered_out=True, twin="copy", dense_rank=90, sparse_rank=3, hybrid_rank=4,
    tail_rank=2, joined_rank=1, rival="other",
)  # fmt: skip
ranks = st.none() | st.integers(min_value=1, max_value=100)


@pytest.mark.parametrize(
    ("cause", "removed"),
    [
        ("missing", {}),
        ("filtered", {"positives": ("p",)}),
        ("suspect_label", {"filtered_out": False}),
        ("cut_off", {"twin": None}),
        ("split", {"tail_rank": None}),
        ("suspect_label", {"joined_rank": None}),
        ("bm25", {"rival": None}),
        ("hybrid", {"sparse_rank": 11}),
        ("misranked", {"hybrid_rank": 11}),
        ("far", {"dense_rank": 101}),
    ],
)
def test_each_obstacle_is_the_cause_once_those_before_it_are_gone(cause: Cause, removed: dict[str, object]) -> None:
    order = ("positives", "filtered_out", "twin", "tail_rank", "joined_rank", "rival", "sparse_rank", "hybrid_rank")
    gone = {
        "positives": ("p",), "filtered_out": False, "twin": None, "tail_rank": None, "joined_rank": None,
        "rival": None, "sparse_rank": 11, "hybrid_rank": 11, "dense_rank": 101,
    }  # fmt: skip
    last = next(iter(removed), None)
    earlier = (*order, "dense_rank")[: (*order, "dense_rank").index(last) + 1] if last else ()
    assert cause_of(replace(EVERYTHING, **{name: gone[name] for name in earlier})) == cause  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hidden", "seen", "counts"), [(10, 20, True), (10, 19, False), (11, 90, False), (1, 11, True)]
)
def test_hidden_text_counts_in_the_top_ten_at_half_the_rank(hidden: int, seen: int, counts: bool) -> None:
    cut = Symptoms("q", ("p",), dense_rank=seen, tail_rank=hidden)
    split = Symptoms("q", ("p",), dense_rank=seen, joined_rank=hidden)
    assert (cause_of(cut) == "cut_off") is counts
    assert (cause_of(split) == "split") is counts


@given(
    st.builds(
        Symptoms,
        query_id=st.just("q"),
        positives=st.tuples() | st.tuples(st.just("p")),
        filtered_out=st.booleans(),
        twin=st.none() | st.just("t"),
        dense_rank=st.none() | st.integers(11, 5000),
        sparse_rank=ranks,
        hybrid_rank=ranks,
        tail_rank=ranks,
        joined_rank=ranks,
        rival=st.none() | st.just("r"),
    )
)
def test_every_failure_has_a_cause_and_a_sentence(symptoms: Symptoms) -> None:
    cause = cause_of(symptoms)
    assert cause in CAUSES
    assert (cause == "missing") == (not symptoms.positives)
    if cause == "bm25":
        assert symptoms.sparse_rank is not None
        assert symptoms.sparse_rank <= 10
    assert explain(symptoms)


def test_explanations_name_what_decided() -> None:
    base = Symptoms("q", ("p",), dense_rank=1234, sparse_rank=7)
    assert explain(base) == "rank 1,234 by the base model, 7 by BM25"
    assert explain(replace(base, tail_rank=2)) == (
        "rank 1,234 by the base model; what lies beyond the length limit would stand at rank 2"
    )
    assert explain(replace(base, twin="copy")).startswith("copy ranks in the top ten")
    assert explain(Symptoms("q", ())) == "no passage of the corpus is judged to answer it"
