"""The lane: what is deleted or restricted is hidden in all that serves, whatever else is wrong, and stays hidden."""

import json
import logging
import multiprocessing as mp
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import yaml

from domain_embed import cutover
from domain_embed.audit import AuditTrail
from domain_embed.contracts.errors import DomainEmbedError, InputError, PromotionRefusedError, StoreError
from domain_embed.contracts.records import Hit
from domain_embed.defs import lane
from domain_embed.defs.policies import LANE
from domain_embed.promotion.champion import PromotionLog
from domain_embed.serving import Searcher
from domain_embed.stores.tracking import Tracking
from domain_embed.stores.workspace import LIVE, STORE_FOLDER
from domain_embed_tests.whole import DOMAIN, Whole

SPAWN = mp.get_context("spawn")
VERSIONS = ("champion", "challenger", "base")
GONE, MOVED, NEW = "pg-vacuum", "cert-renew", "coffee-machine"
ASKED = {GONE: "autovacuum falls behind", MOVED: "certificate expires tomorrow", NEW: "descale the coffee machine"}
TEXT = "Citric acid, once a month."
ADDED = {"_id": NEW, "title": "Descale the coffee machine", "text": TEXT, "metadata": {"team": "data"}}


def found(whole: Whole, passage_id: str, version: str = "champion", groups: list[str] | None = None) -> bool:
    """Whether a searcher that is opened now finds the passage among all there are."""
    return passage_id in ids(Searcher.open(DOMAIN, groups=groups, version=version, home=whole.home), passage_id)


def ids(searcher: Searcher, passage_id: str) -> set[str]:
    searched = {hit.passage_id for hit in searcher.search(ASKED[passage_id], 100)}
    assert {point.passage_id for point in searcher.fetch([passage_id])} == searched & {passage_id}
    return searched


def delete(whole: Whole, *passage_ids: str) -> None:
    whole.write_corpus([row for row in whole.corpus() if row["_id"] not in passage_ids])


def add(whole: Whole, *rows: dict[str, Any]) -> None:
    whole.write_corpus([*whole.corpus(), *rows])


def move(whole: Whole, passage_id: str, team: str) -> None:
    rows = whole.corpus()
    next(row for row in rows if row["_id"] == passage_id)["metadata"]["team"] = team
    whole.write_corpus(rows)


def restrict_by_team(whole: Whole) -> None:
    path = whole.folder / "domain.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(content | {"access": {"groups_field": "team"}}), encoding="utf-8")


def break_labels(whole: Whole) -> None:
    with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"query": "cut off he\n')


def break_row(whole: Whole, passage_id: str) -> None:
    path = whole.folder / "corpus.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    broken = [line[:-20] if json.loads(line)["_id"] == passage_id else line for line in lines]
    path.write_text("\n".join(broken) + "\n", encoding="utf-8")


def tuned_is_live(whole: Whole) -> None:
    cutover.promote_challenger(whole.workspace, force=True)


def search_when_told(home: Path, order: Connection) -> None:
    searcher = Searcher.open(DOMAIN, home=home)
    while order.recv() == "search":
        order.send(GONE in ids(searcher, GONE))


@contextmanager
def another_process(whole: Whole) -> Iterator[Connection]:
    """One that opened a searcher, and says whether it finds what will be deleted."""
    order, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=search_when_told, args=(whole.home, theirs))
    process.start()
    try:
        yield order
    finally:
        order.send("end")
        process.join(30)


# --- whatever is red ------------------------------------------------------------------------------------


def test_a_deleted_passage_is_found_by_nobody_though_the_labels_are_broken(whole: Whole) -> None:
    assert [found(whole, GONE, version) for version in VERSIONS] == [True, True, True]
    opened = Searcher.open(DOMAIN, home=whole.home, version="base")
    with another_process(whole) as order:
        order.send("search")
        assert order.recv() is True
        delete(whole, GONE)
        add(whole, ADDED)
        break_labels(whole)
        with pytest.raises(InputError, match=r"judgments\.jsonl, line"):
            whole.run()
        order.send("search")
        assert order.recv() is False
    assert [found(whole, GONE, version) for version in VERSIONS] == [False, False, False]
    assert GONE not in ids(opened, GONE)
    # New texts need no evaluation where the model stays.
    assert found(whole, NEW)
    [*_, last] = PromotionLog(whole.workspace.promotions).read()
    assert (last.action, last.target) == ("refreshed", whole.workspace.aliased(LIVE))
    assert last.source_fingerprint == last.fingerprint


