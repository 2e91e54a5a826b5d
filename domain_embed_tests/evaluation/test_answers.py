"""Generated answers: asked for once, judged strictly, and counted by hand; the model is a local server that is told."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.contracts.errors import SettingsError
from domain_embed.evaluation.answers import MeasuredAnswers, draw_queries, measure_answers
from domain_embed.evaluation.interview import Judgment
from domain_embed.evaluation.significance import bootstrap_interval
from domain_embed.settings import AnswerSettings
from domain_embed_tests.judgments.chat_server import MODEL, Reply, Served, chat_server, fails, says

ASKED = AnswerSettings(source="endpoint", passages=2, requests_per_minute=1_000_000)
QUERIES = {"q1": "How many requests a second?", "q2": "Whom do I ask?", "q3": "Why {answer}?", "q4": "Who pays?"}
TEXTS = {"a": "At most 40 requests per second.", "b": "Ask the duty lead.", "c": "Because {question}.", "d": "Tea."}
RUNS = {
    "base/dense": {"q1": ["d", "a", "b"], "q2": ["b"], "q3": ["d", "a"], "q4": ["d"]},
    "tuned/dense": {"q1": ["a", "d"], "q2": ["b"], "q3": ["c", "d"], "q4": ["d"]},
}
REFERENCES = {"q1": ["40 requests", "forty"], "q2": ["the duty lead"], "q3": ["the", "?"]}  # of q3 nothing is left
JUDGE = "Judge an answer"


def judgment(claims: int, supported: int, completeness: float) -> str:
    return json.dumps({"claims": claims, "supported": supported, "completeness": completeness})


# By query and system: what the model answers, and what the judge says of it.
TOLD = {
    "q1": {"d": ("NO ANSWER", ""), "a": ("40 requests per second", judgment(1, 1, 1.0))},
    "q2": {"b": ("<think>Who?</think>\nThe duty lead.", f"```json\n{judgment(2, 1, 0.5)}\n```")},
    "q3": {"d": ("Because of tea.", judgment(4, 1, 0.25)), "c": ("Because {passages}.", judgment(4, 3, 0.75))},
    "q4": {"d": ("Nobody says.", judgment(0, 0, 0.0))},
}


def part(prompt: str) -> tuple[str, str]:
    """The query a prompt is about, and its first passage."""
    (query_id,) = [key for key, query in QUERIES.items() if f"question: {query}\n" in f"{prompt}\n"]
    (first,) = [key for key, text in TEXTS.items() if f"[1] {text}" in prompt]
    return query_id, first


def as_told(changes: Mapping[tuple[str, str], Reply] | None = None) -> Callable[[int, str], Reply]:
    """Replies as TOLD, but for some by (query, "answer" or "judge")."""

    def reply(_: int, prompt: str) -> Reply:
        query_id, first = part(prompt)
        judged = prompt.startswith(JUDGE)
        changed = (changes or {}).get((query_id, "judge" if judged else "answer"))
        return changed or says(TOLD[query_id][first][judged])

    return reply


class Measure:
    """Measures in a folder whose cache stays; `fetched` is what was asked of the collection."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder, folder / "store" / "answers.jsonl"
        self.fetched: list[list[str]] = []

    def __call__(
        self, variables: Mapping[str, str], settings: AnswerSettings = ASKED, queries: Mapping[str, str] = QUERIES
    ) -> MeasuredAnswers:
        return measure_answers(
            RUNS, "tuned/dense", queries, REFERENCES, self.fetch, settings, self.folder, self.cache,
            resamples=500, seed=3, variables=variables,
        )  # fmt: skip

    def fetch(self, passage_ids: Sequence[str]) -> dict[str, str]:
        self.fetched.append(list(passage_ids))
        return {key: TEXTS[key] for key in passage_ids}


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return Measure(tmp_path)


def figures(found: MeasuredAnswers, system: str) -> dict[str, tuple[int, float]]:
    """Queries and mean of each figure."""
    return {name: (one.queries, one.mean) for name, one in found.quality.systems[system].figures.items()}


def prompts_about(server: Served, query_id: str, *, judged: bool) -> list[str]:
    return [one for one in server.prompts if part(one)[0] == query_id and one.startswith(JUDGE) is judged]


# --- judgments ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "grounded", "complete"),
    [
        ('{"claims": 4, "supported": 3, "completeness": 0.5}', 0.75, 0.5),
        ('```\n{"completeness": 1, "claims": 1, "supported": 0}\n```', 0.0, 1.0),
        ('{"claims": 0, "supported": 0, "completeness": 0}', None, 0.0),
    ],
)
def test_a_judgment_is_read(said: str, grounded: float | None, complete: float) -> None:
    found = Judgment.read(said)
    assert found is not None
    assert (found.groundedness, found.completeness) == (grounded, complete)


