"""Epochs: `auto` against two epochs, on real domains: nDCG@10 on the test queries by epoch, and what was kept.

Both learn from the same pairs and hard negatives of a cut of each domain. The steady training goes on for `--most`
epochs whatever its rule says, and its average is measured after each validation: so every rule for when to end and
what to keep can be judged on one training. The table has what the product's rule keeps, and of how many epochs.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.domains import DATASETS, NAMES, Domain, cut_asked, domains, domains_parser, home_of
from benchmarks.peers import ranked
from benchmarks.quality import mined_pairs, prepare
from domain_embed.contracts.ports import NullTracker
from domain_embed.contracts.records import Qrels, Run
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.measures import mean_ndcg, ndcg_scores
from domain_embed.new_domain import beir_settings
from domain_embed.settings import DomainSettings, resolve_model
from domain_embed.settings.model import PATIENCE_OF_A_NUMBER, PATIENCE_OF_AUTO
from domain_embed.stores.workspace import BASE
from domain_embed.training.course import MOST_EPOCHS, Course, Falling, Steady
from domain_embed.training.fit import Fit, Work
from domain_embed.training.state import History
from domain_embed.training.trainer import TeachingEpochs
from domain_embed.training.validation import validation_set

CURVES = (
    (0.368, 0.446, 0.491, 0.522, 0.558, 0.605, 0.601, 0.563),
    (0.810, 0.834, 0.827, 0.837, 0.835),
    (0.592, 0.591, 0.588, 0.570),
    (0.600, 0.610, 0.600, 0.595),
)
"""nDCG@10 on test of the averaged weights by epoch, as seen on four domains that are not among these."""
DRAWS = 400
WALK = 0.12
"""Standard deviation of how much more or less than the curve one query moves in an epoch, in nDCG@10; assumed."""


@dataclass(frozen=True)
class Point:
    """One validation: what was trained by then, and nDCG@10 of validation, by query, and of test."""

    epochs: float
    steps: int
    seconds: float
    scores: tuple[float, ...]
    test: float


class Followed(Fit):
    """A fit that is measured on the test queries after each validation, and goes on when its rule would end it."""

    domain: Domain
    points: list[Point]
    measuring_s: float

    def follow(self, domain: Domain, folder: Path) -> list[Point]:
        """Trains all its epochs."""
        self.domain, self.points, self.measuring_s = domain, [], 0.0
        folder.mkdir(parents=True)
        self.run(folder, NullTracker())
        return self.points

    def _validate(self, epochs: float, started: float, work: Work) -> None:
        scores: list[pd.Series[float]] = []
        measure = self._ndcg

        def noted(run: Run, qrels: Qrels) -> "pd.Series[float]":
            scores.append(measure(run, qrels))
            return scores[-1]

        self._ndcg = noted
        super()._validate(epochs, started, work)
        self._ndcg = measure
        history, begun = work.history, time.monotonic()
        run = ranked(self.domain, TorchEncoder(work.judged(), self._model_settings))
        by_query = tuple(float(score) for score in scores[-1])
        seconds = history.seconds - self.measuring_s
        point = Point(epochs, history.steps, seconds, by_query, mean_ndcg(run, self.domain.qrels["test"]))
        self.points.append(point)
        self.measuring_s += time.monotonic() - begun
        print(f"   epoch {epochs:5.2f}: validation {history.validation[-1]:.4f}, test {point.test:.4f}", flush=True)
        history.ended = ""


def main() -> None:
    """One line per validation, then a table; JSON where asked for."""
    arguments = parse()
    if arguments.rules:
        print("\n".join(rules()))
        return
    there = [name for name in arguments.domains if name == "aws" or (DATASETS / name / "corpus.jsonl").exists()]
    results = []
    for name in arguments.domains:
        if name not in there:
            print(f"{name} is left out: {DATASETS / name} has no corpus.jsonl")
            continue
        with domains([name], cut_asked(arguments)) as (domain,):
            results.append(measured(domain, arguments.most, quick=arguments.quick))
        if arguments.json:
            made = {
                **circumstances(),
                "cut": asdict(cut_asked(arguments)),
                "quick": arguments.quick,
                "domains": results,
            }
            arguments.json.write_text(json.dumps(made, indent=1), encoding="utf-8")
    print("\n".join(table(results)))


def parse() -> argparse.Namespace:
    """The options."""
    parser = domains_parser(__doc__ or "", NAMES)
    parser.add_argument("--most", type=int, default=8, help="epochs of the steady training")
    parser.add_argument("--quick", action="store_true", help="the upper layers alone, short passages, small batches")
    parser.add_argument("--rules", action="store_true", help="simulate validations of seen curves, and train nothing")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def recipe_of(domain: Domain, *, quick: bool) -> DomainSettings:
    """The defaults, or what lets a busy machine see some epochs of a few hundred pairs in minutes."""
    settings = beir_settings(domain.folder)
    if not quick:
        return settings
    changes = {"model": {"max_tokens": 48}, "training": {"frozen_layers": 4, "batch_size": 16}}
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    )


def measured(domain: Domain, most: int, *, quick: bool) -> dict[str, Any]:
    """nDCG@10 on test of the base model, of two epochs, and by epoch of the steady training."""
    settings = recipe_of(domain, quick=quick)
    workspace = prepare(home_of(domain), domain, settings)
    pairs, base = mined_pairs(workspace), resolve_model(settings.model.base, domain.folder)
    collection = workspace.vector_store.open(workspace.aliased(BASE))
    encoder = workspace.encoder_of(collection.info)
    validation = validation_set(
        workspace.tables.read("splits").read(), collection, encoder, settings.training.validation_depth, ndcg_scores
    )
    print(f"== {domain.name}: {len(domain.passages)} passages, {len(pairs.pairs)} pairs, "
          f"{len(validation.query_ids)} validation queries", flush=True)  # fmt: skip
    base_test = mean_ndcg(ranked(domain, encoder), domain.qrels["test"])
    found: dict[str, Any] = {
        "domain": domain.name, "passages": len(domain.passages), "pairs": len(pairs.pairs),
        "validation_queries": len(validation.query_ids), "test_queries": len(domain.qrels["test"]),
        "base": {"validation": validation.base_ndcg, "test": base_test},
    }  # fmt: skip
    print(f"   base: validation {validation.base_ndcg:.4f}, test {base_test:.4f}", flush=True)
    for name, epochs in (("two epochs", 2), ("auto", "auto")):
        recipe = settings.training.model_copy(update={"epochs": epochs})
        drawn = TeachingEpochs(pairs, recipe)[:most]
        fit = Followed(base, settings.model, recipe, pairs, drawn, validation, ndcg_scores)
        found[name] = [asdict(point) for point in fit.follow(domain, domain.folder / name)]
    return found


def replayed(points: Sequence[Mapping[str, Any]], course: Course) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The point that a rule keeps, and the one that it ends with."""
    history, chosen = History(), points[0]
    for point in points:
        scores = np.array(point["scores"])
        if course.keeps(history, scores):
            history.kept, history.kept_scores, chosen = len(history.validation) + 1, scores.tolist(), point
        history.validation.append(float(scores.mean()))
        history.validated_at.append(point["steps"])
        history.epochs.append(point["epochs"])
        if course.ended(history):
            break
    return chosen, point


