"""What serves by `retrieval.mode: auto`, step by step, on real domains, and whether that is best on the test queries.

Each domain is run as `domain-embed run` runs it, and trained whatever is diagnosed. The figures are the product's own:
what its choice was made on, for base and tuned model, from the choice as it is made; means on the test queries from its
report; what is live from its alias and the log of promotions. Only what is live is compared anew with what is best on
the test queries, from the scores that the report keeps, since the report need not compare these two.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd

from benchmarks.domains import Domain, domains_parser, home_of
from benchmarks.provenance import add_files, measure_sets, show_page
from benchmarks.quality import bring_up_to_date, prepare
from domain_embed.contracts.records import Served
from domain_embed.defs import evidence as judging
from domain_embed.evaluation.choice import SIMPLEST_FIRST, Choice, choose
from domain_embed.evaluation.evidence import Evidence
from domain_embed.evaluation.measures import HEADLINE
from domain_embed.evaluation.names import system_name, system_order, variant_name
from domain_embed.evaluation.significance import compare
from domain_embed.new_domain import beir_settings
from domain_embed.promotion.champion import PromotionLog
from domain_embed.settings import DomainSettings
from domain_embed.stores.workspace import LIVE, Workspace

SETS = ("community", "covidqa", "medquad", "naics", "scifact")
SYSTEMS = ("bm25", *(f"{model}/{mode}" for model in ("base", "tuned") for mode in ("dense", "hybrid", "weighted")))


def main() -> None:
    """The tables; figures and tables are kept where that is asked for."""
    arguments = parse()
    epochs, tokens = arguments.epochs, arguments.tokens
    found = measure_sets(
        arguments, lambda domain: measured(domain, recipe_of(domain, epochs, tokens)),
        {"epochs": epochs, "tokens": tokens},
    )  # fmt: skip
    show_page(page(found), arguments.table)


def parse() -> argparse.Namespace:
    """The options."""
    parser = domains_parser(__doc__ or "", SETS)
    parser.add_argument("--epochs", type=int, help="of training; by default as the product says")
    parser.add_argument("--tokens", type=int, help="longest passage")
    add_files(parser)
    return parser.parse_args()


def recipe_of(domain: Domain, epochs: int | None, tokens: int | None) -> DomainSettings:
    """The defaults, but for what is given."""
    settings = beir_settings(domain.folder)
    changes: dict[str, dict[str, Any]] = {"training": {"epochs": epochs}} if epochs else {}
    changes |= {"model": {"max_tokens": tokens}} if tokens else {}
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=values) for name, values in changes.items()}
    )


def measured(domain: Domain, settings: DomainSettings) -> dict[str, Any]:
    """One run of the product, and what it says."""
    print(f"== {domain.name}: {len(domain.passages)} passages", flush=True)
    workspace, started = prepare(home_of(domain), domain, settings), time.monotonic()
    with choices_noted() as noted:
        bring_up_to_date(workspace)
    told = said(workspace, noted)
    print(f"{domain.name}: {told['live']} is live", flush=True)
    return {"seconds": round(time.monotonic() - started)} | told


def said(workspace: Workspace, noted: Sequence[Choice]) -> dict[str, Any]:
    """What a finished domain says of itself, with the choices that were made on the way."""
    report = workspace.latest_report()
    evidence = Evidence.from_json(report["evidence"])
    made = {choice.sentence: choice for choice in noted}
    live, reason = live_system(workspace, evidence)
    means = {system: table[HEADLINE] for system, table in evidence.systems.items()}
    best = max(sorted(means, key=system_order), key=lambda system: means[system])
    return {
        "passages": evidence.passages,
        "queries": evidence.queries_per_split,
        "choices": {model: made[sentence].model_dump() for model, sentence in evidence.choices.items()},
        "sentences": evidence.choices,
        "dense weights": evidence.dense_weights,
        "test": {system: round(mean, 5) for system, mean in means.items()},
        "nothing tuned": evidence.nothing_tuned,
        "as served": {model: evidence.as_served(model) for model in ("base", "tuned")},
        "verdict": report["verdict"]["reasons"],
        "live": live,
        "reason": reason,
        "best": best,
        "live − best": difference(workspace.report_folder() / "scores.parquet", live, best),
    }


@contextmanager
def choices_noted() -> Iterator[list[Choice]]:
    """Notes every choice that the product makes meanwhile."""
    made: list[Choice] = []

    def noted(scores: "Mapping[str, pd.Series[float]]") -> Choice:
        made.append(choose(scores))
        return made[-1]

    with patch.object(judging, "choose", noted):
        yield made


def live_system(workspace: Workspace, evidence: Evidence) -> tuple[str, str]:
    """What answers queries, and the reason that was given for it."""
    store, log = workspace.vector_store, PromotionLog(workspace.promotions)
    live = store.alias(LIVE)
    assert live is not None, "a run ends with something live"
    served = log.served(live) or Served("hybrid")
    fingerprint = store.open(live).info.fingerprint
    model = "base" if fingerprint == evidence.baseline_fingerprint else "tuned"
    return system_name(model, variant_name(served.mode, served.rerank)), log.read()[-1].reason


def difference(scores: Path, live: str, best: str) -> list[float]:
    """What is live minus what is best on the test queries, with the interval paired by query."""
    if live == best:
        return [0.0, 0.0, 0.0]
    figures = pd.read_parquet(scores).set_index("query_id")
    one, other = (figures.loc[figures["system"] == system, HEADLINE] for system in (live, best))
    found = compare(live, best, HEADLINE, one, other, seed=0)
    return [round(figure, 5) for figure in (found.delta, *found.ci95)]


def page(found: Mapping[str, Any]) -> str:
    """What was made of what, and each step of the choice, in Markdown."""
    sets = found["sets"]
    reasons = [f"- {name}: {one['reason']}" for name, one in sets.items()]
    return "\n".join(
        [
            heading(found),
            "",
            *chosen_table(sets),
            "",
            OF_TEST,
            "",
            *tested_table(sets),
            "",
            OF_REASONS,
            "",
            *reasons,
            "",
        ]
    )


OF_TEST = "On the test queries, as base and tuned model would serve (bold), what is live, and what is best there:"
OF_REASONS = "What the product gives as the reason:"


def heading(found: Mapping[str, Any]) -> str:
    """What the tables are, and of what they were made."""
    sets = "; ".join(f"{name} ({made_of(one)})" for name, one in found["sets"].items())
    return (
        "nDCG@10 of each way to ask base and tuned model on the validation queries, the standard error of its paired "
        "difference from the best, and what is chosen: the simplest of dense, hybrid and weighted search, and of "
        f"BM25 for the base model, within one standard error of the best. Sets: {sets}. "
        f"Made by `python -m benchmarks.choice` on {found['machine']}."
    )


def made_of(one: Mapping[str, Any]) -> str:
    """The size of a set, and how it was made."""
    told = ", ".join(f"{number:,} {split}" for split, number in one["queries"].items())
    epochs = f"{one['epochs']} epochs" if one["epochs"] else "epochs: auto"
    tokens = f", {one['tokens']} tokens of a passage" if one["tokens"] else ""
    return f"{one['passages']:,} passages, queries: {told}; {epochs}{tokens}, at commit {one['commit']}"


def chosen_table(sets: Mapping[str, Any]) -> list[str]:
    """One row for each model of a set: the step on the validation queries."""
    columns = ("set", "model", "queries", *SIMPLEST_FIRST, "chosen", "because")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, one in sets.items():
        for model, choice in one["choices"].items():
            if model == "tuned" and one["nothing tuned"]:
                lines.append(f"| {name} | tuned | | | | | | as base | nothing was learned that ranks better |")
                continue
            cells = [_validated(choice, mode) for mode in SIMPLEST_FIRST]
            row = [name, model, str(choice["queries"]), *cells, choice["variant"], choice["reason"]]
            lines.append(f"| {' | '.join(row)} |")
    return lines


def _validated(choice: Mapping[str, Any], mode: str) -> str:
    if mode not in choice["means"]:
        return ""
    error = choice["errors"].get(mode)
    return f"{choice['means'][mode]:.3f}" + (f" ± {error:.3f}" if error else "")


def tested_table(sets: Mapping[str, Any]) -> list[str]:
    """One row a set: all systems on the test queries, what is live and what is best."""
    columns = ("set", "queries", *SYSTEMS, "live", "best", "live − best", "within")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, one in sets.items():
        cells = [
            "" if one["nothing tuned"] and system.startswith("tuned") else
            f"**{one['test'][system]:.3f}**" if system in one["as served"].values() else f"{one['test'][system]:.3f}"
            for system in SYSTEMS
        ]  # fmt: skip
        delta, low, high = one["live − best"]
        told = "0" if one["live"] == one["best"] else f"{delta:+.3f}, {low:+.3f} to {high:+.3f}"
        row = [name, str(one["queries"]["test"]), *cells, one["live"], one["best"], told, "yes" if high >= 0 else "no"]
        lines.append(f"| {' | '.join(row)} |")
    return lines


if __name__ == "__main__":
    main()
