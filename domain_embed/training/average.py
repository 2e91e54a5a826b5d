"""The running average of the weights in training: what is judged and kept in place of the last step's.

At a constant learning rate the last step is one of many that jump about a better place, which their average is near:
Polyak and Juditsky (1992), "Acceleration of Stochastic Approximation by Averaging". Izmailov et al. (2018), "Averaging
Weights Leads to Wider Optima and Better Generalization", saw the same in deep networks; that an exponential average
may stand for a falling rate, Morales-Brotons et al. (2024), "Exponential Moving Average of Weights in Deep Learning".
"""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

EPOCHS = 0.5
"""How much of training the average is of."""


class WeightAverage:
    """Of the trainable weights, over about the last `window` steps.

    After step t it is a · (1 − 1/n) + w/n with n = min(t, window): the plain mean of all weights w so far while there
    are fewer than `window`, so that the start does not weigh more than a step should; exponential from then on.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._values: dict[str, Tensor] = {}

    def add(self, model: "SentenceTransformer", step: int) -> None:
        """Counts the weights in after step number `step`, from 1."""
        share = 1 / min(step, self._window)
        for name, weight in trained_weights(model).items():
            if share == 1:
                self._values[name] = weight.detach().clone()
            else:
                self._values[name].lerp_(weight.detach(), share)

    def copy_of(self, model: "SentenceTransformer") -> "SentenceTransformer":
        """The model with the average as its weights; the given one stays as it is."""
        copied = copy.deepcopy(model)
        copied.load_state_dict(self._values, strict=False)
        return copied

    def state(self) -> Mapping[str, "Tensor"]:
        """What has to be saved."""
        return self._values

    def load(self, state: Mapping[str, "Tensor"], model: "SentenceTransformer") -> None:
        """Goes on from a saved state. Raises ValueError when it is another model's."""
        weights = trained_weights(model)
        if {name: value.shape for name, value in state.items()} != {name: w.shape for name, w in weights.items()}:
            raise ValueError("the average is of other weights")
        self._values = {name: value.to(weights[name].device) for name, value in state.items()}


def trained_weights(model: "SentenceTransformer") -> dict[str, "Tensor"]:
    """Those that training changes, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}
