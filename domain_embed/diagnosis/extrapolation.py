"""From a small training to the whole one: what fine-tuning is expected to gain, with an interval that says how unsure.

Quality grows about as fast with each doubling of the training data. A few hundred pairs show little of that growth, so
the interval widens with every doubling between what was tried and what is to come, upwards more than downwards: that a
small training gained nothing does not show that a whole one would not.
"""

import math

PER_DOUBLING = 0.35
"""Of the probe's gain, for each time the pairs seen double."""
SPREAD = 0.5
"""How far a domain's growth may lie from the usual one: the interval's share of what is extrapolated, each way."""
UNSEEN_PER_DOUBLING = 0.05
"""Of the room that is left, for each doubling: what may be learned that the probe shows no trace of."""
FLOOR = 0.02
"""Of what no probe shows: another draw of queries, hard negatives, the choice of the epoch; in nDCG@10, each way."""


def extrapolate(
    gain: float, ci95: tuple[float, float], seen: int, to_see: int, room: float
) -> tuple[float, tuple[float, float]]:
    """The expected gain and its 95 % interval.

    Args:
        gain: nDCG@10 that the probe gained.
        ci95: Of it.
        seen: Pairs the probe saw.
        to_see: Pairs the whole training sees, each epoch anew.
        room: What is left to gain: 1 − nDCG@10.
    """
    doublings = max(0.0, math.log2(max(1, to_see) / max(1, seen)))
    growth = PER_DOUBLING * doublings
    low = ci95[0] * (1 + growth * (1 - SPREAD if ci95[0] > 0 else 1 + SPREAD)) - FLOOR
    high = ci95[1] * (1 + growth * (1 + SPREAD if ci95[1] > 0 else 1 - SPREAD)) + FLOOR
    high += UNSEEN_PER_DOUBLING * doublings * room
    return min(gain * (1 + growth), room), (min(low, room), min(high, room))
