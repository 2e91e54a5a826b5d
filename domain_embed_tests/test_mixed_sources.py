"""A domain as a team has it: six document formats, answers, tickets, clicks and pairs, from `init` to the report."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docx
import pytest
import yaml
from reportlab.pdfgen.canvas import Canvas

from domain_embed.demo.click_log import simulate_clicks, write_clicks
from domain_embed.judgments.sheets import read_sheet
from domain_embed.settings import Environment, read_settings
from domain_embed.stores.workspace import Workspace
from domain_embed_tests.cli.test_cli import answer, invoke
from domain_embed_tests.scenario import BASE_MODEL, CORPUS, QUERIES, Passage, write_lines

TEAM_OF_FORMAT = {"md": "data", "html": "platform", "txt": "network", "docx": "release"}
OTHER = ("pdf", "csv")


def write_documents(folder: Path) -> dict[str, str]:
    """The runbooks as files, the format by number; returns the document id of each entry."""
    ids, rows = {}, []
    formats = [*TEAM_OF_FORMAT, *OTHER]
    for number, entry in enumerate(CORPUS):
        suffix = formats[number % len(formats)]
        path = folder / entry.team / f"{entry.passage_id}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        ids[entry.passage_id] = f"{entry.team}/{entry.passage_id}.{suffix}"
        if suffix == "csv":
            ids[entry.passage_id] = entry.passage_id
            rows.append({"id": entry.passage_id, "title": entry.title, "text": entry.text, "team": entry.team})
        else:
            _write_document(path, entry, suffix)
    with (folder / "corpus.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "title", "text", "team"])
        writer.writeheader()
        writer.writerows(rows)
    return ids


def _write_document(path: Path, entry: Passage, suffix: str) -> None:
    match suffix:
        case "md":
            path.write_text(f"---\ntitle: {entry.title}\nyear: {entry.year}\n---\n{entry.text}\n", encoding="utf-8")
        case "html":
            head = f"<html><head><title>{entry.title}</title></head>"
            path.write_text(f"{head}<body><nav>Home</nav><p>{entry.text}</p></body></html>", encoding="utf-8")
        case "txt":
            path.write_text(f"{entry.title}\n\n{entry.text}\n", encoding="utf-8")
        case "docx":
            document = docx.Document()
            document.add_heading(entry.title, 1)
            document.add_paragraph(entry.text)
            document.save(str(path))
        case "pdf":
            canvas = Canvas(str(path))
            canvas.setTitle(entry.title)
            for row, start in enumerate(range(0, len(entry.text), 80)):
                canvas.drawString(40, 800 - 14 * row, entry.text[start : start + 80])
            canvas.save()


def write_judgments(folder: Path, ids: Mapping[str, str]) -> list[Path]:
    """Every fourth query in another kind of file."""
    folder.mkdir()
    kinds: list[list[Any]] = [QUERIES[start::4] for start in range(4)]
    text_of = {entry.passage_id: entry.text for entry in CORPUS}
    best = {query.query_id: max(query.grades, key=lambda key: query.grades[key]) for query in QUERIES}
    pairs = write_lines(folder / "pairs.jsonl", [
        {"query": query.text, "passage_id": ids[passage_id], "grade": grade}
        for query in kinds[0] for passage_id, grade in query.grades.items()
    ])  # fmt: skip
    answers = folder / "answers.csv"
    with answers.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer", "doc_id"])
        for query in kinds[1]:
            writer.writerow(
                [query.text, " ".join(text_of[best[query.query_id]].split()[2:12]), ids[best[query.query_id]]]
            )
    tickets = write_lines(folder / "tickets.jsonl", [
        {"ticket_id": query.query_id, "doc_id": ids[best[query.query_id]],
         "turns": [{"speaker": "agent", "text": "Hello"}, {"speaker": "customer", "text": query.text}]}
        for query in kinds[2]
    ])  # fmt: skip
    clicks = folder / "clicks.jsonl"
    others = [ids[entry.passage_id] for entry in CORPUS[:5]]
    rankings = {q.query_id: [*others[:3], *(ids[key] for key in q.grades), *others[3:]] for q in kinds[3]}
    relevant = {q.query_id: {ids[key]: grade for key, grade in q.grades.items()} for q in kinds[3]}
    rows = simulate_clicks(
        rankings, {q.query_id: q.text for q in kinds[3]}, relevant, searches=3000, seed=1, swapped=0.9
    )
    write_clicks(clicks, rows)
    return [pairs, answers, tickets, clicks]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Made by `init` from the files alone, run as far as the quality report."""
    root = tmp_path_factory.mktemp("mixed")
    ids = write_documents(root / "docs")
    (root / "docs" / "broken.pdf").write_bytes(b"%PDF-1.7 torn")
    files = write_judgments(root / "labels", ids)
    options = [part for path in files for part in ("--judgments", str(path))]
    made = invoke(root / "home", "init", "mixed", "--corpus", str(root / "docs"), *options)
    assert made.returncode == 0, made.stderr
    path = root / "home" / "mixed" / "domain.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["model"] |= {"base": BASE_MODEL, "max_tokens": 64}
    settings["corpus"] |= {"path_metadata": ["(?P<team>[a-z]+)/[^/]+$"], "paths": [str(root / "docs")]}
    settings["chunking"]["strategy"] = "headings"
    settings["training"] |= {"epochs": 1, "batch_size": 8}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = invoke(root / "home", "run", "mixed")
    assert done.returncode == 0, done.stderr
    return Workspace(Environment(home=root / "home"), "mixed")


