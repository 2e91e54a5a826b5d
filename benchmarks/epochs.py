"""Epochs: `auto` against two epochs, on real domains: nDCG@10 on the test queries by epoch, and what was kept.

Both learn from the same pairs and hard negatives of a cut of each domain. The steady training goes on for `--most`
epochs whatever its rule says, and its average is measured after each validation: so every rule for when to end and
what to keep can be judged on one training. The tables have what the product's rule keeps, and of how many epochs, and
what other rules would have kept. Neither side is mixed with the base model afterwards.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.domains import NAMES, Domain, domains_parser, home_of
from benchmarks.peers import ranked
from benchmarks.provenance import add_files, measure_sets, show_page
from benchmarks.quality import mined_pairs, prepare
from benchmarks.replay import Measured, Replay, Ruled, replayed, rules
from domain_embed.contracts.ports import NullTracker
from domain_embed.contracts.records import Qrels, Run
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.measures import ndcg_scores
from domain_embed.evaluation.significance import bootstrap_interval
from domain_embed.new_domain import beir_settings
from domain_embed.settings import DomainSettings, resolve_model
from domain_embed.settings.model import PATIENCE_OF_A_NUMBER, PATIENCE_OF_AUTO
from domain_embed.stores.workspace import BASE
from domain_embed.training.course import CLEARLY, Falling
from domain_embed.training.fit import Fit, Work
from domain_embed.training.trainer import TeachingEpochs
from domain_embed.training.validation import validation_set

FACTORS, PATIENCES = (0.0, 0.25, 0.5, 1.0, 1.5), (1, 2, 3)
"""Rules that are replayed: standard errors, and epochs below the highest."""
DIGITS = 4
"""Of a query's nDCG@10 in the figures that are kept."""


@dataclass(frozen=True)
class Point:
    """One validation: what was trained by then, and nDCG@10 by query, of validation and of test."""

    epochs: float
    steps: int
    seconds: float
    scores: tuple[float, ...]
    test: tuple[float, ...]


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
        seconds = history.seconds - self.measuring_s
        test = by_query(ndcg_scores(run, self.domain.qrels["test"]))
        self.points.append(Point(epochs, history.steps, round(seconds, 1), by_query(scores[-1]), test))
        self.measuring_s += time.monotonic() - begun
        print(f"   epoch {epochs:5.2f}: validation {history.validation[-1]:.4f}, test {np.mean(test):.4f}", flush=True)
        history.ended = ""


def main() -> None:
    """One line per validation, then the tables; figures and tables are kept where that is asked for."""
    arguments = parse()
    if arguments.rules:
        print("\n".join(rules()))
        return
    quick, tokens = arguments.quick, arguments.tokens
    found = measure_sets(
        arguments, lambda domain: measured(domain, arguments.most, recipe_of(domain, quick=quick, tokens=tokens)),
        {"tokens": tokens, "quick": quick},
    )  # fmt: skip
    show_page(page(found), arguments.table)


def parse() -> argparse.Namespace:
    """The options."""
    parser = domains_parser(__doc__ or "", NAMES)
    parser.add_argument("--most", type=int, default=8, help="epochs of the steady training")
    parser.add_argument("--tokens", type=int, help="longest passage, for training and measuring alike")
    parser.add_argument("--quick", action="store_true", help="the upper layers alone, short passages, small batches")
    parser.add_argument("--rules", action="store_true", help="simulate validations of seen curves, and train nothing")
    add_files(parser)
    return parser.parse_args()


def recipe_of(domain: Domain, *, quick: bool, tokens: int | None) -> DomainSettings:
    """The defaults, but for shorter passages, or what lets a busy machine see some epochs in minutes."""
    settings = beir_settings(domain.folder)
    changes: dict[str, dict[str, Any]] = {"model": {"max_tokens": tokens}} if tokens else {}
    if quick:
        changes = {"model": {"max_tokens": tokens or 48}, "training": {"frozen_layers": 4, "batch_size": 16}}
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    )


def measured(domain: Domain, most: int, settings: DomainSettings) -> dict[str, Any]:
    """nDCG@10, by query, of the base model, of two epochs, and by epoch of the steady training."""
    workspace = prepare(home_of(domain), domain, settings)
    pairs, base = mined_pairs(workspace), resolve_model(settings.model.base, domain.folder)
    collection = workspace.vector_store.open(workspace.aliased(BASE))
    encoder = workspace.encoder_of(collection.info)
    validation = validation_set(
        workspace.tables.read("splits").read(), collection, encoder, settings.training.validation_depth, ndcg_scores
    )
    print(f"== {domain.name}: {len(domain.passages)} passages, {len(pairs.pairs)} pairs, "
          f"{len(validation.query_ids)} validation queries", flush=True)  # fmt: skip
    test = by_query(ndcg_scores(ranked(domain, encoder), domain.qrels["test"]))
    found: dict[str, Any] = {
        "passages": len(domain.passages), "training queries": len(domain.qrels["train"]), "pairs": len(pairs.pairs),
        "validation queries": len(validation.query_ids), "test queries": len(test),
        "base": {"validation": round(validation.base_ndcg, DIGITS), "test": test},
    }  # fmt: skip
    print(f"   base: validation {validation.base_ndcg:.4f}, test {np.mean(test):.4f}", flush=True)
    for name, epochs in (("two epochs", 2), ("auto", "auto")):
        recipe = settings.training.model_copy(update={"epochs": epochs})
        drawn = TeachingEpochs(pairs, recipe)[:most]
        fit = Followed(base, settings.model, recipe, pairs, drawn, validation, ndcg_scores)
        found[name] = [asdict(point) for point in fit.follow(domain, domain.folder / name)]
    return found


