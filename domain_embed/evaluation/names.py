"""How systems are named: the model, how it is asked, and whether a reranker looks again.

`bm25`, `MODEL/MODE` and either with `+rerank`, where MODEL is base, champion or tuned. What follows the model is the
variant: `dense`, `hybrid+rerank`. BM25's variant is `sparse`.
"""

from typing import get_args

from domain_embed.contracts.records import Mode

BM25 = "bm25"
RERANK = "+rerank"
MODELS = ("base", "champion", "tuned")
_MODES: tuple[str, ...] = get_args(Mode)


def variant_name(mode: str, rerank: bool = False) -> str:
    """Like "hybrid+rerank"."""
    return f"{mode}{RERANK if rerank else ''}"


def system_name(model: str, variant: str) -> str:
    """Like "tuned/hybrid+rerank"; the sparse variant needs no model and is BM25."""
    mode, rerank = mode_of(variant)
    return variant_name(BM25, rerank) if mode == "sparse" else f"{model}/{variant}"


def mode_of(variant: str) -> tuple[str, bool]:
    """The mode of a variant, and whether it reranks."""
    return variant.removesuffix(RERANK), variant.endswith(RERANK)


def model_of(system: str) -> str:
    """The model of a system; of BM25, "bm25"."""
    return system.partition("/")[0].removesuffix(RERANK)


def variant_of(system: str) -> str:
    """The variant of a system."""
    _, slash, variant = system.partition("/")
    return variant if slash else variant_name("sparse", system.endswith(RERANK))


def system_order(system: str) -> tuple[int, int, bool, str]:
    """Sorts systems as people list them: BM25, base, champion, tuned; dense before what is built on it."""
    mode, rerank = mode_of(variant_of(system))
    families = (BM25, *MODELS)
    family = families.index(model_of(system)) if model_of(system) in families else len(families)
    return family, _MODES.index(mode) if mode in _MODES else len(_MODES), rerank, system
