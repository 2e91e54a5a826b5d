"""Headings and the sections they make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain_embed.corpus.headings import MAX_TITLE_CHARACTERS, find_headings, find_sections


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("# One", (1, "One")), ("###### Six ##", (6, "Six")), ("   ## Indented", (2, "Indented")), ("#", (1, "")),
        ("# C# and F#", (1, "C# and F#")), ("## ##", (2, "")), ("#\tTab\r", (1, "Tab")), ("# é > b", (1, "é > b")),
    ],
)  # fmt: skip
def test_lines_that_are_headings(line: str, expected: tuple[int, str]) -> None:
    [heading] = find_headings(f"before\n{line}\nafter")
    assert (heading.level, heading.title) == expected
    assert f"before\n{line}\nafter"[heading.start : heading.end] == line


@pytest.mark.parametrize("line", ["#hashtag", "#!/bin/sh", "    # code", "####### seven", "text # no", "\\# no", ""])
def test_lines_that_are_none(line: str) -> None:
    assert list(find_headings(f"a\n{line}\nb")) == []


@pytest.mark.parametrize(
    "code",
    [
        "```\n# x\n```", "~~~sh\n# x\n~~~", "````\n```\n# x\n````", "```\n# x\n~~~\n# y\n```", "  ```\n# x\n`````",
        "```python\n# x\n```  ",
    ],
)  # fmt: skip
def test_a_mark_inside_fenced_code_is_none(code: str) -> None:
    assert [heading.title for heading in find_headings(f"# A\n{code}\n# B")] == ["A", "B"]


def test_a_fence_that_never_ends_holds_the_rest_and_inline_code_is_no_fence() -> None:
    assert [heading.title for heading in find_headings("# A\n```\n# B\n# C")] == ["A"]
    assert [heading.title for heading in find_headings("# A\n```inline``` code\n# B")] == ["A", "B"]


def test_sections_know_the_headings_they_stand_under() -> None:
    text = "zero\n# A\none\n### Deep\ntwo\n## B\n# C\nthree"
    found = [(section.headings, text[section.start : section.end].strip()) for section in find_sections(text)]
    assert found == [
        ((), "zero"),
        (("A",), "one"),
        (("A", "Deep"), "two"),
        (("A", "B"), ""),
        (("C",), "three"),
    ]


@given(st.lists(st.sampled_from(["# A", "## B", "```", "~~~", "text", "", "   ", "#", "#x", "\t# c"]), max_size=12))
def test_sections_and_heading_lines_make_up_the_text(lines: list[str]) -> None:
    text = "\n".join(lines)
    spans = [(section.start, section.end) for section in find_sections(text)]
    spans += [(heading.start, heading.end) for heading in find_headings(text)]
    assert "".join(text[start:end] for start, end in sorted(spans)) == text


def test_a_heading_is_cut_where_no_heading_would_go_on() -> None:
    [heading] = find_headings("# " + "word " * 1000)
    assert len(heading.title) == MAX_TITLE_CHARACTERS
