"""SciFact's published figures, from our whole evaluation path: does it measure what others measure?

nDCG@10 on the test split is published as 0.645 for all-MiniLM-L6-v2 and 0.665 to 0.686 for BM25 implementations.
"""

import os
from pathlib import Path

import pytest

from domain_embed.definitions import build_definitions
from domain_embed.defs.runs import open_instance, run_assets
from domain_embed.evaluation.measures import HEADLINE, mean_measures, score_run
from domain_embed.evaluation.systems import run_systems
from domain_embed.new_domain import beir_settings
from domain_embed.settings import SETTINGS_FILE, Environment, render_yaml
from domain_embed.stores.workspace import BASE, Workspace

UP_TO_SPLITS = (
    "documents", "passages", "base_collection", "labels", "synthetic_queries", "judgments", "splits",
)  # fmt: skip
DATASETS = Path(os.environ.get("DOMAIN_EMBED_DATASETS", Path(__file__).parents[3] / "shared" / "datasets"))


@pytest.mark.slow
@pytest.mark.skipif(not (DATASETS / "scifact").is_dir(), reason=f"no scifact in {DATASETS}; set DOMAIN_EMBED_DATASETS")
def test_scifact_figures_agree_with_the_published_ones(tmp_path: Path) -> None:
    workspace = Workspace(Environment(home=tmp_path), "scifact")
    workspace.folder.mkdir()
    settings = beir_settings(DATASETS / "scifact")
    (workspace.folder / SETTINGS_FILE).write_text(render_yaml(settings), encoding="utf-8")
    with open_instance(workspace.environment) as instance:
        run_assets(instance, workspace, build_definitions(workspace.environment), UP_TO_SPLITS)

    frame = workspace.tables.read("splits").read().to_pandas()
    test = frame[frame["split"] == "test"]
    qrels: dict[str, dict[str, int]] = {}
    for query_id, passage_id, grade in zip(test["query_id"], test["passage_id"], test["grade"], strict=True):
        qrels.setdefault(query_id, {})[passage_id] = int(grade)
    searcher = workspace.searcher(workspace.aliased(BASE))
    queries = dict(zip(test["query_id"], test["query"], strict=True))
    runs = run_systems({"base": searcher}, queries, ["dense", "sparse", "hybrid"])
    figures = {name: mean_measures(score_run(run, qrels))[HEADLINE] for name, run in runs.items()}

    assert len(qrels) == 300
    assert figures["base/dense"] == pytest.approx(0.645, abs=0.005)
    assert 0.66 < figures["bm25"] < 0.69
    assert figures["base/hybrid"] > max(figures["base/dense"], figures["bm25"])
