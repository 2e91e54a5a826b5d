"""What the checkpoint's record says about how training went; a record that says less gives less."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from domain_embed.evaluation.subject import Forgetting

_LENIENT = ConfigDict(frozen=True, extra="ignore")


class History(BaseModel):
    """Loss by step, and nDCG@10 of every validation with the epochs trained by then; without these, one each.

    `best` is the 1-based number of the validation that was kept, `ended` why training ended, after so many `seconds`.
    """

    model_config = _LENIENT

    loss: tuple[float, ...] = ()
    validation: tuple[float, ...] = ()
    epochs: tuple[float, ...] = ()
    best: int | None = None
    ended: str = ""
    seconds: float = 0.0

    @property
    def curve(self) -> list[tuple[float, float]]:
        """nDCG@10 over the epochs."""
        epochs = self.epochs or tuple(float(number) for number in range(1, len(self.validation) + 1))
        return list(zip(epochs, self.validation, strict=True))


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
