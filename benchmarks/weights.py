"""Fusion with a tuned weight against fusion by rank, when few validation queries are there to tune on.

The base model and BM25 rank a pool of each domain's queries once, exactly. Then, many times, a few queries of the pool
are drawn, the dense weight is tuned on them, and the others are what is measured: nDCG@10 of both rankings alone, of
reciprocal rank fusion, of equal weights, of the weight that ranks the drawn queries best, and of that weight drawn
toward another one, as the product does and by other priors and strengths.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.domains import Domain, Qrels, cut_asked, domains, domains_parser, home_of
from benchmarks.provenance import add_files, commit, keep_figures, kept_sets, machine, show_page
from benchmarks.quality import bring_up_to_date, prepare
from domain_embed.contracts.records import Hit, Run
from domain_embed.defs.runs import upstream
from domain_embed.evaluation.measures import ndcg_scores
from domain_embed.new_domain import beir_settings
from domain_embed.retrieval.fusion import PRIOR_QUERIES, PRIOR_WEIGHT, WEIGHTS, best_weight, fuse, shrunk_weight, weigh
from domain_embed.settings import RetrievalSettings
from domain_embed.stores.workspace import BASE

SETS = ("community", "covidqa", "medquad", "naics", "scifact")
SIZES = (10, 30, 100)
PRIORS, STRENGTHS = (0.5, 0.7, 0.75, 0.8), (10, 20, 30, 50)
"""What the best weight is drawn toward, and for how many queries that counts."""
FINE = tuple(step / 100 for step in range(101))
"""A weight that was drawn toward another is measured at the nearest of these."""
Ranked = dict[str, tuple[list[Hit], list[Hit]]]
Figures = dict[str, NDArray[np.float64]]


def main() -> None:
    """One table, in Markdown, and all figures as JSON where that is asked for."""
    arguments = parse()
    found: dict[str, Any] = {"machine": machine(), "draws": arguments.draws, "sets": kept_sets(arguments.json)}
    with domains(arguments.domains, cut_asked(arguments)) as chosen:
        for domain in chosen:
            ranked, qrels = rankings(domain, arguments.cache)
            scores = scored(ranked, qrels)
            found["sets"][domain.name] = {
                "passages": len(domain.passages),
                "queries": len(qrels),
                "commit": commit(),
                "sizes": {str(size): drawn(scores, size, arguments.draws) for size in SIZES},
            }
            print(f"{domain.name}: ranked", flush=True)
    keep_figures(arguments.json, found)
    show_page("\n".join([heading(found), "", *table(found), ""]), arguments.table)


def parse() -> argparse.Namespace:
    """The options; by default what two cores rank in some minutes."""
    parser = domains_parser(__doc__ or "", SETS)
    parser.set_defaults(train_queries=100, test_queries=100, distractors=300)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--cache", type=Path, help="a folder that keeps the rankings")
    add_files(parser)
    return parser.parse_args()


def rankings(domain: Domain, cache: Path | None) -> tuple[Ranked, Qrels]:
    """Every judged query ranked by the base model, exactly, and by BM25; and its judgments."""
    qrels = {query: grades for split in domain.qrels.values() for query, grades in split.items()}
    kept = cache / f"{domain.name}-{len(domain.passages)}-{len(qrels)}.json" if cache else None
    if kept is not None and kept.exists():
        rows = json.loads(kept.read_text(encoding="utf-8"))
    else:
        workspace = prepare(home_of(domain), domain, beir_settings(domain.folder))
        bring_up_to_date(workspace, upstream("base_collection", workspace.settings))
        searcher, queries = workspace.searcher(workspace.aliased(BASE)), list(qrels)
        texts = [domain.queries[query] for query in queries]
        found = searcher.rank(texts, RetrievalSettings().depth, ["dense", "sparse"], exact=True)
        pairs = zip(queries, found["dense"], found["sparse"], strict=True)
        rows = {query: [[[hit.passage_id, hit.score] for hit in hits] for hits in both] for query, *both in pairs}
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(rows), encoding="utf-8")
    ranked = {
        query: ([Hit(*hit) for hit in dense], [Hit(*hit) for hit in sparse]) for query, (dense, sparse) in rows.items()
    }
    return ranked, qrels


def scored(ranked: Ranked, qrels: Qrels) -> Figures:
    """nDCG@10 of every query, in one order, by each system; `weights` has a row for each of FINE."""
    depth = RetrievalSettings().depth

    def measured(run: Mapping[str, list[Hit]]) -> NDArray[np.float64]:
        ids: Run = {query: [hit.passage_id for hit in hits[:10]] for query, hits in run.items()}
        return np.array(ndcg_scores(ids, qrels).reindex(list(ranked)), dtype=np.float64)

    rrf_k = RetrievalSettings().rrf_k
    return {
        "dense": measured({query: dense for query, (dense, _) in ranked.items()}),
        "sparse": measured({query: sparse for query, (_, sparse) in ranked.items()}),
        "hybrid": measured({query: fuse(both, depth, rrf_k) for query, both in ranked.items()}),
        "weights": np.stack(
            [measured({query: weigh(*both, 10, weight) for query, both in ranked.items()}) for weight in FINE]
        ),
    }


def drawn(scores: Figures, size: int, draws: int) -> dict[str, Any]:
    """Mean nDCG@10 of the queries that were not drawn, and the standard deviation of the weights, over all draws."""
    generator = np.random.default_rng(size)
    total = len(scores["dense"])
    coarse = scores["weights"][[round(weight * 100) for weight in WEIGHTS]]
    rows: list[dict[str, float]] = []
    for _ in range(draws):
        held_out = np.ones(total, dtype=bool)
        held_out[generator.choice(total, size, replace=False)] = False
        best = best_weight(dict(zip(WEIGHTS, coarse[:, ~held_out].mean(axis=1).tolist(), strict=True)))
        means = {name: float(scores[name][held_out].mean()) for name in ("dense", "sparse", "hybrid")}
        by_weight = scores["weights"][:, held_out].mean(axis=1)
        means["equal"] = float(by_weight[50])
        chosen = {"best": best, "product": shrunk_weight(best, size)}
        chosen |= {
            f"to {prior} by {strength}": shrunk_weight(best, size, prior, strength)
            for prior in PRIORS
            for strength in STRENGTHS
        }
        means |= {name: float(by_weight[round(weight * 100)]) for name, weight in chosen.items()}
        rows.append(means | {"weight": best})
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {
        "ndcg": {name: round(float(column.mean()), 5) for name, column in columns.items() if name != "weight"},
        "over hybrid, deviation": {
            name: round(float((column - columns["hybrid"]).std()), 5) for name, column in columns.items()
            if name != "weight"
        },
        "weight": [round(float(columns["weight"].mean()), 3), round(float(columns["weight"].std()), 3)],
    }  # fmt: skip


def table(found: Mapping[str, Any]) -> list[str]:
    """A row for each set and number of drawn queries, and the means over sets."""
    names = ["dense", "sparse", "hybrid", "equal", "best", *(f"to {PRIORS[0]} by {k}" for k in STRENGTHS), "product"]
    lines = [f"| set | drawn | {' | '.join(names)} | best weight |", "|---" * (len(names) + 3) + "|"]
    for name, one in found["sets"].items():
        for size, row in one["sizes"].items():
            mean, deviation = row["weight"]
            cells = " | ".join(f"{row['ndcg'][system]:.4f}" for system in names)
            lines.append(f"| {name} | {size} | {cells} | {mean:.2f} ± {deviation:.2f} |")
    for size in map(str, SIZES):
        rows = [one["sizes"][size]["ndcg"] for one in found["sets"].values()]
        cells = " | ".join(f"{np.mean([row[system] for row in rows]):.4f}" for system in names)
        lines.append(f"| mean | {size} | {cells} | |")
    return lines


def heading(found: Mapping[str, Any]) -> str:
    """What the table is, and of what it was made."""
    sets = ", ".join(
        f"{name} ({one['passages']:,} passages, {one['queries']:,} queries, at commit {one['commit']})"
        for name, one in found["sets"].items()
    )
    return (
        f'nDCG@10 of the queries that were not drawn, mean of {found["draws"]} draws. "best" is the weight that ranks '
        f'the drawn queries best; "to p by k" draws it toward p as if that had been found on k queries; "product" is '
        f"to {PRIOR_WEIGHT:g} by {PRIOR_QUERIES}. Sets: {sets}. Made by `python -m benchmarks.weights` on "
        f"{found['machine']}."
    )


if __name__ == "__main__":
    main()
