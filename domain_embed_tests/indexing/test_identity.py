"""Identity: a collection proves its model by vectors, and says what else it was made of."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from domain_embed.contracts.errors import ModelMismatchError, StoreError
from domain_embed.contracts.records import COLLECTION_SCHEMA, CollectionInfo
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.indexing.build import build_collection
from domain_embed.indexing.identity import CANARIES, require_usable
from domain_embed.settings import ModelSettings, SparseSettings
from domain_embed.stores.qdrant import QdrantStore
from domain_embed_tests.encoding.fakes import FakeEncoder, MemoryCache, MemoryTable, hashed_vector
from domain_embed_tests.scenario import passages_table


def built(encoder: FakeEncoder | TorchEncoder) -> CollectionInfo:
    store = QdrantStore.in_memory()
    table = MemoryTable(passages_table())
    report = build_collection(
        store, encoder, "base", table, SparseSettings(), MemoryCache(), chunking={"strategy": "whole"}
    )
    return store.open(report.info.name).info


class Counting(FakeEncoder):
    """Turns every vector by the same angle, and counts how often it is asked."""

    def __init__(self, cosine: float = 1.0) -> None:
        super().__init__()
        self.asked = 0
        self.cosine = cosine

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += 1
        vectors = super().encode_queries(texts)
        aside = np.stack([hashed_vector("aside" + text, self.dimensions) for text in texts])
        aside -= np.sum(aside * vectors, axis=1, keepdims=True) * vectors
        aside /= np.linalg.norm(aside, axis=1, keepdims=True)
        return np.asarray(self.cosine * vectors + np.sqrt(1 - self.cosine**2) * aside, np.float32)


def test_a_collection_says_what_it_is_made_of() -> None:
    info = built(FakeEncoder())
    assert (info.schema_version, info.chunking) == (COLLECTION_SCHEMA, {"strategy": "whole"})
    assert tuple(info.canaries) == CANARIES


def test_the_model_that_built_it_is_proven_once() -> None:
    info, encoder = built(FakeEncoder()), Counting()
    require_usable(info, encoder)
    require_usable(info, encoder)
    assert encoder.asked == 1
    require_usable(replace(info, name="another"), encoder)
    assert encoder.asked == 2


@pytest.mark.parametrize(("cosine", "fine"), [(0.999, True), (0.992, True), (0.985, False), (0.5, False)])
def test_the_same_name_with_other_vectors_is_refused(cosine: float, fine: bool) -> None:
    info = built(FakeEncoder())
    if fine:
        require_usable(info, Counting(cosine))
        return
    with pytest.raises(ModelMismatchError, match=r"is model f{16}: .*lowest cosine 0\."):
        require_usable(info, Counting(cosine))


def test_what_cannot_be_compared_is_refused() -> None:
    info = built(FakeEncoder())
    with pytest.raises(ModelMismatchError, match=f"built by model {'f' * 16}, but .* is model {'0' * 16}"):
        require_usable(info, FakeEncoder("0" * 16))
    with pytest.raises(ModelMismatchError, match="vectors of fixed texts"):
        require_usable(info, FakeEncoder(dimensions=4))
    with pytest.raises(ModelMismatchError, match="vectors of fixed texts"):
        require_usable(replace(info, canaries={}), FakeEncoder())
    with pytest.raises(ModelMismatchError, match="lowest cosine nan"):
        require_usable(info, Counting(np.nan))


@pytest.mark.parametrize("schema", [1, COLLECTION_SCHEMA + 1])
def test_another_schema_is_refused_with_a_way_out(schema: int) -> None:
    info = replace(built(FakeEncoder()), schema_version=schema)
    with pytest.raises(StoreError, match=rf"has schema {schema}, and this version reads {COLLECTION_SCHEMA}\n.*run"):
        require_usable(info, FakeEncoder())


def test_the_real_model_is_proven_whatever_the_batch(minilm: TorchEncoder, minilm_path: str) -> None:
    info = built(minilm)
    require_usable(info, TorchEncoder.load(minilm_path, ModelSettings(max_tokens=64)))
