"""Which files a setting names, and a version that only content can change."""

import os
import shutil
from pathlib import Path

import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.sources import files_version, find_files, find_sources, overlooked
from domain_embed_tests import scenario


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jsonl", "a.jsonl", "deep/c.jsonl", "notes.txt"):
        scenario.write_lines(tmp_path / "domain" / name, [name])
    return tmp_path / "domain"


def names(folder: Path, *patterns: str) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_files(folder, patterns)]


def test_paths_and_globs_give_sorted_files_without_repeats(folder: Path) -> None:
    assert names(folder, "b.jsonl", "*.jsonl", "a.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names(folder, "**/*.jsonl") == ["a.jsonl", "b.jsonl", "deep/c.jsonl"]
    assert names(folder, "?.jsonl") == ["a.jsonl", "b.jsonl"]


def test_absolute_paths_and_globs_may_lie_outside_the_folder(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert find_files(elsewhere, [f"{folder}/a.jsonl"]) == [folder / "a.jsonl"]
    assert find_files(elsewhere, [f"{folder}/*.jsonl"]) == [folder / "a.jsonl", folder / "b.jsonl"]


@pytest.mark.parametrize("pattern", ["missing.jsonl", "a.jsonl/x"])
def test_a_path_that_is_no_file_is_named(folder: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=f"{folder / pattern} does not exist or is not a file"):
        find_files(folder, ["a.jsonl", pattern])


@pytest.mark.parametrize("pattern", ["*.csv", "dee?", "nowhere/*.jsonl"])
def test_a_glob_that_matches_no_file_is_named(folder: Path, pattern: str) -> None:
    with pytest.raises(InputError) as caught:
        find_files(folder, ["*.jsonl", pattern])
    assert str(caught.value).startswith(f"no file matches {pattern!r} in {folder}")


def test_a_directory_stands_for_the_supported_files_below_it_but_hidden_ones(folder: Path) -> None:
    for name in ("deep/down/D.MD", "deep/picture.png", "deep/.hidden.md", "deep/.git/e.md", "deep/~$leave.docx"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert names(folder, "deep") == ["deep/c.jsonl", "deep/down/D.MD"]
    assert names(folder, ".") == ["a.jsonl", "b.jsonl", "deep/c.jsonl", "deep/down/D.MD", "notes.txt"]


def test_a_directory_without_supported_files_is_named(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no file of a known kind \(\.jsonl, "):
        find_files(folder, ["a.jsonl", "empty"])


def version(folder: Path) -> str:
    return files_version(find_files(folder, ["**/*.jsonl"]), folder)


def test_touching_rewriting_and_moving_keep_the_version(folder: Path, tmp_path: Path) -> None:
    before = version(folder)
    os.utime(folder / "a.jsonl", (0, 0))
    (folder / "b.jsonl").write_bytes((folder / "b.jsonl").read_bytes())
    assert version(folder) == before
    moved = shutil.move(folder, tmp_path / "moved")
    assert version(moved) == before


def test_one_byte_a_name_or_one_more_file_change_the_version(folder: Path) -> None:
    versions = [version(folder)]
    (folder / "a.jsonl").write_text('"A.jsonl"\n')
    versions.append(version(folder))
    (folder / "a.jsonl").rename(folder / "d.jsonl")
    versions.append(version(folder))
    scenario.write_lines(folder / "e.jsonl", [])
    versions.append(version(folder))
    assert len(set(versions)) == 4


def test_content_cannot_wander_between_files_unnoticed(folder: Path) -> None:
    before = version(folder)
    first, second = folder / "a.jsonl", folder / "b.jsonl"
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    assert version(folder) != before


def test_the_version_does_not_depend_on_the_order_of_the_files(folder: Path) -> None:
    files = find_files(folder, ["**/*.jsonl"])
    assert files_version(reversed(files), folder) == files_version(files, folder)


def test_files_outside_the_root_count_by_their_full_name(folder: Path, tmp_path: Path) -> None:
    inside = files_version([folder / "a.jsonl"], folder)
    assert files_version([folder / "a.jsonl"], tmp_path / "other") != inside


def test_a_file_that_vanished_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"gone.jsonl cannot be read: No such file"):
        files_version([folder / "gone.jsonl"], folder)


def test_what_lies_in_a_named_folder_and_is_not_read_is_named_with_its_reason(folder: Path) -> None:
    for name in ("plan.adoc", "Makefile", ".env", "deep/~$plan.docx", ".git/config", ".git/hooks/run"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    (folder / "twice").symlink_to(folder / "deep")
    assert overlooked(folder, ["."], find_files(folder, ["."])) == [
        ("hidden", ".env"),
        ("hidden", ".git"),
        ("link that is not followed", "gone.txt"),
        ("link that is not followed", "twice"),
        ("lock of an open document", "deep/~$plan.docx"),
        ("no reader for .adoc", "plan.adoc"),
        ("no reader for files without a suffix", "Makefile"),
    ]
    met = find_sources(folder, ["."])
    assert [path.name for _, path in met.skipped] == ["gone.txt"]
    assert [name for _, name in overlooked(folder, ["."], met.met)] == [
        ".env", ".git", "twice", "deep/~$plan.docx", "plan.adoc", "Makefile",
    ]  # fmt: skip
    assert overlooked(folder, ["deep"], []) == [
        ("lock of an open document", "~$plan.docx"), ("not named by corpus.paths", "c.jsonl"),
    ]  # fmt: skip
    assert overlooked(folder, ["*.jsonl"], find_files(folder, ["*.jsonl"])) == []
    assert overlooked(folder, ["deep", "a.jsonl"], find_files(folder, ["deep", "a.jsonl"])) == [
        ("lock of an open document", "~$plan.docx")
    ]