@pytest.mark.parametrize(
    "said",
    [
        "", "null", "[]", "4, 3, 0.5", "The answer is good.", "[" * 100_000,
        'Sure: {"claims": 4, "supported": 3, "completeness": 0.5}',
        '{"claims": 4, "supported": 3}',
        '{"claims": 4, "supported": 3, "completeness": 0.5, "why": "so"}',
        '{"claims": 3, "supported": 4, "completeness": 0.5}',
        '{"claims": -1, "supported": -1, "completeness": 0.5}',
        '{"claims": 4, "supported": 3, "completeness": 1.5}',
        '{"claims": 4, "supported": 3, "completeness": NaN}',
        '{"claims": 4, "supported": 3, "completeness": "0.5"}',
        '{"claims": 4.5, "supported": 3, "completeness": 0.5}',
        '{"claims": true, "supported": true, "completeness": 0.5}',
        '{"claims": 4, "supported": 3, "completeness": 0.5',
    ],
)  # fmt: skip
def test_what_was_not_asked_for_is_no_judgment(said: str) -> None:
    assert Judgment.read(said) is None


# --- figures --------------------------------------------------------------------------------------------


def test_figures_by_hand(measure: Measure) -> None:
    """q1 is declined by base, q4 claims nothing, and only q1 and q2 have known answers."""
    with chat_server(as_told()) as server:
        found = measure(server.variables)
    assert figures(found, "base/dense") == {
        "exact": (2, 0.5), "f1": (2, 0.5), "grounded": (2, (0.5 + 0.25) / 2), "complete": (4, (0 + 0.5 + 0.25 + 0) / 4),
    }  # fmt: skip
    assert figures(found, "tuned/dense") == {
        "exact": (2, 0.5), "f1": (2, (2 / 3 + 1) / 2), "grounded": (3, (1 + 0.5 + 0.75) / 3),
        "complete": (4, (1 + 0.5 + 0.75 + 0) / 4),
    }  # fmt: skip
    assert found.quality.systems["base/dense"].outcomes == {"declined": 1, "judged": 3}
    assert found.quality.systems["tuned/dense"].outcomes == {"judged": 4}
    about = found.quality
    assert (about.model, about.judge_model, about.passages, about.queries) == (MODEL, MODEL, 2, 4)


def test_differences_are_paired_over_the_queries_that_both_have(measure: Measure) -> None:
    with chat_server(as_told()) as server:
        found = measure(server.variables)
    assert [(one.challenger, one.baseline) for one in found.quality.differences] == [("tuned/dense", "base/dense")] * 4
    by_name = {one.metric: one for one in found.quality.differences}
    assert {name: (one.wins, one.ties, one.losses) for name, one in by_name.items()} == {
        "exact": (0, 2, 0), "f1": (1, 1, 0), "grounded": (1, 1, 0), "complete": (2, 2, 0),
    }  # fmt: skip
    assert by_name["grounded"].delta == pytest.approx((0 + 0.5) / 2)
    assert by_name["complete"].delta == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    assert by_name["f1"].delta == pytest.approx((2 / 3 + 0) / 2)
    assert all(one.p_adjusted is not None and one.p_adjusted >= one.p for one in found.quality.differences)


def test_intervals_are_those_of_the_bootstrap(measure: Measure) -> None:
    with chat_server(as_told()) as server:
        found = measure(server.variables)
    for system, answers in found.quality.systems.items():
        rows = found.rows[found.rows["system"] == system]
        for name, figure in answers.figures.items():
            values = rows[name].dropna().to_numpy()
            assert figure.ci95 == bootstrap_interval(values, resamples=500, seed=3)
            assert figure.ci95[0] <= figure.mean <= figure.ci95[1]


def test_every_answer_is_kept_with_its_scores(measure: Measure) -> None:
    with chat_server(as_told()) as server:
        rows = measure(server.variables).rows.set_index(["system", "query_id"])
    assert len(rows) == 8
    first = rows.loc[("tuned/dense", "q1")]
    assert (first["answer"], first["outcome"], first["exact"], first["grounded"]) == (
        "40 requests per second", "judged", 0.0, 1.0,
    )  # fmt: skip
    assert rows.loc[("base/dense", "q2"), "answer"] == "The duty lead."  # without its reasoning


# --- asking ---------------------------------------------------------------------------------------------


