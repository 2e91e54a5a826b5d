"""Building collections: passages per second end to end, what the store adds to encoding, and what a delta costs.

Encoding is measured on real passages. The other passages are real ones repeated and perturbed, and their vectors cost
nothing, so that what remains is the work of this product and of the store: BM25, writing, the graph, publishing. Times
are processor time. A delta changes 1 % of the passages; another changes metadata only.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from benchmarks.perturbed import PerturbedEncoder, perturbed_rows, real_rows
from domain_embed.contracts.records import embedded_text
from domain_embed.contracts.tables import PASSAGES, content_hash
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.indexing.build import BuildReport, build_collection
from domain_embed.settings import ModelSettings, SparseSettings, resolve_model
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.tables import TableStore
from domain_embed.stores.vectors import FileVectorCache

ENCODED = 500
Made = TypeVar("Made")


def main() -> None:
    """Builds each size in full, then with 1 % changed, then with other metadata."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[18_000, 100_000])
    options = parser.parse_args()
    rows = real_rows()
    model = TorchEncoder.load(resolve_model(ModelSettings().base, Path()), ModelSettings())
    texts = [embedded_text(row["title"], row["text"]) for row in random.Random(0).sample(rows, min(ENCODED, len(rows)))]
    encode_s, _ = _timed(lambda: model.encode_documents(texts))
    rate = len(texts) / encode_s
    print(f"encoding {rate:.1f} passages per processor second ({len(texts)} real passages)")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            _one_size(Path(folder), size, rows, model, size / rate)


def _one_size(folder: Path, size: int, rows: list[dict[str, Any]], model: TorchEncoder, encoding_s: float) -> None:
    encoder = PerturbedEncoder(model, rows)
    made = list(perturbed_rows(rows, size))

    def build(version: str) -> tuple[float, BuildReport]:
        table = TableStore(folder / version).write_table("passages", pa.Table.from_pylist(made, schema=PASSAGES))
        cache = FileVectorCache(folder / "vectors")
        return _timed(lambda: build_collection(EdgeStore(folder), encoder, "base", table, SparseSettings(), cache))

    full_s, full = build("full")
    end_to_end = size / (encoding_s + full_s)
    print(f"{size:7,} passages  {end_to_end:7.1f} per processor second end to end; store and BM25 take "
          f"{full_s:.1f} s, {full_s / encoding_s:.1%} of the {encoding_s:.0f} s of encoding")  # fmt: skip
    for row in made[::100]:
        row["text"] += " Changed."
        row["content_hash"] = content_hash(row["title"], row["text"])
    delta_s, delta = build("delta")
    encoded_s = encoding_s * delta.embedded / size
    share = (delta_s + encoded_s) / (full_s + encoding_s)
    print(f"                  1 % changed: {delta.embedded} of {full.info.count} embedded, {share:.1%} of a full build")
    for row in made:
        row["metadata"] = json.dumps({**json.loads(row["metadata"]), "batch": 11}, sort_keys=True)
    other_s, other = build("metadata")
    print(f"                  other metadata: {other.embedded} embedded, {other_s / (full_s + encoding_s):.1%}")


def _timed(work: Callable[[], Made]) -> tuple[float, Made]:
    started = time.process_time()
    made = work()
    return time.process_time() - started, made


if __name__ == "__main__":
    main()
