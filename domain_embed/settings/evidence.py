"""Settings of how models are judged, and when one goes live."""

from typing import Annotated, Literal

from pydantic import Field

from domain_embed.settings.section import Added, Section


class EvaluationSettings(Section):
    """How the figures are made."""

    resamples: int = Field(10_000, ge=100)
    """Bootstrap resamples of an interval, and permutations of a p-value."""
    seed: int = 0
    """Seed of both."""
    latency_queries: int = Field(100, ge=0)
    """How many test queries are timed, one after the other, as they would be served; 0 times none."""
    ask_about: int = Field(200, ge=0)
    """Most unjudged passages of the new top ten that people are asked about: see `domain-embed review`."""


class AnswerSettings(Section):
    """Answers that a language model writes to test queries from the first passages of base, tuned and live model, and
    how good they are. They are reported and decide nothing."""

    source: Literal["none", "endpoint"] = "none"
    """`endpoint`: a language model behind an OpenAI-compatible server, reached by OPENAI_BASE_URL and OPENAI_API_KEY.
    Up to two requests for each query and model; what was answered is kept and not asked again."""
    model: str = ""
    """Name of the model that answers; empty takes OPENAI_MODEL."""
    judge_model: str = ""
    """Name of the model that judges the answers; empty takes the same. Models are lenient with themselves."""
    queries: int = Field(100, ge=1)
    """How many test queries are asked, drawn at random."""
    passages: int = Field(5, ge=1, le=100)
    """How many of the first passages an answer is written from."""
    prompt: str | None = None
    """A file with the prompt, relative to this folder, with {question} and {passages}; null takes the packaged one. A
    model that finds no answer in the passages must say `NO ANSWER`."""
    judge_prompt: str | None = None
    """Likewise of the judge, with {question}, {passages}, {answer} and {reference}. It must ask for the JSON that the
    packaged one asks for: claims, supported and completeness."""
    requests_per_minute: int = Field(60, ge=1)
    """Fastest rate of requests."""


class PromotionSettings(Section):
    """When a challenger goes live. The figure is nDCG@10 on the test queries, as `retrieval` serves."""

    min_gain: float = Field(0.0, ge=0)
    """The 95 % interval of the gain over what is live must lie above this."""
    looks: Annotated[int | None, Added(as_before=20)] = Field(20, ge=1)
    """How many challengers one test set may decide on: together they risk what one 95 % interval does, the first half
    of it. Test queries that are new since count as unseen. null lets every challenger risk all of it: after a year of
    weekly trainings a useless one goes live with a fair chance."""
    max_loss: float = Field(0.01, ge=0)
    """No other mode, with or without reranker, may lose more than this and be shown to lose."""
    max_slice_loss: float = Field(0.03, ge=0)
    """Likewise for each group of test queries: by metadata, source, length and so on."""
    min_slice_queries: int = Field(30, ge=10)
    """Smaller groups are reported, but decide nothing."""
    max_forgetting: float | None = Field(0.05, ge=0)
    """On probes outside the domain the tuned model may lose this much nDCG@10 on average; null is any loss."""
    max_latency_ms: float | None = Field(None, gt=0)
    """19 of 20 queries must be answered within this time; null is any time."""
