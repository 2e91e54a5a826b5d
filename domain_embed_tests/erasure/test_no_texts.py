"""What Dagster and MLflow record of runs holds no text of a passage or a query, unless the settings ask for samples."""

import json
from pathlib import Path

import pytest
import yaml

from domain_embed.contracts.errors import InputError, excerpt
from domain_embed.defs.work import recorded
from domain_embed_tests.erasure.decoding import holders
from domain_embed_tests.scenario import CORPUS, PAIRS, QUERIES
from domain_embed_tests.whole import DOMAIN, Whole

RUN_RECORDS = ("dagster", "mlflow")
TEXTS = [text for one in CORPUS for text in (one.title, one.text, one.text[:60])] + [one.text for one in QUERIES]
WORDS = [text for text in TEXTS if len(text.split()) > 1]
"""A single word, such as CrashLoopBackOff, may stand in an id."""


def held_by_run_records(home: Path) -> dict[str, list[str]]:
    return {name: held for part in RUN_RECORDS for name, held in holders(home / ".store" / part, WORDS).items()}


def ask_for_samples(whole: Whole) -> None:
    path = whole.folder / "domain.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**content, "samples": True}), encoding="utf-8")


def test_run_records_hold_no_text(finished: Whole) -> None:
    assert PAIRS
    assert held_by_run_records(finished.home) == {}


def test_figures_and_ids_are_recorded(finished: Whole) -> None:
    assert finished.metadata("documents")["dagster/row_count"] == len(CORPUS)
    assert finished.metadata("documents")["left out, by reason"] == "nothing"
    assert finished.metadata("splits")["train queries"] > 0
    artifacts = finished.home / ".store" / "mlflow" / "artifacts" / DOMAIN
    names = {path.name for path in artifacts.glob("*/artifacts/*.json")}
    assert names == {"quality.json", "diagnosis.json", "report.json"}
    (report,) = artifacts.glob("*/artifacts/report.json")
    assert json.loads(report.read_text(encoding="utf-8"))["evidence"]["passages"] == len(CORPUS)
    assert not list(artifacts.glob("*/artifacts/*.html"))


def test_asking_for_samples_makes_nothing_stale_and_shows_them(whole: Whole) -> None:
    ask_for_samples(whole)
    assert whole.plan().stale == ()
    whole.run(("documents", "quality_report"), force=True)
    assert CORPUS[0].title in str(whole.metadata("documents")["sample"])
    artifacts = whole.home / ".store" / "mlflow" / "artifacts" / DOMAIN
    assert list(artifacts.glob("*/artifacts/quality.html"))


def test_what_an_older_version_recorded_is_not_recorded_again() -> None:
    before = {"sample": "texts", "left out": "texts", "dagster/row_count": 3}
    assert recorded(before, samples=False) == {"dagster/row_count": 3}
    assert recorded(before, samples=True) == before


@pytest.mark.parametrize("samples", [False, True])
def test_an_error_quotes_rows_to_the_person_and_not_to_the_log(whole: Whole, *, samples: bool) -> None:
    if samples:
        ask_for_samples(whole)
    quoted = "the very private words of somebody"
    row = {"query": "may it be kept", "passage_id": CORPUS[0].passage_id, "grade": quoted}
    with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=quoted):
        whole.run(("labels",))
    assert bool(holders(whole.home / ".store" / "dagster", [quoted])) == samples
    assert holders(whole.home / ".store" / "dagster", [f"line {len(PAIRS) + 1}: the grade must be a whole number"])


def test_notes_name_rows_and_quote_none(whole: Whole) -> None:
    quoted = "the very private words of somebody"
    whole.edit("corpus", bad_rows="skip", metadata_fields=["team", "year"], metadata_types={"year": "int"})
    whole.write_corpus([*whole.corpus(), {"_id": "late", "text": "A text.", "team": "storage", "year": quoted}])
    whole.run(("documents",))
    [note] = whole.workspace.notes("documents")
    assert note.counts == {"unreadable": 1}
    [detail] = note.details
    assert f"corpus.jsonl, line {len(CORPUS) + 1}: document 'late': metadata 'year' cannot be read as int: …" in detail
    assert quoted not in str(note)
    assert str(whole.metadata("documents")["notes"]).startswith("- left out\\: 1 files and rows")
    assert not [held for part in RUN_RECORDS for held in holders(whole.home / ".store" / part, [quoted])]


def test_an_unexpected_error_keeps_its_message_to_itself(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    quoted = " ".join(("the", "very", "private", "words"))  # not as one text: tracebacks show lines of code

    def broken(*arguments: object) -> None:
        raise ValueError(quoted)

    monkeypatch.setattr("domain_embed.defs.data.corpus_documents", broken)
    with pytest.raises(ValueError, match=quoted):
        whole.run(("documents",), force=True)
    assert holders(whole.home / ".store" / "dagster", [quoted]) == {}
    assert holders(whole.home / ".store" / "dagster", ["unexpected ValueError"])


def test_a_recorded_message_names_the_place_and_leaves_the_quote_out() -> None:
    error = InputError.at(Path("a.jsonl"), f"the grade must be a number, not {excerpt(repr('some words'))}", line=3)
    assert str(error) == "a.jsonl, line 3: the grade must be a number, not 'some words'"
    assert error.recorded == "a.jsonl, line 3: the grade must be a number, not …"