def test_prompts_show_passages_in_the_order_of_their_rank(measure: Measure) -> None:
    with chat_server(as_told()) as server:
        measure(server.variables)
    base, tuned = prompts_about(server, "q1", judged=False)
    assert f"\n\n[1] {TEXTS['d']}\n\n[2] {TEXTS['a']}\n\nThe question: {QUERIES['q1']}" in base
    assert f"\n\n[1] {TEXTS['a']}\n\n[2] {TEXTS['d']}\n\nThe question" in tuned
    assert TEXTS["b"] not in base  # the third is not shown
    assert "reply with NO ANSWER" in base
    assert "from nothing else" in base
    assert measure.fetched[0] in (["a", "d"], ["b"], ["a", "c", "d"], ["d"])
    assert len(measure.fetched) == 4


def test_the_judge_sees_question_passages_answer_and_known_answers(measure: Measure) -> None:
    with chat_server(as_told()) as server:
        measure(server.variables)
    (q1,) = prompts_about(server, "q1", judged=True)  # the answer that declines is not judged
    assert f"The question: {QUERIES['q1']}\n" in q1
    assert f"[1] {TEXTS['a']}\n\n[2] {TEXTS['d']}\n" in q1
    assert "answer to judge:\n\n40 requests per second\n" in q1
    assert "each of them complete:\n- 40 requests\n- forty\n" in q1
    q3 = next(one for one in prompts_about(server, "q3", judged=True) if TEXTS["c"] in one)
    assert "each of them complete:\n(none is known)\n" in q3  # one that is only an article is none
    assert "Why {answer}?" in q3  # what looks like a field stays as it is
    assert "Because {passages}." in q3


def test_nothing_is_asked_twice(measure: Measure) -> None:
    """q2 and q4 have the same passages in both systems: 6 answers, and 5 judgments, as one declines."""
    with chat_server(as_told()) as server:
        first = measure(server.variables)
        assert len(server.requests) == len(set(server.prompts)) == 11
        again = measure(server.variables)
        assert len(server.requests) == 11
    assert again.quality == first.quality
    assert again.rows.equals(first.rows)


@pytest.mark.parametrize(
    ("changes", "asked"),
    [({"model": "other"}, 11), ({"judge_model": "other"}, 5), ({"prompt": "mine.txt"}, 6),
     ({"judge_prompt": "mine.txt"}, 5), ({"requests_per_minute": 999_999}, 0), ({"queries": 2}, 0)],
)  # fmt: skip
def test_other_words_or_models_are_asked_anew(measure: Measure, changes: dict[str, Any], asked: int) -> None:
    (measure.folder / "mine.txt").write_text(f"{JUDGE}? {{answer}} {{reference}} {{passages}}\nquestion: {{question}}")
    if "prompt" in changes:
        (measure.folder / "mine.txt").write_text("Please. {passages}\nquestion: {question}")
    with chat_server(as_told()) as server:
        before = measure(server.variables).quality
        done = len(server.requests)
        after = measure(server.variables, ASKED.model_copy(update=changes)).quality
        assert len(server.requests) - done == asked
        models = {"other"} if changes.keys() & {"model", "judge_model"} else {MODEL}
        assert {one["model"] for one in server.requests[done:]} == (models if asked else set())
    assert (after.prompt != before.prompt) is ("prompt" in changes)
    assert (after.judge_prompt != before.judge_prompt) is ("judge_prompt" in changes)


def test_after_an_error_only_what_is_missing_is_asked(measure: Measure) -> None:
    def reply(number: int, prompt: str) -> Reply:
        return fails(401) if number == 6 else as_told()(number, prompt)

    with chat_server(reply) as server:
        with pytest.raises(SettingsError, match="correct OPENAI_API_KEY"):
            measure(server.variables)
        measure(server.variables)
        assert len(server.requests) == 12


# --- what goes wrong ------------------------------------------------------------------------------------


def test_refused_and_empty_answers_are_counted_and_left_out(measure: Measure) -> None:
    told = as_told({("q1", "answer"): fails(400), ("q3", "answer"): says(" <think>…</think> ")})
    with chat_server(told) as server:
        found = measure(server.variables)
    for system in RUNS:
        assert found.quality.systems[system].outcomes == {"empty": 1, "judged": 2, "refused": 1}
        assert figures(found, system) == {
            "exact": (1, 1.0),
            "f1": (1, 1.0),
            "grounded": (1, 0.5),
            "complete": (2, 0.25),
        }


