"""Mining: hard negatives from the collection against `sentence_transformers.util.mine_hard_negatives`, in seconds.

Both get the same queries, positives, depth and relative margin, and the peer its defaults for the rest. The peer embeds
the corpus first; the collection already holds those vectors, which is the point.
"""

import time

from benchmarks.aws import AwsDomain, aws_domain, services_argument
from domain_embed.mining.hard_negatives import MiningReport, mine_hard_negatives


def main() -> None:
    """Mines with both, one after the other."""
    with aws_domain(services_argument(__doc__ or "", "all")) as domain:
        encoder = domain.encoder()
        collection = domain.collection(encoder, domain.settings.model.base)
        report = MiningReport()
        started = time.perf_counter()
        for _ in mine_hard_negatives(domain.splits, collection, encoder, domain.settings.mining, report):
            pass
        our_s = time.perf_counter() - started
        peer_s, peer_rows = _peer(domain)
    print(f"mine_hard_negatives  {peer_s:8.1f} s   {peer_rows} negatives")
    print(f"domain-embed         {our_s:8.1f} s   {report.negatives} negatives")
    print(f"ratio {peer_s / our_s:.1f} over {report.queries} queries and {domain.passages.count} passages")


def _peer(domain: AwsDomain) -> tuple[float, int]:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives as peer_mine

    mining, texts = domain.settings.mining, domain.texts
    frame = domain.splits.to_pandas()
    train = frame[frame["split"] == "train"]
    pairs = Dataset.from_dict(
        {"anchor": list(train["query"]), "positive": [texts[passage_id] for passage_id in train["passage_id"]]}
    )
    model = SentenceTransformer(domain.base)
    started = time.perf_counter()
    mined = peer_mine(
        pairs, model, corpus=list(dict.fromkeys(texts.values())), range_max=mining.depth,
        relative_margin=1 - mining.max_relative_score, num_negatives=mining.per_query, sampling_strategy="random",
        output_format="labeled-list", verbose=False,
    )  # fmt: skip
    return time.perf_counter() - started, sum(len(row["labels"]) - 1 for row in mined)


if __name__ == "__main__":
    main()