def test_a_source_that_is_missing_altogether_does_not_stop_it(whole: Whole) -> None:
    delete(whole, GONE)
    (whole.folder / "judgments.jsonl").unlink()
    with pytest.raises(InputError, match="judgments"):
        whole.run()
    assert [found(whole, GONE, version) for version in VERSIONS] == [False, False, False]


def test_the_lane_comes_first_in_a_run(whole: Whole) -> None:
    delete(whole, GONE)
    with (whole.folder / "judgments.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"query": "rows", "passage_id": "pg-disk-full"}) + "\n")
    outcome = whole.run((*LANE[::-1], "labels", "base_collection"))
    assert outcome is not None
    assert tuple(outcome.worked)[: len(LANE)] == LANE


def test_hiding_is_done_though_embedding_fails(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise StoreError("the accelerator is gone")

    monkeypatch.setattr(lane, "refresh_live", fails)
    delete(whole, GONE)
    live = whole.workspace.aliased(LIVE)
    with pytest.raises(StoreError, match="accelerator"):
        whole.run()
    assert whole.workspace.aliased(LIVE) == live
    assert [found(whole, GONE, version) for version in VERSIONS] == [False, False, False]


def test_an_edited_text_is_hidden_until_the_new_one_is_there(whole: Whole) -> None:
    rows = whole.corpus()
    next(row for row in rows if row["_id"] == GONE)["text"] += " And never by day."
    whole.write_corpus(rows)
    whole.run(("documents", "passages", "withheld"))
    assert [found(whole, GONE, version) for version in VERSIONS] == [False, False, False]
    whole.run(LANE)
    [point] = Searcher.open(DOMAIN, home=whole.home).fetch([GONE])
    assert point.text.endswith("at night. And never by day.")


def test_nothing_is_done_twice(whole: Whole, caplog: pytest.LogCaptureFixture) -> None:
    delete(whole, GONE)
    caplog.set_level(logging.INFO, "domain_embed.run")
    whole.run(LANE)
    assert "1 passages withheld, 0 with other metadata" in caplog.text
    assert cutover.withhold_gone(whole.workspace) == []
    outcome = whole.run(LANE)
    assert outcome is not None
    assert set(outcome.reused) == set(LANE)


# --- a corpus that cannot be read as a whole ------------------------------------------------------------


def test_one_row_that_cannot_be_read_does_not_keep_what_is_deleted(whole: Whole) -> None:
    restrict_by_team(whole)
    delete(whole, GONE)
    move(whole, MOVED, "legal")
    break_row(whole, "kafka-lag")
    with pytest.raises(InputError, match=r"corpus\.jsonl, line"):
        whole.run()
    for version in VERSIONS:
        assert not found(whole, GONE, version, ["data"])
        assert not found(whole, MOVED, version, ["network"])
        assert found(whole, MOVED, version, ["legal"])
        searcher = Searcher.open(DOMAIN, groups=["data", "platform", "network", "release", "legal"], home=whole.home)
        # Nobody can tell whether the broken row's document may still be served.
        assert len({hit.passage_id for hit in searcher.search("log", 100)}) == 38


def test_an_id_that_occurs_twice_hides_its_document_and_does_not_keep_what_is_deleted(whole: Whole) -> None:
    restrict_by_team(whole)
    delete(whole, GONE)
    move(whole, MOVED, "legal")
    add(whole, {"_id": "kafka-lag", "text": "Another text.", "metadata": {"team": "legal"}})
    with pytest.raises(InputError, match=r"corpus\.jsonl, line 40: document id 'kafka-lag' occurs twice"):
        whole.run()
    for version in VERSIONS:
        assert not found(whole, GONE, version, ["data"])
        assert not found(whole, MOVED, version, ["network"])
        assert found(whole, MOVED, version, ["legal"])
        searcher = Searcher.open(DOMAIN, groups=["data", "platform", "network", "release", "legal"], home=whole.home)
        assert "kafka-lag" not in {hit.passage_id for hit in searcher.search("log", 100)}  # which one, nobody can tell


def test_what_was_hidden_for_a_broken_row_is_back_once_it_is_mended(whole: Whole) -> None:
    rows = whole.corpus()
    break_row(whole, GONE)
    with pytest.raises(InputError):
        whole.run()
    assert [found(whole, GONE, version) for version in VERSIONS] == [False, False, False]
    whole.write_corpus(rows)  # nothing that any step reads has changed
    assert {"live_collection", "base_collection"} <= set(whole.plan().stale)
    whole.run()
    assert [found(whole, GONE, version) for version in VERSIONS] == [True, True, True]
    assert whole.plan().stale == ()


def test_a_corpus_that_is_away_is_not_taken_for_deleted(whole: Whole) -> None:
    (whole.folder / "corpus.jsonl").unlink()
    with pytest.raises(InputError, match="corpus"):
        whole.run()
    assert [found(whole, GONE, version) for version in VERSIONS] == [True, True, True]


@pytest.mark.parametrize(("kept", "hidden"), [(15, False), (25, True)])
def test_a_corpus_that_is_cut_off_is_not_taken_for_deleted(whole: Whole, kept: int, hidden: bool) -> None:
    lines = (whole.folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    delete(whole, GONE)
    kept_lines = [line for line in lines if json.loads(line)["_id"] != GONE][:kept]
    (whole.folder / "corpus.jsonl").write_text("\n".join([*kept_lines, lines[-1][:30]]), encoding="utf-8")
    with pytest.raises(InputError):
        whole.run()
    assert [found(whole, GONE, version) for version in VERSIONS] == [not hidden] * 3


def test_passages_that_cannot_be_cut_do_not_stop_it_either(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    restrict_by_team(whole)
    tuned_is_live(whole)
    delete(whole, GONE)
    move(whole, MOVED, "legal")
    with monkeypatch.context() as patched:
        patched.setattr("domain_embed.defs.work.Work.base_encoder", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            whole.run()
    for version in VERSIONS:
        assert not found(whole, GONE, version, ["data"])
        assert (found(whole, MOVED, version, ["network"]), found(whole, MOVED, version, ["legal"])) == (False, True)
    # The passages there are still say what they said before the corpus changed.
    cutover.roll_back_model(whole.workspace)
    assert not found(whole, GONE, groups=["data"])
    assert (found(whole, MOVED, groups=["network"]), found(whole, MOVED, groups=["legal"])) == (False, True)


def test_another_way_of_cutting_documents_hides_nothing(whole: Whole) -> None:
    whole.edit("chunking", strategy="sentences", max_tokens=16)
    whole.run(("documents", "passages", "withheld"))
    assert len(whole.workspace.tables.read("passages").read()) > 40
    searcher = Searcher.open(DOMAIN, home=whole.home)
    assert len(searcher.search("log", 100)) == 40


def test_it_works_though_mlflow_is_away(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tracking, "_answers", lambda self: False)
    delete(whole, GONE)
    whole.run(LANE)
    assert not found(whole, GONE)


# --- back, forth and back again -------------------------------------------------------------------------


def test_a_rollback_goes_to_the_model_and_not_to_the_past_of_the_corpus(whole: Whole) -> None:
    restrict_by_team(whole)
    tuned_is_live(whole)
    delete(whole, GONE)
    move(whole, MOVED, "legal")
    add(whole, ADDED)
    whole.run(("documents", "passages"))  # withheld has not run: the rollback looks for itself
    moved = cutover.roll_back_model(whole.workspace)
    assert whole.workspace.aliased(LIVE) == moved.target
    assert not found(whole, GONE, groups=["data"])
    assert (found(whole, MOVED, groups=["network"]), found(whole, MOVED, groups=["legal"])) == (False, True)
    assert not found(whole, NEW, groups=["data"])
    refreshed = cutover.refresh_live(whole.workspace, whole.workspace.settings)
    assert refreshed is not None
    assert (refreshed.action, refreshed.fingerprint) == ("refreshed", moved.fingerprint)
    assert found(whole, NEW, groups=["data"])
    assert not found(whole, GONE, groups=["data"])
    assert cutover.refresh_live(whole.workspace, whole.workspace.settings) is None
    with pytest.raises(PromotionRefusedError, match="no earlier model"):
        cutover.roll_back_model(whole.workspace)
    [*_, line] = AuditTrail(whole.home / STORE_FOLDER).read(DOMAIN)
    assert (line.deed, line.source, line.target) == ("rollback", moved.source, moved.target)
    assert line.details["model"] == moved.fingerprint


def test_after_a_rollback_the_next_run_embeds_what_the_rollback_could_not(whole: Whole) -> None:
    tuned_is_live(whole)
    add(whole, ADDED)
    whole.run(LANE)
    cutover.roll_back_model(whole.workspace)
    assert not found(whole, NEW)
    outcome = whole.run(("live_collection",))
    assert outcome is not None
    assert outcome.reasons == {"live_collection": "passages are missing in it"}
    assert found(whole, NEW)


def test_a_rollback_that_cannot_be_aligned_does_not_happen(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned_is_live(whole)
    live = whole.workspace.aliased(LIVE)
    delete(whole, GONE)
    whole.run(("documents", "passages"))

    def fails(*_: object, **__: object) -> None:
        raise StoreError("read-only")

    monkeypatch.setattr("domain_embed.stores.edge.EdgeStore.amend", fails)
    with pytest.raises(StoreError, match="read-only"):
        cutover.roll_back_model(whole.workspace)
    assert whole.workspace.aliased(LIVE) == live
    assert [line.deed for line in AuditTrail(whole.home / STORE_FOLDER).read(DOMAIN)].count("rollback") == 0


def test_promoting_brings_nothing_back(whole: Whole) -> None:
    tuned_is_live(whole)
    cutover.roll_back_model(whole.workspace)
    delete(whole, GONE)
    whole.run(("documents", "passages"))
    cutover.promote_challenger(whole.workspace, force=True)
    assert not found(whole, GONE)
    deeds = [(line.deed, line.reason) for line in AuditTrail(whole.home / STORE_FOLDER).read(DOMAIN)]
    assert [deed for deed, _ in deeds[-2:]] == ["rollback", "promote"]


def test_a_document_that_comes_back_is_found_again(whole: Whole) -> None:
    rows, before = whole.corpus(), whole.workspace.aliased(LIVE)
    delete(whole, GONE)
    whole.run(LANE)
    assert not found(whole, GONE)
    whole.write_corpus(rows)
    whole.run(LANE)
    assert found(whole, GONE)
    assert whole.workspace.aliased(LIVE) == f"{before}-2"
    [one] = [row for row in cutover.version_rows(whole.workspace) if row["collection"] == before]
    assert one["passages"] == len(rows) - 1


def test_the_tuned_weight_goes_along(whole: Whole) -> None:
    whole.workspace.save_tuned_weight(whole.workspace.aliased(LIVE), 0.7, "splits")
    delete(whole, GONE)
    whole.run(LANE)
    assert whole.workspace.tuned_weight(whole.workspace.aliased(LIVE)) == {"dense_weight": 0.7, "splits": "splits"}


def test_what_is_built_while_a_document_goes_is_aligned_before_it_can_serve(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(whole, ADDED)
    whole.run(("documents", "passages", "withheld"))
    build = cutover.build_collection

    def meanwhile(*arguments: Any, **named: Any) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(cutover, "build_collection", build)
            delete(whole, GONE)
            whole.run(("documents", "passages", "withheld"))
            return build(*arguments[:3], before, *arguments[4:], **named)

    before = whole.workspace.tables.read("passages")
    monkeypatch.setattr(cutover, "build_collection", meanwhile)
    workspace = whole.workspace
    info = workspace.vector_store.open(workspace.aliased(LIVE)).info
    built = cutover.bring_up(workspace, workspace.settings, info.model, info.model_settings).info
    assert built.passages_version == before.version
    opened = workspace.vector_store.open(built.name)
    assert opened.describe([[Hit(GONE, 1.0), Hit(NEW, 1.0)]])[0][0].passage_id == NEW
    assert opened.count() == 40


def test_removals_are_audited(whole: Whole) -> None:
    tuned_is_live(whole)
    for number in range(3):
        add(whole, {**ADDED, "_id": f"new-{number}", "text": f"Number {number}."})
        whole.run(LANE)
    removed = [info.name for info in cutover.prune_workspace(whole.workspace, 0)]
    lines = [line for line in AuditTrail(whole.home / STORE_FOLDER).read(DOMAIN) if line.deed == "prune"]
    assert removed
    assert [line.source for line in lines][-len(removed) :] == removed


def test_domain_errors_of_other_models_do_not_move_the_alias(whole: Whole) -> None:
    """A rollback while the new texts are embedded wins: another model is not moved back."""
    tuned_is_live(whole)
    workspace = whole.workspace
    live = workspace.vector_store.open(workspace.aliased(LIVE)).info
    add(whole, ADDED)
    whole.run(("documents", "passages"))
    target = cutover.bring_up(workspace, workspace.settings, live.model, live.model_settings).info
    moved = cutover.roll_back_model(workspace)
    log = PromotionLog(workspace.promotions)
    assert cutover.refresh(workspace.vector_store, log, LIVE, target, lambda _: None, reason="late") is None
    assert workspace.aliased(LIVE) == moved.target
    assert isinstance(StoreError("x"), DomainEmbedError)
