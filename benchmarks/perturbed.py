"""Any number of passages out of the demo domain's, for benchmarks of size: repeated, each time a little changed.

Words are dropped and swapped, and noise is added to the vector of the passage it was made of, so that no two passages
are equal and neighbours are as close as those of real near-duplicates. Such a corpus says how size costs, not how good
a ranking is.
"""

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain_embed.contracts.records import embedded_text
from domain_embed.contracts.tables import PASSAGES, content_hash
from domain_embed.demo.aws import FAST_SERVICES, extract_aws
from domain_embed.encoding.encoder import TorchEncoder

NOISE = 0.35
"""Length of what is added to a unit vector: a cosine of about 0.94 to where it came from."""


def real_rows(services: str = "fast") -> list[dict[str, Any]]:
    """The demo's passages as they are."""
    with tempfile.TemporaryDirectory() as folder:
        extract_aws(Path(folder), services=FAST_SERVICES if services == "fast" else None)
        return [json.loads(line) for line in (Path(folder) / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]


def perturbed_rows(rows: list[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    """`count` rows of a PASSAGES table; the first ones are the real ones."""
    for number in range(count):
        row, round_ = rows[number % len(rows)], number // len(rows)
        text = row["text"] if round_ == 0 else _perturbed(row["text"], number)
        metadata = {"service": row["metadata"]["service"], "batch": number % 10}
        yield {
            "passage_id": f"{row['_id']}#{round_}", "doc_id": row["_id"], "title": row["title"], "text": text,
            "metadata": json.dumps(metadata, sort_keys=True), "content_hash": content_hash(row["title"], text),
            "heading": "", "start": 0, "end": len(text),
        }  # fmt: skip


def perturbed_table(rows: list[dict[str, Any]], count: int) -> pa.Table:
    """The same as one table."""
    return pa.Table.from_pylist(list(perturbed_rows(rows, count)), schema=PASSAGES)


class PerturbedEncoder:
    """Real vectors for queries and real passages; for the others, those of where they came from with noise added."""

    def __init__(self, encoder: TorchEncoder, rows: list[dict[str, Any]]) -> None:
        self.fingerprint = encoder.fingerprint
        self.dimensions = encoder.dimensions
        self._encoder = encoder
        self._vectors = encoder.encode_documents([embedded_text(row["title"], row["text"]) for row in rows])
        self._random = np.random.default_rng(0)
        self._next = 0

    def encode_queries(self, texts: Any) -> NDArray[np.float32]:
        """As the model does."""
        return self._encoder.encode_queries(texts)

    def encode_documents(self, texts: Any) -> NDArray[np.float32]:
        """Takes the passages in the order in which they were made."""
        places = np.arange(self._next, self._next + len(texts)) % len(self._vectors)
        self._next += len(texts)
        noise = self._random.normal(size=(len(texts), self.dimensions)) * NOISE / np.sqrt(self.dimensions)
        vectors = self._vectors[places] + noise
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _perturbed(text: str, number: int) -> str:
    chance = random.Random(number)
    words = [word for word in text.split() if chance.random() > 0.1]
    for _ in range(len(words) // 10):
        one, other = chance.randrange(len(words)), chance.randrange(len(words))
        words[one], words[other] = words[other], words[one]
    return f"{' '.join(words)} {number}"
