"""Between base and tuned: the mixture of both models' weights that ranks best and has not forgotten too much.

Weights of a fine-tuned model and of the model it started from can be averaged: Wortsman et al. (2022), "Robust
fine-tuning of zero-shot models"; for embedding models Xiao et al. (2023), "LM-Cocktail".
"""

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from domain_embed.contracts.ports import Tracker
from domain_embed.contracts.progress import progress_bar
from domain_embed.encoding.encoder import TorchEncoder
from domain_embed.settings import ModelSettings
from domain_embed.training.probes import Probe
from domain_embed.training.validation import Measure, ValidationSet, measure

if TYPE_CHECKING:
    import pandas as pd
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

Z95 = 1.96
"""Standard errors from the middle of a 95 % interval to its ends."""


@dataclass(frozen=True)
class MixturePoint:
    """One mixture: `alpha` is the share of the tuned weights; nDCG@10 on validation and on every probe by name.

    `error` is the standard error of the difference to the tuned weights on validation, paired by query.
    """

    alpha: float
    validation: float
    probes: Mapping[str, float] = field(default_factory=dict)
    error: float = 0.0

    def loss(self, base: "MixturePoint") -> float:
        """Mean over the probes of what is lost against the base model; 0 without probes."""
        return float(np.mean([base.probes[name] - self.probes[name] for name in base.probes])) if base.probes else 0.0


@dataclass(frozen=True)
class Sweep:
    """Every mixture that was weighed, by alpha from 0 (the base model) to 1, and the one that was taken."""

    points: tuple[MixturePoint, ...]
    chosen: MixturePoint
    budget: float

    @property
    def base(self) -> MixturePoint:
        """The untouched model."""
        return self.points[0]

    @property
    def tuned(self) -> MixturePoint:
        """The tuned weights as they are."""
        return self.points[-1]

    @property
    def sentence(self) -> str:
        """What was taken and why, for people."""
        within = f" within the forgetting budget of {self.budget:g}" if self.base.probes else ""
        figures = f"validation nDCG@10 {self.chosen.validation:.4f}, base {self.base.validation:.4f}"
        gain = self.tuned.validation - self.base.validation
        unsure = gain > 0 and not learned(self.base, self.tuned)
        doubt = "; that anything was learned is not sure" if unsure else ""
        if self.chosen.alpha == 0:
            which = "mixture" if unsure else "share of the tuned weights"
            return f"the base model as it is: no {which} ranks better{within}{doubt} ({figures})"
        if self.chosen.alpha == 1:
            better = "no mixture with the base model ranks better than chance would have it"
            return f"the tuned weights as they are: {better}{within} ({figures})"
        share = f", for {(self.chosen.validation - self.base.validation) / gain:.0%} of their gain" if gain > 0 else ""
        mixture = f"{self.chosen.alpha:.0%} tuned weights, the rest the base model's{share}"
        return f"{mixture}: the best mixture{within}{doubt} ({figures})"

    def to_json(self) -> dict[str, Any]:
        """Its part of a checkpoint's record."""
        return {
            "alpha": self.chosen.alpha,
            "interpolation": [asdict(point) for point in self.points],
            "forgetting": {"base": dict(self.base.probes), "tuned": dict(self.chosen.probes)},
        }


def learned(base: MixturePoint, tuned: MixturePoint) -> bool:
    """Whether the 95 % interval of the tuned weights' gain over the base model lies above zero."""
    return tuned.validation - base.validation >= Z95 * base.error


def choose(points: Sequence[MixturePoint], budget: float) -> Sweep:
    """The best validation figure among the points whose mean loss on the probes is within the budget, but for chance.

    Alpha 0 loses nothing, so that there always is one, never worse than the base model on validation. Of equals the
    smaller alpha is taken: it forgets less. Where it is sure that something was learned, a mixture ahead of the tuned
    weights by less than the standard error gives way: it would hold it back for nothing. Where it is not, a mixture is
    the smaller risk, and the tuned weights as they are cannot be chosen.
    """
    by_alpha = tuple(sorted(points, key=lambda point: point.alpha))
    base, tuned = by_alpha[0], by_alpha[-1]
    sure = learned(base, tuned)
    within = [point for point in by_alpha if point.loss(base) <= budget and (sure or point is not tuned)]
    best = max(within, key=lambda point: point.validation)
    by_luck = best.validation - tuned.validation < best.error
    return Sweep(by_alpha, tuned if by_luck and tuned in within else best, budget)


