"""Forgetting: what the tuned model loses on other subjects, and what the mixture with the base model keeps of its gain.

Every domain is trained with the defaults, and the other domains named by `--probes` are its probes. Printed are all
mixtures, the one that `training.forgetting.budget` chooses, and its test figures through the store.
"""

import argparse
from typing import Any

from benchmarks.domains import DATASETS, NAMES, Domain, cut_asked, domains, domains_parser, home_of
from benchmarks.quality import prepare, run_product
from domain_embed.evaluation.measures import HEADLINE
from domain_embed.new_domain import beir_settings
from domain_embed.settings import DomainSettings, ForgettingSettings

SHARES = (0.25, 0.5, 0.75)


def main() -> None:
    """One table per domain."""
    arguments = parse()
    with domains(arguments.domains, cut_asked(arguments)) as chosen:
        for domain in chosen:
            probes = [name for name in arguments.probes if name != domain.name]
            workspace = prepare(home_of(domain), domain, settings(domain, probes, arguments))
            evidence = run_product(workspace).report["evidence"]
            record = workspace.checkpoint_record(evidence["challenger_fingerprint"])
            assert record is not None  # it was just trained
            show(domain.name, record, evidence["systems"])


def parse() -> argparse.Namespace:
    """The options; of the demo domain there is no folder to probe with."""
    parser = domains_parser(__doc__ or "", ("naics", "covidqa", "community"))
    folders = [name for name in NAMES if name != "aws"]
    parser.add_argument("--probes", nargs="+", choices=folders, default=("scifact", "covidqa", "medquad"))
    parser.add_argument("--budget", type=float, default=ForgettingSettings().budget)
    parser.add_argument("--probe-passages", type=int, default=ForgettingSettings().max_passages)
    return parser.parse_args()


def settings(domain: Domain, probes: list[str], arguments: argparse.Namespace) -> DomainSettings:
    """The defaults of a BEIR folder, with probes and a finer sweep."""
    defaults = beir_settings(domain.folder)
    forgetting = ForgettingSettings(
        probes=tuple(str(DATASETS / name) for name in probes),
        budget=arguments.budget,
        max_passages=arguments.probe_passages,
    )
    training = defaults.training.model_copy(update={"interpolation": SHARES, "forgetting": forgetting})
    return defaults.model_copy(update={"training": training})


def show(name: str, record: dict[str, Any], systems: dict[str, dict[str, float]]) -> None:
    """All mixtures of one training; the gain is that on validation, in shares of the fully tuned model's."""
    points = record["interpolation"]
    base, tuned = points[0], points[-1]
    gain = tuned["validation"] - base["validation"]
    print(f"{name}: alpha, validation nDCG@10, share of the gain, mean loss on {len(base['probes'])} probes")
    for point in points:
        lost = sum(base["probes"][key] - point["probes"][key] for key in base["probes"]) / len(base["probes"])
        share = (point["validation"] - base["validation"]) / gain if gain else 0.0
        mark = "  <- chosen" if point["alpha"] == record["alpha"] else ""
        print(f"  {point['alpha']:4.2f}  {point['validation']:.4f}  {share:6.0%}  {lost:+.4f}{mark}")
    figures = ", ".join(f"{system} {systems[system][HEADLINE]:.4f}" for system in ("base/dense", "tuned/dense"))
    print(f"  on test queries: {figures}", flush=True)


if __name__ == "__main__":
    main()
