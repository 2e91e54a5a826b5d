"""System names say what was run, and are listed as people list them."""

import pytest

from domain_embed.evaluation.names import mode_of, model_of, system_name, system_order, variant_name, variant_of


@pytest.mark.parametrize(
    ("system", "model", "variant"),
    [
        ("bm25", "bm25", "sparse"),
        ("bm25+rerank", "bm25", "sparse+rerank"),
        ("base/dense", "base", "dense"),
        ("tuned/hybrid+rerank", "tuned", "hybrid+rerank"),
    ],
)
def test_a_name_is_its_model_and_its_variant(system: str, model: str, variant: str) -> None:
    assert (model_of(system), variant_of(system)) == (model, variant)
    assert system_name(model, variant) == system
    mode, rerank = mode_of(variant)
    assert variant_name(mode, rerank) == variant


def test_systems_stand_by_model_then_mode_then_reranker() -> None:
    named = ["tuned/hybrid", "bm25+rerank", "base/hybrid", "base/dense+rerank", "champion/dense", "bm25", "base/dense"]
    assert sorted(named, key=system_order) == [
        "bm25", "bm25+rerank", "base/dense", "base/dense+rerank", "base/hybrid", "champion/dense", "tuned/hybrid",
    ]  # fmt: skip
