"""From a small training to the whole one: what fine-tuning is expected to gain, with an interval that says how unsure.

What a model gets wrong falls as a power of the training data it has seen (Hestness et al. 2017, "Deep Learning Scaling
is Predictable, Empirically"). The power differs between domains, and a few hundred pairs do not show it, so the
interval reaches from no further progress at all to a fast one: that a small training gained nothing does not show that
a whole one would not.
"""

import math

PER_DOUBLING = 0.10
"""The power: of what is wrong after the probe, about this share is right after each doubling of the pairs seen."""
FASTEST = 0.25
"""The same where a domain is learned fast. Both were judged on two domains, not fitted to many."""
FLOOR = 0.02
"""Of what no probe shows: another draw of queries, hard negatives, the choice of the epoch; in nDCG@10, each way."""


def extrapolate(
    gain: float, ci95: tuple[float, float], seen: int, to_see: int, room: float
) -> tuple[float, tuple[float, float]]:
    """The expected gain and its 95 % interval; neither is ever more than `room`.

    Args:
        gain: nDCG@10 that the probe gained.
        ci95: Of it.
        seen: Pairs the probe saw.
        to_see: Pairs the whole training sees, each epoch anew.
        room: What is left to gain: 1 − nDCG@10.
    """
    doublings = max(0.0, math.log2(max(1, to_see) / max(1, seen)))

    def after(probe_gain: float, power: float) -> float:
        return room - (room - min(probe_gain, room)) * 2 ** (-power * doublings)

    low, high = ci95
    return after(gain, PER_DOUBLING), (after(low, 0.0) - FLOOR, min(after(high, FASTEST) + FLOOR, room))
