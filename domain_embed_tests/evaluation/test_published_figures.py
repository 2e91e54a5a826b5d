"""SciFact's published figures, from our whole evaluation path: does it measure what others measure?

nDCG@10 on the test split is published as 0.645 for all-MiniLM-L6-v2 and 0.665 to 0.686 for BM25 implementations.
"""

import os
from pathlib import Path

import pytest

from domain_embed.contracts.tables import PASSAGES
from domain_embed.corpus.documents import ReadReport, read_documents
from domain_embed.corpus.passages import whole_documents
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.measures import HEADLINE, mean_measures, score_run
from domain_embed.evaluation.systems import run_systems
from domain_embed.indexing.build import build_collection
from domain_embed.judgments.judgments import collect_judgments
from domain_embed.new_domain import beir_settings
from domain_embed.retrieval.searcher import Searcher
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.tables import TableStore
from domain_embed.stores.vectors import FileVectorCache

DATASETS = Path(os.environ.get("DOMAIN_EMBED_DATASETS", Path(__file__).parents[3] / "shared" / "datasets"))


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("DOMAIN_EMBED_SLOW"), reason="takes minutes; set DOMAIN_EMBED_SLOW=1")
@pytest.mark.skipif(not (DATASETS / "scifact").is_dir(), reason=f"no scifact in {DATASETS}; set DOMAIN_EMBED_DATASETS")
def test_scifact_figures_agree_with_the_published_ones(tmp_path: Path, minilm_path: str) -> None:
    folder = DATASETS / "scifact"
    settings = beir_settings(folder)
    tables = TableStore(tmp_path / "tables")
    documents = read_documents([folder / "corpus.jsonl"], ReadReport())
    passages = tables.write("passages", whole_documents(documents), PASSAGES)
    ids = passages.read(["passage_id"])["passage_id"].to_pylist()
    judgments, _ = collect_judgments(settings.judgments, folder, ids)
    frame = judgments.to_pandas()
    test = frame[frame["split"] == "test"]
    qrels: dict[str, dict[str, int]] = {}
    for query_id, passage_id, grade in zip(test["query_id"], test["passage_id"], test["grade"], strict=True):
        qrels.setdefault(query_id, {})[passage_id] = int(grade)

    encoder, store = TorchEncoder.load(minilm_path, settings.model), EdgeStore(tmp_path / "index")
    built = build_collection(
        store, encoder, minilm_path, passages, settings.sparse, FileVectorCache(tmp_path / "vectors")
    )
    searcher = Searcher(store.open(built.info.name), encoder, settings.retrieval)
    runs = run_systems({"base": searcher}, dict(zip(test["query_id"], test["query"], strict=True)))
    figures = {name: mean_measures(score_run(run, qrels))[HEADLINE] for name, run in runs.items()}

    assert len(qrels) == 300
    assert figures["base/dense"] == pytest.approx(0.645, abs=0.005)
    assert 0.66 < figures["bm25"] < 0.69
    assert figures["base/hybrid"] > max(figures["base/dense"], figures["bm25"])