def test_a_refused_request_is_tried_again_the_next_time(measure: Measure) -> None:
    with chat_server(as_told({("q1", "answer"): fails(400)})) as server:
        assert measure(server.variables).quality.systems["tuned/dense"].outcomes == {"judged": 3, "refused": 1}
    with chat_server(as_told()) as server:
        assert measure(server.variables).quality.systems["tuned/dense"].outcomes == {"judged": 4}
        assert len(server.requests) == 3  # two answers, of which one declines


@pytest.mark.parametrize("nonsense", [says("It is 0.9 I think"), says(""), fails(400), says(judgment(1, 2, 0.5))])
def test_a_judge_that_says_nonsense_is_counted_and_never_guessed(measure: Measure, nonsense: Reply) -> None:
    with chat_server(as_told({("q3", "judge"): nonsense})) as server:
        found = measure(server.variables)
    tuned = found.quality.systems["tuned/dense"]
    assert tuned.outcomes == {"judged": 3, "unjudged": 1}
    assert figures(found, "tuned/dense")["grounded"] == (2, 0.75)
    assert figures(found, "tuned/dense")["complete"] == (3, 0.5)
    grounded = next(one for one in found.quality.differences if one.metric == "grounded")
    assert (grounded.delta, grounded.ties) == (0.0, 1)  # q2 is left


def test_a_judge_that_is_never_understood_leaves_what_needs_none(measure: Measure) -> None:
    queries = {"q2": QUERIES["q2"]}
    with chat_server(as_told({("q2", "judge"): says("good")})) as server:
        found = measure(server.variables, queries=queries)
    assert figures(found, "tuned/dense") == {"exact": (1, 1.0), "f1": (1, 1.0)}
    assert [one.metric for one in found.quality.differences] == ["exact", "f1"]


def test_half_a_surrogate_pair_hurts_nobody(measure: Measure, tmp_path: Path) -> None:
    with chat_server(as_told({("q4", "answer"): says("Nobody \ud83d")})) as server:
        found = measure(server.variables)
        assert len(prompts_about(server, "q4", judged=True)) == 1
    found.rows.to_parquet(tmp_path / "rows.parquet")
    assert found.rows.set_index(["system", "query_id"]).loc[("tuned/dense", "q4"), "answer"] == "Nobody ?"


@pytest.mark.parametrize(
    ("settings", "variables", "said"),
    [
        ({}, {}, "answers.source is `endpoint`, but no model is named\n  → set answers.model or OPENAI_MODEL"),
        ({"model": "m"}, {}, "answers.source is `endpoint`, but there is no key for https://api.openai.com/v1"),
        ({"prompt": "no.txt"}, {"OPENAI_MODEL": "m"}, "answers.prompt: "),
        ({"prompt": "bare.txt"}, {"OPENAI_MODEL": "m"}, "bare.txt has no {passages}, where the text of"),
        ({"judge_prompt": "bare.txt"}, {"OPENAI_MODEL": "m"}, "answers.judge_prompt: "),
    ],
)
def test_what_cannot_be_used_is_named(
    measure: Measure, settings: dict[str, Any], variables: dict[str, str], said: str
) -> None:
    (measure.folder / "bare.txt").write_text("Say something about {question}.")
    with pytest.raises(SettingsError) as caught:
        measure(variables, ASKED.model_copy(update=settings))
    assert said in str(caught.value)
    assert not measure.cache.exists()


def test_errors_of_the_endpoint_name_the_setting_of_the_model_that_failed(measure: Measure) -> None:
    settings = ASKED.model_copy(update={"judge_model": "severe"})

    def reply(number: int, prompt: str) -> Reply:
        return fails(404) if prompt.startswith(JUDGE) else as_told()(number, prompt)

    with chat_server(reply) as server, pytest.raises(SettingsError) as caught:
        measure(server.variables, settings)
    assert "does not know the model 'severe'" in str(caught.value)
    assert "correct answers.judge_model or OPENAI_MODEL" in str(caught.value)


# --- the draw and the prompts ---------------------------------------------------------------------------


@given(ids=st.sets(st.text(max_size=5)), more=st.sets(st.text(max_size=5)), count=st.integers(1, 8))
def test_the_draw_stays_when_others_come(ids: set[str], more: set[str], count: int) -> None:
    before, after = draw_queries(ids, count, 0), draw_queries(ids | more, count, 0)
    assert len(before) == min(count, len(ids))
    assert [one for one in after if one in ids] == [one for one in before if one in after]


def test_the_packaged_prompts_are_pinned(measure: Measure) -> None:
    """Another text is another version, asks everything anew and needs a file of another name."""
    with chat_server(as_told()) as server:
        found = measure(server.variables).quality
    assert (found.prompt, found.judge_prompt) == ("ac6b4986", "c2429bc5")
