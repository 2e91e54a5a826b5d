"""When training again is due: pure rules over a few facts, each request with a key under which it is made once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from domain_embed.settings.operations import AutomationSettings


@dataclass(frozen=True)
class Facts:
    """What has changed since the newest model was trained.

    `checkpoint` is that model's fingerprint, `new_passages` a share of the passages there are now, and `alarms` what
    monitoring found wrong with the served quality, in words, by name.
    """

    checkpoint: str
    new_judgments: int
    new_passages: float
    alarms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RetrainRequest:
    """One reason to train again. The same key is never asked for twice."""

    key: str
    reason: str


def retraining_due(facts: Facts, policy: AutomationSettings, today: date) -> list[RetrainRequest]:
    """Every rule that asks for training now.

    A key changes with the checkpoint, with each further multiple of a threshold, and for alarms with the ISO week:
    a training that failed, or did not help, is asked for again only when there is more reason to.
    """
    return list(_due(facts, policy, today))


def _due(facts: Facts, policy: AutomationSettings, today: date) -> Iterator[RetrainRequest]:
    enough, share = policy.retrain_after_judgments, policy.retrain_after_new_passages
    if enough is not None and facts.new_judgments >= enough:
        yield RetrainRequest(
            f"{facts.checkpoint} judgments x{facts.new_judgments // enough}",
            f"{facts.new_judgments:,} judgments are new since the last training ({enough:,} are enough)",
        )
    if share is not None and facts.new_passages > share:
        yield RetrainRequest(
            f"{facts.checkpoint} passages x{int(facts.new_passages / share)}",
            f"{facts.new_passages:.0%} of the passages are new since the last training (over {share:.0%})",
        )
    if policy.retrain_on_quality_drop and facts.alarms:
        year, week, _ = today.isocalendar()
        yield RetrainRequest(
            f"{facts.checkpoint} quality {year}-W{week:02}", "served quality: " + "; ".join(facts.alarms.values())
        )


def count_new_judgments(now: pa.Table, then: pa.Table) -> int:
    """How many query-passage pairs of `now` are not in `then`; both have the columns query and passage_id."""
    return int(pc.sum(_is_new(_pairs(now), _pairs(then))).as_py() or 0)


def share_of_new_passages(now: pa.ChunkedArray, then: pa.ChunkedArray) -> float:
    """The share of the content hashes `now` that are not among those `then`; 0 where there are none."""
    return float(pc.mean(_is_new(now, then)).as_py() or 0.0)


def _pairs(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(table["query"], table["passage_id"], "\x1f")


def _is_new(now: pa.ChunkedArray, then: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.invert(pc.is_in(now, value_set=then.combine_chunks()))
