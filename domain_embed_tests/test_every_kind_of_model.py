"""The whole graph with other models than the demo's: used as their makers meant them, or refused with the reason."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from domain_embed.contracts.records import embedded_text
from domain_embed.encoding.models import ModelError
from domain_embed.stores.workspace import BASE, CHALLENGER
from domain_embed_tests.encoding.tiny_family import FAMILY, save
from domain_embed_tests.scenario import write_domain
from domain_embed_tests.whole import EVERYTHING, Whole

ORDINARY = ("qwen3", "gemma", "bfloat16")
REFUSED = {"dot": (ModelError, "similarity 'dot'")}
SEEN_TOKENS = 64


def domain_with(kind: str, home: Path) -> Whole:
    whole = Whole(home)
    write_domain(whole.folder)
    limit = None if kind == "static" else SEEN_TOKENS
    whole.edit("model", base=save(kind, home / "models" / kind), max_tokens=limit)
    whole.edit("training", epochs=1)
    whole.edit("diagnosis", probe_pairs=0, adapter_queries=0, on_negative="continue")
    return whole


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in ORDINARY else pytest.param(kind, marks=pytest.mark.slow)
        for kind in FAMILY
        if kind not in REFUSED
    ],
)
def test_the_whole_graph_runs_and_keeps_the_makers_vectors(kind: str, tmp_path: Path) -> None:
    whole = domain_with(kind, tmp_path)
    outcome = whole.run()
    assert outcome is not None
    assert sorted(outcome.worked) == sorted(EVERYTHING)

    workspace = whole.workspace
    for alias in (BASE, CHALLENGER):
        collection = workspace.vector_store.open(workspace.aliased(alias))
        theirs = SentenceTransformer(workspace.model_location(collection.info.model), device="cpu").float()
        if kind != "static":
            theirs.max_seq_length = SEEN_TOKENS
        points = collection.fetch(["pg-failover", "kafka-lag", "cert-renew"])
        expected = theirs.encode_document(
            [embedded_text(point.title, point.text) for point in points], normalize_embeddings=True
        )
        cosines = np.sum(expected * np.stack([point.dense for point in points]), axis=1)
        assert cosines.min() > 0.99
        assert theirs.prompts["query"] == (collection.info.model_settings["query_prompt"] or "")
    assert whole.plan().stale == ()


@pytest.mark.parametrize("kind", REFUSED)
def test_a_model_that_cannot_be_used_is_refused_with_the_reason(kind: str, tmp_path: Path) -> None:
    error, reason = REFUSED[kind]

    with pytest.raises(error, match=reason):
        domain_with(kind, tmp_path).run()