def by_query(scores: "pd.Series[float]") -> tuple[float, ...]:
    """In the order of the query ids, the same for all runs."""
    return tuple(round(float(score), DIGITS) for score in scores.sort_index())


def page(found: Mapping[str, Any]) -> str:
    """What was made of what, and two tables, in Markdown."""
    return "\n".join([heading(found), "", *table(found["sets"]), "", OF_RULES, "", *rules_table(found["sets"]), ""])


OF_RULES = (
    "The same validations under other rules: mean difference to two epochs over the sets, then the lowest of a set and "
    "the mean number of epochs trained. A later average is kept when it is so many standard errors better."
)


def heading(found: Mapping[str, Any]) -> str:
    """What the tables are, and of what they were made."""
    sets = "; ".join(f"{name} ({made_of(one)})" for name, one in found["sets"].items())
    return (
        "nDCG@10 on the test queries. Two epochs of the falling schedule, the better one on validation; and the steady "
        "training, the average of its weights after each validation, what its rule keeps and of how many epochs (`≥` "
        "where the measuring ended before the rule did), with the 95 % interval of the difference, paired by query. "
        "`highest` is what no rule can know: the highest of the curve. Neither is mixed with the base model "
        f"afterwards. Sets: {sets}. Made by `python -m benchmarks.epochs` on {found['machine']}."
    )


def made_of(one: Mapping[str, Any]) -> str:
    """The size of a set, and how it was made."""
    numbers = ("passages", "training queries", "pairs", "validation queries", "test queries")
    told = ", ".join(f"{one[name]:,} {name}" for name in numbers)
    tokens = f", {one['tokens']} tokens of a passage" if one["tokens"] else ""
    return f"{told}{tokens}{', --quick' if one['quick'] else ''}, at commit {one['commit']}"


def two_epochs(one: Mapping[str, Any]) -> Replay:
    """What a number of epochs keeps."""
    return replayed(one["two epochs"], Falling(0, 0.1, PATIENCE_OF_A_NUMBER))


def steady(one: Mapping[str, Any], clearly: float, patience: int) -> Replay:
    """What a rule keeps of the steady training."""
    first = one["auto"][0]
    return replayed(one["auto"], Ruled(round(first["steps"] / first["epochs"]), 0.1, patience, clearly))


def gains_over_two(one: Mapping[str, Any], kept: Measured) -> NDArray[np.float64]:
    """By test query."""
    gains: NDArray[np.float64] = np.array(kept["test"]) - np.array(two_epochs(one).kept["test"])
    return gains


def table(sets: Mapping[str, Any]) -> list[str]:
    """One row a set: what the product's rules keep."""
    columns = ("set", "base", "two epochs", "auto, by epoch", "highest", "auto", "epoch", "auto − two epochs", "time")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    rows = []
    for name, one in sets.items():
        two, auto = two_epochs(one), steady(one, CLEARLY, PATIENCE_OF_AUTO)
        gains = gains_over_two(one, auto.kept)
        low, high = bootstrap_interval(gains, resamples=10_000, seed=0)
        curve = [float(np.mean(point["test"])) for point in one["auto"]]
        figures = (np.mean(one["base"]["test"]), np.mean(two.kept["test"]), max(curve), np.mean(auto.kept["test"]))
        rows.append([*map(float, figures), float(gains.mean())])
        base, falling, highest, kept = (f"{figure:.3f}" for figure in figures)
        cells = [
            name, base, falling, " ".join(f"{figure:.3f}" for figure in curve), highest, kept,
            f"{auto.kept['epochs']:g} of {'' if auto.ended else '≥ '}{auto.last['epochs']:g}",
            f"{gains.mean():+.3f}, {low:+.3f} to {high:+.3f}",
            f"× {auto.last['seconds'] / one['two epochs'][-1]['seconds']:.1f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    base, falling, highest, kept, gain = (f"{figure:.3f}" for figure in np.mean(rows, axis=0))
    return [*lines, f"| mean | {base} | {falling} | | {highest} | {kept} | | {float(gain):+.3f} | |"]


def rules_table(sets: Mapping[str, Any]) -> list[str]:
    """One row for each patience: what other rules would have kept."""
    lines = ["| patience | " + " | ".join(f"{factor:g} errors" for factor in FACTORS) + " |",
             "|---" * (len(FACTORS) + 1) + "|"]  # fmt: skip
    for patience in PATIENCES:
        cells = []
        for factor in FACTORS:
            found = {name: steady(one, factor, patience) for name, one in sets.items()}
            gains = [float(gains_over_two(sets[name], replay.kept).mean()) for name, replay in found.items()]
            epochs = np.mean([replay.last["epochs"] for replay in found.values()])
            cells.append(f"{np.mean(gains):+.4f}, {min(gains):+.3f}, {epochs:.1f}")
        lines.append(f"| {patience} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
