"""The guess at a corpus: well-known names, and an error where there is nothing to guess."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.corpus.detect import detect_corpus
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.corpus.sources import find_files
from domain_embed.settings import CorpusSettings
from domain_embed_tests import scenario


def documents(folder: Path, settings: CorpusSettings) -> list[dict[str, Any]]:
    batches = read_documents(find_files(folder, settings.paths), ReadReport(), settings, folder)
    return pa.Table.from_batches(batches).to_pylist()


def test_the_default_layout_needs_nothing_but_its_path(tmp_path: Path) -> None:
    path = scenario.write_domain(tmp_path) / "corpus.jsonl"
    assert detect_corpus(path) == CorpusSettings(paths=(str(path),))


def test_a_csv_with_other_names_is_recognised_and_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "faq.csv"
    path.write_text("DocID,Subject,Body,team\n1,Tea,Boil water.,kitchen\n", encoding="utf-8")
    settings = detect_corpus(path)
    assert settings == CorpusSettings(
        paths=(str(path),), id_field="DocID", title_field="Subject", text_fields=("Body",), metadata_fields=("*",)
    )
    [row] = documents(tmp_path / "elsewhere", settings)
    assert (row["doc_id"], row["title"], row["text"], row["metadata"]) == (
        "1",
        "Tea",
        "Boil water.",
        '{"team": "kitchen"}',
    )


def test_parquet_is_recognised_by_its_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": ["1"], "content": ["a"]}), tmp_path / "a.parquet")
    assert detect_corpus(tmp_path) == CorpusSettings(
        paths=(str(tmp_path / "a.parquet"),), id_field="key", text_fields=("content",)
    )


def test_a_directory_of_files_is_taken_as_it_is(tmp_path: Path) -> None:
    for name in ("hr/leave.md", "hr/pay.html", ".git/x.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text", encoding="utf-8")
    settings = detect_corpus(tmp_path)
    assert settings == CorpusSettings(paths=(str(tmp_path),))
    assert [row["doc_id"] for row in documents(tmp_path / "elsewhere", settings)] == ["hr/leave.md", "hr/pay.html"]


def test_a_table_named_corpus_wins_over_files_and_files_over_other_tables(tmp_path: Path) -> None:
    (tmp_path / "leave.md").write_text("text", encoding="utf-8")
    scenario.write_lines(tmp_path / "judgments.jsonl", [{"query": "q"}])
    assert detect_corpus(tmp_path) == CorpusSettings(paths=(f"{tmp_path}/**/*.md",))
    scenario.write_lines(tmp_path / "corpus.jsonl", scenario.corpus_rows())
    assert detect_corpus(tmp_path) == CorpusSettings(paths=(f"{tmp_path}/corpus.jsonl",))


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario.write_domain(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert detect_corpus(Path("corpus.jsonl")).paths == (f"{tmp_path}/corpus.jsonl",)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", "id,words\n1,a\n", r"no field looks like the text: found id, words, known are text, body"),
        ("a.csv", "text\na\n", r"no field looks like the id: found text, known are _id, id, doc_id"),
        ("a.jsonl", "", r"no field looks like the text: found none"),
        ("a.png", "", r"a\.png holds no file of a known kind\n  → known are \.jsonl"),
    ],
)
def test_a_corpus_that_cannot_be_guessed_is_refused(tmp_path: Path, name: str, content: str, problem: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=problem):
        detect_corpus(tmp_path / name)


def test_an_empty_directory_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no file of a known kind"):
        detect_corpus(tmp_path)
    with pytest.raises(InputError, match="missing does not exist"):
        detect_corpus(tmp_path / "missing")
