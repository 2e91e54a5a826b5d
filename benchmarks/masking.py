"""Masking: how many passages that answer a query are among its in-batch negatives, in random batches and in ours.

Counted over one epoch of the default recipe, by the judgments that training has: what nobody judged is not seen here.
In ours no two pairs share a query or a positive, and a passage stands once, also where it answers one query and is a
hard negative of another. What is left is masked in the loss, and only that would a training without a mask learn from.
"""

import argparse

import numpy as np

from benchmarks.domains import NAMES, cut_asked, domains, domains_parser, home_of
from benchmarks.quality import mined_pairs, prepare
from domain_embed.new_domain import beir_settings
from domain_embed.settings import TrainingSettings
from domain_embed.training.pairs import TrainingPairs, epoch_batches


def main() -> None:
    """One line per domain."""
    arguments = parse()
    recipe = TrainingSettings()
    with domains(arguments.domains, cut_asked(arguments)) as chosen:
        for domain in chosen:
            pairs = mined_pairs(prepare(home_of(domain), domain, beir_settings(domain.folder)))
            batches = epoch_batches(pairs, recipe.batch_size, recipe.hard_negatives, recipe.seed, 0)
            negatives = sum(batch.masked.size - len(batch.targets) for batch in batches)
            masked = sum(int(batch.masked.sum()) for batch in batches)
            found = in_random_batches(pairs, recipe)
            print(
                f"{domain.name}: {len(pairs.pairs):,} pairs, {found:,} false negatives in random batches, "
                f"{masked:,} of {negatives:,} masked in ours",
                flush=True,
            )


def parse() -> argparse.Namespace:
    """The options."""
    return domains_parser(__doc__ or "", NAMES).parse_args()


def in_random_batches(pairs: TrainingPairs, recipe: TrainingSettings) -> int:
    """False negatives among the positives and hard negatives of each batch of a shuffled epoch."""
    generator = np.random.default_rng(recipe.seed)
    order = generator.permutation(len(pairs.pairs))
    found = 0
    for start in range(0, len(order), recipe.batch_size):
        rows = pairs.pairs[order[start : start + recipe.batch_size]].tolist()
        drawn = [
            pairs.negatives[query][pick]
            for query, _ in rows
            for pick in generator.permutation(len(pairs.negatives[query]))[: recipe.hard_negatives]
        ]
        for own, (query, _) in enumerate(rows):
            others = [passage for row, (_, passage) in enumerate(rows) if row != own]
            found += sum(passage in pairs.positives[query] for passage in [*others, *drawn])
    return found


if __name__ == "__main__":
    main()
