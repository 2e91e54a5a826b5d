"""The values that travel between stages: points, hits, collections, comparisons, verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from domain_embed.contracts.filters import Scalar as Scalar
from domain_embed.contracts.filters import Where as Where

if TYPE_CHECKING:  # every command loads this module, few of them numpy
    import numpy as np
    from numpy.typing import NDArray

Mode: TypeAlias = Literal["dense", "sparse", "hybrid", "weighted"]
"""How a query is ranked: by vectors, by BM25, or by both, fused by rank (hybrid) or by weighted score (weighted)."""
Run: TypeAlias = Mapping[str, Sequence[str]]
"""Ranked passage ids per query id, best first: what one system answered."""
Qrels: TypeAlias = Mapping[str, Mapping[str, int]]
"""Relevance grade (>= 1) per query id and passage id."""


@dataclass(frozen=True, slots=True)
class Served:
    """How a model is asked where it serves: the mode, whether the reranker has the last word, and of weighted fusion
    the share of the dense score."""

    mode: Mode
    rerank: bool = False
    dense_weight: float | None = None


def embedded_text(title: str, text: str) -> str:
    """The text of a passage as every model and BM25 see it: title and body, one space between."""
    return f"{title} {text}".strip()


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Non-zero weights by dimension: `indices` (n,) uint32, strictly increasing, and `values` (n,) float32."""

    indices: "NDArray[np.uint32]"
    values: "NDArray[np.float32]"


@dataclass(frozen=True, slots=True)
class Point:
    """One passage as stored: payload, `dense` (dim,) float32 of unit length, and its BM25 weights."""

    passage_id: str
    doc_id: str
    title: str
    text: str
    metadata: Mapping[str, Any]
    content_hash: str
    dense: "NDArray[np.float32]"
    sparse: SparseVector


class StoredContent(NamedTuple):
    """What a stored passage is about: `content_hash` is of title and text."""

    passage_id: str
    doc_id: str
    content_hash: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one ranking has a passage: `rank` from 1, and the score by which it got there."""

    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked passage. Document, title, text and metadata are empty until `Collection.describe` fills them.

    `places` explains the score: where each ranking that went into it ("dense", "sparse", the fusion, "rerank") has the
    passage; a ranking that did not find it is absent.
    """

    passage_id: str
    score: float
    title: str = ""
    text: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    doc_id: str = ""
    places: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DocumentHit:
    """One ranked document: `score` is that of its best passage, which `passages` begins with."""

    doc_id: str
    score: float
    passages: tuple[Hit, ...]


COLLECTION_SCHEMA = 2
"""Of what is written now. 1 kept no canaries, and no types of dates and nested keys."""


@dataclass(frozen=True)
class CollectionInfo:
    """What a collection knows about itself; written with the collection.

    `model` is what the encoder is loaded from, with `model_settings` (prompts, length limit), and `fingerprint` the
    identity it must then have: a collection keeps its encoder, whatever domain.yaml says later. `sparse_language`
    is the analyzer that made the sparse vectors, `words_version` its definition of a word. `metadata_types` names
    the type of each filterable key: "str", "int", "float", "bool" or "date" (YYYY-MM-DD). `chunking` is how the
    passages were cut, `canaries` the vectors of fixed texts, by which `indexing.identity` proves the model, `index`
    how vectors are kept (empty: as by default), `vector_cache` names the cache that has its vectors, `access` the rule
    it was built under, as `AccessRule` has it (empty: none), and `schema_version` says what of all this is kept.
    `content` is equal for collections that differ in their model alone. `amended` says when passages were last taken
    out of it or given other metadata (empty: never); it then no longer holds what its name, count and passages_version
    say.
    """

    name: str
    fingerprint: str
    model: str
    dimensions: int
    passages_version: str
    count: int
    sparse_language: str
    metadata_types: Mapping[str, str]
    built_at: str
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    chunking: Mapping[str, Any] = field(default_factory=dict)
    canaries: Mapping[str, str] = field(default_factory=dict)
    index: Mapping[str, Any] = field(default_factory=dict)
    vector_cache: str = ""
    schema_version: int = 1
    content: str = ""
    words_version: int = 1
    access: Mapping[str, Any] = field(default_factory=dict)
    amended: str = ""


@dataclass(frozen=True)
class Comparison:
    """A paired comparison of two systems on the same queries, in one measure.

    `delta` is the mean of challenger minus baseline, `ci95` its paired bootstrap interval and `p` the
    two-sided paired randomization p-value; wins, ties and losses count queries. `p_adjusted` is `p` after correction
    for all comparisons that were made together; None for one that was made alone.
    """

    challenger: str
    baseline: str
    metric: str
    delta: float
    ci95: tuple[float, float]
    p: float
    wins: int
    ties: int
    losses: int
    p_adjusted: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a challenger may go live, with every reason that was weighed, in words.

    The first `objections` of the reasons speak against it; the last `open` say what could not be weighed. `untuned` is
    what is gained without training where another way to ask the base model was chosen than dense search, or empty.
    """

    promote: bool
    reasons: tuple[str, ...]
    objections: int = 0
    open: int = 0
    untuned: str = ""
