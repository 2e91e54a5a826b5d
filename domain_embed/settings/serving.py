"""Settings of the index and of the query path over it."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from domain_embed.contracts.access import AccessRule, WithoutGroups
from domain_embed.contracts.records import Mode, Served
from domain_embed.settings.section import Added, Removed, Section


class SparseSettings(Section):
    """BM25, stored beside the dense vectors."""

    language: str = "english"
    """Snowball stemmer and stop words: english, german, french, ... or none; auto takes those of the language that the
    passages are in, none where they are in several or in one without a stemmer."""
    k1: float = Field(1.2, ge=0)
    """How fast repeated terms stop counting."""
    b: float = Field(0.75, ge=0, le=1)
    """How much long passages are discounted."""


class IndexSettings(Section):
    """How vectors are kept and found. An edit builds the collections again, and embeds nothing again.

    `domain-embed advise` measures the choices on your passages and recommends one.
    """

    quantization: Literal["none", "int8", "binary"] = "none"
    """Keep a smaller copy of the vectors to search in, a quarter (int8) or a 32nd (binary) of their size; the best
    candidates are then scored by the vectors themselves. binary suits models of many dimensions."""
    oversampling: float = Field(2.0, ge=1, le=20)
    """Of the smaller copy: how many times as many candidates are scored again."""
    on_disk: bool = False
    """Read the vectors themselves from disk when they are needed, rather than from memory."""
    hnsw_m: int = Field(16, ge=4, le=128)
    """Neighbours of each vector in the graph: more find more, and take more memory."""
    hnsw_ef_construct: int = Field(100, ge=16, le=2000)
    """Candidates looked at for each of them while building: more take longer, and find more afterwards."""
    shards: Annotated[int, Added(as_before=1)] = Field(1, ge=1, le=1024)
    """On a Qdrant server: into how many parts a collection is cut. More than 1 is for what one node cannot hold: BM25
    takes the weights of words from each part alone, so that its scores depend on where a passage lies."""
    replication: Annotated[int, Added(as_before=1)] = Field(1, ge=1, le=64)
    """On a Qdrant cluster: how many nodes have each part. With 2 any one may be away."""
    write_consistency: Annotated[int | None, Added(as_before=None)] = Field(None, ge=1, le=64)
    """On a Qdrant cluster: how many of them must have a write before it counts; null: as the server is set."""
    payload_on_disk: Annotated[bool | None, Added(as_before=None)] = None
    """On a Qdrant server: read texts and metadata from disk; null: as the server is set."""
    graph_on_disk: Annotated[bool, Added(as_before=False)] = False
    """On a Qdrant server: read the graph of neighbours from disk. Slow without fast disks."""
    bm25_on_disk: Annotated[bool, Added(as_before=False)] = False
    """On a Qdrant server: read the BM25 index from disk."""

    removed: ClassVar[Mapping[str, Removed]] = {
        "in_place": Removed(
            always=False,
            why="several models' vectors in one Qdrant collection cannot be told apart safely on a cluster; each model "
            "has a collection of its own",
        )
    }

    @model_validator(mode="after")
    def _writes_can_be_confirmed(self) -> Self:
        if self.write_consistency is not None and self.write_consistency > self.replication:
            raise ValueError(
                f"write_consistency: {self.write_consistency} nodes cannot have a write, replication is "
                f"{self.replication}"
            )
        return self


class RetrievalSettings(Section):
    """The query path that serves, and that is evaluated."""

    mode: Mode | Literal["auto"] = "auto"
    """dense, sparse (BM25), hybrid (reciprocal rank fusion of both) or weighted (weighted sum of their scores). auto
    chooses on the validation queries, for each model its own and with the reranker where there is one: the simplest
    within one standard error of the best; with fewer than 30 of them hybrid, unless another is clearly better."""
    depth: int = Field(100, ge=10)
    """How many passages each of the two rankings contributes to the fusion."""
    rrf_k: int = Field(60, ge=1)
    """The constant of reciprocal rank fusion: larger trusts top ranks less."""
    dense_weight: float | None = Field(None, ge=0, le=1)
    """Of weighted: the share of the dense score, BM25 has the rest; null tunes it on the validation queries."""
    rerank: bool = False
    """Whether the reranker of `reranker:` has the last word on the first passages; auto chooses this, too."""
    rerank_depth: int = Field(50, ge=1)
    """How many passages the reranker reads."""

    def served_as(self, served: Served | None) -> "RetrievalSettings":
        """With what was chosen in place of auto: hybrid where nothing was. An explicit mode stays."""
        if self.mode != "auto":
            return self
        chosen = served or Served("hybrid")
        weight = self.dense_weight if self.dense_weight is not None else chosen.dense_weight
        return self.model_copy(update={"mode": chosen.mode, "rerank": chosen.rerank, "dense_weight": weight})


class AccessSettings(Section):
    """Who may find which passages. With a groups_field, search needs the groups of the one who asks."""

    groups_field: str | None = Field(None, min_length=1)
    """The metadata key with the groups that may find a passage, a text or a list of texts; null: everybody may."""
    without_groups: WithoutGroups = "nobody"
    """Who may find a passage that names no group."""
    language_model_groups: tuple[str, ...] = ()
    """The groups of a language model that reads passages (`synthetic`, `answers`): others are not sent to it."""

    @property
    def rule(self) -> AccessRule | None:
        """Who may see what; None where everybody may see everything."""
        return None if self.groups_field is None else AccessRule(self.groups_field, self.without_groups)

    def may_be_sent(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a language model may read a passage."""
        return self.rule is None or self.rule.shows(metadata, self.language_model_groups)


class RetentionSettings(Section):
    """What is kept of what no longer serves. An edit makes nothing stale."""

    collections: int = Field(3, ge=0)
    """The newest collections kept besides those in use and the one a rollback would put back. Older ones are removed
    when something goes live, and by `domain-embed prune`."""
    vectors_gb: float = Field(20.0, gt=0)
    """How much the vectors made so far may take; those of models that are not in use and were used least recently are
    removed first, then. They would be made again."""
