"""Markdown: front matter is metadata, headings are `#` ones, and the title is not said twice."""

from datetime import date
from pathlib import Path

import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.readers import read_file
from domain_embed.corpus.readers.file_text import FileText


def read(folder: Path, content: str | bytes, name: str = "sick_leave-2024.v2.md") -> FileText:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_file(path)


def test_front_matter_is_title_and_metadata(tmp_path: Path) -> None:
    content = (
        "\ufeff---\r\ntitle: Leave\r\ndate: 2024-05-01\r\ntags: [hr, pay]\r\n---\r\n\r\n# leave\r\n\r\nThirty days.\r\n"
    )
    file = read(tmp_path, content)
    assert (file.title, file.text) == ("Leave", "Thirty days.")
    assert file.metadata == {"date": date(2024, 5, 1), "tags": ["hr", "pay"]}


@pytest.mark.parametrize(
    ("content", "title", "text"),
    [
        ("# Leave\n\nThirty days.", "Leave", "Thirty days."),
        ("Thirty days.\n\n## Leave\n\nMore.", "Leave", "Thirty days.\n\n## Leave\n\nMore."),
        ("Thirty days.", "sick leave 2024 v2", "Thirty days."),
        ("---\ntitle: Pay\n---\n# Leave\n\nThirty days.", "Pay", "# Leave\n\nThirty days."),
        ("---\ntitle: 2024\n---\nThirty days.", "2024", "Thirty days."),
        ("---\ntitle:\n---\n# Leave\nThirty days.", "Leave", "Thirty days."),
        ("# Leave", "Leave", ""),
    ],
)
def test_the_title_is_the_front_matters_the_first_headings_or_the_files(
    tmp_path: Path, content: str, title: str, text: str
) -> None:
    file = read(tmp_path, content)
    assert (file.title, file.text) == (title, text)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("---\nA paragraph between rules.\n---\nRest.", "---\nA paragraph between rules.\n---\nRest."),
        ("---\nOnly one rule.", "---\nOnly one rule."),
        ("Text.\n\n---\na: 1\n\n---\nRest.", "Text.\n\n---\na: 1\n\n---\nRest."),
        ("----\n----", "----\n----"),
    ],
)
def test_rules_are_not_front_matter(tmp_path: Path, content: str, text: str) -> None:
    file = read(tmp_path, content)
    assert (file.text, file.metadata) == (text, {})


def test_underlined_headings_become_marked_ones_but_rules_tables_and_code_stay(tmp_path: Path) -> None:
    content = """Intro
=====

Rules
---

A paragraph
of two lines
---

- item
---

a | b
--- | ---

```
Code
----
```"""
    file = read(tmp_path, content)
    assert file.title == "Intro"
    assert file.text == content.removeprefix("Intro\n=====\n\n").replace("Rules\n---", "## Rules")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a\nb\xff", "line 2: not UTF-8 (byte 0xff)"),
        ("é".encode("utf-16"), "line 1: not UTF-8 (byte 0xff)"),
        (b"---\na: [\n---\n", "the front matter is not readable YAML: "),
        (b"---\nday: 2024-02-30\n---\n", "the front matter is not readable YAML: "),
        (b"---\n? [1]\n: 2\n---\n", "the front matter is not readable YAML: "),
        (b"---\ntitle: [a]\n---\n", "the front matter's title must be a text"),
        (b"---\na: " + b"[" * 5000 + b"\n---\n", "the front matter is not readable YAML: "),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, content)
    assert f"sick_leave-2024.v2.md{':' if problem.startswith('the') else ','} {problem}" in str(caught.value)


def test_plain_text_is_kept_as_it_is(tmp_path: Path) -> None:
    file = read(tmp_path, "---\na: 1\n---\nTitle\n=====\n", name="notes.txt")
    assert file == FileText("notes", "---\na: 1\n---\nTitle\n=====")


def test_line_ends_nul_and_surrounding_space_are_cleaned(tmp_path: Path) -> None:
    assert read(tmp_path, b" \r\na\rb\x00\r\n\n", name="a.txt").text == "a\nb"
