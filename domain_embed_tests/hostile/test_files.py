"""Hostile files that hold one document: each is read or a counted skip, and the good ones beside them are read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain_embed.corpus import documents
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.settings import CorpusSettings
from domain_embed_tests.hostile.files import WHOLE_FILES

GOOD = [f"good-{name}.md" for name in "abc"]
REFUSED = {
    "md-brackets.md": "nested more than 100 deep",
    "md-billion-laughs.md": "aliases stand for far more than is written",
    "md-deep-by-aliases.md": "aliases stand for far more than is written",
    "docx-bomb.docx": "more than 33,554,432",
    "docx-bomb-under-another-name.docx": "more than 33,554,432",
    "docx-bomb-as-a-picture.docx": "more than 33,554,432",
    "html-deep-div.html": "nested too deeply",
    "pdf-encrypted.pdf": "encrypted",
}
READ = {
    "md-huge-heading.md": "text",
    "html-pre-of-blanks.html": "```\na b\n```",
    "docx-under-another-name.docx": "x\n\nx",
    "pdf-one-page-9000-times.pdf": "text" * 50,
}


@dataclass(frozen=True)
class Read:
    """What became of each file."""

    texts: Mapping[str, str]
    refusals: Mapping[str, tuple[str, str]]


def read_all(folder: Path, names: Iterable[str], seconds: float) -> Read:
    """The hostile files of these names, in one folder with good ones, read at once."""
    for name, content in {
        **{name: WHOLE_FILES[name] for name in names},
        **dict.fromkeys(GOOD, b"A good text."),
    }.items():
        (folder / name).write_bytes(content)
    report, texts = ReadReport(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "SAMPLES_KEPT", len(WHOLE_FILES))
        files = sorted(folder.iterdir())
        for batch in read_documents(files, report, CorpusSettings(read_seconds=seconds), folder):
            texts |= dict(zip(batch["doc_id"].to_pylist(), batch["text"].to_pylist(), strict=True))
    refusals = {name: found for found in report.samples for name in WHOLE_FILES if _is_about(found[1], name, folder)}
    return Read(texts, refusals)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """All of them, and none may take long."""
    return read_all(tmp_path_factory.mktemp("hostile"), WHOLE_FILES, 3.0)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Those of which it is known how they end, with as much time as a busy machine takes."""
    return read_all(tmp_path_factory.mktemp("known"), [*REFUSED, *READ], 120.0)


def _is_about(culprit: str, name: str, folder: Path) -> bool:
    return culprit == name or culprit.startswith((f"{folder / name}:", f"{folder / name},", f"{folder / name} "))


@pytest.mark.parametrize("name", sorted(WHOLE_FILES))
def test_a_hostile_file_is_read_or_skipped_by_name(read: Read, name: str) -> None:
    assert (name in read.texts) != (name in read.refusals)
    assert "Traceback" not in str(read.refusals.get(name))


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_beside_them_is_read(read: Read, name: str) -> None:
    assert read.texts[name] == "A good text."


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_the_reason_is_said(known: Read, name: str) -> None:
    assert REFUSED[name] in known.refusals[name][1]


@pytest.mark.parametrize("name", sorted(READ))
def test_what_only_looks_hostile_is_read(known: Read, name: str) -> None:
    assert known.texts[name] == READ[name]


def test_nothing_outside_gets_in(read: Read) -> None:
    assert not [name for name, text in read.texts.items() if "root:" in text]
