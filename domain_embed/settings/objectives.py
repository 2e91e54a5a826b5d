"""What training makes better and what of the model it changes, by name, each with the settings that are its own."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from domain_embed.settings.section import Section


class RankingObjective(Section):
    """The answer before all other passages of the batch (multiple negatives ranking, InfoNCE)."""

    kind: Literal["ranking"] = "ranking"
    scale: float = Field(20.0, gt=0)
    """Cosine similarities are multiplied by this before the softmax (1 / temperature)."""
    symmetric: bool = False
    """Also rank the batch's queries for every answer."""


class CachedRankingObjective(Section):
    """The same in memory that does not grow with the batch, at the price of a second forward pass (GradCache)."""

    kind: Literal["cached_ranking"] = "cached_ranking"
    scale: float = Field(20.0, gt=0)
    """Cosine similarities are multiplied by this before the softmax (1 / temperature)."""
    symmetric: bool = False
    """Also rank the batch's queries for every answer."""


class TripletObjective(Section):
    """The answer closer than the query's own hard negatives, by a margin."""

    kind: Literal["triplet"] = "triplet"
    margin: float = Field(0.2, gt=0, le=2)
    """How much closer, in cosine similarity."""


class MarginObjective(Section):
    """The answer closer than every other passage of the batch, by a margin."""

    kind: Literal["margin"] = "margin"
    margin: float = Field(0.2, gt=0, le=2)
    """How much closer, in cosine similarity."""


class MarginMseObjective(Section):
    """Distances between answer and hard negatives as a reranker sees them, and the ranking loss beside it."""

    kind: Literal["margin_mse"] = "margin_mse"
    scale: float = Field(20.0, gt=0)
    """Cosine similarities are multiplied by this to be on the reranker's scale, and before the softmax."""
    ranking_weight: float = Field(1.0, ge=0)
    """Weight of the ranking loss over the whole batch; 0 learns from the reranker alone."""


class DistillKlObjective(Section):
    """The distribution over answer and hard negatives as a reranker sees it, and the ranking loss beside it."""

    kind: Literal["distill_kl"] = "distill_kl"
    scale: float = Field(20.0, gt=0)
    """Cosine similarities are multiplied by this to be on the reranker's scale, and before the softmax."""
    temperature: float = Field(1.0, gt=0)
    """Above 1 both distributions are flatter, so that differences between poor passages count, too."""
    ranking_weight: float = Field(1.0, ge=0)
    """Weight of the ranking loss over the whole batch; 0 learns from the reranker alone."""


Objective: TypeAlias = Annotated[
    RankingObjective
    | CachedRankingObjective
    | TripletObjective
    | MarginObjective
    | MarginMseObjective
    | DistillKlObjective,
    Field(discriminator="kind"),
]

DISTILLING = (MarginMseObjective, DistillKlObjective)
"""What needs a reranker's scores."""


class FullTuning(Section):
    """All weights but the frozen ones."""

    kind: Literal["full"] = "full"


class LoraTuning(Section):
    """Small matrices beside the linear layers (low-rank adaptation), added into the weights at the end."""

    kind: Literal["lora"] = "lora"
    rank: int = Field(16, ge=1)
    """Of the matrices: the more, the closer to full tuning."""
    alpha: int = Field(32, ge=1)
    """Their product counts alpha / rank times. They bear about ten times the learning rate of full tuning."""
    target: tuple[str, ...] = ()
    """Names of the linear layers that get them, such as [query, value]; empty means all."""


class AdapterSettings(Section):
    """A linear map behind the model, trained on vectors that exist already: seconds on a CPU."""

    epochs: int = Field(20, ge=1)
    """Passes over the training pairs; the best one by validation nDCG@10 is kept, the map that changes nothing too."""
    batch_size: int = Field(256, ge=2)
    """Pairs per step; all positives and hard negatives of a step are candidates of each of its queries."""
    hard_negatives: int = Field(0, ge=0)
    """Mined negatives per pair; a map of the queries alone ranked validation queries better without."""
    learning_rate: float = Field(1e-3, gt=0)
    """AdamW's, linear to zero."""
    weight_decay: tuple[float, ...] = Field((1.0, 10.0), min_length=1)
    """Pull towards the map that changes nothing, AdamW's; each of these is tried."""
    scale: float = Field(20.0, gt=0)
    """Cosine similarities are multiplied by this before the softmax (1 / temperature)."""
    seed: int = 0
    """Seed of the batches."""


class QueryAdapter(AdapterSettings):
    """A map of the queries; passages keep their vectors."""

    kind: Literal["query_adapter"] = "query_adapter"


class BothAdapter(AdapterSettings):
    """One map of queries and passages."""

    kind: Literal["both_adapter"] = "both_adapter"


ADAPTERS = (QueryAdapter, BothAdapter)
"""What leaves the model itself as it is."""

Method: TypeAlias = Annotated[FullTuning | LoraTuning | QueryAdapter | BothAdapter, Field(discriminator="kind")]
