"""Exported runs and judgments give the same figures to who reads them as the field does."""

from pathlib import Path

import ir_measures
import pytest

from domain_embed.evaluation.measures import mean_measures, score_run
from domain_embed.evaluation.trec import export_trec, save_qrels, save_runs
from domain_embed_tests.evaluation.scenario import BASE, QRELS, RUNS, TUNED


def _exported(folder: Path, runs: dict[str, dict[str, list[str]]], qrels: dict[str, dict[str, int]]) -> list[Path]:
    save_runs(folder / "runs.parquet", runs)
    save_qrels(folder / "qrels.parquet", qrels)
    return export_trec(folder / "runs.parquet", folder / "qrels.parquet", folder / "trec")


def test_ir_measures_reads_the_files_and_finds_our_figures(tmp_path: Path) -> None:
    files = _exported(tmp_path, RUNS, QRELS)
    assert [file.name for file in files] == [
        "qrels.txt", "tuned_hybrid.run", "tuned_dense.run", "base_hybrid.run", "base_dense.run",
    ]  # fmt: skip
    qrels = list(ir_measures.read_trec_qrels(str(files[0])))
    for name, run in (("tuned_dense", TUNED), ("base_dense", BASE)):
        read = list(ir_measures.read_trec_run(str(tmp_path / "trec" / f"{name}.run")))
        theirs = ir_measures.calc_aggregate([ir_measures.nDCG @ 10, ir_measures.R @ 10], qrels, read)
        ours = mean_measures(score_run(run, QRELS))
        assert {str(measure): value for measure, value in theirs.items()} == pytest.approx(
            {measure: ours[measure] for measure in ("nDCG@10", "R@10")}
        )


def test_lines_are_as_trec_eval_wants_them(tmp_path: Path) -> None:
    files = _exported(tmp_path, {"base/hybrid+rerank": {"q 1": ["a\tb", "c"]}}, {"q 1": {"a\tb": 2, "n": 0}})
    assert files[1].name == "base_hybrid+rerank.run"
    assert files[0].read_text() == "q%201 0 a%09b 2\nq%201 0 n 0\n"
    assert files[1].read_text() == (
        "q%201 Q0 a%09b 1 99999 base/hybrid+rerank\nq%201 Q0 c 2 99998 base/hybrid+rerank\n"
    )


def test_exporting_again_replaces(tmp_path: Path) -> None:
    first = [file.read_text() for file in _exported(tmp_path, RUNS, QRELS)]
    assert [file.read_text() for file in _exported(tmp_path, RUNS, QRELS)] == first
