"""What entered and left the top ten, and which queries are told of."""

import pytest

from domain_embed.contracts.tables import UNDECIDED
from domain_embed.evaluation.movement import (
    RANKS,
    Movement,
    Unjudged,
    gained,
    lost,
    named_passages,
    rank_shifts,
    trace_movements,
    unjudged,
    unjudged_table,
)
from domain_embed_tests.evaluation.scenario import BASE, QRELS, TUNED

FILLERS = [f"x{n}" for n in range(10)]


def _moved(query_id: str, delta: float) -> Movement:
    return Movement(query_id, 0.5, 0.5 + delta, (), (), (), None, None)


def test_passage_that_climbs_into_the_top_ten() -> None:
    (movement,) = trace_movements({"q": ["a", *FILLERS]}, {"q": [*FILLERS, "a"]}, {"q": {"a": 1}})
    assert movement == Movement(
        "q", before=0, after=1, entered=("a",), left=("x9",), relevant=("a",), best_rank_before=11, best_rank_after=1
    )
    assert movement.delta == 1


def test_relevant_passage_that_falls_out_of_the_ranking() -> None:
    (movement,) = trace_movements({"q": ["x"]}, {"q": ["x", "a"]}, {"q": {"a": 1}})
    assert (movement.left, movement.relevant) == (("a",), ("a",))
    assert (movement.best_rank_before, movement.best_rank_after) == (2, None)


def test_query_that_a_run_does_not_hold() -> None:
    (movement,) = trace_movements({}, {"q": ["a"]}, {"q": {"a": 1}})
    assert (movement.before, movement.after, movement.entered, movement.left) == (1, 0, (), ("a",))


def test_moves_are_listed_by_rank_and_grade_zero_is_not_relevant() -> None:
    (movement,) = trace_movements({"q": ["b", "z", "a"]}, {"q": ["x", "y"]}, {"q": {"a": 1, "z": 0}})
    assert movement.entered == ("b", "z", "a")
    assert movement.left == ("x", "y")
    assert movement.relevant == ("a",)


def test_every_judged_query_has_a_movement_in_order() -> None:
    movements = trace_movements(TUNED, BASE, QRELS)
    assert [movement.query_id for movement in movements] == ["q1", "q2", "q3"]
    assert [movement.query_id for movement in gained(movements)] == ["q3", "q1"]
    assert [movement.query_id for movement in lost(movements)] == ["q2"]


def test_largest_first_then_by_id_and_unchanged_never() -> None:
    movements = [_moved("d", 0.1), _moved("c", 0.3), _moved("b", 0.3), _moved("a", 0.0), _moved("e", -0.2)]
    assert [movement.query_id for movement in gained(movements)] == ["b", "c", "d"]
    assert [movement.query_id for movement in gained(movements, n=1)] == ["b"]
    assert [movement.query_id for movement in lost([*movements, _moved("f", -0.4)])] == ["f", "e"]


def test_rounding_is_no_movement() -> None:
    assert gained([_moved("q", 1e-15)]) == lost([_moved("q", -1e-15)]) == []


def test_named_passages_are_those_that_moved() -> None:
    assert named_passages(trace_movements(TUNED, BASE, QRELS)) == ["d", "x", "y"]


def test_ranking_with_a_passage_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="twice"):
        trace_movements({"q": ["a", "a"]}, {}, {"q": {"a": 1}})


def test_unjudged_passages_of_the_new_top_ten_the_most_urgent_first() -> None:
    """x tops q2, which lost, and stands lower elsewhere; a passage judged not relevant is no question."""
    qrels = {**QRELS, "q3": {"d": 1, "y": 0}}
    tuned = {**TUNED, "q3": ["d", "y", "x"]}
    movements = trace_movements(tuned, BASE, qrels)
    questions = unjudged(tuned, movements, qrels, 10)
    assert [(one.query_id, one.passage_id, one.rank) for one in questions] == [
        ("q2", "x", 1), ("q1", "x", 3), ("q3", "x", 3),
    ]  # fmt: skip
    assert unjudged(tuned, movements, qrels, 1) == questions[:1]
    assert (
        unjudged({"q": [*FILLERS, "late"]}, trace_movements({}, {}, {"q": {"a": 1}}), {"q": {"a": 1}}, 20)[-1].rank
        == 10
    )


def test_questions_wait_for_people_with_the_highest_rank_as_the_least_certain() -> None:
    table = unjudged_table([Unjudged("q2", "x", 1, -0.4), Unjudged("q1", "x", 3, 0.1)], {"q1": "one", "q2": "two"})
    assert table.schema == UNDECIDED
    assert table["query"].to_pylist() == ["two", "one"]
    assert table["confidence"].to_pylist() == [0.01, 0.03]
    assert table["reason"][0].as_py() == "the tuned model puts it at rank 1, and nobody has judged it"


def test_shifts_of_the_first_relevant_rank() -> None:
    def moved(before: int | None, after: int | None) -> Movement:
        return Movement("q", 0, 0, (), (), (), before, after)

    shifts = rank_shifts([moved(1, 1), moved(3, 1), moved(10, 11), moved(100, None), moved(None, 30), moved(None, 30)])
    assert len(shifts) == len(RANKS) == 6
    assert shifts[0][0] == shifts[1][0] == shifts[2][3] == shifts[4][5] == 1
    assert shifts[5][3] == 2
    assert sum(map(sum, shifts)) == 6
