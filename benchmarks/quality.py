"""Quality: our defaults against the base model, BM25, hybrid search and two scripted peers, on real domains.

Every system gets the same training pairs, and is judged on the same test queries by exact search over all passages.
Training time is that of mining and training; `--train-queries` and `--distractors` cut every domain for all alike.
What the diagnosis expected of fine-tuning, before it, is set against what came of it on the test queries.
"""

import argparse
import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.domains import NAMES, Domain, cut_asked, domains, domains_parser, home_of
from benchmarks.peers import dense_run, train_plain, train_strong
from domain_embed.definitions import build_definitions
from domain_embed.defs.runs import RunOutcome, open_instance, run_stale, upstream
from domain_embed.diagnosis.recommendation import FINE_TUNING
from domain_embed.evaluation.measures import HEADLINE, ndcg_scores
from domain_embed.evaluation.significance import compare
from domain_embed.new_domain import beir_settings
from domain_embed.settings import SETTINGS_FILE, DomainSettings, Environment, render_yaml, resolve_model
from domain_embed.stores.workspace import Workspace
from domain_embed.training.pairs import TrainingPairs, training_pairs

PEERS = {"plain": train_plain, "strong": train_strong}


@dataclass(frozen=True)
class Ours:
    """One run of the product: its report, the tuned model's folder, and seconds of mining and training.

    `expected` is the interval that the diagnosis gave for the gain of fine-tuning; None when it gave none.
    """

    report: dict[str, Any]
    model: Path
    seconds: float
    expected: tuple[float, float] | None


def main() -> None:
    """One line per system and domain, then the gains over base and the comparisons with the peers."""
    arguments = parse()
    results = []
    with domains(arguments.domains, cut_asked(arguments)) as chosen:
        for domain in chosen:
            print(f"== {domain.name}: {len(domain.passages)} passages, " + ", ".join(
                f"{len(qrels)} {split}" for split, qrels in domain.qrels.items()), flush=True)  # fmt: skip
            results.append(measure(domain, arguments.peers))
            show(results[-1])
            if arguments.json:
                arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    summarize(results)


def parse() -> argparse.Namespace:
    """The options."""
    parser = domains_parser(__doc__ or "", NAMES)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=tuple(PEERS))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def measure(domain: Domain, peers: list[str]) -> dict[str, Any]:
    """Mean nDCG@10 and seconds of every system, and our model's paired differences to base and peers."""
    ours = run_product(prepare(home_of(domain), domain, beir_settings(domain.folder)))
    qrels = domain.qrels["test"]
    base = resolve_model(DomainSettings().model.base, domain.folder)
    runs = {"base": dense_run(domain, Path(base)), "ours": dense_run(domain, ours.model)}
    seconds = {"ours": ours.seconds}
    for peer in peers:
        seconds[peer], path = PEERS[peer](domain, base, domain.folder / "peers")
        runs[peer] = dense_run(domain, path)
    scores = {name: ndcg_scores(run, qrels) for name, run in runs.items()}
    return {
        "domain": domain.name,
        "ndcg": {name: float(score.mean()) for name, score in scores.items()}
        | {name: ours.report["evidence"]["systems"][name][HEADLINE] for name in ("bm25", "base/hybrid")},
        "seconds": seconds,
        "versus": {name: versus(scores, name) for name in scores if name != "ours"},
        "expected": ours.expected,
    }


def versus(scores: Mapping[str, "pd.Series[float]"], other: str) -> list[float]:
    """Our mean gain over another system, with its interval."""
    found = compare("ours", other, HEADLINE, scores["ours"], scores[other], seed=0)
    return [found.delta, *found.ci95]


def prepare(environment: Environment, domain: Domain, settings: DomainSettings) -> Workspace:
    """Makes the domain known with these settings, but that it is trained whatever is diagnosed."""
    on = settings.diagnosis.model_copy(update={"on_negative": "continue"})
    settings = settings.model_copy(update={"diagnosis": on})
    folder = environment.domain_folder(domain.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS_FILE).write_text(render_yaml(settings), encoding="utf-8")
    return Workspace(environment, domain.name)


def bring_up_to_date(workspace: Workspace, of: Collection[str] | None = None) -> RunOutcome | None:
    """What `domain-embed run` does: whatever is stale, of these assets or of all."""
    with open_instance(workspace.environment) as instance:
        return run_stale(instance, workspace, build_definitions(workspace.environment, [workspace.domain]), of)


def mined_pairs(workspace: Workspace) -> TrainingPairs:
    """The training pairs with their hard negatives, mined as the settings say."""
    bring_up_to_date(workspace, upstream("hard_negatives", workspace.settings))
    tables = workspace.tables
    return training_pairs(tables.read("splits").read(), tables.read("hard_negatives").read(), tables.read("passages"))


def run_product(workspace: Workspace) -> Ours:
    """One run of everything that is stale."""
    started = time.perf_counter()
    outcome = bring_up_to_date(workspace)
    print(f"   product: {time.perf_counter() - started:.0f} s in all", flush=True)
    report = workspace.latest_report()
    assert outcome is not None, f"{workspace.domain} was made before"
    trained = sum(outcome.worked.get(asset, 0.0) for asset in ("hard_negatives", "checkpoint"))
    levers = {lever["name"]: lever["ci95"] for lever in workspace.diagnosis()["levers"]}
    return Ours(report, Path(report["evidence"]["model_path"]), trained, levers.get(FINE_TUNING))


def show(result: dict[str, Any]) -> None:
    """One domain's figures."""
    for name, figure in result["ndcg"].items():
        taken = f"{result['seconds'][name]:8.0f} s" if name in result["seconds"] else ""
        print(f"   {name:12} nDCG@10 {figure:.4f} {taken}")
    for name, (delta, low, high) in result["versus"].items():
        print(f"   ours - {name:8} {delta:+.4f}  [{low:+.4f}, {high:+.4f}]", flush=True)
    if result["expected"] is not None:
        low, high = result["expected"]
        print(f"   expected before: {low:+.4f} to {high:+.4f} over base, {'kept' if kept(result) else 'NOT kept'}")


def kept(result: Mapping[str, Any]) -> bool:
    """Whether our gain over base lies within what the diagnosis had said."""
    low, high = result["expected"]
    return bool(low <= result["versus"]["base"][0] <= high)


def summarize(results: list[dict[str, Any]]) -> None:
    """Mean gains over base, and how our training time compares."""
    for name in ("ours", *PEERS):
        gains = [result["ndcg"][name] - result["ndcg"]["base"] for result in results if name in result["ndcg"]]
        if gains:
            print(f"mean gain over base, {name:7} {sum(gains) / len(gains):+.4f} on {len(gains)} domains")
    for name in PEERS:
        shares = [r["seconds"]["ours"] / r["seconds"][name] for r in results if name in r["seconds"]]
        if shares:
            print(f"our training time as a share of {name}'s: {min(shares):.2f} to {max(shares):.2f}")
    estimated = [result for result in results if result["expected"] is not None]
    print(f"the diagnosis' interval held our gain in {sum(map(kept, estimated))} of {len(results)} domains")


if __name__ == "__main__":
    main()
