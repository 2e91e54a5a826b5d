"""Epochs: `auto` against two epochs, on real domains: nDCG@10 on the test queries by epoch, and what was kept.

Both learn from the same pairs and hard negatives of a cut of each domain. The steady training goes on for `--most`
epochs whatever its rule says, and its average is measured after each validation: so every rule for when to end and
what to keep can be judged on one training. What the product's rule would have kept, and when it ends, is marked.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd

from benchmarks.domains import DATASETS, NAMES, Domain, cut_asked, domains, domains_parser, home_of
from benchmarks.peers import ranked
from benchmarks.quality import mined_pairs, prepare
from domain_embed.contracts.ports import NullTracker
from domain_embed.contracts.records import Qrels, Run
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.measures import mean_ndcg, ndcg_scores
from domain_embed.new_domain import beir_settings
from domain_embed.settings import resolve_model
from domain_embed.stores.workspace import BASE
from domain_embed.training.fit import Fit, Work
from domain_embed.training.trainer import TeachingEpochs
from domain_embed.training.validation import validation_set


@dataclass(frozen=True)
class Point:
    """One validation: epochs and seconds trained by then, nDCG@10 of validation and test, and the rule's judgement."""

    epochs: float
    seconds: float
    validation: float
    test: float
    kept: bool
    ended: str
    scores: tuple[float, ...]
    """On validation, by query."""


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
        test = mean_ndcg(
            ranked(self.domain, TorchEncoder(work.judged(), self._model_settings)), self.domain.qrels["test"]
        )
        seconds = history.seconds - self.measuring_s
        kept = history.kept == len(history.validation)
        self.points.append(
            Point(epochs, seconds, history.validation[-1], test, kept, history.ended, tuple(map(float, scores[-1])))
        )
        self.measuring_s += time.monotonic() - begun
        print(f"   epoch {epochs:5.2f}: validation {history.validation[-1]:.4f}, test {test:.4f}"
              f"{', kept' if kept else ''}{', ' + history.ended if history.ended else ''}", flush=True)  # fmt: skip
        history.ended = ""


def main() -> None:
    """One line per validation, then a table; JSON where asked for."""
    arguments = parse()
    there = [name for name in arguments.domains if name == "aws" or (DATASETS / name / "corpus.jsonl").exists()]
    results = []
    for name in arguments.domains:
        if name not in there:
            print(f"{name} is left out: {DATASETS / name} has no corpus.jsonl")
            continue
        with domains([name], cut_asked(arguments)) as (domain,):
            results.append(measured(domain, arguments.most, arguments.max_tokens))
        if arguments.json:
            made = {**circumstances(), "cut": asdict(cut_asked(arguments)), "domains": results}
            arguments.json.write_text(json.dumps(made, indent=1), encoding="utf-8")
    print("\n".join(table(results)))


def parse() -> argparse.Namespace:
    """The options."""
    parser = domains_parser(__doc__ or "", NAMES)
    parser.add_argument("--most", type=int, default=8, help="epochs of the steady training")
    parser.add_argument("--max-tokens", type=int, help="of a passage, in training and search")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def measured(domain: Domain, most: int, max_tokens: int | None) -> dict[str, Any]:
    """nDCG@10 on test of the base model, of two epochs, and by epoch of the steady training."""
    settings = beir_settings(domain.folder)
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"max_tokens": max_tokens})})
    workspace = prepare(home_of(domain), domain, settings)
    pairs, base = mined_pairs(workspace), resolve_model(settings.model.base, domain.folder)
    collection = workspace.vector_store.open(workspace.aliased(BASE))
    encoder = workspace.encoder_of(collection.info)
    validation = validation_set(
        workspace.tables.read("splits").read(), collection, encoder, settings.training.validation_depth, ndcg_scores
    )
    print(f"== {domain.name}: {len(domain.passages)} passages, {len(pairs.pairs)} pairs, "
          f"{len(validation.query_ids)} validation and {len(domain.qrels['test'])} test queries", flush=True)  # fmt: skip
    found: dict[str, Any] = {
        "domain": domain.name, "passages": len(domain.passages), "pairs": len(pairs.pairs),
        "validation_queries": len(validation.query_ids), "test_queries": len(domain.qrels["test"]),
        "base": {"validation": validation.base_ndcg, "test": mean_ndcg(ranked(domain, encoder), domain.qrels["test"])},
    }  # fmt: skip
    print(f"   base: validation {validation.base_ndcg:.4f}, test {found['base']['test']:.4f}", flush=True)
    for name, epochs in (("two epochs", 2), ("auto", "auto")):
        recipe = settings.training.model_copy(update={"epochs": epochs})
        drawn = TeachingEpochs(pairs, recipe)[:most]
        fit = Followed(base, settings.model, recipe, pairs, drawn, validation, ndcg_scores)
        found[name] = [asdict(point) for point in fit.follow(domain, domain.folder / name)]
    return found


def kept(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the rule keeps: the last it kept before it ended."""
    ended = next((place for place, point in enumerate(points) if point["ended"]), len(points) - 1)
    return [point for point in points[: ended + 1] if point["kept"]][-1]


def table(results: Sequence[dict[str, Any]]) -> list[str]:
    """One row a domain, in Markdown."""
    lines = ["| domain | base | two epochs | auto, by epoch | auto | epoch | difference | time |", "|---" * 8 + "|"]
    gains = []
    for one in results:
        two, auto = kept(one["two epochs"]), kept(one["auto"])
        gains.append(auto["test"] - two["test"])
        ended = next((point for point in one["auto"] if point["ended"]), one["auto"][-1])
        curve = " ".join(f"{point['test']:.3f}" for point in one["auto"])
        ratio = ended["seconds"] / one["two epochs"][-1]["seconds"]
        lines.append(f"| {one['domain']} | {one['base']['test']:.3f} | {two['test']:.3f} | {curve} | {auto['test']:.3f} | "
                     f"{auto['epochs']:g} of {ended['epochs']:g} | {gains[-1]:+.3f} | × {ratio:.1f} |")  # fmt: skip
    return [*lines, f"| mean | | | | | | {mean(gains):+.3f} | |"] if gains else lines


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
