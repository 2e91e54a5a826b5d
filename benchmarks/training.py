"""Training: Trainer against `SentenceTransformerTrainer` with its defaults, in pairs per second and nDCG@10.

Same base model, pairs, hard negatives (one each), batch size, epochs and learning rate, same loss
(MultipleNegativesRankingLoss, scale 20); the peer keeps its other defaults. Both are judged on the test split by exact
search over all passages. `--words` cuts the passages that both learn from, `--pairs` how many pairs there are.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from benchmarks.aws import AwsDomain, aws_domain, services_parser
from domain_embed.contracts.ports import NullTracker
from domain_embed.contracts.tables import HARD_NEGATIVES
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.evaluation.measures import mean_ndcg
from domain_embed.judgments.graded import graded_queries
from domain_embed.mining.hard_negatives import MiningReport, mine_hard_negatives
from domain_embed.retrieval.searcher import Searcher
from domain_embed.settings import DomainSettings, RankingObjective
from domain_embed.training.pairs import TrainingPairs, training_pairs
from domain_embed.training.trainer import Trainer
from domain_embed.training.validation import Measure, ValidationSet

EPOCHS = 2
"""For both: the peer's schedule falls to zero, and so ours does."""


def main() -> None:
    """Trains both, one after the other, and evaluates base and both."""
    arguments = parse()
    with aws_domain(arguments.services) as domain, tempfile.TemporaryDirectory() as scratch:
        pairs = shortened(_pairs(domain), arguments.words, arguments.pairs)
        seen = len(pairs.pairs) * EPOCHS
        our_s, our_path = train_ours(domain.base, domain.settings, pairs, Path(scratch))
        peer_s, peer_path = _peer(domain, pairs, Path(scratch))
        figures = {name: _ndcg(domain, path) for name, path in
                   {"base": domain.base, "peer": peer_path, "ours": our_path}.items()}  # fmt: skip
    print(f"base model                                             nDCG@10 {figures['base']:.4f}")
    print(f"SentenceTransformerTrainer  {seen / peer_s:8.1f} pairs/s   nDCG@10 {figures['peer']:.4f}")
    print(f"domain-embed                {seen / our_s:8.1f} pairs/s   nDCG@10 {figures['ours']:.4f}")
    print(f"ratio {peer_s / our_s:.2f} over {len(pairs.pairs)} pairs and {EPOCHS} epochs")


def parse() -> argparse.Namespace:
    """The options."""
    parser = services_parser(__doc__ or "", "fast")
    parser.add_argument("--words", type=int)
    parser.add_argument("--pairs", type=int)
    return parser.parse_args()


def shortened(pairs: TrainingPairs, words: int | None, most: int | None) -> TrainingPairs:
    """The first pairs, with the first words of every passage."""
    return replace(
        pairs, pairs=pairs.pairs[:most], passages=[" ".join(text.split()[:words]) for text in pairs.passages]
    )


def _pairs(domain: AwsDomain) -> TrainingPairs:
    encoder = domain.encoder()
    collection = domain.collection(encoder, domain.settings.model.base)
    batches = mine_hard_negatives(domain.splits, collection, encoder, domain.settings.mining, MiningReport())
    mined = domain.workspace.tables.write("hard_negatives", batches, HARD_NEGATIVES)
    return training_pairs(domain.splits, mined.read(), domain.passages)


def train_ours(base: str, settings: DomainSettings, pairs: TrainingPairs, scratch: Path) -> tuple[float, str]:
    """Seconds, and the model's folder.

    One validation query and no mixtures keep the choice out of the timing: the peer has none.
    """
    validation = ValidationSet(
        ["q"], [pairs.queries[0]], ["p"], [pairs.passages[0]], ["h"], {"q": {"p": 1}}, {"q": 0.0}
    )
    recipe = settings.training.model_copy(update={"interpolation": (), "epochs": EPOCHS})
    trainer = Trainer(base, settings.model, recipe, pairs, validation, _latest_wins())
    started = time.perf_counter()
    trained = trainer.train(scratch / "ours", {"benchmark": "training"}, NullTracker())
    return time.perf_counter() - started, str(trained.path)


def _latest_wins() -> Measure:
    """A figure that rises with every call, so that the last epoch is kept, as the peer does."""
    calls = iter(range(1, 100))
    return lambda run, qrels: pd.Series([float(next(calls))])


def _peer(domain: AwsDomain, pairs: TrainingPairs, scratch: Path) -> tuple[float, str]:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.losses import MultipleNegativesRankingLoss

    settings = domain.settings.training
    rows = [
        (pairs.queries[query], pairs.passages[passage], pairs.passages[pairs.negatives[query][0]])
        for query, passage in pairs.pairs.tolist()
        if pairs.negatives[query]
    ]
    columns = dict(zip(("anchor", "positive", "negative"), map(list, zip(*rows, strict=True)), strict=True))
    model = SentenceTransformer(domain.base)
    arguments = Arguments(
        output_dir=str(scratch / "peer"), num_train_epochs=EPOCHS, report_to="none", save_strategy="no",
        per_device_train_batch_size=settings.batch_size, learning_rate=settings.learning_rate, disable_tqdm=True,
    )  # fmt: skip
    loss = MultipleNegativesRankingLoss(model, scale=RankingObjective().scale)
    trainer = SentenceTransformerTrainer(model, arguments, train_dataset=Dataset.from_dict(columns), loss=loss)
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    model.save_pretrained(str(scratch / "peer" / "model"))
    return seconds * len(pairs.pairs) / len(rows), str(scratch / "peer" / "model")


def _ndcg(domain: AwsDomain, path: str) -> float:
    encoder = TorchEncoder.load(path, domain.settings.model)
    searcher = Searcher(domain.collection(encoder, path), encoder, domain.settings.retrieval)
    queries, qrels = graded_queries(domain.splits.filter(pc.equal(domain.splits["split"], "test")))
    ranked = searcher.rank(list(queries.values()), 10, ["dense"], exact=True)["dense"]
    run = {key: [hit.passage_id for hit in hits] for key, hits in zip(queries, ranked, strict=True)}
    return mean_ndcg(run, qrels)


if __name__ == "__main__":
    main()
