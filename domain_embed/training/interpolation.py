"""Between base and tuned: the mixture of both models' weights that ranks best and has not forgotten too much.

Weights of a fine-tuned model and of the model it started from can be averaged: Wortsman et al. (2022), "Robust
fine-tuning of zero-shot models"; for embedding models Xiao et al. (2023), "LM-Cocktail".
"""

import copy
import logging
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
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MixturePoint:
    """One mixture: `alpha` is the share of the tuned weights; nDCG@10 on validation and on every probe by name."""

    alpha: float
    validation: float
    probes: Mapping[str, float] = field(default_factory=dict)

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
    def sentence(self) -> str:
        """What was taken and why, for people."""
        within = f" within the forgetting budget of {self.budget:g}" if self.base.probes else ""
        figures = f"validation nDCG@10 {self.chosen.validation:.4f}, base {self.base.validation:.4f}"
        if self.chosen.alpha == 0:
            return f"the base model as it is: no share of the tuned weights ranks better{within} ({figures})"
        if self.chosen.alpha == 1:
            return f"the tuned weights as they are: no mixture with the base model ranks better{within} ({figures})"
        return f"{self.chosen.alpha:.0%} tuned weights, the rest the base model's: the best mixture{within} ({figures})"

    def to_json(self) -> dict[str, Any]:
        """Its part of a checkpoint's record."""
        return {
            "alpha": self.chosen.alpha,
            "interpolation": [asdict(point) for point in self.points],
            "forgetting": {"base": dict(self.base.probes), "tuned": dict(self.chosen.probes)},
        }


def choose(points: Sequence[MixturePoint], budget: float) -> Sweep:
    """The best validation figure among the points whose mean loss on the probes is within the budget.

    Alpha 0 loses nothing, so that there always is one, never worse than the base model on validation. Of equals the
    smaller alpha is taken: it forgets less.
    """
    by_alpha = tuple(sorted(points, key=lambda point: point.alpha))
    within = [point for point in by_alpha if point.loss(by_alpha[0]) <= budget]
    return Sweep(by_alpha, max(within, key=lambda point: point.validation), budget)


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
        self, shares: Sequence[float], tuned_ndcg: float, budget: float, tracker: Tracker
    ) -> tuple[Sweep, Mapping[float, NDArray[np.float32]]]:
        """Weighs base, tuned and the given shares; gives the choice, and the pool's vectors by the share's alpha.

        The validation figures of both ends are known; they are encoded for the probes alone, if there are any.
        """
        points, vectors = [], {}
        known = {0.0: self.validation.base_ndcg, 1.0: tuned_ndcg}
        alphas = sorted({*known, *shares})
        with progress_bar("weigh base against tuned", len(alphas), "mixtures") as progress:
            for alpha in alphas:
                point, made = self._weigh(alpha, known.get(alpha))
                points.append(point)
                if made is not None:
                    vectors[alpha] = made
                _report(point, tracker)
                progress.update(1)
        return choose(points, budget), vectors

    def _weigh(self, alpha: float, known: float | None) -> tuple[MixturePoint, NDArray[np.float32] | None]:
        """One mixture, and its vectors of the validation pool unless its figure there is known."""
        if known is not None and not self.probes:
            return MixturePoint(alpha, known), None
        encoder = self._encoder(alpha)
        figure, vectors = (known, None) if known is not None else measure(encoder, self.validation, self.ndcg)
        probes = {probe.name: measure(encoder, probe, self.ndcg)[0] for probe in self.probes}
        return MixturePoint(alpha, figure, probes), vectors

    def _encoder(self, alpha: float) -> TorchEncoder:
        return TorchEncoder(interpolated(self.base, self.tuned, alpha), self.settings)


def _report(point: MixturePoint, tracker: Tracker) -> None:
    """Over alpha in per cent, since MLflow's steps are whole numbers."""
    logger.info("alpha %.2f: validation nDCG@10 %.4f %s", point.alpha, point.validation, dict(point.probes))
    figures = {"interpolation/validation": point.validation}
    figures |= {f"interpolation/probe/{name}": figure for name, figure in point.probes.items()}
    tracker.log_metrics(figures, step=round(100 * point.alpha))
