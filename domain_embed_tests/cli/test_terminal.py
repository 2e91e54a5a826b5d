"""The terminal: texts of strangers are shown and neither obeyed nor taken for markup, wherever they are printed."""

import io
import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from domain_embed import cli
from domain_embed import console as terminal
from domain_embed.console import PlainConsole, PlainLog, line, print_bullets, print_json
from domain_embed.contracts.errors import InputError
from domain_embed.contracts.progress import progress_bar
from domain_embed.contracts.records import Hit
from domain_embed.contracts.shown import code_span, fenced, markdown_text, visible, visible_json
from domain_embed.defs.overview import DomainStatus
from domain_embed.printing import evidence, serving, work

OBEYED = [
    "\x1b[2J", "\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "\x1bc",
    "\x1b[8m", "\x1b]52;c;cm0gLXJmIC8=\x07", "\x9b31m", "\x9d0;title\x9c", "\x90q\x9c", "\x07", "a\x08\x08b",
    "safe\rEVIL", "\x00", "\x7f", "\x0b", "\x0c", "\x0e", "\x1a", "\u202egpj.exe", "\u202d", "\u2066a\u2069", "\u200e",
    "\u061c", "zero\u200bwidth", "\u2060", "\ufeff", "soft\xadhyphen", "\u2028", "\u2029", "\x85", "\U000e0041",
    "\udcff",
]  # fmt: skip
MARKUP = [
    "[bold]", "[/]", "[/bold]", "[link=http://evil.example]x[/link]", "[red]x", "[@click=app.bell]x[/]", "[",
    "\\[bold]", "[[x]]", ":bug:", ":smiley:", "[#fff on red]x", "[blink]x", "[not bold]", "[/nothing]",
]  # fmt: skip
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What a terminal obeys or hides; line feeds and tabs are neither."""


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What was printed on both streams since."""
    file = io.StringIO()
    for name in ("console", "errors"):
        console = PlainConsole()
        console.file, console.width = file, 1000
        for module in (terminal, evidence, serving, work):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, console)
    return file.getvalue


def hit(text: str) -> Hit:
    return Hit("p1" + text, 0.5, title=text, text=text)


PRINTERS: dict[str, Callable[[str], Any]] = {
    "a line": lambda text: terminal.console.print(text),
    "a styled line": lambda text: terminal.console.print(text, style="bold"),
    "parts": lambda text: terminal.console.print(line("of ", (text, "bold"), text)),
    "an error": lambda text: terminal.errors.print(line(("error: ", "red"), text), soft_wrap=True),
    "bullets": lambda text: print_bullets([text]),
    "hits": lambda text: serving.print_hits([hit(text)]),
    "statuses": lambda text: work.print_statuses([DomainStatus(text, error=text), DomainStatus("b", live_model=text)]),
    "versions": lambda text: serving.print_versions([
        {"collection": text, "fingerprint": text, "passages": 1, "size_bytes": 1, "age_days": 1.0, "ndcg_at_10": 0.5,
         "served": text, "aliases": ["live", text]},
    ]),
    "a table": lambda text: terminal.console.print(table_of(text)),
}  # fmt: skip


def table_of(text: str) -> Table:
    table = Table("header", text, title=text, caption=text)
    table.add_row(text, line((text, "bold")))
    return table


@pytest.mark.parametrize("text", OBEYED)
@pytest.mark.parametrize("printer", PRINTERS)
def test_nothing_is_obeyed(printed: Callable[[], str], printer: str, text: str) -> None:
    PRINTERS[printer](f"before {text} after")
    found = printed()
    assert not HIDDEN.search(found.replace("\n", ""))
    assert visible(text, one_line=True) in found.replace("\n", "")
    found.encode()


@pytest.mark.parametrize("text", MARKUP)
@pytest.mark.parametrize("printer", PRINTERS)
def test_no_markup_of_a_text_is_taken_for_ours(printed: Callable[[], str], printer: str, text: str) -> None:
    PRINTERS[printer](f"before {text} after")
    assert f"before {text} after" in printed()


@given(text=st.text())
def test_what_is_made_visible_stays_so_and_loses_nothing_else(text: str) -> None:
    shown = visible(text)
    assert not HIDDEN.search(shown)
    assert visible(shown) == shown
    if not HIDDEN.search(text) and text.isprintable():
        assert shown == text
    assert visible(text, one_line=True).count("\n") == 0
    shown.encode()


def test_controls_are_shown_as_pictures_and_the_rest_as_escapes() -> None:
    assert visible("\x1b\x07\r\x00\x7f\x9b\u202e\U000e0041\udcff") == "␛␇␍␀␡\\x9b\\u202e\\U000e0041\\udcff"
    assert visible("two\nlines\tand") == "two\nlines\tand"
    assert visible("two\nlines\tand", one_line=True) == "two␊lines␉and"
    assert visible("größer, 日本, עברית, 🫖, e\u0301, a\xa0b") == "größer, 日本, עברית, 🫖, e\u0301, a\xa0b"


@given(
    content=st.recursive(
        st.text() | st.none() | st.integers() | st.booleans(),
        lambda one: st.lists(one) | st.dictionaries(st.text(), one),
        max_leaves=8,
    )
)
def test_json_reads_back_exactly_and_is_not_obeyed_either(content: Any) -> None:
    text = visible_json(content)
    assert json.loads(text) == content
    assert not HIDDEN.search(text)
    text.encode()