def table(results: Sequence[dict[str, Any]]) -> list[str]:
    """One row a domain, in Markdown."""
    lines = ["| domain | base | two epochs | auto, by epoch | auto | epoch | difference | time |", "|---" * 8 + "|"]
    gains = []
    for one in results:
        steps = one["auto"][0]["steps"] / one["auto"][0]["epochs"]
        two, _ = replayed(one["two epochs"], Falling(0, 0.1, PATIENCE_OF_A_NUMBER))
        auto, ended = replayed(one["auto"], Steady(round(steps), 0.1, PATIENCE_OF_AUTO))
        gains.append(auto["test"] - two["test"])
        curve = " ".join(f"{point['test']:.3f}" for point in one["auto"])
        cells = [
            one["domain"], f"{one['base']['test']:.3f}", f"{two['test']:.3f}", curve, f"{auto['test']:.3f}",
            f"{auto['epochs']:g} of {ended['epochs']:g}", f"{gains[-1]:+.3f}",
            f"× {ended['seconds'] / one['two epochs'][-1]['seconds']:.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, f"| mean | | | | | | {mean(gains):+.3f} | |"] if gains else lines


def rules() -> list[str]:
    """What rules lose against the best epoch, on average over the curves, by how many queries validate; Markdown.

    A query's figure is the curve's and a random walk, so that epochs far apart differ more than neighbours.
    """
    factors, patiences = (0.0, 0.25, 0.5, 1.0, 1.5), (2, 3)
    lines = ["| queries | patience | " + " | ".join(f"{factor:g} errors" for factor in factors) + " | epochs |",
             "|---" * (len(factors) + 3) + "|"]  # fmt: skip
    for queries in (12, 30, 100, 300):
        for patience in patiences:
            found = [simulated(queries, patience, factor) for factor in factors]
            cells = [f"{lost:.4f}" for lost, _ in found]
            lines.append(
                f"| {queries} | {patience} | {' | '.join(cells)} | {mean(trained for _, trained in found):.1f} |"
            )
    return lines


def simulated(queries: int, patience: int, factor: float) -> tuple[float, float]:
    """nDCG@10 lost against the best epoch, and epochs trained; means over the curves."""
    generator = np.random.default_rng(0)
    lost, trained = [], []
    for curve in CURVES:
        truth = np.array([*curve, *[curve[-1]] * (MOST_EPOCHS - len(curve))])
        for _ in range(DRAWS):
            scores = truth[:, None] + np.cumsum(generator.normal(0, WALK, (MOST_EPOCHS, queries)), axis=0)
            chosen = highest = 0
            for epoch in range(1, MOST_EPOCHS):
                gains = scores[epoch] - scores[chosen]
                if gains.mean() > 0 and gains.mean() >= factor * gains.std() / queries**0.5:
                    chosen = epoch
                highest = epoch if scores[epoch].mean() > scores[highest].mean() else highest
                if epoch - highest >= patience:
                    break
            lost.append(float(truth.max() - truth[chosen]))
            trained.append(epoch + 1)
    return mean(lost), mean(trained)


def circumstances() -> dict[str, Any]:
    """The commit and the machine."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
