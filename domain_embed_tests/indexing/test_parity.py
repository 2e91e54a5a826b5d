"""Parity: a good collection passes, and each thing that can be wrong fails in its own finding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from domain_embed.contracts.ports import Collection
from domain_embed.contracts.records import Hit
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.indexing.build import build_collection
from domain_embed.indexing.parity import ParityFinding, check_parity
from domain_embed.settings import SparseSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.encoding.fakes import FakeEncoder, MemoryCache, MemoryTable, hashed_vector
from domain_embed_tests.scenario import CORPUS, Passage, passages_table


def collection_of(passages: Sequence[Passage], encoder: FakeEncoder | TorchEncoder) -> Collection:
    store = QdrantStore.in_memory()
    table = MemoryTable(passages_table(passages))
    report = build_collection(store, encoder, "base", table, SparseSettings(), MemoryCache())
    return store.open(report.info.name)


@pytest.fixture(scope="module")
def good() -> Collection:
    return collection_of(CORPUS, FakeEncoder())


def failed(findings: Sequence[ParityFinding]) -> dict[str, str]:
    names = ["model", "count", "passages", "content", "metadata", "query encoder", "vectors", "index"]
    assert [finding.name for finding in findings] == names[: len(findings)]
    return {finding.name: finding.detail for finding in findings if not finding.passed}


def check(collection: Collection, encoder: FakeEncoder, passages: Sequence[Passage] = CORPUS) -> dict[str, str]:
    return failed(check_parity(collection, MemoryTable(passages_table(passages)), encoder))


@dataclass
class Drifted(FakeEncoder):
    """Says that it is the same model, and is not quite."""

    cosine: float

    def __post_init__(self) -> None:
        super().__init__()

    def encode_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = super().encode_documents(texts)
        drift = np.stack([hashed_vector("drift" + text, self.dimensions) for text in texts])
        drift -= np.sum(drift * vectors, axis=1, keepdims=True) * vectors
        drift /= np.linalg.norm(drift, axis=1, keepdims=True)
        return np.asarray(self.cosine * vectors + np.sqrt(1 - self.cosine**2) * drift, dtype=np.float32)


def test_a_good_collection_passes_everything(good: Collection) -> None:
    findings = check_parity(good, MemoryTable(passages_table()), FakeEncoder())
    assert failed(findings) == {}
    assert [finding.detail for finding in findings] == [
        f"{'f' * 16} and {'f' * 16}",
        "40 of 40",
        "0 missing, 0 too many",
        "0 differ",
        "0 differ",
        "lowest cosine 1.0000 of fixed texts",
        "lowest cosine 1.0000 over 32 passages",
        "1.000 of the 10 nearest are found",
    ]


def test_another_fingerprint_alone(good: Collection) -> None:
    assert check(good, FakeEncoder("0" * 16)) == {"model": f"{'f' * 16} and {'0' * 16}"}


def test_other_metadata_alone(good: Collection) -> None:
    first, second, *rest = CORPUS
    moved = [first._replace(team="legal"), second._replace(year=1), *rest]
    assert check(good, FakeEncoder(), moved) == {"metadata": "2 differ"}


def test_another_document_alone(good: Collection) -> None:
    table = passages_table()
    elsewhere = pa.array(["elsewhere", *table["doc_id"].to_pylist()[1:]])
    table = table.set_column(table.schema.get_field_index("doc_id"), table.schema.field("doc_id"), elsewhere)
    assert failed(check_parity(good, MemoryTable(table), FakeEncoder())) == {"metadata": "1 differ"}


def test_missing_passages(good: Collection) -> None:
    more = [*CORPUS, Passage("new", "New", "Text.", "data", 2025)]
    assert check(good, FakeEncoder(), more) == {"count": "40 of 41", "passages": "1 missing, 0 too many"}


def test_passages_too_many(good: Collection) -> None:
    assert check(good, FakeEncoder(), CORPUS[2:]) == {"count": "40 of 38", "passages": "0 missing, 2 too many"}


def test_one_passage_for_another(good: Collection) -> None:
    swapped = [CORPUS[0]._replace(passage_id="other"), *CORPUS[1:]]
    assert check(good, FakeEncoder(), swapped) == {"passages": "1 missing, 1 too many"}


def test_changed_content(good: Collection) -> None:
    changed = [CORPUS[0]._replace(text="Changed."), *CORPUS[1:]]
    assert check(good, FakeEncoder(), changed) == {"content": "1 differ"}


@pytest.mark.parametrize(("cosine", "fine"), [(0.999, True), (0.996, True), (0.994, False), (0.5, False)])
def test_vectors_of_a_model_that_drifted(good: Collection, cosine: float, fine: bool) -> None:
    said = {} if fine else {"vectors": f"lowest cosine {cosine:.4f} over 32 passages"}
    assert check(good, Drifted(cosine)) == said


def test_vectors_of_another_dimension(good: Collection) -> None:
    assert check(good, FakeEncoder(dimensions=4)) == {
        "query encoder": "lowest cosine -1.0000 of fixed texts",
        "vectors": "no vectors of the encoder's dimension",
    }


class LosesNeighbours:
    """A collection whose index finds the nearest passage and nothing near it."""

    def __init__(self, whole: Collection) -> None:
        self.whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def search_dense(self, vectors: NDArray[np.float32], k: int, *, exact: bool = False) -> list[list[Hit]]:
        found = self.whole.search_dense(vectors, k, exact=True)
        return found if exact else [hits[:1] for hits in found]


def test_an_index_that_loses_neighbours(good: Collection) -> None:
    assert check(LosesNeighbours(good), FakeEncoder()) == {"index": "0.100 of the 10 nearest are found"}  # type: ignore[arg-type]


def test_the_real_model_agrees_with_itself(minilm: TorchEncoder) -> None:
    """Whatever rounding bf16 adds between the batches of a build and of the check."""
    collection = collection_of(CORPUS, minilm)
    findings = check_parity(collection, MemoryTable(passages_table()), minilm)
    assert failed(findings) == {}
    assert float(findings[-2].detail.split()[2]) > 0.999
