"""Settings of how models are judged, and when one goes live."""

from pydantic import Field

from domain_embed.settings.section import Section


class EvaluationSettings(Section):
    """How the figures are made."""

    resamples: int = Field(10_000, ge=100)
    """Bootstrap resamples of an interval, and permutations of a p-value."""
    seed: int = 0
    """Seed of both."""


class PromotionSettings(Section):
    """When a challenger goes live. The figure is nDCG@10 on the test queries, on `retrieval.mode`."""

    min_gain: float = Field(0.0, ge=0)
    """The 95 % interval of the gain over what is live must lie above this."""
    max_loss: float = Field(0.01, ge=0)
    """No other mode may lose more than this, its whole interval below."""