def test_init_recognised_every_file(mixed: Workspace) -> None:
    settings = read_settings(mixed.folder / "domain.yaml")
    assert [source.kind for source in settings.judgments.sources] == ["pairs", "answers", "tickets", "clicks"]
    assert settings.chunking.strategy == "headings"


def test_every_document_is_read_and_the_broken_one_named(mixed: Workspace) -> None:
    rows = mixed.tables.read("documents").read().to_pylist()
    assert len(rows) == len(CORPUS)
    text_of = {row["title"]: "".join(row["text"].split()) for row in rows}
    for entry in CORPUS:
        if entry.title in text_of:
            assert "".join(entry.text.split()) in text_of[entry.title]
    teams = {json.loads(row["metadata"])["team"] for row in rows}
    assert teams == {entry.team for entry in CORPUS}


def test_all_kinds_end_as_judgments_with_their_source(mixed: Workspace) -> None:
    rows = mixed.tables.read("judgments").read().to_pylist()
    by_kind: dict[str, int] = {}
    for row in rows:
        kind = row["source"].split(":")[0]
        by_kind[kind] = by_kind.get(kind, 0) + 1
        assert 0 < row["confidence"] <= 1
    assert len(by_kind) == 4
    asked = {query.text: set(query.grades) for query in QUERIES}
    right = [any(key in row["doc_id"] for key in asked.get(row["query"], ())) for row in rows]
    assert sum(right) / len(right) > 0.9


def test_the_quality_report_and_the_champion_are_there(mixed: Workspace) -> None:
    home = mixed.environment.home
    summary = answer(home, "quality", "mixed")
    assert summary["totals"]["passages"] >= len(CORPUS)
    assert summary["blocking"] is False
    assert Path(summary["html"]).stat().st_size > 1000
    assert answer(home, "report", "mixed")["domain"] == "mixed"
    assert answer(home, "search", "mixed", "certificate is not yet valid", "-k", "3")["hits"]


def test_review_hands_out_and_takes_in(mixed: Workspace) -> None:
    home = mixed.environment.home
    found = answer(home, "review", "mixed", str(home / "sheet.csv"))
    if found["items"]:
        assert read_sheet(home / "sheet.csv").undecided == found["items"]
    else:
        assert "nothing waits" in invoke(home, "review", "mixed", str(home / "sheet.csv")).stdout
