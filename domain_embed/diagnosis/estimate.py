"""What fine-tuning is estimated to gain and to take, for any number of epochs, from what the probe has found."""

from collections.abc import Mapping
from typing import Any

from domain_embed.diagnosis.extrapolation import extrapolate
from domain_embed.settings import TrainingSettings

USUAL_EPOCHS = 2
"""Passes over the pairs where nobody says how many: where training ends by itself is not known before."""
TEXTS_PER_PAIR = 2
"""A hard negative each: twice the text that the probe reads."""


def fine_tuning_estimate(
    probe: Mapping[str, Any], mean: float, epochs: int
) -> tuple[float, tuple[float, float], float]:
    """The gain in nDCG@10, its 95 % interval, and the seconds of work.

    Args:
        probe: Of a diagnosis: `pairs`, `gain`, `ci95`, `train_pairs` (all there are), `train_s` and `embed_s`.
        mean: nDCG@10 of what serves.
        epochs: Passes over all training pairs.
    """
    seen, low_high = probe["train_pairs"] * epochs, (float(probe["ci95"][0]), float(probe["ci95"][1]))
    gain, ci95 = extrapolate(probe["gain"], low_high, probe["pairs"], seen, 1 - mean)
    return gain, ci95, probe["train_s"] * TEXTS_PER_PAIR * seen / probe["pairs"] + probe["embed_s"]


def for_training(stored: Mapping[str, Any], training: TrainingSettings) -> dict[str, Any]:
    """A stored diagnosis with its estimate of fine-tuning made for the epochs of these settings.

    Nothing else of it is another: what is recommended was decided for USUAL_EPOCHS. A diagnosis of an earlier version,
    whose probe does not tell enough, is given back as it is.
    """
    probe, epochs = stored.get("probe"), USUAL_EPOCHS if training.epochs == "auto" else training.epochs
    if probe is None or "gain" not in probe:
        return dict(stored)
    mean = float(stored["systems"][stored["served"]])
    gain, ci95, seconds = fine_tuning_estimate(probe, mean, epochs)
    estimate = {
        "title": f"Fine-tuning, {epochs} epochs" if epochs > 1 else "Fine-tuning, one epoch",
        "gain": gain,
        "ci95": list(ci95),
        "reaches": min(1.0, mean + gain),
        "seconds": seconds,
    }
    levers = [{**lever, **(estimate if lever["name"] == "fine_tuning" else {})} for lever in stored["levers"]]
    return {**stored, "levers": levers}
