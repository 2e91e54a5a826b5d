"""Validation: each share of the tuned weights among more and more passages, and on the test queries.

The model is what the defaults train in two epochs, whether or not it is better than the base model. A pool holds the
positives of the validation queries and so many of the nearest passages of each by the base model; the last column, and
the test queries, have all passages. nDCG@10, as differences to the base model with their standard errors, paired by
query.
"""

import argparse
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.domains import Domain, cut_asked, domains, domains_parser, home_of
from benchmarks.quality import mined_pairs, prepare
from benchmarks.training import train_ours
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.encoding.models import load_model
from domain_embed.evaluation.measures import ndcg_scores
from domain_embed.new_domain import beir_settings
from domain_embed.settings import ModelSettings, resolve_model
from domain_embed.training.interpolation import interpolated, standard_error

DEPTHS = (10, 20, 50)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """One table per domain."""
    arguments = parse()
    with domains(arguments.domains, cut_asked(arguments)) as chosen:
        for domain in chosen:
            print("\n".join(table(domain)), flush=True)


def parse() -> argparse.Namespace:
    """The options."""
    parser = domains_parser(__doc__ or "", ("scifact",))
    return parser.parse_args()


def table(domain: Domain) -> list[str]:
    """One row per share of the tuned weights, in Markdown."""
    base, tuned = (load_model(path, ModelSettings()) for path in trained(domain))
    models = {share: Embedded(domain, TorchEncoder(interpolated(base, tuned, share), ModelSettings()))
              for share in SHARES}  # fmt: skip
    pools = [models[0.0].pool(depth) for depth in DEPTHS]
    everything = range(len(domain.passages))
    figures = {
        share: [*(model.ndcg("dev", pool) for pool in [*pools, everything]), model.ndcg("test", everything)]
        for share, model in models.items()
    }
    head = [
        *(f"{depth} each: {len(pool):,}" for depth, pool in zip(DEPTHS, pools, strict=True)),
        f"{len(everything):,}",
    ]
    return [
        f"| {domain.name}, share of tuned weights | {' | '.join(head)} | test |",
        "|---" * (len(head) + 2) + "|",
        *(f"| {share:g} | {' | '.join(_cells(row, figures[0.0], share))} |" for share, row in figures.items()),
    ]


def trained(domain: Domain) -> tuple[str, str]:
    """The folders of the base model and of the tuned one."""
    settings = beir_settings(domain.folder)
    pairs = mined_pairs(prepare(home_of(domain), domain, settings))
    base = resolve_model(settings.model.base, domain.folder)
    _, tuned = train_ours(base, settings, pairs, domain.folder / "tuned")
    return base, tuned


class Embedded:
    """A domain's passages and held-out queries by one model."""

    def __init__(self, domain: Domain, encoder: TorchEncoder) -> None:
        self._domain, self._ids = domain, np.array(sorted(domain.passages))
        self._passages = encoder.encode_documents([domain.text(key) for key in self._ids])
        self._queries = {
            split: encoder.encode_queries([domain.queries[key] for key in domain.qrels[split]])
            for split in ("dev", "test")
        }

    def pool(self, depth: int) -> set[int]:
        """Rows of the validation queries' positives, and of the nearest passages of each."""
        judged = {key for grades in self._domain.qrels["dev"].values() for key in grades}
        rows = set(np.flatnonzero(np.isin(self._ids, list(judged))).tolist())
        return rows | set(self._nearest("dev", np.arange(len(self._ids)), depth).ravel().tolist())

    def ndcg(self, split: str, pool: Iterable[int]) -> "pd.Series[float]":
        """nDCG@10 among some of the passages, by query id."""
        best = self._nearest(split, np.array(sorted(pool)), 10)
        run = {key: self._ids[rows].tolist() for key, rows in zip(self._domain.qrels[split], best, strict=True)}
        return ndcg_scores(run, self._domain.qrels[split])

    def _nearest(self, split: str, rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        scores = self._queries[split] @ self._passages[rows].T
        return rows[np.argsort(-scores, axis=1, kind="stable")[:, :k]]


def _cells(row: list["pd.Series[float]"], base: list["pd.Series[float]"], share: float) -> list[str]:
    if not share:
        return [f"{scores.mean():.4f}" for scores in row]
    gains = [scores - before for scores, before in zip(row, base, strict=True)]
    return [f"{gain.mean():+.4f} ± {standard_error(gain):.4f}" for gain in gains]


if __name__ == "__main__":
    main()
