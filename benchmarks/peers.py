"""What a good engineer would script with sentence-transformers alone, given the same data: two of its own recipes."""

import time
from pathlib import Path
from typing import Any

from benchmarks.domains import Domain
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import ModelSettings


def train_plain(domain: Domain, base: str, scratch: Path) -> tuple[float, Path]:
    """MultipleNegativesRankingLoss, lr 2e-5, batch 32, one epoch, no mining: seconds, and the model's folder."""
    return _train(domain, base, scratch / "plain", _pairs(domain), epochs=1, batch=32, learning_rate=2e-5, choose=False)


def train_strong(domain: Domain, base: str, scratch: Path) -> tuple[float, Path]:
    """`mine_hard_negatives` (relative margin 0.05, up to five), lr 5e-5, batch 64, best of three epochs.

    By the cached form of the same loss: 64 queries with six passages of 256 tokens each took more than 24 GiB.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    started = time.perf_counter()
    mined = mine_hard_negatives(
        _pairs(domain), SentenceTransformer(base), corpus=[domain.text(key) for key in domain.passages],
        range_max=50, relative_margin=0.05, num_negatives=5, sampling_strategy="top", output_format="n-tuple",
        verbose=False,
    )  # fmt: skip
    mining_s = time.perf_counter() - started
    rows = mined if len(mined) else _pairs(domain)  # it drops queries with fewer than five
    seconds, path = _train(domain, base, scratch / "strong", rows, epochs=3, batch=64, learning_rate=5e-5, choose=True)
    return mining_s + seconds, path


def _pairs(domain: Domain) -> Any:
    from datasets import Dataset

    anchors, positives = zip(*domain.train_pairs(), strict=True)
    return Dataset.from_dict({"anchor": list(anchors), "positive": list(positives)})


def _train(
    domain: Domain, base: str, folder: Path, rows: Any, *, epochs: int, batch: int, learning_rate: float, choose: bool
) -> tuple[float, Path]:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers import SentenceTransformerTrainingArguments as Arguments
    from sentence_transformers.losses import CachedMultipleNegativesRankingLoss, MultipleNegativesRankingLoss
    from sentence_transformers.training_args import BatchSamplers

    model = SentenceTransformer(base)
    chosen = (
        {"eval_strategy": "epoch", "save_strategy": "epoch", "load_best_model_at_end": True, "save_total_limit": 1,
         "metric_for_best_model": "eval_validation_cosine_ndcg@10"}
        if choose else {"save_strategy": "no"}
    )  # fmt: skip
    arguments = Arguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=batch, warmup_steps=0.1,
        learning_rate=learning_rate, batch_sampler=BatchSamplers.NO_DUPLICATES, report_to="none", disable_tqdm=True,
        seed=0, **chosen,
    )  # fmt: skip
    many = len(rows.column_names) > 2
    loss = CachedMultipleNegativesRankingLoss(model) if many else MultipleNegativesRankingLoss(model)
    trainer = SentenceTransformerTrainer(
        model, arguments, train_dataset=rows, loss=loss,
        evaluator=_evaluator(domain) if choose else None,
    )  # fmt: skip
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    model.save_pretrained(str(folder / "model"))
    return seconds, folder / "model"


def _evaluator(domain: Domain) -> Any:
    """The validation queries over the judged passages: what a script can afford after every epoch."""
    from sentence_transformers.evaluation import InformationRetrievalEvaluator

    relevant = {query_id: set(grades) for query_id, grades in domain.qrels["dev"].items()}
    judged = {key for split in domain.qrels.values() for grades in split.values() for key in grades}
    return InformationRetrievalEvaluator(
        {query_id: domain.queries[query_id] for query_id in relevant},
        {key: domain.text(key) for key in sorted(judged)},
        relevant, name="validation", batch_size=32, ndcg_at_k=[10],
    )  # fmt: skip


def dense_run(domain: Domain, model: Path) -> dict[str, list[str]]:
    """The best ten passages of every test query by exact search with a model, ties by passage id."""
    return ranked(domain, TorchEncoder.load(str(model), ModelSettings()))


def ranked(domain: Domain, encoder: TorchEncoder) -> dict[str, list[str]]:
    """The same with a model in memory."""
    import numpy as np

    ids = sorted(domain.passages)
    passages = encoder.encode_documents([domain.text(key) for key in ids])
    query_ids = sorted(domain.qrels["test"])
    queries = encoder.encode_queries([domain.queries[key] for key in query_ids])
    order = np.argsort(-(queries @ passages.T), axis=1, kind="stable")[:, :10]
    return {query_id: [ids[row] for row in best] for query_id, best in zip(query_ids, order, strict=True)}
