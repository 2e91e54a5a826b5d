"""The query path that serves and that is evaluated: one encoder bound to one collection of the same model."""

from collections.abc import Mapping, Sequence

from domain_embed.contracts.errors import InputError, ModelMismatchError
from domain_embed.contracts.ports import Collection, Encoder
from domain_embed.contracts.records import Hit, Mode, Scalar, Where
from domain_embed.encoding.bm25 import Analyzer
from domain_embed.retrieval.fusion import fuse
from domain_embed.settings import RetrievalSettings

TRUTH = {"true": True, "false": False}


class Searcher:
    """Ranks passages for queries. Raises ModelMismatchError when encoder and collection are of two models."""

    def __init__(self, collection: Collection, encoder: Encoder, settings: RetrievalSettings) -> None:
        if collection.info.fingerprint != encoder.fingerprint:
            raise ModelMismatchError(collection.info.name, collection.info.fingerprint, encoder.fingerprint)
        self.collection = collection
        self._encoder = encoder
        self._settings = settings
        self._analyzer = Analyzer(collection.info.sparse_language)

    def search(self, query: str, k: int = 10, *, mode: Mode | None = None, where: Where | None = None) -> list[Hit]:
        """The best k passages with their payload, in the served mode unless another is asked for."""
        chosen = mode or self._settings.mode
        return self.rank([query], k, [chosen], where=where, payload=True)[chosen][0]

    def rank(
        self, queries: Sequence[str], k: int, modes: Sequence[Mode], *, where: Where | None = None,
        exact: bool = False, payload: bool = False,
    ) -> dict[Mode, list[list[Hit]]]:  # fmt: skip
        """The best k passages per query in each mode; each query is encoded and searched once for all of them.

        Hits are ordered by score, descending, then passage id.
        """
        depth = max(k, self._settings.depth)
        rankings: dict[Mode, list[list[Hit]]] = {}
        if {"dense", "hybrid"} & set(modes):
            vectors = self._encoder.encode_queries(queries)
            rankings["dense"] = self.collection.search_dense(vectors, depth, where=where, exact=exact, payload=payload)
        if {"sparse", "hybrid"} & set(modes):
            terms = [self._analyzer.query_vector(query) for query in queries]
            rankings["sparse"] = self.collection.search_sparse(terms, depth, where=where, payload=payload)
        if "hybrid" in modes:
            both = zip(rankings["dense"], rankings["sparse"], strict=True)
            rankings["hybrid"] = [fuse(pair, k, self._settings.rrf_k) for pair in both]
        return {mode: [hits[:k] for hits in rankings[mode]] for mode in modes}


def parse_filters(filters: Sequence[str], types: Mapping[str, str]) -> dict[str, list[Scalar]]:
    """`key=value` texts to a filter, each value read as its key's type; a repeated key means any of its values.

    Raises InputError for a key the collection cannot filter on, or a value of another type.
    """
    where: dict[str, list[Scalar]] = {}
    for text in filters:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise InputError(f"filter {text!r} is not of the form key=value")
        if key not in types:
            raise InputError(f"no passage can be filtered on {key!r}", f"keys: {', '.join(types) or 'none'}")
        where.setdefault(key, []).append(_typed(value, key, types[key]))
    return where


def _typed(value: str, key: str, type_name: str) -> Scalar:
    try:
        match type_name:
            case "int":
                return int(value)
            case "float":
                return float(value)
            case "bool":
                return TRUTH[value.lower()]
    except (ValueError, KeyError):
        raise InputError(f"filter {key}={value}: {key} holds values of type {type_name}") from None
    return value