def test_json_of_commands_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    content = {"title": "\x1b[2J\u202e\x9b\udcff [bold] größer 🫖"}
    print_json(content)
    out = capsys.readouterr().out
    assert json.loads(out) == content
    assert "größer 🫖" in out
    assert not HIDDEN.search(out)


@pytest.mark.parametrize("text", [*OBEYED, "[/]", "[bold]"])
def test_logs_are_not_obeyed(printed: Callable[[], str], text: str) -> None:
    handler = PlainLog(console=terminal.errors, show_path=False)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.warning("file %s is left out", text)
    assert not HIDDEN.search(printed().replace("\n", ""))
    assert f"file {visible(text)} is left out" in printed()


@pytest.mark.parametrize("text", OBEYED)
def test_errors_are_not_obeyed_wherever_they_are_printed(text: str) -> None:
    told = str(InputError.at(Path(f"docs/{text}.md"), f"bad {text}", line=3, hint=f"mend {text}"))
    assert not HIDDEN.search(told)
    assert visible(text) in told


@pytest.mark.parametrize("text", [*OBEYED, "two\nlines"])
def test_progress_is_not_obeyed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.setattr("domain_embed.contracts.progress.DELAY_S", 0.0)
    with progress_bar(f"reading {text}", 2, "rows") as bar:
        bar.update(2)
    assert f"reading {visible(text, one_line=True)}" in file.getvalue()
    assert not HIDDEN.search(file.getvalue().replace("\r", ""))


# --- the command itself ----------------------------------------------------------------------------------


@pytest.fixture
def run_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int | None]:
    """The command as the shell starts it, in this process; returns its exit code."""
    monkeypatch.setenv("DOMAIN_EMBED_HOME", str(tmp_path))
    monkeypatch.setattr(cli, "_spare_collections", lambda: None)

    def run(*arguments: str) -> int | None:
        monkeypatch.setattr(sys, "argv", ["domain-embed", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code if isinstance(ended.value.code, int) else 0

    return run


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202ex", "[/]", "[bold]", "\x9b31m", "a\rb", "\u200b"])
def test_what_was_typed_is_not_obeyed(
    run_main: Callable[..., int | None], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    typed = [
        ("plan", "a", text), ("plan", f"--{text}"), (text,), ("search", "a", "b", "-k", text), ("plan", text),
        ("search", "a", "b", "--mode", text), ("export", "a", text, "--version", text),
    ]  # fmt: skip
    for arguments in typed:
        assert run_main(*arguments) == 2
        said = capsys.readouterr()
        assert said.err.strip()
        assert not HIDDEN.search((said.out + said.err).replace("\n", ""))


def test_usage_errors_and_help_keep_their_exit_codes(
    run_main: Callable[..., int | None], capsys: pytest.CaptureFixture[str]
) -> None:
    codes = {(): 2, ("--help",): 0, ("plan",): 2, ("plan", "--help"): 0, ("nothing",): 2, ("schema",): 0}
    assert {arguments: run_main(*arguments) for arguments in codes} == codes
    capsys.readouterr()
    run_main("plan")
    assert "error: Missing argument 'NAME'" in capsys.readouterr().err


def test_no_string_that_is_printed_carries_markup() -> None:
    """What looks like markup in what a command prints would be shown: style stands beside the text, in `line`."""
    folder = Path(terminal.__file__).parent
    for path in [*folder.glob("commands/*.py"), *folder.glob("printing/*.py"), folder / "console.py"]:
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"\[/?(bold|dim|red|green|yellow|cyan)\b[^\]\n\"']*\]", source), path
        assert "markup=True" not in source
        assert "Console(" not in source.replace("PlainConsole(", "") or path.name == "console.py"


# --- Markdown --------------------------------------------------------------------------------------------

ACTIVE = [
    "<script>alert(1)</script>", "](javascript:alert(1))", "[x](javascript:alert(1))",
    "![x](http://evil.example/p.png)", "a | b | c", "```\n# out", "`code`", "<img src=x onerror=alert(1)>", "# heading",
    "- item", "**bold**", "a\nb", "a\x00b", "&lt;script&gt;", "<javascript:alert(1)>", "http://evil.example", "$x$",
    "~~x~~", "\\[x](y)", "[x]: http://evil.example",
]  # fmt: skip


@pytest.mark.parametrize("text", ACTIVE)
def test_markdown_shows_a_text_and_does_nothing_else(text: str) -> None:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    for place in (f"- {markdown_text(text)}", f"| a | b |\n|---|---|\n| {markdown_text(text)} | x |"):
        tokens = [token for block in reader.parse(place) for token in [block, *(block.children or [])]]
        kinds = {token.type for token in tokens}
        assert not kinds & {
            "link_open",
            "image",
            "html_inline",
            "html_block",
            "code_inline",
            "fence",
            "heading_open",
            "strong_open",
        }
        assert sum(kind.type == "td_open" for kind in tokens) in (0, 2)
        shown = "".join(token.content for token in tokens if token.type in ("text", "text_special"))
        assert visible(" ".join(text.split()), one_line=True) in shown
    [paragraph, inline, _] = reader.parse(f"say {code_span(text)} so")
    assert [child.type for child in inline.children or []] == ["text", "code_inline", "text"]
    assert (paragraph.type, (inline.children or [])[1].content) == ("paragraph_open", visible(text, one_line=True))
    [block] = reader.parse(fenced(text))
    assert (block.type, block.content) == ("fence", visible(text) + "\n")
