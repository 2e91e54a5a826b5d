"""Hostile names, links and devices in a corpus folder: the files are found, the rest is skipped with its reason."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from domain_embed.contracts.errors import DomainEmbedError, InputError
from domain_embed.corpus.detect import detect_corpus
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.corpus.sources import files_version, find_files, find_sources, named_roots
from domain_embed.files import open_regular
from domain_embed.judgments.detect import detect_source
from domain_embed.judgments.sources import read_source
from domain_embed.judgments.spreadsheets import read_cells
from domain_embed.settings import CorpusSettings, PairsSource, read_settings
from domain_embed_tests.hostile.replay import files_named, replay


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    """A domain with two good files in `docs`, and a secret beside it."""
    (tmp_path / "domain/docs/deep").mkdir(parents=True)
    (tmp_path / "domain/docs/a.md").write_text("A", encoding="utf-8")
    (tmp_path / "domain/docs/deep/b.md").write_text("B", encoding="utf-8")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.md").write_text("secret", encoding="utf-8")
    return tmp_path / "domain"


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


LINK_OUT = "link out of the folders that were named"
SKIPPED: dict[str, tuple[Callable[[Path], object], str]] = {
    "link-to-environ": (lambda path: path.symlink_to("/proc/self/environ"), "file of the system"),
    "link-to-sys": (lambda path: path.symlink_to("/sys/kernel/mm/transparent_hugepage/enabled"), "file of the system"),
    "link-to-proc-folder": (lambda path: path.symlink_to("/proc/self"), "file of the system"),
    "link-to-passwd": (lambda path: path.symlink_to("/etc/passwd"), LINK_OUT),
    "link-to-a-device": (lambda path: path.symlink_to("/dev/zero"), LINK_OUT),
    "link-to-the-root": (lambda path: path.symlink_to("/"), LINK_OUT),
    "link-to-a-folder-outside": (lambda path: path.symlink_to(path.parent.parent.parent / "outside"), LINK_OUT),
    "link-to-the-domain": (lambda path: path.symlink_to(path.parent.parent), LINK_OUT),
    "relative-link-outside": (lambda path: path.symlink_to("../../outside/secret.md"), LINK_OUT),
    "link-to-a-link-outside": (
        lambda path: (path.with_suffix(".x").symlink_to("../../outside/secret.md"), path.symlink_to(path.stem + ".x")),
        LINK_OUT,
    ),
    "link-to-itself": (lambda path: path.symlink_to(path), "broken link"),
    "links-in-a-circle": (
        lambda path: (path.with_suffix(".x").symlink_to(path), path.symlink_to(path.with_suffix(".x"))), "broken link",
    ),
    "link-to-nothing": (lambda path: path.symlink_to("nowhere.md"), "broken link"),
    "link-to-an-over-long-name": (lambda path: path.symlink_to("x" * 300), "broken link"),
    "fifo": (os.mkfifo, "not a regular file"),
    "socket": (_socket, "not a regular file"),
}  # fmt: skip


@pytest.mark.parametrize("pattern", ["docs", "docs/**/*.md", "docs/*.md"])
@pytest.mark.parametrize("kind", sorted(SKIPPED))
def test_what_is_no_file_of_the_folder_is_skipped_with_its_reason(
    domain: Path, kind: str, pattern: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(domain)
    make, reason = SKIPPED[kind]
    path = domain / "docs/evil.md"
    make(path)
    sources = find_sources(domain, [pattern])
    expected = ["a.md"] if pattern == "docs/*.md" else ["a.md", "b.md"]
    assert [file.name for file in sources.files] == expected
    # A folder is led into by `docs` and `**`; `*.md` ends with a folder's name and finds nothing in it.
    is_folder = os.path.isdir(path)  # noqa: PTH112 - which of the two cannot fail
    assert sources.skipped == ([] if pattern == "docs/*.md" and is_folder else [(reason, path)])


def test_a_folder_reached_by_a_link_is_skipped_for_a_wildcard_that_would_lead_into_it(domain: Path) -> None:
    (domain / "docs/evil").symlink_to(domain.parent / "outside")
    sources = find_sources(domain, ["docs/*/*.md"])
    assert sources.files == [domain / "docs/deep/b.md"]
    assert sources.skipped == [(LINK_OUT, domain / "docs/evil")]


def test_links_inside_the_folder_are_followed_and_folders_are_found_once(domain: Path) -> None:
    (domain / "docs/link.md").symlink_to("deep/b.md")
    (domain / "docs/again").symlink_to("deep")
    (domain / "docs/deep/up").symlink_to("..")
    sources = find_sources(domain, ["docs"])
    assert [path.relative_to(domain / "docs").as_posix() for path in sources.files] == ["a.md", "deep/b.md", "link.md"]
    assert sources.skipped == []
    assert find_files(domain, ["docs/again/*.md"]) == [domain / "docs/again/b.md"]


def test_a_link_that_the_user_names_is_where_it_leads(domain: Path) -> None:
    (domain / "shared").symlink_to(domain.parent / "outside")
    (domain / "one.md").symlink_to(domain.parent / "outside/secret.md")
    assert find_files(domain, ["shared"]) == [domain / "shared/secret.md"]
    assert find_files(domain, ["shared/*.md"]) == [domain / "shared/secret.md"]
    assert find_files(domain, ["one.md"]) == [domain / "one.md"]
    assert find_files(domain, [f"{domain.parent}/outside"]) == [domain.parent / "outside/secret.md"]
    assert find_files(domain, ["../outside/*.md"]) == [domain / "../outside/secret.md"]


def test_a_named_link_to_the_system_is_refused(domain: Path) -> None:
    (domain / "env.txt").symlink_to("/proc/self/environ")
    with pytest.raises(InputError, match=r"env.txt does not exist or is not a file \(file of the system\)"):
        find_files(domain, ["env.txt"])


PATTERNS = [
    "", ".", "..", "*", "**", "**/**", "**/" * 400 + "*.md", "*/" * 400 + "*.md", "[", "[!", "[]", "[z-a]", "[[]",
    "?" * 300, "a*" * 120 + "b", "*" * 5000, "a\x00b", "*\x00", "x" * 300, "x/" * 3000, "*/" + "x" * 5000, "docs/../*",
    "docs/*/../../../*", "/dev/*", "/dev/zero", "/proc/self/environ", "/proc/self/*", "/proc/**/*.md", "/sys/*.md",
    "docs/a.md/b", "docs/a.md/*", "~/x", "$HOME", "{a,b}", "\\", "\ud800", "*\ud800", "caf\udce9.md", "%s", "**a",
]  # fmt: skip


def test_patterns_give_files_or_our_error(domain: Path) -> None:
    found = replay(files_named, [(str(domain), pattern) for pattern in PATTERNS])
    ended = {pattern: type(one).__name__ for pattern, one in zip(PATTERNS, found, strict=True)}
    assert {pattern: kind for pattern, kind in ended.items() if kind not in ("int", "str")} == {}
    assert all(isinstance(one, int) or len(one.encode()) < 5000 for one in found)


@pytest.mark.parametrize("pattern", ["/proc/self/*", "/pro?/self/environ", "/sys/*/*", "/dev/../proc/*", "/proc"])
def test_nothing_of_the_system_is_found_by_a_pattern(domain: Path, pattern: str) -> None:
    with pytest.raises(InputError, match="file of the system"):
        find_files(domain, [pattern])


def test_an_unreadable_folder_is_skipped_and_a_named_one_is_our_error(
    domain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: Path | int) -> object:  # a number where pytest removes the folder afterwards
        if isinstance(path, Path) and path.name == "deep":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    sources = find_sources(domain, ["docs"])
    assert sources.files == [domain / "docs/a.md"]
    assert sources.skipped == [("unreadable folder", domain / "docs/deep")]
    with pytest.raises(InputError, match="docs/deep cannot be read: Permission denied"):
        find_files(domain, ["docs/deep"])


NAMES = [
    b"caf\xe9.md", b"\xff\xfe.md", b"\xed\xa0\x80.md", b"a\nb.md", b"\x1b[2J.md", b" .md", b"\\.md", b"-rf.md",
    b"a'b\".md", b"$(x).md", b"%s.md", b"x" * 250 + b".md", b"\xe2\x80\xae.md", b"CON.md", b"a\tb.md", b"{}.md",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_file_of_any_name_is_read_or_skipped_by_name(domain: Path, name: bytes) -> None:
    path = domain / "docs" / os.fsdecode(name)
    path.write_text("text", encoding="utf-8")
    settings, report = CorpusSettings(paths=("docs",)), ReadReport()
    files = find_files(domain, settings.paths)
    rows = [row for batch in read_documents(files, report, settings, domain) for row in batch.to_pylist()]
    assert len(rows) + report.left_out.total() == 3
    assert {"docs/a.md", "docs/deep/b.md"} <= {row["doc_id"] for row in rows}
    assert all(culprit.encode() for _, culprit in report.samples)
    assert len(files_version(files, domain)) == 16


CATASTROPHIC = [r"(?P<x>(a+)+)\.x", r"(?P<x>(a|a)+)!", r"(?P<x>(.*a){20})!", r"(?P<x>(\w+\s?)*)!"]


@pytest.mark.parametrize("pattern", CATASTROPHIC)
def test_a_name_that_a_pattern_takes_forever_over_is_skipped(domain: Path, pattern: str) -> None:
    hostile = domain / "docs" / f"{'a' * 60}.md"
    hostile.write_text("text", encoding="utf-8")
    table = domain / "docs" / f"{'a' * 60}.jsonl"
    table.write_text('{"_id": "1", "text": "a"}\n', encoding="utf-8")
    settings, report = CorpusSettings(paths=("docs",), path_metadata=(pattern,)), ReadReport()
    files = find_files(domain, settings.paths)
    rows = [row for batch in read_documents(files, report, settings, domain) for row in batch.to_pylist()]
    assert [row["doc_id"] for row in rows] == ["docs/a.md", "docs/deep/b.md"]
    assert all("the patterns of corpus.path_metadata take longer than" in culprit for _, culprit in report.samples)
    assert report.left_out.total() == 2


def test_a_file_that_is_exchanged_for_a_link_after_it_was_found_is_not_read(domain: Path) -> None:
    settings, report = CorpusSettings(paths=("docs",)), ReadReport()
    files, roots = find_files(domain, settings.paths), named_roots(domain, settings.paths)
    (domain / "docs/a.md").unlink()
    (domain / "docs/a.md").symlink_to(domain.parent / "outside/secret.md")
    rows = [row for batch in read_documents(files, report, settings, domain, roots=roots) for row in batch.to_pylist()]
    assert [row["text"] for row in rows] == ["B"]
    assert report.samples[0][1].startswith(f"{domain}/docs/a.md cannot be read: a link out of the folders")


def test_a_folder_that_is_exchanged_for_a_link_is_not_read_through(domain: Path) -> None:
    roots = named_roots(domain, ["docs"])
    (domain / "docs/deep/b.md").unlink()
    (domain / "docs/deep").rmdir()
    (domain / "docs/deep").symlink_to(domain.parent / "outside")
    with pytest.raises(OSError, match="a link out of the folders"):
        open_regular(domain / "docs/deep/secret.md", roots)


def test_what_is_no_file_is_never_waited_for(domain: Path) -> None:
    os.mkfifo(domain / "docs/fifo.jsonl")
    for path in (domain / "docs/fifo.jsonl", Path("/dev/zero"), domain):
        with pytest.raises(OSError, match="not a regular file"):
            open_regular(path)
    with pytest.raises(InputError, match="not a regular file"):
        files_version([domain / "docs/fifo.jsonl"], domain)


def test_what_is_skipped_is_told_or_an_error(domain: Path) -> None:
    (domain / "docs/evil.md").symlink_to("/etc/passwd")
    skipped, report = find_sources(domain, ["docs"]).skipped, ReadReport()
    report.leave_out_files(skipped, "skip")
    assert report.left_out == {LINK_OUT: 1}
    assert report.samples == [(LINK_OUT, f"{domain}/docs/evil.md")]
    with pytest.raises(InputError, match=r"these are not read as documents: .*evil.md \(link out of"):
        report.leave_out_files(skipped, "fail")


PATHS = ["x" * 300, "x/" * 3000, "a\x00b.jsonl", "\ud800.jsonl", "/dev/zero", "fifo.jsonl", "loop.jsonl", "nowhere"]


@pytest.mark.parametrize("suffix", ["", ".jsonl", ".parquet", ".xlsx", ".csv"])
@pytest.mark.parametrize("name", PATHS, ids=lambda name: ascii(name)[:20])
def test_a_path_that_is_no_file_is_our_error_wherever_it_is_read(domain: Path, name: str, suffix: str) -> None:
    os.mkfifo(domain / "fifo.jsonl")
    (domain / "loop.jsonl").symlink_to("loop.jsonl")
    path = domain / (name if name.endswith(suffix) else name + suffix)
    for read in (
        lambda: detect_corpus(path),
        lambda: detect_source(path),
        lambda: list(read_source(PairsSource(path=str(path)), domain)),
        lambda: read_cells(path),
        lambda: read_settings(path),
    ):
        with pytest.raises(DomainEmbedError):
            read()
