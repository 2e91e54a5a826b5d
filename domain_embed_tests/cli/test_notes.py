"""What is left out or not heeded is said: by `init`, after the step, by `plan`, to scripts and on the page."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from domain_embed.contracts.tables import JUDGMENTS
from domain_embed.settings import Environment, PairsSource, read_settings
from domain_embed.stores.workspace import Workspace
from domain_embed_tests.cli.test_cli import answer, invoke
from domain_embed_tests.scenario import write_lines

DOCUMENTS = {
    "lid.md": "# Lid\n\nThe lid sticks when it is wet.", "wick.txt": "A wick is cut every week.",
    "blank.txt": " \n", "torn.pdf": "%PDF-1.7 torn", "old.rst": "Lamps", "Thumbs.db": "x", ".hidden.md": "# No",
}  # fmt: skip
LABELS = """\
Query nr,query,passage_id,Relevant,split,mood
1,the lid is stuck,lid.md,yes,train,bad
2,cut the wick,wick.txt,yes,Test,good
3,cut the wick,lid.md,no,test,good
4,oil for the lid,lid.md,yes,dev,
5,water and lids,lid.md,yes,,
"""


def files(folder: Path) -> tuple[Path, Path]:
    (folder / "docs").mkdir()
    for name, text in DOCUMENTS.items():
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    (folder / "labels.csv").write_text(LABELS, encoding="utf-8")
    return folder / "docs", folder / "labels.csv"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A domain made by `init`, of which documents and labels are made."""
    root = tmp_path_factory.mktemp("notes")
    docs, labels = files(root)
    made = invoke(root / "home", "init", "lamps", "--corpus", str(docs), "--judgments", str(labels))
    assert made.returncode == 0, made.stderr
    for said in (
        "grade ← Relevant 0/1", "not read: Query nr, mood", "splits are kept as given",
        "left out: 3 files in the folder (1 × hidden, 1 × no reader for .db, 1 × no reader for .rst)",
    ):  # fmt: skip
        assert said in made.stdout
    return root / "home"


def noted(answered: dict[str, Any], asset: str) -> dict[str, int]:
    return {reason: count for note in answered["notes"][asset] for reason, count in note["counts"].items()}


def test_init_maps_the_grade_and_keeps_the_splits(home: Path) -> None:
    settings = read_settings(home / "lamps" / "domain.yaml")
    [source] = settings.judgments.sources
    assert isinstance(source, PairsSource)
    assert source.grade_field == "Relevant"
    assert settings.splits.strategy == "given"


def test_what_is_left_out_is_said_after_the_step_and_whenever_asked(home: Path) -> None:
    first = invoke(home, "run", "lamps", "--select", "documents,labels")
    assert first.returncode == 0, first.stderr
    line = "documents: left out: 5 files and rows (1 × hidden, 1 × no reader for .db, 1 × no reader for .rst, 1 ×"
    assert line in " ".join((first.stdout + first.stderr).split())
    assert "columns that are not read: Query nr (labels.csv), mood (labels.csv)" in " ".join(
        (first.stdout + first.stderr).split()
    )

    again = answer(home, "run", "lamps", "--select", "documents,labels")
    assert again["reused"] == ["documents", "labels"]
    for answered in (again, answer(home, "plan", "lamps")):
        counts = {"hidden": 1, "no reader for .db": 1, "no reader for .rst": 1, "unreadable": 1, "without text": 1}
        assert noted(answered, "documents") == counts
        [note] = answered["notes"]["documents"]
        named = [name for name in DOCUMENTS if any(name in detail for detail in note["details"])]
        assert sorted(named) == sorted(set(DOCUMENTS) - {"lid.md", "wick.txt"})
        assert "mood (labels.csv)" in answered["notes"]["labels"][0]["text"]
    assert "left out: 5 files and rows" in invoke(home, "plan", "lamps").stdout


def test_a_finished_domain_hears_that_given_splits_are_not_heeded(tmp_path: Path) -> None:
    docs, labels = files(tmp_path)
    home = tmp_path / "home"
    invoke(home, "init", "lamps", "--corpus", str(docs), "--judgments", str(labels))
    path = home / "lamps" / "domain.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings["splits"]["strategy"] = "hash"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    row = {"source": "l", "grade": 1, "confidence": 1.0, "doc_id": "lid.md", "passage_id": "lid.md"}
    rows = [{**row, "query_id": name, "query": name, "split": name, "train_only": False} for name in ("train", "test")]
    made = Workspace(Environment(home=home), "lamps").tables
    made.write_table("judgments", JUDGMENTS.empty_table().from_pylist(rows, schema=JUDGMENTS))

    [note] = answer(home, "plan", "lamps")["notes"]["splits"]
    assert note["text"].startswith("given splits are not heeded (train 1, test 1), because splits.strategy is `hash`")
    assert "given splits are not heeded" in invoke(home, "plan", "lamps").stdout


def test_a_scale_that_is_not_clear_stops_the_step_and_not_init(tmp_path: Path) -> None:
    docs, _ = files(tmp_path)
    home = tmp_path / "home"
    labels = tmp_path / "stars.jsonl"
    write_lines(labels, [{"query": f"lid {n}", "passage_id": "lid.md", "Rating": n} for n in (1, 5)])
    made = invoke(home, "init", "lamps", "--corpus", str(docs), "--judgments", str(labels))
    assert made.returncode == 0
    assert "Rating 1/5 looks like a grade" in made.stdout
    stopped = invoke(home, "run", "lamps", "--select", "labels")
    assert stopped.returncode == 3
    assert "looks like a grade: 'Rating' (1, 5)" in stopped.stderr
