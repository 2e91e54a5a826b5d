"""Ablations: what each default adds, on several real domains and seeds.

One setting is changed at a time; the rest stays as `domain-embed init` writes it. Figures are nDCG@10 of the model that
is kept on the test queries, by exact search over all passages, as differences to the defaults of the same domain and
seed; and that of the base model. Where the product refuses to train so (the teacher of a distillation is not shown to
rank better than the base model) the cell says it.
"""

import argparse
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.domains import Domain, cut_asked, domains, domains_parser, home_of
from benchmarks.peers import dense_run
from benchmarks.quality import bring_up_to_date, prepare
from domain_embed.contracts.errors import TrainingError
from domain_embed.defs.runs import upstream
from domain_embed.evaluation.measures import mean_ndcg
from domain_embed.new_domain import beir_settings
from domain_embed.settings import DomainSettings, resolve_model

Figures = dict[tuple[str, str], dict[int, float]]
"""By variant and domain: nDCG@10 by seed, without those that were refused."""

FIRST_ROUND = "<the defaults' checkpoint>"
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "defaults": {},
    "no hard negatives": {"training": {"hard_negatives": 0}},
    "four hard negatives": {"training": {"hard_negatives": 4}},
    "no positive-aware filter": {"mining": {"max_relative_score": 1.0}},
    "one epoch": {"training": {"epochs": 1}},
    "two epochs": {"training": {"epochs": 2}},
    "four epochs": {"training": {"epochs": 4}},
    "batch 32": {"training": {"batch_size": 32}},
    "batch 128": {"training": {"batch_size": 128}},
    "learning rate 2e-5": {"training": {"learning_rate": 2e-5}},
    "learning rate 5e-5": {"training": {"learning_rate": 5e-5}},
    "learning rate 2e-4": {"training": {"learning_rate": 2e-4}},
    "one epoch at 2e-4": {"training": {"epochs": 1, "learning_rate": 2e-4}},
    "word embeddings trained": {"training": {"freeze_embeddings": False}},
    "three layers frozen": {"training": {"frozen_layers": 3}},
    "64 tokens": {"training": {"max_tokens": 64}},
    "128 tokens": {"training": {"max_tokens": 128}},
    "symmetric": {"training": {"objective": {"kind": "ranking", "symmetric": True}}},
    "distillation": {"training": {"objective": {"kind": "distill_kl"}}, "reranker": {"source": "train"}},
    "no mixtures": {"training": {"interpolation": ()}},
    "second round": {"mining": {"miners": ("dense", "checkpoint"), "checkpoint": FIRST_ROUND}},
}


def main() -> None:
    """One table row per variant, one column per domain."""
    arguments = parse()
    figures: Figures = {}
    with domains(arguments.domains, cut_asked(arguments)) as chosen:
        for domain in chosen:
            base = Path(resolve_model(DomainSettings().model.base, domain.folder))
            print(f"{domain.name} base {mean_ndcg(dense_run(domain, base), domain.qrels['test']):.4f}", flush=True)
            for seed in range(arguments.seeds):
                first_round = ""
                for variant in dict.fromkeys(["defaults", *arguments.variants]):
                    found = figures.setdefault((variant, domain.name), {})
                    try:
                        model = train(domain, variant, seed, first_round)
                    except TrainingError as error:
                        print(f"{domain.name} seed {seed} {variant}: refused, {error}", flush=True)
                        continue
                    first_round = first_round or model.name
                    found[seed] = mean_ndcg(dense_run(domain, model), domain.qrels["test"])
                    print(f"{domain.name} seed {seed} {variant}: {found[seed]:.4f}", flush=True)
    print(table(figures, [domain.name for domain in chosen]))


def parse() -> argparse.Namespace:
    """The options."""
    parser = domains_parser(__doc__ or "", ("naics", "covidqa", "community"))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=tuple(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def train(domain: Domain, variant: str, seed: int, first_round: str) -> Path:
    """The model that the product keeps; of a second round of mining, `first_round` is the checkpoint that mines."""
    workspace = prepare(home_of(domain), domain, settings(domain.folder, variant, seed, first_round))
    bring_up_to_date(workspace, upstream("checkpoint", workspace.settings))
    return workspace.checkpoints / str(workspace.newest_checkpoint)


def settings(folder: Path, variant: str, seed: int, first_round: str) -> DomainSettings:
    """The defaults of a BEIR folder with one thing changed."""
    values = beir_settings(folder).model_dump()
    fixed = {"training": {"seed": seed}, "mining": {"seed": seed}, "diagnosis": {"probe_pairs": 0}}
    for section, changes in [*fixed.items(), *VARIANTS[variant].items()]:
        values[section] |= changes
    if values["mining"]["checkpoint"] == FIRST_ROUND:
        values["mining"]["checkpoint"] = first_round
    return DomainSettings.model_validate(values)


def table(figures: Figures, names: list[str]) -> str:
    """Mean difference to the defaults, and its spread over seeds, as a Markdown table."""
    lines = ["| variant | " + " | ".join(names) + " | mean |", "|---" * (len(names) + 2) + "|"]
    for variant in dict.fromkeys(variant for variant, _ in figures):
        cells, means = [], []
        for name in names:
            found, default = figures[variant, name], figures["defaults", name]
            values = [figure - (0 if variant == "defaults" else default[seed]) for seed, figure in found.items()]
            cells.append(_cell(values, variant))
            means += [mean(values)] if values else []
        lines.append(f"| {variant} | " + " | ".join([*cells, _cell([mean(means)] if means else [], variant)]) + " |")
    return "\n".join(lines)


def _cell(values: list[float], variant: str) -> str:
    if not values:
        return "refused"
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{spread}" if variant == "defaults" else f"{mean(values):+.3f}{spread}"


if __name__ == "__main__":
    main()