def interpolated(base: "SentenceTransformer", tuned: "SentenceTransformer", alpha: float) -> "SentenceTransformer":
    """A copy with weights (1 − alpha) · base + alpha · tuned; exactly either one at 0 and 1."""
    import torch

    if alpha in (0, 1):  # not by arithmetic: it makes 0.0 of −0.0, which is another fingerprint
        return copy.deepcopy(tuned if alpha else base)
    mixed, tuned_weights = copy.deepcopy(base), tuned.state_dict()
    weights = {
        name: torch.lerp(value, tuned_weights[name].to(value.device), alpha) if value.is_floating_point() else value
        for name, value in mixed.state_dict().items()
    }
    mixed.load_state_dict(weights)
    return mixed


@dataclass(frozen=True)
class Mixer:
    """Measures mixtures of one base and one tuned model."""

    base: "SentenceTransformer"
    tuned: "SentenceTransformer"
    settings: ModelSettings
    validation: ValidationSet
    probes: Sequence[Probe]
    ndcg: Measure

    def sweep(
        self, shares: Sequence[float], tuned_ndcg: float, tuned_vectors: NDArray[np.float32] | None, budget: float,
        tracker: Tracker,
    ) -> tuple[Sweep, Mapping[float, NDArray[np.float32]]]:  # fmt: skip
        """Weighs base, tuned and the given shares; gives the choice, and the pool's vectors by the share's alpha.

        The validation figures of both ends are known, and the tuned model's vectors of the pool may be.
        """
        points: list[MixturePoint] = []
        vectors: dict[float, NDArray[np.float32]] = {}
        with progress_bar("weigh base against tuned", 2 + len(shares), "mixtures") as progress:

            def weigh(alpha: float, figure: float, error: float = 0.0) -> None:
                points.append(MixturePoint(alpha, figure, self._probed(alpha), error))
                _report(points[-1], tracker)
                progress.update(1)

            base_error = 0.0
            if shares:
                tuned, _ = measure(self._encoder(1.0), self.validation, self.ndcg, tuned_vectors)
                base = [self.validation.base_scores[query_id] for query_id in tuned.index]
                base_error = standard_error(tuned - base)
            weigh(0.0, self.validation.base_ndcg, base_error)
            weigh(1.0, tuned_ndcg)
            for share in shares:
                scores, vectors[share] = measure(self._encoder(share), self.validation, self.ndcg)
                weigh(share, float(scores.mean()), standard_error(scores - tuned))
        return choose(points, budget), vectors

    def _probed(self, alpha: float) -> dict[str, float]:
        """nDCG@10 on every probe."""
        if not self.probes:
            return {}
        encoder = self._encoder(alpha)
        return {probe.name: float(measure(encoder, probe, self.ndcg)[0].mean()) for probe in self.probes}

    def _encoder(self, alpha: float) -> TorchEncoder:
        return TorchEncoder(interpolated(self.base, self.tuned, alpha), self.settings)


def standard_error(differences: "pd.Series[float]") -> float:
    """Of their mean; 0 for a single one."""
    return float(differences.std(ddof=0)) / math.sqrt(len(differences))


def _report(point: MixturePoint, tracker: Tracker) -> None:
    """Over alpha in per cent, since MLflow's steps are whole numbers."""
    probed = "".join(f", {probe} {figure:.4f}" for probe, figure in point.probes.items())
    logger.info("%.0f %% tuned weights: validation nDCG@10 %.4f%s", 100 * point.alpha, point.validation, probed)
    figures = {"interpolation/validation": point.validation}
    figures |= {f"interpolation/probe/{name}": figure for name, figure in point.probes.items()}
    tracker.log_metrics(figures, step=round(100 * point.alpha))
