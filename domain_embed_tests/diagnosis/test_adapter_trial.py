"""The query adapter that is tried: it learns what can be learned, and changes nothing where nothing can."""

import numpy as np
from numpy.typing import NDArray

from domain_embed.diagnosis.adapter import fit_adapter, try_adapter
from domain_embed.settings import DiagnosisSettings
from domain_embed_tests.diagnosis.faults import PARTS, passage_table
from domain_embed_tests.encoding.fakes import FakeEncoder
from domain_embed_tests.judgments.quality_material import collection_of, judgment_table

DIMENSIONS = 16


def unit(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_mixed_dimensions_are_taken_apart() -> None:
    generator = np.random.default_rng(0)
    positives = unit(generator.normal(size=(600, DIMENSIONS)))
    mixed = np.eye(DIMENSIONS) + 0.45 * generator.normal(size=(DIMENSIONS, DIMENSIONS))
    queries = unit(positives @ mixed)
    adapter = fit_adapter(queries[:500], positives[:500], seed=0)
    unseen, answers = queries[500:], positives[500:]

    def found_first(asked: NDArray[np.float32]) -> float:
        return float((np.argmax(asked @ answers.T, axis=1) == np.arange(100)).mean())

    before, after = found_first(unseen), found_first(adapter(unseen))
    assert before < 0.7
    assert after > before + 0.1


def test_queries_that_say_nothing_leave_the_adapter_alone_or_nearly() -> None:
    """Held-out pairs choose it, so what was learned by heart is not taken."""
    generator = np.random.default_rng(1)
    positives = unit(generator.normal(size=(100, DIMENSIONS)))
    queries = unit(positives + 0.01 * generator.normal(size=positives.shape))
    adapter = fit_adapter(queries, positives, seed=0)
    assert float((np.argmax(adapter(queries) @ positives.T, axis=1) == np.arange(100)).mean()) > 0.95


def test_few_pairs_are_not_tried() -> None:
    encoder = FakeEncoder()
    collection = collection_of(passage_table(PARTS), encoder)
    splits = judgment_table([("q", "text", PARTS[0].passage_id, 1)], ["train"]).read()
    assert try_adapter(splits, collection, encoder, DiagnosisSettings()) is None
