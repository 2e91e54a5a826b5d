"""Erased documents are nowhere in the store, whatever state the domain is in, and do not come back."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain_embed.audit import AuditTrail
from domain_embed.contracts.errors import InputError
from domain_embed.corpus.erased import ERASED_FILE, read_erased
from domain_embed.erasure import places
from domain_embed.erasure.erase import erase_documents
from domain_embed.erasure.outcome import Outcome
from domain_embed.erasure.subject import UNFINISHED_FILE
from domain_embed.judgments.sheets import read_sheet
from domain_embed.serving import Searcher
from domain_embed_tests.cli.test_cli import answer, invoke
from domain_embed_tests.erasure.decoding import holders
from domain_embed_tests.erasure.test_no_texts import ask_for_samples
from domain_embed_tests.scenario import CORPUS, Passage
from domain_embed_tests.whole import DOMAIN, Whole

GONE = [one for one in CORPUS if one.passage_id in ("restore-point", "node-drain", "postmortem")]
"""Quoted in the diagnosis, the quality report, the review queue and the evaluation."""
IDS = [one.passage_id for one in GONE]


def pieces(passages: list[Passage] = GONE) -> list[str]:
    """Titles and texts, whole and as excerpts of them begin and end."""
    return [piece for one in passages for piece in (one.title, one.text, one.text[:40], one.text[-40:])]


def held(whole: Whole) -> dict[str, list[str]]:
    return holders(whole.home / ".store", pieces())


def erase(whole: Whole, *ids: str) -> Outcome:
    return erase_documents(whole.environment, DOMAIN, ids or IDS)


def without_sources(whole: Whole) -> None:
    whole.write_corpus([row for row in whole.corpus() if row["_id"] not in IDS])


def test_before_it_many_places_hold_the_texts(finished: Whole) -> None:
    places_of = {name.split("/")[2] for name in held(finished)}
    assert places_of >= {"tables", "index", "quality", "diagnosis", "reports"}


def test_the_texts_are_nowhere_though_the_source_still_has_them(whole: Whole) -> None:
    outcome = erase(whole)
    assert outcome.finished
    assert held(whole) == {}
    lines = [next(n for n, row in enumerate(whole.corpus(), start=1) if row["_id"] == one) for one in IDS]
    named = {one.where for one in outcome.not_reached if one.what == "a source"}
    assert named == {f"{whole.folder / 'corpus.jsonl'}, line {line}" for line in lines}
    assert whole.corpus() != []


def test_the_texts_are_nowhere_after_the_source_and_the_tables_lost_them(whole: Whole) -> None:
    without_sources(whole)
    whole.run(("documents", "passages"))
    assert held(whole)  # older collections, reports
    assert erase(whole).finished
    assert held(whole) == {}


def test_passages_that_were_only_hidden_before_go_from_the_disk(whole: Whole) -> None:
    store = whole.workspace.vector_store
    for info in store.collections():
        store.amend(info.name, remove=IDS, metadata={})
    assert any("/index/" in name for name in held(whole))
    assert erase(whole).finished
    assert held(whole) == {}


def test_a_broken_pipeline_does_not_matter(whole: Whole) -> None:
    (whole.folder / "judgments.jsonl").write_text('{"query": 5, "grade": "x"\n', encoding="utf-8")
    (whole.folder / "corpus.jsonl").write_text("{\n", encoding="utf-8")
    whole.edit("training", epochs=0)  # domain.yaml cannot be used either
    assert erase(whole).finished
    assert held(whole) == {}


def test_what_runs_recorded_with_samples_goes_as_well(whole: Whole) -> None:
    ask_for_samples(whole)
    whole.write_corpus(sorted(whole.corpus(), key=lambda row: row["_id"] not in IDS))  # first, so that they are samples
    whole.run(("documents", "passages", "quality_report", "diagnosis"), force=True)
    assert {name.split("/")[0] for name in held(whole)} == {"dagster", "domains", "mlflow"}
    assert erase(whole).finished
    assert held(whole) == {}
    assert whole.metadata("documents")["dagster/row_count"] == len(CORPUS)  # the rest of the record can be read


def test_they_do_not_come_back_and_the_others_stay(whole: Whole) -> None:
    erase(whole)
    assert read_erased(whole.folder) == set(IDS)
    stale = whole.plan().stale
    assert "documents" in stale
    whole.run(("documents", "passages", "base_collection"))
    assert held(whole) == {}
    rows = whole.workspace.tables.read("documents").read().to_pylist()
    assert {row["doc_id"] for row in rows} == {one.passage_id for one in CORPUS} - set(IDS)
    recorded = whole.metadata("documents")
    assert recorded["erased"] == len(IDS)
    assert recorded["left out, by reason"] == f"{len(IDS)} × erased"


def test_what_remains_can_be_searched_at_once(whole: Whole) -> None:
    searcher = Searcher.open(DOMAIN, home=whole.home)
    other = CORPUS[0]
    erase(whole)
    for opened in (searcher, Searcher.open(DOMAIN, home=whole.home)):
        for one in GONE:
            assert one.passage_id not in [hit.passage_id for hit in opened.search(one.title, len(CORPUS))]
        assert other.passage_id in [hit.passage_id for hit in opened.search(other.title, 3)]


def test_a_searcher_in_another_process_loses_them(whole: Whole) -> None:
    code = (
        "import sys\nfrom domain_embed import Searcher\n"
        f"searcher = Searcher.open({DOMAIN!r}, home={str(whole.home)!r})\n"
        "for line in sys.stdin:\n    print([hit.passage_id for hit in searcher.search(line, 3)], flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(f"{GONE[0].title}\n")
        other.stdin.flush()
        assert GONE[0].passage_id in other.stdout.readline()
        assert erase(whole).finished
        other.stdin.write(f"{GONE[0].title}\n")
        other.stdin.close()
        assert GONE[0].passage_id not in other.stdout.readline()


def test_what_people_asked_stays(whole: Whole) -> None:
    before = set(whole.workspace.tables.read("labels").read(["query"])["query"].to_pylist())
    erase(whole)
    assert set(whole.workspace.tables.read("labels").read(["query"])["query"].to_pylist()) == before
    rows = whole.workspace.tables.read("splits").read(["passage_id"]).to_pylist()
    assert not {row["passage_id"] for row in rows} & set(IDS)


@pytest.mark.parametrize("step", ["amend_collections", "scrub_tables", "empty_caches", "scrub_files"])
def test_an_interrupted_erasure_goes_on_with_the_next_call(
    whole: Whole, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def interrupted(*arguments: object, **options: object) -> Iterator[str]:
        raise KeyboardInterrupt

    without_sources(whole)
    with monkeypatch.context() as patched:
        patched.setattr(places, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            erase(whole)
    kept = whole.workspace.root / UNFINISHED_FILE
    assert kept.exists()
    assert not holders(kept.parent, pieces()).get(kept.name)
    assert erase(whole).finished
    assert held(whole) == {}
    assert not kept.exists()


def test_doing_it_twice_changes_nothing_and_still_names_the_models(whole: Whole) -> None:
    first = erase(whole)
    second = erase(whole)
    assert second.finished
    assert second.removed == []
    models = [one.where for one in first.not_reached if one.what == "a model that knew it"]
    assert models == [str(whole.workspace.checkpoints / str(whole.workspace.newest_checkpoint))]
    assert models == [one.where for one in second.not_reached if one.what == "a model that knew it"]


def test_a_failing_step_is_named_and_the_others_are_done(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> Iterator[str]:
        raise OSError("no space left")

    monkeypatch.setattr(places, "scrub_files", full)
    outcome = erase(whole)
    assert outcome.failed == ["no space left"]
    assert not outcome.finished
    assert {name.split("/")[2] for name in held(whole)} == {"quality", "diagnosis", "reports"}
    assert {Path(place).parent.name for place in outcome.still_held} >= {"quality", "diagnosis"}


def test_it_is_recorded_before_it_begins(whole: Whole) -> None:
    erase(whole, IDS[0])
    (line,) = AuditTrail(whole.home / ".store").read(DOMAIN)
    assert (line.deed, line.target) == ("erase", IDS[0])
    (noted,) = (whole.folder / ERASED_FILE).read_text(encoding="utf-8").splitlines()
    assert json.loads(noted)["doc_id"] == IDS[0]
    assert json.loads(noted)["who"] == line.who


def test_an_unknown_document_is_an_error_that_names_near_ones(whole: Whole) -> None:
    with pytest.raises(InputError, match="'restore-point'"):
        erase(whole, "restore-pont")
    assert not (whole.folder / ERASED_FILE).exists()


def test_review_sheets_are_cleaned_and_other_files_named(whole: Whole) -> None:
    invoke(whole.home, "review", DOMAIN)
    sheet = whole.folder / "review.xlsx"
    assert sheet.exists()
    (whole.folder / "notes.md").write_text(f"# Notes\n\nAs it says: {GONE[0].text}\n", encoding="utf-8")
    outcome = erase(whole)
    assert any(place.endswith("review.xlsx") for place in outcome.removed)
    assert read_sheet(sheet).undecided > 0
    mine = [one.where for one in outcome.not_reached if one.what == "a file of yours"]
    assert mine == [f"{whole.folder / 'notes.md'}, line 3"]


def test_the_command_tells_before_it_does(whole: Whole) -> None:
    told = answer(whole.home, "erase", DOMAIN, *IDS, "--dry-run")
    assert told["dry"]
    assert "tables/documents: 3 rows" in told["removed"]
    assert held(whole)
    assert not (whole.folder / ERASED_FILE).exists()
    asked = invoke(whole.home, "erase", DOMAIN, *IDS)
    assert asked.returncode == 2
    assert held(whole)
    done = answer(whole.home, "erase", DOMAIN, *IDS, "--yes")
    assert done["removed"] == told["removed"]
    assert held(whole) == {}
