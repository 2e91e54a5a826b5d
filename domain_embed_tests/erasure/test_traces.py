"""A text is recognised by runs of its words, however it is cut off or written down; what others say is no trace."""

import pytest

from domain_embed.erasure.traces import Traces

TEXT = "When the primary is gone, fence it, run pg_ctl promote on the standby and point pgbouncer at the new leader."


def of(*texts: str) -> Traces:
    traces = Traces()
    for text in texts:
        traces.remember(text)
    return traces


@pytest.mark.parametrize(
    "excerpt",
    [
        TEXT,
        "… run pg_ctl promote on the standby and …",
        "WHEN THE PRIMARY\n  is gone",
        "&ldquo;When the primary is&nbsp;gone&rdquo;",
        '{"text": "fence it,\\nrun pg_ctl\\tpromote on"}',
        "título: on the standby and point",
    ],
)
def test_a_cut_off_excerpt_is_recognised(excerpt: str) -> None:
    assert of(TEXT).held_by(excerpt)


@pytest.mark.parametrize("other", ["the primary is gone", "", "…", "on the new leader run standby", "q17"])
def test_a_few_common_words_are_none(other: str) -> None:
    assert not of(TEXT).held_by(other)


def test_letters_may_be_written_as_escapes_or_composed() -> None:
    traces = of("Größenänderung der Platte nur nachts ausführen")
    assert traces.held_by("Gr\\u00f6\\u00dfen\\u00e4nderung der Platte nur nachts")
    assert traces.held_by("Gro\u0308ßena\u0308nderung der Platte nur nachts")


def test_scripts_without_spaces_are_recognised_by_runs_of_signs() -> None:
    traces = of("数据库主节点故障时先隔离主节点然后提升备用节点为新的主节点")
    assert traces.held_by("……先隔离主节点然后提升备用……")
    assert not traces.held_by("主节点故障")


def test_a_short_title_is_looked_for_as_a_whole() -> None:
    traces = of("Too many clients", "Hot standby")
    assert traces.held_by("why: too many clients, again")
    assert traces.held_by("Hot standby")
    assert not traces.held_by("a hot standby is ready")  # two words are a title only where nothing else stands


def test_a_single_word_is_never_a_trace() -> None:
    assert not of("Freeze").held_by("freeze")


def test_what_others_say_as_well_is_no_trace() -> None:
    traces = of(TEXT)
    traces.forget("Fence it, run pg_ctl promote on the standby!")
    assert not traces.held_by("run pg_ctl promote on the standby")
    assert traces.held_by("point pgbouncer at the new leader")


def test_only_hashes_are_kept_and_they_find_the_same() -> None:
    traces = of(TEXT, "Too many clients")
    kept = traces.to_json()
    assert "standby" not in str(kept)
    again = Traces.from_json(kept)
    assert again.held_by("too many clients")
    assert again.held_by("on the standby and point")
    assert not again.held_by("nothing of the kind is said here")


def test_long_and_short_texts_are_hashed_alike() -> None:
    words = [f"word{number}" for number in range(400)]
    traces = of(" ".join(words))
    for start in range(0, 395, 13):
        assert traces.held_by(" ".join(words[start : start + 5]))
    assert of(" ".join(words[:5])).held_by(" ".join(words))
