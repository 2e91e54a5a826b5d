"""Domains in German and Japanese, from files to the evidence."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from domain_embed.cutover import OTHER_WORDS
from domain_embed.encoding import words
from domain_embed.evaluation.evidence import Evidence
from domain_embed.evaluation.measures import HEADLINE, mean_measures, score_run
from domain_embed.evaluation.systems import run_systems
from domain_embed.new_domain import files_domain
from domain_embed.settings import ModelSettings, render_yaml
from domain_embed.stores.workspace import BASE
from domain_embed_tests.encoding.tiny_models import tiny_encoder
from domain_embed_tests.other_languages import Rule, german_rules, japanese_rules, write_domain
from domain_embed_tests.whole import EVERYTHING, Whole

CASE = Path(os.environ.get("DOMAIN_EMBED_CASES", Path(__file__).parents[2] / "shared" / "cases")) / "03-chinese"


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory: pytest.TempPathFactory, minilm_path: str) -> str:
    """A model of random weights with an English vocabulary."""
    made, kept = (tmp_path_factory.mktemp(name) for name in ("made", "kept"))
    tiny_encoder(made, minilm_path, layers=1).save(str(kept))
    return str(kept)


@pytest.mark.parametrize(
    ("rules", "analyzer", "bm25", "unread"),
    [
        pytest.param(german_rules(), "german", 0.5, False, id="german"),
        pytest.param(japanese_rules(), "none", 0.7, True, id="japanese"),
    ],
)
def test_a_domain_in_another_language_runs_from_files_to_evidence(
    tmp_path: Path, tiny_path: str, rules: Sequence[Rule], analyzer: str, bm25: float, unread: bool
) -> None:
    whole = Whole(tmp_path)
    write_domain(whole.folder, rules, tiny_path)
    outcome = whole.run()
    assert outcome is not None
    assert sorted(outcome.worked) == sorted(EVERYTHING)

    workspace = whole.workspace
    assert workspace.vector_store.open(workspace.aliased(BASE)).info.sparse_language == analyzer
    judgments = workspace.tables.read("judgments").read().to_pandas()
    meant = {rule.query: rule.passage_id for rule in rules}
    found = dict(zip(judgments["query"], judgments["passage_id"], strict=True))
    assert found.items() <= meant.items()
    waiting = workspace.tables.read("undecided").read().to_pandas()
    assert set(waiting["query"]) == meant.keys() - found.keys()  # a sentence that stands nearly so elsewhere
    assert len(waiting) <= 5

    evidence = Evidence.from_json(workspace.latest_report()["evidence"])
    assert evidence.mean("bm25") > bm25
    quality = workspace.quality()
    assert (quality["unknown_tokens"]["passages"] > 0.1) is unread
    assert (quality["checks"]["unread_text"]["count"] > 50) is unread
    assert any("multilingual" in remark for remark in quality["remarks"]) is unread
    assert (quality["checks"]["suspect_label"]["count"], quality["checks"]["copied_query"]["count"]) == (0, 0)


@pytest.mark.skipif(not CASE.is_dir(), reason=f"no {CASE}; set DOMAIN_EMBED_CASES")
def test_chinese_help_pages_are_found_by_their_characters(tmp_path: Path, tiny_path: str) -> None:
    whole = Whole(tmp_path)
    whole.folder.mkdir()
    found = files_domain(CASE / "文档.jsonl", [CASE / "问题.jsonl", CASE / "答案.jsonl"])
    settings = found.settings.model_copy(update={"model": ModelSettings(base=tiny_path, max_tokens=64)})
    (whole.folder / "domain.yaml").write_text(render_yaml(settings), encoding="utf-8")
    whole.run(EVERYTHING[: EVERYTHING.index("quality_report") + 1])

    workspace = whole.workspace
    queries, qrels = workspace.judged("test")
    runs = run_systems({"base": workspace.searcher(workspace.aliased(BASE))}, queries, ["sparse"])
    assert len(queries) == 15
    assert mean_measures(score_run(runs["bm25"], qrels))[HEADLINE] == pytest.approx(0.842, abs=0.001)
    quality = workspace.quality()
    assert quality["checks"]["suspect_label"]["count"] == 0
    assert quality["unknown_tokens"]["passages"] > 0.1


@pytest.mark.skipif(not CASE.is_dir(), reason=f"no {CASE}; set DOMAIN_EMBED_CASES")
def test_chinese_answers_are_found_in_their_passages(tmp_path: Path, tiny_path: str) -> None:
    whole = Whole(tmp_path)
    whole.folder.mkdir()
    found = files_domain(CASE / "文档.jsonl", [CASE / "答案.jsonl"])
    settings = found.settings.model_copy(update={"model": ModelSettings(base=tiny_path, max_tokens=64)})
    (whole.folder / "domain.yaml").write_text(render_yaml(settings), encoding="utf-8")
    whole.run(("documents", "passages", "base_collection", "labels", "synthetic_queries", "judgments"))

    tables = whole.workspace.tables
    judged = tables.read("judgments").read().to_pandas()
    texts = tables.read("passages").read().to_pandas().set_index("passage_id")["text"]
    answers = tables.read("labels").read().to_pandas().set_index("query")["answer"]
    assert set(judged["query"]) | set(tables.read("undecided").read()["query"].to_pylist()) == set(answers.index)
    assert all(answers[query] in texts[key] for query, key in zip(judged["query"], judged["passage_id"], strict=True))
    assert len(judged) >= 19


@pytest.mark.parametrize(
    ("rules", "stale"),
    [
        pytest.param(german_rules()[:30], {}, id="german"),
        pytest.param(japanese_rules()[:30], {"base_collection": (OTHER_WORDS,)}, id="japanese"),
    ],
)
def test_where_words_are_told_apart_better_now_the_plan_says_so(
    tmp_path: Path, tiny_path: str, monkeypatch: pytest.MonkeyPatch, rules: Sequence[Rule],
    stale: Mapping[str, tuple[str, ...]],
) -> None:  # fmt: skip
    whole = Whole(tmp_path)
    write_domain(whole.folder, rules, tiny_path)
    made = ("documents", "passages", "base_collection")
    with monkeypatch.context() as before:
        before.setattr(words, "VERSION", 1)
        whole.run(made)
    found = {name: status.causes for name, status in whole.plan().statuses.items() if status.state == "stale"}
    assert found == stale
    whole.run(tuple(found) or made)
    assert {status.state for name, status in whole.plan().statuses.items() if name in made} == {"fresh"}
    info = whole.workspace.vector_store.open(whole.workspace.aliased(BASE)).info
    assert info.words_version == (words.VERSION if stale else 1)
