"""What becomes of tables, caches and kept answers where a document is erased."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from domain_embed.contracts.errors import InputError
from domain_embed.contracts.notes import Note
from domain_embed.contracts.tables import LABELS, PASSAGES, content_hash
from domain_embed.corpus.documents import ReadReport
from domain_embed.corpus.erased import ERASED_FILE, note_erased, read_erased, without_erased
from domain_embed.encoding.score_cache import pair_key
from domain_embed.erasure.places import empty_caches, remove_drafts, scrub_files, scrub_tables
from domain_embed.erasure.subject import Subject, unfinished
from domain_embed.judgments.labels import without_answers
from domain_embed.settings import Environment
from domain_embed.stores.workspace import Workspace
from domain_embed_tests.scenario import CORPUS, passages_table

GONE = CORPUS[0]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(Environment(home=tmp_path), "runbooks")


@pytest.fixture
def subject() -> Subject:
    found = Subject({GONE.passage_id}, passages={GONE.passage_id}, contents={content_hash(GONE.title, GONE.text)})
    found.traces.remember(GONE.text)
    return found


def labels_table(*rows: tuple[str | None, str | None]) -> pa.Table:
    given = {"query": "q", "grade": 1, "source": "s", "confidence": 1.0, "train_only": False}
    labels = [{**given, "query_id": str(n), "target": one, "answer": answer} for n, (one, answer) in enumerate(rows)]
    return pa.Table.from_pylist(labels, schema=LABELS)


def test_rows_go_and_the_answers_of_labels(workspace: Workspace, subject: Subject) -> None:
    other = CORPUS[1]
    workspace.tables.write_table("passages", passages_table())
    rows = [(GONE.passage_id, "fence it"), (f"{GONE.passage_id}#1a2b3c4d", "run it"), (other.passage_id, "vacuum it"),
            (None, f"they say: {GONE.text}")]  # fmt: skip
    workspace.tables.write_table("labels", labels_table(*rows))
    assert list(scrub_tables(workspace, subject, dry=True)) == ["tables/labels: 3 rows", "tables/passages: 1 rows"]
    assert workspace.tables.read("passages").count == len(CORPUS)
    assert list(scrub_tables(workspace, subject, dry=False)) == ["tables/labels: 3 rows", "tables/passages: 1 rows"]
    assert list(scrub_tables(workspace, subject, dry=False)) == []
    left = workspace.tables.read("passages").read()
    assert left.schema.equals(PASSAGES)
    assert GONE.passage_id not in left["passage_id"].to_pylist()
    assert workspace.tables.read("labels").read()["answer"].to_pylist() == [None, None, "vacuum it", "[erased]"]


def test_vectors_scores_and_kept_answers_go(workspace: Workspace, subject: Subject) -> None:
    kept, scored = content_hash("other", "text"), pair_key("query", f"{GONE.title} {GONE.text}")
    workspace.vector_cache("model").put([*subject.contents, kept], np.eye(2, 3, dtype=np.float32))
    workspace.vector_cache("teacher-x").put([scored, "another"], np.ones((2, 1), np.float32))
    subject.scored, subject.asked = {scored}, {"k1"}
    lines = [("k1", "made up"), ("k2", f"1. {GONE.text[:60]}"), ("k3", "of another")]
    text = "".join(json.dumps({"key": key, "answer": said}) + "\n" for key, said in lines)
    workspace.root.mkdir(parents=True, exist_ok=True)
    (workspace.root / "synthetic.jsonl").write_text(text, encoding="utf-8")
    told = ["vectors/model: 1", "vectors/teacher-x: 1", "synthetic.jsonl: 2 answers"]
    assert list(empty_caches(workspace, subject, dry=True)) == told
    assert list(empty_caches(workspace, subject, dry=False)) == told
    assert list(empty_caches(workspace, subject, dry=False)) == []
    assert list(workspace.vector_cache("model").get([*subject.contents, kept])) == [kept]
    assert list(workspace.vector_cache("teacher-x").get([scored, "another"])) == ["another"]
    assert json.loads((workspace.root / "synthetic.jsonl").read_text(encoding="utf-8"))["key"] == "k3"


def test_notes_lose_what_quotes_them_and_keep_the_rest(workspace: Workspace, subject: Subject) -> None:
    workspace.save_notes(
        "documents", [Note("left out: 2 rows", (f"a row: {GONE.text}", "b.doc: unreadable"), {"x": 2})]
    )
    assert list(scrub_files(workspace, subject, dry=False)) == ["notes/documents.json"]
    assert workspace.notes("documents") == (
        Note("left out: 2 rows", ("[erased]", "b.doc: unreadable"), {"x": 2}),
    )  # fmt: skip


def test_what_killed_processes_left_goes(workspace: Workspace) -> None:
    workspace.tables.write_table("passages", passages_table())
    draft = workspace.root / "tables" / f".documents-{'0' * 32}.parquet"
    draft.write_bytes(b"PAR1")
    assert list(remove_drafts(workspace, dry=False)) == [f"tables/{draft.name}"]
    assert workspace.tables.names() == ["passages"]


def test_an_unfinished_erasure_is_known_again(workspace: Workspace, subject: Subject) -> None:
    assert unfinished(workspace.root) is None
    subject.keep(workspace.root)
    again = unfinished(workspace.root)
    assert again is not None
    assert again.contents == subject.contents
    assert again.traces.held_by(GONE.text[:50])


def test_erased_documents_are_left_out_and_counted(tmp_path: Path) -> None:
    note_erased(tmp_path, ["b", "a"], "somebody")
    note_erased(tmp_path, ["b", "é"], "somebody else")
    assert read_erased(tmp_path) == {"a", "b", "é"}
    lines = [json.loads(line) for line in (tmp_path / ERASED_FILE).read_text(encoding="utf-8").splitlines()]
    assert [(line["doc_id"], line["who"]) for line in lines] == [
        ("a", "somebody"), ("b", "somebody"), ("é", "somebody else")
    ]  # fmt: skip
    report = ReadReport()
    batches = [pa.RecordBatch.from_pydict({"doc_id": ids}) for ids in (["a", "x"], ["b"], ["y"])]
    kept = [batch["doc_id"].to_pylist() for batch in without_erased(batches, read_erased(tmp_path), report)]
    assert kept == [["x"], ["y"]]
    assert dict(report.left_out) == {"erased": 2}


@pytest.mark.parametrize("line", ["{", "[]", '{"doc_id": 5}', '"a"', "[" * 60_000])
def test_a_damaged_list_stops_rather_than_bringing_documents_back(tmp_path: Path, line: str) -> None:
    (tmp_path / ERASED_FILE).write_text(f'{{"doc_id": "a"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 2: expected an object"):
        read_erased(tmp_path)


def test_labels_about_erased_documents_lose_the_answer() -> None:
    table = labels_table(("a", "one"), ("a#12345678", "two"), ("b", "three"), (None, "four"))
    (batch,) = without_answers(table.to_batches(), {"a"})
    assert batch["answer"].to_pylist() == [None, None, "three", "four"]
    assert batch.schema.equals(LABELS)
