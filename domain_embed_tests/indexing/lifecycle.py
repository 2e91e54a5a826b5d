"""The life of a live collection in four steps, small enough to be killed in at any moment, again and again."""

import resource
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.errors import PromotionRefusedError, StoreError
from domain_embed.contracts.records import CollectionInfo, Verdict
from domain_embed.indexing import build
from domain_embed.promotion.champion import PromotionLog, roll_back, settle
from domain_embed.settings import SparseSettings
from domain_embed.stores.edge import EdgeStore
from domain_embed.stores.vectors import FileVectorCache
from domain_embed_tests.encoding.fakes import FakeEncoder, MemoryTable, hashed_vector
from domain_embed_tests.scenario import CORPUS, Passage, passages_table

LIVE = "live"
BASE_MODEL, TUNED_MODEL = "b" * 16, "t" * 16
FIRST = [
    passage._replace(passage_id=f"{passage.passage_id}-{n}", text=f"{passage.text} Copy {n}.")
    for n in range(3)
    for passage in CORPUS
]
SECOND = [
    FIRST[0]._replace(text="Rewritten."), *FIRST[2:], Passage("new", "New", "Written later.", "data", 2025),
]  # fmt: skip
TABLES = {"v1": FIRST, "v2": SECOND}


class ModelEncoder(FakeEncoder):
    """Vectors that the model decides as much as the text."""

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([vector_of(self.fingerprint, text) for text in texts])


def vector_of(fingerprint: str, text: str) -> NDArray[np.float32]:
    return hashed_vector(fingerprint + text, 8)


def collection(folder: Path, model: str, version: str) -> CollectionInfo:
    """Embeds in batches of 16, so that there is much to interrupt."""
    build.BATCH_PASSAGES = 16
    encoder = ModelEncoder(model)
    cache = FileVectorCache(folder / "vectors" / model)
    table = MemoryTable(passages_table(TABLES[version]), version)
    return build.build_collection(EdgeStore(folder / "index"), encoder, model, table, SparseSettings(), cache).info


def publish(folder: Path, version: str, *, promote: bool) -> None:
    base = collection(folder, BASE_MODEL, version)
    tuned = collection(folder, TUNED_MODEL, version)
    current = {info.fingerprint: info for info in (base, tuned)}
    settle(
        EdgeStore(folder / "index"), log_of(folder), LIVE, Verdict(promote, ("as the test says",)), tuned, current,
        BASE_MODEL, lambda info: None,
    )  # fmt: skip


def first_build(folder: Path) -> None:
    """Nothing is there; afterwards the base model is live with the first passages."""
    publish(folder, "v1", promote=False)


def delta(folder: Path) -> None:
    """The base model goes on with the second passages."""
    publish(folder, "v2", promote=False)


def promotion(folder: Path) -> None:
    """The tuned model goes live."""
    publish(folder, "v2", promote=True)


def rollback(folder: Path) -> None:
    """The base model is live again, also when it was already before this step was repeated."""
    store = EdgeStore(folder / "index")
    try:
        roll_back(store, log_of(folder), LIVE)
    except PromotionRefusedError:
        live = store.open(store.alias(LIVE) or "").info
        assert live.fingerprint == BASE_MODEL


STEPS: dict[str, Callable[[Path], None]] = {step.__name__: step for step in (first_build, delta, promotion, rollback)}


def log_of(folder: Path) -> PromotionLog:
    return PromotionLog(folder / "promotions.jsonl")


def on_a_full_disk(folder: Path, step: str, file_bytes: int) -> None:
    """The step where no file may grow beyond so many bytes; exits with 3 when it says so as it should."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    try:
        STEPS[step](folder)
    except StoreError:
        raise SystemExit(3) from None
