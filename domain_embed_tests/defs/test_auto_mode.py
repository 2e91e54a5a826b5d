"""`retrieval.mode: auto` on a finished domain: what is chosen is judged, goes live, is searched, and comes back."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from domain_embed import cutover
from domain_embed.cli import app
from domain_embed.contracts.records import Served
from domain_embed.evaluation.choice import FEW_QUERIES
from domain_embed.evaluation.evidence import Evidence
from domain_embed.promotion.champion import PromotionLog
from domain_embed.serving import Searcher
from domain_embed.stores.workspace import BASE, CHALLENGER, LIVE
from domain_embed_tests.whole import DOMAIN, Whole

QUERY = "autovacuum falls behind"


@pytest.fixture
def auto(whole: Whole) -> Whole:
    """The finished domain, which served dense, after its mode was left open, and all that follows from that was run."""
    whole.edit("retrieval", mode="auto")
    whole.run()
    return whole


def served(whole: Whole) -> Served | None:
    workspace = whole.workspace
    return PromotionLog(workspace.promotions).served(workspace.vector_store.alias(LIVE))


def ids(whole: Whole, mode: str | None = None, version: str = "champion") -> list[tuple[str, float]]:
    hits = Searcher.open(DOMAIN, version=version, home=whole.home).search(QUERY, 5, mode=mode)  # type: ignore[arg-type]
    return [(hit.passage_id, hit.score) for hit in hits]


def test_with_few_validation_queries_hybrid_is_chosen_judged_and_searched(auto: Whole) -> None:
    workspace = auto.workspace
    evidence = Evidence.from_json(workspace.latest_report()["evidence"])
    assert evidence.queries_per_split["validation"] < FEW_QUERIES
    assert (evidence.served_mode, evidence.serves["base"], evidence.serves["tuned"]) == ("auto", "hybrid", "hybrid")
    assert (evidence.gain.challenger, evidence.headline.baseline) == ("tuned/hybrid", "base/hybrid")
    assert evidence.validation is not None
    assert (evidence.validation.challenger, evidence.validation.baseline) == ("tuned/hybrid", "base/hybrid")
    assert [one.system for one in evidence.serving if one.system.startswith("tuned")] == ["tuned/hybrid"]
    assert evidence.untuned_gain is not None
    assert set(evidence.choices) == {"base", "tuned"}

    for alias, version in ((BASE, "base"), (CHALLENGER, "challenger")):
        assert workspace.chosen(workspace.aliased(alias)) == Served("hybrid")
        assert ids(auto, version=version) == ids(auto, "hybrid", version)
    assert auto.plan().stale == ()


def test_only_a_change_of_the_mode_moves_the_base_model_and_can_be_taken_back(whole: Whole) -> None:
    workspace = whole.workspace
    cutover.promote_challenger(workspace, force=True)
    cutover.roll_back_model(workspace)  # the base model is live, asked as the settings say: dense
    assert workspace.vector_store.alias(LIVE) == workspace.aliased(BASE)
    whole.edit("retrieval", mode="auto")
    whole.edit("promotion", min_gain=0.9)  # no tuned model can
    whole.run()
    assert (workspace.vector_store.alias(LIVE), served(whole)) == (workspace.aliased(BASE), Served("hybrid"))
    assert ids(whole) == ids(whole, "hybrid") != ids(whole, "dense")
    (live,) = [row for row in cutover.version_rows(workspace) if "live" in row["aliases"]]
    assert live["served"] == "hybrid"
    told = cutover.live_system(workspace)
    assert told is not None
    assert told.startswith("base/hybrid is live: Without training, base/hybrid reaches")
    assert live["ndcg_at_10"] == pytest.approx(
        Evidence.from_json(workspace.latest_report()["evidence"]).mean("base/hybrid")
    )

    searcher = Searcher.open(DOMAIN, home=whole.home)
    assert searcher.reload() is False
    workspace.save_choice(workspace.aliased(BASE), Served("dense"), "by hand", {})
    whole.run(("champion",), force=True)
    assert searcher.reload() is True  # the same collection, asked in another way
    assert [(hit.passage_id, hit.score) for hit in searcher.search(QUERY, 5)] == ids(whole, "dense")
    move = cutover.roll_back_model(workspace)
    assert (move.action, move.source_served, move.served) == ("rolled back", Served("dense"), Served("hybrid"))
    assert (move.source, move.target) == (workspace.aliased(BASE), workspace.aliased(BASE))
    assert searcher.reload() is True
    assert ids(whole) == ids(whole, "hybrid")
    whole.run(("champion",), force=True)
    assert served(whole) == Served("hybrid")  # a person went back from dense


def test_a_tuned_model_goes_live_with_its_way_and_keeps_it_when_the_corpus_changes(auto: Whole) -> None:
    workspace = auto.workspace
    workspace.save_choice(workspace.aliased(CHALLENGER), Served("weighted", False, 0.25), "by hand", {})
    cutover.promote_challenger(workspace, force=True, reason="release 7")
    assert served(auto) == Served("weighted", False, 0.25)
    assert workspace.retrieval(workspace.aliased(CHALLENGER)).dense_weight == 0.25
    before = ids(auto)
    rows = auto.corpus()
    rows.append({"_id": "coffee", "title": "Descale the coffee machine", "text": "Citric acid, once a month."})
    auto.write_corpus(rows)
    auto.run(("documents", "passages", "withheld", "live_collection"))
    assert workspace.vector_store.alias(LIVE) != workspace.aliased(CHALLENGER)
    assert served(auto) == Served("weighted", False, 0.25)
    assert ids(auto) == ids(auto, "weighted")
    assert [name for name, _ in ids(auto)][:1] == [name for name, _ in before][:1]


def test_an_explicit_mode_is_taken_at_its_word(auto: Whole) -> None:
    auto.edit("retrieval", mode="sparse")
    assert ids(auto) == ids(auto, "sparse")


def test_commands_say_what_would_serve(auto: Whole, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOMAIN_EMBED_HOME", str(auto.home))
    found = json.loads(CliRunner().invoke(app, ["report", DOMAIN, "--json"]).stdout)
    assert (found["served_mode"], found["serves"]["tuned"]) == ("auto", "hybrid")
    assert set(found["choices"]) == {"base", "tuned"}
    page = Path(found["html"]).read_text(encoding="utf-8")
    assert "would serve: base/hybrid" in page
    assert yaml.safe_load((auto.folder / "domain.yaml").read_text(encoding="utf-8"))["retrieval"]["mode"] == "auto"
