"""What the checkpoint's record says about how training went; a record that says less gives less."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from domain_embed.evaluation.subject import Forgetting

_LENIENT = ConfigDict(frozen=True, extra="ignore")


class History(BaseModel):
    """Loss by step and validation nDCG@10 by epoch."""

    model_config = _LENIENT

    loss: tuple[float, ...] = ()
    validation: tuple[float, ...] = ()


class Mixture(BaseModel):
    """One mixture of tuned and base weights, `alpha` of the tuned: nDCG@10 on validation queries and on each probe."""

    model_config = _LENIENT

    alpha: float
    validation: float
    probes: dict[str, float] = {}


class CurvePoint(BaseModel):
    """A training with so many pairs, and its nDCG@10 on the validation queries."""

    model_config = _LENIENT

    pairs: int
    ndcg: float


class TrainingRecord(BaseModel):
    """The parts of a checkpoint's record that a report shows, with the learning curve where there is one."""

    model_config = _LENIENT

    history: History = History()
    alpha: float | None = None
    interpolation: tuple[Mixture, ...] = ()
    forgetting: Forgetting | None = None
    points: tuple[CurvePoint, ...] = ()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "TrainingRecord":
        """Raises pydantic's ValidationError, a ValueError, when a part has another shape than it should."""
        return cls.model_validate(record)

    @property
    def measured_forgetting(self) -> Forgetting | None:
        """What the model forgot, when there were probes to tell."""
        return self.forgetting if self.forgetting is not None and self.forgetting.tuned else None
